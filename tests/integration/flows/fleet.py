"""A fleet of connections that are due. Some can't be renewed: one function for each kind of poison."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test.utils import override_settings

from thanksio_connect.models import ConnectionTokens
from thanksio_connect.testing import FakeThanksIO, Fault
from thanksio_connect.testing.records import RequestRecord

# How many rows there are where size matters.
SIZE = int(os.environ.get("THANKSIO_TEST_FLEET", "100"))
KINDS = (
    "other_client",
    "lost_key",
    "no_refresh_token",
    "revoked",
    "locked",
    "throttled",
    "slow",
    "unreadable",
    "scope",
)
SLOW_SECONDS = 2.5
LOCKER = "fleet_locker"


def due_since(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


class Fleet:
    """``poison``: how many of which kind. They have been due for longer than the healthy ones: they come first."""

    def __init__(
        self, thanksio: FakeThanksIO, database: Mapping[str, Any], healthy: int, poison: Mapping[str, int]
    ) -> None:
        self.thanksio = thanksio
        self.database = database
        self._stack = ExitStack()
        self._faults: dict[str, Fault] = {}
        thanksio.on_token(lambda record: self._fault(record))
        self.poison = {kind: [self._poisoned(kind, number) for number in range(n)] for kind, n in poison.items()}
        self.healthy = [self._connect(f"healthy-{number}", expires_in=3600) for number in range(healthy)]
        self.make_due()
        self._lock(self.poison.get("locked", []))

    def _connect(self, name: str, **options: Any) -> str:
        return str(self.thanksio.connect(User.objects.create(username=name), **options).tokens.pk)

    def _poisoned(self, kind: str, number: int) -> str:
        with ExitStack() as stack:
            if kind == "lost_key":
                stack.enter_context(override_settings(FIELD_ENCRYPTION_KEY=Fernet.generate_key().decode()))
            key = self._connect(f"{kind}-{number}", expires_in=3600)
            tokens = ConnectionTokens.objects.get(pk=key)
            grant = None if kind == "lost_key" else self.thanksio.grant_of(tokens.access_token.reveal())
        if kind == "no_refresh_token":
            ConnectionTokens.objects.filter(pk=key).update(refresh_token="")
        if grant is None:
            return key
        if kind == "revoked":
            self.thanksio.revoke(grant)
        faults: dict[str, dict[str, Any]] = {
            "other_client": {"refuse": "client_mismatch"},
            "unreadable": {"refuse": "undecryptable"},
            "throttled": {"status": 429},
            "slow": {"delay": SLOW_SECONDS},
            "scope": {"status": 400, "body": {"error": "invalid_scope"}},  # thanks.io gave up one that the grant has
        }
        if kind in faults:
            self._faults[grant.id] = Fault(times=None, **faults[kind])
        return key

    def _fault(self, record: RequestRecord) -> Fault | None:
        return self._faults.get(record.grant_id or "")

    def _lock(self, keys: list[str]) -> None:
        """Somebody else has these rows: locked, or, on SQLite, where no row is, leased."""
        if not keys:
            return
        if connection.vendor == "sqlite":
            ends = datetime.now(UTC) + timedelta(hours=1)
            ConnectionTokens.objects.filter(pk__in=keys).update(lease_id="0" * 32, lease_expires_at=ends)
            return
        connections.settings[LOCKER] = connections.configure_settings({"default": dict(self.database)})["default"]
        self._stack.callback(lambda: connections.settings.pop(LOCKER))
        self._stack.callback(lambda: connections[LOCKER].close())
        self._stack.enter_context(transaction.atomic(using=LOCKER))
        list(ConnectionTokens.objects.using(LOCKER).filter(pk__in=keys).select_for_update())

    def make_due(self) -> None:
        """All of them, the poisoned ones for longer."""
        rows = ConnectionTokens.objects.all()
        rows.update(next_refresh_at=due_since(1))
        rows.exclude(pk__in=self.healthy).update(next_refresh_at=due_since(2))

    def let_wait_for(self, *, seconds: int) -> None:
        """Where thanks.io throttles, it asks to wait for so long."""
        wait = Fault(times=None, status=429, headers={"Retry-After": str(seconds)})
        self._faults = {grant: wait if fault.status == 429 else fault for grant, fault in self._faults.items()}

    def renewed(self) -> int:
        """How many healthy ones were renewed."""
        versions = dict(ConnectionTokens.objects.values_list("pk", "version"))
        return sum(versions[key] > 1 for key in self.healthy)

    def posts(self) -> int:
        return self.thanksio.count("refresh_token")

    def close(self) -> None:
        self._stack.close()


def run(*arguments: str) -> tuple[dict[str, Any], int]:
    """The command's summary and exit status."""
    out, status = io.StringIO(), 0
    try:
        call_command("refresh_thanksio_tokens", "--json", *arguments, stdout=out)
    except CommandError as error:
        status = error.returncode
    return json.loads(out.getvalue()), status


def counts(summary: Mapping[str, Any]) -> dict[str, int]:
    """What is not zero."""
    return {name: value for name, value in summary.items() if value and type(value) is int}
