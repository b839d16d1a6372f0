"""House rules that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "thanksio_connect"
MODULES = [file for file in sorted(PACKAGE.rglob("*.py")) if "migrations" not in file.parts]
IN_THE_HOUSE = [file for file in MODULES if "testing" not in file.parts]


def name(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each import."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_settings_and_the_environment_are_read_in_conf_alone():
    readers = {name(file) for file in IN_THE_HOUSE if ("django.conf", "settings") in imports(file)}
    names = ("authorization_request", "connection", "event", "sent_order")
    models = {f"models/{name}.py" for name in names}  # AUTH_USER_MODEL
    keys = "encryption_key.py"  # FIELD_ENCRYPTION_KEY, another package's setting
    assert readers == {"conf.py", keys, *models}

    environment = {name(file) for file in IN_THE_HOUSE if ("environ", "") in imports(file)}
    assert environment == {"conf.py"}


def test_models_read_no_other_setting_than_the_user_model():
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (PACKAGE / "models").glob("*.py")]
    read = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    assert read == {"AUTH_USER_MODEL"}


def test_the_client_imports_no_django():
    for file in (PACKAGE / "client").glob("*.py"):
        assert not [module for module, _ in imports(file) if module.split(".")[0] == "django"], name(file)


def test_no_module_is_called_after_nothing():
    forbidden = {"utils", "helpers", "services", "common", "misc"}
    assert not forbidden & {part.removesuffix(".py") for file in MODULES for part in file.relative_to(PACKAGE).parts}


def test_each_module_says_what_it_is_in_a_docstring():
    sources = {name(file): file.read_text(encoding="utf-8") for file in MODULES}
    assert not [module for module, text in sources.items() if text.strip() and not ast.get_docstring(ast.parse(text))]
