"""The commands of a shell block, and whether each could run: known program, arguments that parse, files that exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

from django.core.management import CommandError, get_commands, load_command_class

from benchmarks.__main__ import _parser as benchmarks_parser
from tests.docs_blocks import REPOSITORY
from thanksio_connect.testing.__main__ import _parser as standin_parser

_SEPARATORS = {"&&", "||", ";", "|", "&", "\n"}
# Programs of the shell and of others, whose arguments are not ours to judge.
_OTHERS = {"echo", "set", ".", "mv", "ruff", "mypy", "lint-imports", "django-admin", "tox", "systemctl"}
_OTHER_MODULES = {"venv", "django"}
# Their settings are none of the tests'.
_OTHER_COMMANDS = {"demo": "example_project"}


class CannotRun(AssertionError):
    """The command would fail, and why."""


def commands_of(text: str) -> list[list[str]]:
    """The block's simple commands as words; redirections and comments are left out."""
    text = text.replace("\\\n", " ")
    text = re.sub(r"(&&|\|)[ ]*\n", r"\1 ", text)
    return [words for line in text.splitlines() for words in _split(line) if words]


def _split(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in _SEPARATORS:
            commands.append([])
        elif word in (">", ">>", "<"):
            next(words)
        else:
            commands[-1].append(word)
    return commands


def check(words: list[str]) -> None:
    """Raise :class:`CannotRun` if the command can't be run as it stands."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program = Path(words[0]).name or words[0]
    if program in _PROGRAMS:
        _PROGRAMS[program](words[1:])
    elif program not in _OTHERS:
        raise CannotRun(f"no test knows the program {program}")


def _python(words: list[str]) -> None:
    if words[0] == "-m":
        module, rest = words[1], words[2:]
        if module in _MODULES:
            _MODULES[module](rest)
        elif module not in _OTHER_MODULES:
            raise CannotRun(f"no test knows the module {module}")
    elif words[0] == "-c":
        exec(compile(words[1], "-c", "exec"), {})
    elif Path(words[0]).name == "manage.py":
        _manage(words[1:])
    else:
        raise CannotRun(f"no test knows what python is to do with {words}")


def _manage(words: list[str]) -> None:
    name, rest = words[0], words[1:]
    application = (get_commands() | _OTHER_COMMANDS).get(name)
    if application is None:
        raise CannotRun(f"there is no command {name}")
    command = load_command_class(application, name) if isinstance(application, str) else application
    try:
        command.create_parser("manage.py", name).parse_args(rest)
    except (CommandError, SystemExit) as error:
        raise CannotRun(f"manage.py {name} {rest}: {error}") from None


def _parsed_by(parser: Callable[[], argparse.ArgumentParser]) -> Callable[[list[str]], None]:
    def parse(words: list[str]) -> None:
        try:
            parser().parse_args(words)
        except SystemExit:
            raise CannotRun(f"{parser().prog} {words}") from None

    return parse


def _pip(words: list[str]) -> None:
    metadata = ConfigParser()
    metadata.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    extras = {extra for word in words for found in re.findall(r"\[([\w,]+)\]", word) for extra in found.split(",")}
    if words[0] != "install" or (unknown := extras - set(metadata["options.extras_require"])):
        raise CannotRun(f"pip {words}: no extra is called {unknown}")


def _files(words: list[str]) -> None:
    """Each word that looks like a path of the repository is one; what is made by the command is not looked for."""
    for word in words:
        if "/" in word and not word.startswith(("-", "/", "docs/_build")) and not (REPOSITORY / word).exists():
            raise CannotRun(f"{word} does not exist")


_MODULES: dict[str, Callable[[list[str]], None]] = {
    "thanksio_connect.testing": _parsed_by(standin_parser),
    "benchmarks": _parsed_by(benchmarks_parser),
    "pip": _pip,
    "pytest": _files,
}
_PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "pytest": _files,
    "bash": _files,
    "npm": _files,
    "sphinx-build": _files,
}
