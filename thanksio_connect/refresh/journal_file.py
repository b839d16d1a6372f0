"""Where the journal stands on SQLite: in a file of its own beside the database, which a transaction has to itself.

It is made when a renewal first needs it, readable for whoever may read the database, and stays behind, empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connections, models

from . import connections as databases

SUFFIX = "-thanksio"


def path_of(using: str) -> str | None:
    """The file's path. None where there is no database file: on another database, or in memory."""
    if connections[using].vendor != "sqlite":
        return None
    with connections[using].cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        path: str = next(path for _number, name, path in cursor.fetchall() if name == "main")
    return path + SUFFIX if path else None


@contextmanager
def opened(using: str, path: str, model: type[models.Model]) -> Iterator[str]:
    """A private connection to the file, with the model's table in it, under the alias that is yielded."""
    with databases.sqlite_file(using, path) as at:
        if model._meta.db_table not in connections[at].introspection.table_names():
            # Not in a transaction: the editor would begin it on the connection of the original alias, the caller's.
            with contextlib.suppress(OperationalError), connections[at].schema_editor(atomic=False) as editor:
                editor.create_model(model)  # fails if another process made it just now
            _share(path, like=path.removesuffix(SUFFIX))
        yield at


def _share(path: str, *, like: str) -> None:
    """Web processes and cron may run as different users; SQLite does the same for its own files beside the database."""
    with contextlib.suppress(OSError):
        shutil.copymode(like, path)
    with contextlib.suppress(OSError, AttributeError):  # not ours to give away, or not on this system
        owner = os.stat(like)
        os.chown(path, owner.st_uid, owner.st_gid)
