"""The gate: all parts, in two lanes (one for each core), every failure seen, one sum at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from parts import REPOSITORY, SCRATCH, Part, Result, kill_all

CI = REPOSITORY / ".ci"
NEWEST = SCRATCH / "v313"
# Tests that have nothing to do with the database of the test settings.
NO_DATABASE = ("client_*", "sandbox*", "testing_*", "bad_surroundings", "docs_*", "live_tests", "without_a_key")
# What waits for workers and time-outs leaves the processor to the other half.
TWO = ("-n", "2")
NO_WORKERS = ("--ignore=tests/integration/test_tasks.py",)
# A test may be skipped for what the database itself is like ("SQLite lets …"), or because it is about another one.
MAY_SKIP = {
    "sqlite": r"^SQLite |^(?!.*needs SQLite).*(PostgreSQL|MariaDB)",
    "postgres": r"^PostgreSQL |^(?!.*needs .*PostgreSQL).*(SQLite|MariaDB)|THANKSIO_TEST_RESTART",
    "mariadb": r"^MariaDB |^(?!.*needs .*MariaDB).*(SQLite|PostgreSQL)",
}
# Parts of their own have these: with the linters installed, and beside thanks.io's document.
ELSEWHERE = r"|(mypy|pyright) is not installed|\(extra lint\)$|OpenAPI document is not here|THANKSIO_TEST_BROKERS"
# thanks.io itself is asked by hand, and the documentation's pages are looked at beside its build.
ELSEWHERE += r"|THANKSIO_LIVE_TOKEN|the extra docs is not installed"
# Django 5.2 has no tasks, and later ones do; it is tried on Python 3.11.
DJANGO = {"oldest": "|needs Django 6.0|needs Python 3.12", "newest": "|needs a Django without tasks"}
NEWEST_IS_INSTALLED = threading.Event()
# What a newcomer types has the machine to itself, as a newcomer's would.
README_IS_DONE = threading.Event()


def find_python(version: str) -> Path:
    """A missing one gives a path that does not exist: the parts that need it fail, the others run."""
    found = subprocess.run([CI / "find-python", version], capture_output=True, text=True, check=False).stdout.strip()
    return Path(found or f"python{version}-is-not-installed")


def venv(folder: Path, version: str, extras: str, *more: str) -> Part:
    python = find_python(version)
    requirements = " ".join(f'"{each}"' for each in more)
    words = f'"{python}" -m venv "{folder}" && "{folder}/bin/pip" install --quiet -e ".[{extras}]" {requirements}'
    show = f'"{folder}/bin/python" -VV && "{folder}/bin/pip" list'
    return Part(f"environment: Python {version}, {extras}", ["bash", "-euc", f"{words} && {show}"])


def axe(lane: str) -> Part:
    return Part(
        f"environment: axe-core for the {lane} lane", ["npm", "ci", "--no-audit", "--no-fund", "--prefix", "tests/e2e"]
    )


def pytest_part(
    name: str, python: Path, database: str, *arguments: str, must_run: str, may_skip: str | None = None
) -> Part:
    return Part(
        f"tests: {name}",
        [python, "-m", "pytest", *arguments],
        environment={
            "THANKSIO_TEST_DATABASE": database,
            "PYTHONDEVMODE": "1",
            "PYTHONMALLOC": "pymalloc",  # development mode would look for faults of C code, a tenth of the time
            "THANKSIO_RACE_ROUNDS": os.environ.get("THANKSIO_RACE_ROUNDS", "100"),
            "THANKSIO_TEST_BROKERS": str(int(database == "postgres")),
        },
        may_skip=MAY_SKIP[database] + (ELSEWHERE + DJANGO["newest"] if may_skip is None else may_skip),
        must_run=must_run,
        is_tests=True,
    )


def oldest(tree: Path) -> Iterable[Part]:
    """What a newcomer types, on the oldest Python, where pip picks Django 5.2; then Python 3.12."""
    yield axe("first")
    yield Part("README: the demo's command", [sys.executable, tree / ".ci" / "readme.py", "demo"])
    yield Part(
        "README: the tests' command (SQLite)",
        [sys.executable, tree / ".ci" / "readme.py", "tests"],
        may_skip=MAY_SKIP["sqlite"] + ELSEWHERE + DJANGO["oldest"],
        must_run=r"\.refresh\.",
        is_tests=True,
    )
    README_IS_DONE.set()
    python = tree / ".venv" / "bin" / "python"
    oldest_django = ELSEWHERE + DJANGO["oldest"]
    browser = pytest_part(
        "the demo, in a browser", python, "sqlite", "tests/e2e", *TWO, must_run=r"test_story", may_skip=oldest_django
    )
    browser.environment = {**browser.environment, "PYTHONDEVMODE": ""}  # the demo's own processes are tried, too
    yield browser
    check = "import django; assert django.VERSION[:2] == (5, 2), django.VERSION"
    yield Part("Django 5.2 was tested", [python, "-c", check])
    yield Part("the demo's walkthrough", [python, "manage.py", "demo", "--walkthrough"])
    yield venv(SCRATCH / "v312", "3.12", "test")
    python = SCRATCH / "v312" / "bin" / "python"
    yield pytest_part("Python 3.12 on SQLite", python, "sqlite", "tests/unit", must_run=r"test_protocol")
    NEWEST_IS_INSTALLED.wait(900)
    python = NEWEST / "bin" / "python"
    for what in ("contract", "server"):
        document = f"tests/integration/test_openapi_{what}.py"
        yield pytest_part(f"thanks.io's document: {what}", python, "sqlite", document, must_run=what, may_skip="")


def newest(tree: Path) -> Iterable[Part]:
    """Style, types, layers, docs, the wheel; then the database servers, with the newest Python and Django."""
    binaries, python = NEWEST / "bin", NEWEST / "bin" / "python"
    yield axe("second")
    yield venv(NEWEST, "3.13", "test,databases,lint,docs,release,bench")
    NEWEST_IS_INSTALLED.set()
    README_IS_DONE.wait(900)
    yield Part("style: ruff check", [binaries / "ruff", "check", "."])
    yield Part("style: ruff format", [binaries / "ruff", "format", "--check", "--diff", "."])
    yield Part("types: mypy --strict", [binaries / "mypy"])
    yield Part("layers: import-linter", [binaries / "lint-imports"])
    check = "-m django makemigrations --check --dry-run --settings tests.settings --pythonpath ."
    yield Part("migrations: none missing", [python, *check.split()])
    checked = ("tests/unit/test_client_typing.py", "tests/typing")
    yield pytest_part("types of a user's project", python, "sqlite", *checked, must_run=r"typing", may_skip="")
    yield Part("docs: no warning", [binaries / "sphinx-build", "-W", "--keep-going", "-q", "docs", SCRATCH / "html"])
    pages = "tests/e2e/test_docs_site.py"
    yield pytest_part("docs: in a browser", python, "sqlite", pages, must_run=r"docs_site", may_skip="")
    yield Part("wheel: built, checked, used", [python, tree / ".ci" / "wheel.py"])
    yield on_a_server("PostgreSQL", "postgres")
    yield venv(SCRATCH / "psycopg2", "3.11", "test,psycopg2", "Django~=5.2.0")
    older = ("database", *(f"refresh/test_{name}.py" for name in ("renewal_kills", "places", "rollback_guard")))
    yield pytest_part(
        "PostgreSQL by psycopg2",
        SCRATCH / "psycopg2" / "bin" / "python",
        "postgres",
        *(f"tests/integration/{name}" for name in (*older, "flows/test_sweep.py")),
        *TWO,
        must_run=r"\.refresh\.",
        may_skip=MAY_SKIP["postgres"] + ELSEWHERE + DJANGO["oldest"] + "|needs psycopg 3",
    )
    restarts = pytest_part(
        "PostgreSQL restarts",
        python,
        "postgres",
        "tests/integration/refresh",
        "-k",
        "server_restarts",
        must_run="restarts",
    )
    restarts.environment = {
        **restarts.environment,
        "THANKSIO_TEST_RESTART": os.environ.get("THANKSIO_TEST_RESTART", "1"),
    }
    yield restarts


def on_a_server(name: str, database: str) -> Part:
    """All that touches the database; Celery's workers, with all brokers, on PostgreSQL alone."""
    excluded = [f"--ignore-glob=*/test_{pattern}.py" for pattern in NO_DATABASE]
    excluded += [] if database == "postgres" else NO_WORKERS
    python = NEWEST / "bin" / "python"
    return pytest_part(
        name, python, database, "tests/integration", "tests/soak", *excluded, *TWO, must_run=r"\.refresh\."
    )


def either(tree: Path) -> Iterable[Part]:
    """What the lane takes that is done first."""
    yield on_a_server("MariaDB", "mariadb")
    python = NEWEST / "bin" / "python"
    tests = tree / "tests" / "integration"
    names = [each.relative_to(tree) for pattern in NO_DATABASE for each in tests.rglob(f"test_{pattern}.py")]
    rows = [f"tests/integration/{name}" for name in ("models", "fields", "views", "commands")]
    every = ("tests/unit", *rows, *map(str, sorted(names)), *TWO)
    most = pytest_part("Python 3.13 on SQLite, full depth", python, "sqlite", *every, must_run=r"interleavings")
    most.environment = {**most.environment, "THANKSIO_TEST_FULL_DEPTH": "1"}
    yield most


def speed() -> Part:
    """Alone, when both lanes are done: the ratios of what waits for a database mean nothing beside other work."""
    python = NEWEST / "bin" / "python"
    return Part("speed: PostgreSQL", [python, "-m", "benchmarks", "speed", "--check"], tree=SCRATCH / "tree")


def copy_of_the_tree(folder: Path) -> Path:
    """A tree of the second lane's own: both install the package in place, build and write caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)
    return folder


def taken(rest: deque[Part]) -> Iterable[Part]:
    """What the other lane has not taken yet."""
    with contextlib.suppress(IndexError):
        while True:
            yield rest.popleft()


def run_lane(
    parts: Iterable[Part], rest: deque[Part], tree: Path, environment: dict[str, str], results: list[Result]
) -> None:
    try:
        for part in chain(parts, taken(rest)):
            results.append(part.run(tree, environment))
    except Exception:  # noqa: BLE001 - the other lane goes on, and the sum is printed
        traceback.print_exc()
        results.append(Result("the gate itself", 0, 1))
    finally:
        README_IS_DONE.set()


def main() -> int:
    started = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, kill_all)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    # The README's python3 is the oldest one.
    environment["PATH"] = os.pathsep.join([str(find_python("3.11").parent), environment["PATH"]])
    handed_on = SCRATCH / "services.env"
    handed_on.touch()
    system = Part("system: packages and services", ["bash", CI / "system.sh", handed_on])
    results: list[Result] = [system.run(REPOSITORY, environment)]
    environment |= dict(line.split("=", 1) for line in handed_on.read_text().splitlines())
    trees = [(oldest, REPOSITORY), (newest, copy_of_the_tree(SCRATCH / "tree"))]
    rest = deque(either(REPOSITORY))
    lanes = [
        threading.Thread(target=run_lane, args=(parts(tree), rest, tree, environment, results)) for parts, tree in trees
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    results.append(speed().run(REPOSITORY, environment))
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    print(f"{time.monotonic() - started:.0f} s on {os.cpu_count()} cores")
    for result in results:
        if result.failed:
            print(f"FAIL  {result.name}")
    if not failed:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        status = main()
    except Exception:  # noqa: BLE001 - the last line is a sum, whatever happened
        traceback.print_exc()
        print("0 passed, 1 failed")
        status = 1
    sys.exit(status)
