"""A plain table of a project's own, read by its columns' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.translation import gettext as _

from .candidate import Candidate, SourceUnusable

PAGE_SIZE = 500
FIELDS = ("user", "access_token", "refresh_token", "expires_at", "scope", "account")


@dataclass(frozen=True)
class TableSource:
    """``columns`` maps :data:`FIELDS` to names of columns; a field without a name is not read."""

    table: str
    columns: Mapping[str, str]
    user_field: str = "pk"
    using: str | None = None

    def candidates(self) -> Iterator[Candidate]:
        """One for each row, named by its primary key if it has one; ordered by user, then the longest-lived first."""
        fields = [field for field in FIELDS if self.columns.get(field)]
        self._refuse_unknown_names([self.columns[field] for field in fields])
        key = self._primary_key()
        number = 0
        while page := self._page(fields, number, key):
            for row in page:
                number += 1
                values = dict(zip(fields, row, strict=False))
                name = _("row %(number)s of %(table)s") % {"number": row[-1] if key else number, "table": self.table}
                yield Candidate(name=name, **{"user": None, "access_token": None, **values})

    def _connection(self) -> Any:
        return connections[self.using or DEFAULT_DB_ALIAS]

    def _refuse_unknown_names(self, names: list[str]) -> None:
        connection = self._connection()
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor, include_views=True)
            if self.table not in tables:
                raise SourceUnusable(_("There is no table %(table)s.") % {"table": self.table})
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(self.table)} WHERE 1 = 0")  # noqa: S608 - one there is
            found = {each[0] for each in cursor.description}
        missing = [name for name in names if name not in found]
        if missing:
            text = _("The table %(table)s has no column %(missing)s. It has: %(found)s.")
            values = {"table": self.table, "missing": ", ".join(missing), "found": ", ".join(sorted(found))}
            raise SourceUnusable(text % values)

    def _primary_key(self) -> str | None:
        """None for a view, and for a key of several columns."""
        connection = self._connection()
        with connection.cursor() as cursor:
            columns: list[str] = list(connection.introspection.get_primary_key_columns(cursor, self.table) or ())
        return columns[0] if len(columns) == 1 else None

    def _page(self, fields: list[str], offset: int, key: str | None) -> list[tuple[Any, ...]]:
        """Read whole, so that nothing stays open while the caller writes."""
        connection = self._connection()
        quoted = [connection.ops.quote_name(self.columns[field]) for field in fields]
        order = [connection.ops.quote_name(self.columns["user"])] if self.columns.get("user") else []
        if self.columns.get("expires_at"):
            order.append(f"{connection.ops.quote_name(self.columns['expires_at'])} DESC")
        order += [each for each in quoted if each not in order]
        quoted += [connection.ops.quote_name(key)] if key else []
        sql = (
            f"SELECT {', '.join(quoted)} FROM {connection.ops.quote_name(self.table)} "  # noqa: S608 - names of columns
            f"ORDER BY {', '.join(order)} LIMIT {PAGE_SIZE} OFFSET {offset}"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())
