"""Reading catalogues and sources without GNU gettext: what is translated, and what should be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from gettext import GNUTranslations
from pathlib import Path

from django.utils.translation import template

# msgctxt ("" for none), msgid, msgid_plural ("" for none)
Key = tuple[str, str, str]
_ARGUMENTS = {"gettext": ["msgid"], "ngettext": ["msgid", "plural"], "pgettext": ["context", "msgid"]}
_ARGUMENTS["npgettext"] = ["context", "msgid", "plural"]
_LITERAL = r"""(?:u?"(?:[^"\\]|\\.)*"|u?'(?:[^'\\]|\\.)*')"""
_IN_TEMPLATE = re.compile(
    rf"\b(gettext|ngettext|pgettext|npgettext|_)\(\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*)", re.DOTALL
)
_PO_LINE = re.compile(r'^(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?) )?("(?:[^"\\]|\\.)*")$')


@dataclass
class Entry:
    """One message of a catalogue; ``forms`` has one item, or one a plural form."""

    key: Key
    forms: list[str]
    flags: set[str] = field(default_factory=set)


def read_po(text: str) -> Iterator[Entry]:
    """The messages of a .po file, the header (an empty msgid) among them. Raises ValueError for a broken line."""
    for block in re.split(r"\n\s*\n", text.strip()):
        fields: dict[str, str] = {}
        flags: set[str] = set()
        current = ""
        for line in block.splitlines():
            if line.startswith("#,"):
                flags |= {flag.strip() for flag in line[2:].split(",")}
            if line.startswith("#~"):
                flags.add("obsolete")
            if line.startswith("#"):
                continue
            if (match := _PO_LINE.match(line)) is None:
                raise ValueError(f"not a line of a catalogue: {line}")
            current = match[1] or current
            fields[current] = fields.get(current, "") + ast.literal_eval(match[2])
        if fields:
            key = (fields.pop("msgctxt", ""), fields.pop("msgid"), fields.pop("msgid_plural", ""))
            yield Entry(key, [fields[name] for name in sorted(fields)], flags)
        elif "obsolete" in flags:
            yield Entry(("", block, ""), [], flags)


def _key(name: str, literals: list[str]) -> Key:
    values = dict(zip(_ARGUMENTS[name], literals, strict=False))
    return values.get("context", ""), values["msgid"], values.get("plural", "")


def in_template(source: str) -> set[Key]:
    """The messages of a template, as ``makemessages`` sees them."""
    found = set()
    for match in _IN_TEMPLATE.finditer(template.templatize(source)):
        name = "gettext" if match[1] == "_" else match[1]
        found.add(_key(name, [ast.literal_eval(literal) for literal in re.findall(_LITERAL, match[2])]))
    return found


@dataclass(frozen=True)
class Call:
    """A call of gettext in Python. ``at_import``: it runs before anybody's language is known."""

    key: Key
    line: int
    is_lazy: bool
    at_import: bool


def in_python(source: str) -> Iterator[Call]:
    """The calls of gettext in a module, under whatever name it imported them. Raises ValueError without a literal."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    later = {
        id(inner) for node in ast.walk(tree) if isinstance(node, functions) for inner in _body(node)
    }  # a decorator or a default runs at import
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        real = names.get(node.func.id, "")
        plain = real.removesuffix("_lazy")
        if plain not in _ARGUMENTS:
            continue
        needed = node.args[: len(_ARGUMENTS[plain])]
        values = [argument.value for argument in needed if isinstance(argument, ast.Constant)]
        if len(values) != len(_ARGUMENTS[plain]):
            raise ValueError(f"line {node.lineno}: {real} needs literal strings")
        yield Call(_key(plain, [str(value) for value in values]), node.lineno, real != plain, id(node) not in later)


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[ast.AST]:
    for statement in function.body if isinstance(function.body, list) else [function.body]:
        yield from ast.walk(statement)


@dataclass(frozen=True)
class Sources:
    """The modules and templates that a folder's catalogues translate. ``apart``: what in it stays English."""

    folder: Path
    apart: tuple[str, ...] = ()

    def files(self, suffix: str) -> list[Path]:
        found = sorted(self.folder.rglob(f"*{suffix}"))
        return [file for file in found if file.relative_to(self.folder).parts[0] not in self.apart]

    @cached_property
    def messages(self) -> set[Key]:
        in_modules = (call.key for file in self.files(".py") for call in in_python(file.read_text(encoding="utf-8")))
        in_pages = (key for file in self.files(".html") for key in in_template(file.read_text(encoding="utf-8")))
        return {*in_modules, *in_pages}


@dataclass(frozen=True)
class Catalogue:
    """One language of the sources: the .po file and what was compiled from it."""

    sources: Sources
    language: str

    def __str__(self) -> str:
        return f"{self.sources.folder.name}-{self.language}"

    @property
    def _folder(self) -> Path:
        return self.sources.folder / "locale" / self.language / "LC_MESSAGES"

    @cached_property
    def entries(self) -> list[Entry]:
        """The header among them."""
        return list(read_po((self._folder / "django.po").read_text(encoding="utf-8")))

    @property
    def messages(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.key[1]]

    @cached_property
    def compiled(self) -> GNUTranslations:
        with (self._folder / "django.mo").open("rb") as file:
            return GNUTranslations(file)
