"""The documentation says what the code does: tables are compared, snippets compiled, links followed."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class
from django.dispatch import Signal

from thanksio_connect import checks, checks_surroundings, conf, exceptions, signals, urls
from thanksio_connect.exceptions import ThanksIOConfigurationError, ThanksIOError
from thanksio_connect.flows import doctor

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
# How the settings table words a default that is not a literal.
SAID_DEFAULTS = {
    "THANKSIO_CLIENT_ID": "required",
    "THANKSIO_CLIENT_SECRET": "required",
    "THANKSIO_REDIRECT_URI": "the callback's absolute URL on the current request",
    "THANKSIO_CONNECTED_URL": "the status page",
    "THANKSIO_DISCONNECTED_URL": "the status page",
    "THANKSIO_REVOKE_URL": "none",
    "THANKSIO_WEBHOOKS_URL": "none",
    "THANKSIO_PREPARE_SESSION": "none",
    "THANKSIO_BEARER_TOKEN": "none",
    "THANKSIO_PRODUCT_NAME": "none",
}


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def table(page: str, header: str) -> list[list[str]]:
    """The rows of the table whose first column has this header, cell by cell."""
    lines = text(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def settings_in_the_code() -> dict[str, str]:
    """Setting name -> property name, read from the properties' source."""
    found = {}
    for name, member in vars(conf.AppSettings).items():
        if isinstance(member, property):
            for setting in set(re.findall(r"THANKSIO_[A-Z_]+", inspect.getsource(member.fget))):
                found[setting] = name
    return found


def test_every_setting_stands_in_the_table_and_nothing_else():
    assert {row[0].strip("`") for row in table("settings.md", "setting")} == set(settings_in_the_code())


@pytest.mark.parametrize("setting", sorted(settings_in_the_code()))
def test_the_tables_default_is_the_codes(setting, settings, monkeypatch):
    [said] = [row[1] for row in table("settings.md", "setting") if row[0] == f"`{setting}`"]
    monkeypatch.delenv(setting, raising=False)
    if hasattr(settings, setting):
        delattr(settings, setting)
    if said == "required":
        with pytest.raises(ThanksIOConfigurationError):
            getattr(conf.app_settings, settings_in_the_code()[setting])
        assert SAID_DEFAULTS[setting] == said
        return
    value = getattr(conf.app_settings, settings_in_the_code()[setting])
    if setting in SAID_DEFAULTS:
        assert (said, value or "") == (SAID_DEFAULTS[setting], "")
    elif said.startswith("`https"):
        assert value == said.strip("`")
    else:
        literal = ast.literal_eval(said.strip("`"))
        assert value == (tuple(literal) if isinstance(literal, list) else literal)


def test_every_setting_with_an_error_id_is_in_the_checks_table():
    documented = {row[0].strip("`").removeprefix("thanksio_connect."): row[1] for row in table("checks.md", "id")}
    in_the_code = dict(re.findall(r"^([EW]\d{3})  (.+)$", checks.__doc__, re.MULTILINE))

    assert {key: value.replace("`", "") for key, value in documented.items()} == {
        key: value.replace("``", "") for key, value in in_the_code.items()
    }
    source = inspect.getsource(checks) + inspect.getsource(checks_surroundings)
    raised = set(re.findall(r'"(?:thanksio_connect\.)?([EW]\d{3})"', source))
    assert raised == set(in_the_code)


def test_the_error_table_names_every_class_with_its_code_and_whether_it_is_retryable():
    bases = {ThanksIOError, exceptions.OAuthError, exceptions.TransportError, exceptions.APIError}
    bases |= {exceptions.ConnectionStateError}
    classes = [
        item
        for item in vars(exceptions).values()
        if inspect.isclass(item) and issubclass(item, ThanksIOError) and item not in bases
    ]
    in_the_code = {item.__name__: (item.code, "yes" if item.retryable else "no") for item in classes}
    in_the_code["ThanksIOConfigurationError"] = (ThanksIOConfigurationError("x").code, "")

    documented = {row[0].strip("`"): (row[1].strip("`"), row[2]) for row in table("errors.md", "class")}

    assert documented == in_the_code


def test_the_tree_of_errors_is_the_one_in_the_modules_docstring():
    tree = exceptions.__doc__.split("::\n\n", 1)[1].split("\n\n", 1)[0]
    assert inspect.cleandoc(tree) in text("errors.md")


@pytest.mark.parametrize(
    ("command", "page"),
    [
        ("refresh_thanksio_tokens", "refreshing.md"),
        ("thanksio_doctor", "monitoring.md"),
        ("import_thanksio_connections", "moves.md"),
    ],
)
def test_every_option_of_the_command_is_documented_and_nothing_else(command, page):
    parser = load_command_class("thanksio_connect", command).create_parser("manage.py", command)
    of_django = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
    of_django |= {"--force-color", "--skip-checks"}
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}

    documented = {name for row in table(page, "option") for name in re.findall(r"`(--[a-z-]+)", row[0])}

    assert documented == options - of_django - {"--from"}


def test_every_code_of_the_doctor_is_documented_and_nothing_else():
    source = "\n".join(file.read_text(encoding="utf-8") for file in Path(doctor.__file__).parent.glob("*.py"))
    bad = set(re.findall(r'(?:warning|problem|found)\(\s*"(\w+)', source)) | set(
        re.findall(r'\bcode = [^"\n]*"(\w+)', source)
    )
    bad |= set(re.findall(r'(?:warning|problem|found)\(\s*f"(\w+)', source))

    documented = {
        code.partition(".")[0]
        for row in table("monitoring.md", "code")
        for code in re.findall(r"`([\w.…]+)`", row[0])
        if not code.startswith(".")
    }

    assert documented == bad


def test_every_code_in_the_table_of_last_errors_is_one_that_the_app_writes():
    package = Path(doctor.__file__).parents[2]
    source = "\n".join(
        file.read_text(encoding="utf-8") for file in package.rglob("*.py") if "testing" not in file.parts
    )
    page = text("operations.md").partition("## Codes in `last_error_code`")[2].partition("\n## ")[0]
    codes = {
        code for cell in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE) for code in re.findall(r"`(\w+)`", cell)
    }

    assert len(codes) > 5
    assert [code for code in codes if f'"{code}"' not in source] == []


COMMANDS = sorted(name for name, application in get_commands().items() if application == "thanksio_connect")


def options_of(command: str) -> set[str]:
    parser = load_command_class("thanksio_connect", command).create_parser("manage.py", command)
    of_django = BaseCommand().create_parser("manage.py", command)
    names = [{name for action in each._actions for name in action.option_strings} for each in (parser, of_django)]
    return {name for name in names[0] - names[1] if name.startswith("--")}


def test_the_reference_has_every_command_with_every_option():
    assert {row[0].strip("`") for row in table("reference/commands.md", "command")} == set(COMMANDS)
    documented = [row[0].strip("`").split()[:2] for row in table("reference/commands.md", "command and option")]

    assert sorted(documented) == sorted([command, option] for command in COMMANDS for option in options_of(command))


def test_the_reference_has_every_exit_status():
    page = text("reference/commands.md").partition("## Exit statuses")[2]
    documented = {
        cells[0].strip("`"): [status for status, words in enumerate(cells[1:]) if words]
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "_" in line
        )
    }
    in_the_code = {}
    for command in COMMANDS:
        said = inspect.getdoc(type(load_command_class("thanksio_connect", command))).partition("Exit status: ")[2]
        numbers = re.findall(r"(?:^|, )(\d) ", said.replace("the worst finding's, ", ""))
        in_the_code[command] = [int(number) for number in numbers]

    assert documented == in_the_code


def test_the_reference_has_every_signal_with_its_arguments():
    rows = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in table("reference/signals.md", "signal")}
    in_the_code = {name for name, item in vars(signals).items() if isinstance(item, Signal)}

    assert set(rows) == in_the_code
    said = {name for arguments in rows.values() for name in arguments}
    assert said == {"created", "account_changed", "outcome", "duration_seconds", "event"}
    for name in said:
        assert f"``{name}``" in signals.__doc__


def figures(page: Path, header: str, width: int) -> dict[str, list[str]]:
    """First cell -> the others, of the table that begins with this header."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip() for cell in line.strip("|").split("|"))
        rows[first] = others[:width]
    return rows


def test_the_comparison_has_the_recorded_figures():
    """Each cell is what benchmarks/README.md has for PostgreSQL."""
    record = REPOSITORY / "benchmarks" / "README.md"
    race = figures(record, "| 32 callers, one expired connection | token requests |", 6)
    calm = figures(record, "| no race | 16 threads", 7)
    names = ["thanksio_connect", "social-auth-app-django", "Authlib, Django client", "written by hand"]
    names += ["by hand, select_for_update"]
    recorded = {name: [race[name][0], race[name][1], race[name][5], calm[name][1], *calm[name][3:]] for name in names}

    rows = figures(DOCS / "comparison.md", "| | thanksio_connect | social-auth-app-django |", 5)

    assert {
        name: list(column) for name, column in zip(names, zip(*rows.values(), strict=True), strict=True)
    } == recorded


def test_django_allauth_renews_nothing_as_the_comparison_says():
    allauth = Path(pytest.importorskip("allauth").__file__).parent
    sources = [file for file in (allauth / "socialaccount").rglob("*.py") if "tests" not in file.parts]

    asking = re.compile(r"grant_type[\"']?\s*[:=]\s*[\"']refresh_token")
    assert sources
    assert [file for file in sources if asking.search(file.read_text(encoding="utf-8"))] == []


def test_every_page_has_its_url_name():
    documented = {row[0].strip("`"): row[1] for row in table("templates.md", "URL name")}
    in_the_code = {f"{urls.app_name}:{pattern.name}": str(pattern.pattern) for pattern in urls.urlpatterns}

    assert documented == {name: f"`{path}`" if path else "the mount itself" for name, path in in_the_code.items()}


def test_every_template_is_documented_with_its_blocks():
    folder = REPOSITORY / "thanksio_connect" / "templates"
    in_the_code = {}
    for file in folder.glob("thanksio_connect/**/*.html"):
        blocks = set(re.findall(r"{% block (\w+) %}", file.read_text(encoding="utf-8")))
        in_the_code[file.relative_to(folder).as_posix()] = blocks

    documented = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in table("templates.md", "template")}

    assert documented == in_the_code


@pytest.mark.parametrize(
    "name",
    ["connected", "disconnected", "tokens_refreshed", "refresh_failed", "reconnect_required", "webhook_received"],
)
def test_every_signal_is_documented(name):
    assert hasattr(signals, name)
    assert f"`{name}`" in text("templates.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_pages_compiles(page):
    for block in re.findall(r"```(?:{code-block} )?python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        code = re.sub(r"^:\w+:.*\n", "", block, flags=re.MULTILINE).replace("…", "...")
        compile(textwrap.dedent(code), page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"^([\w-]+)$", text("index.md"), re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} == listed


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_the_readme_has_each_marked_command_once(name):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(rf"<!-- command: {name} -->\n+```sh\n", readme)) == 1
