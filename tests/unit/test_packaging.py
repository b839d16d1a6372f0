"""The metadata says what the owner asked for, and what the code needs."""

import ast
import re
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "thanksio_connect"
# What brings a module that the package imports, where it is not named like its distribution.
BROUGHT_BY = {
    "django": "django",
    "asgiref": "django",
    "environ": "django-environ",
    "requests": "requests",
    "urllib3": "requests",
    "encrypted_model_fields": "django-encrypted-model-fields",
    "cryptography": "django-encrypted-model-fields",
}
ELSEWHERE = {"tasks.py": {"celery"}, "pytest.py": {"pytest"}}  # extras of their own


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def names(requirements: str) -> list[str]:
    return [re.split(r"[<>=!~\[;]", line)[0] for line in requirements.split()]


def test_the_runtime_needs_exactly_four_packages():
    assert names(setup()["options"]["install_requires"]) == [
        "django",
        "django-environ",
        "requests",
        "django-encrypted-model-fields",
    ]


def test_nothing_is_imported_that_those_four_do_not_bring():
    allowed = set(BROUGHT_BY) | set(sys.stdlib_module_names) | {"thanksio_connect"}
    foreign = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                roots = {str(node.module).split(".")[0]}
            else:
                continue
            if unknown := roots - allowed - ELSEWHERE.get(file.name, set()):
                foreign[file.name] = unknown
    assert foreign == {}


def test_the_extras_are_there():
    assert {"demo", "test", "celery", "docs"} <= set(setup()["options.extras_require"])


def test_all_metadata_is_in_setup_cfg():
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(pyproject) <= {"build-system", "dependency-groups", "tool"}
    assert setup()["metadata"]["license_expression"] == "MIT"
    assert setup()["options"]["python_requires"] == ">=3.11"


def test_every_kind_of_data_file_is_packaged():
    patterns = setup()["options.package_data"]["thanksio_connect"].split()
    packaged = {file for pattern in patterns for file in PACKAGE.glob(pattern)}
    files = {file for file in PACKAGE.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert files - packaged == set()


def test_the_changelog_has_unreleased_on_top():
    headings = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
