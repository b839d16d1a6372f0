"""Somebody who works in the admin, and a table of connections in every state to work with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from tests.integration.browsing import make_user
from thanksio_connect.fields import sealed, utc_now
from thanksio_connect.models import ConnectionEvent, ConnectionTokens, ThanksIOConnection

LIST = "/admin/thanksio_connect/thanksioconnection/"
NEED_THEIR_OWNER = {"invalid_grant", "lost_reply"}


def page_of(connection: ThanksIOConnection, page: str = "change") -> str:
    return f"{LIST}{connection.pk}/{page}/"


def act(client: Client, action: str, connections: Sequence[ThanksIOConnection], query: str = "", **more: object):
    """Run an action of the list, as its form does."""
    chosen = [row.pk for row in connections]
    return client.post(LIST + query, {"action": action, "_selected_action": chosen, "index": 0, **more})


def seed(count: int, failures: Sequence[str] = (), *, first: int = 0) -> list[ThanksIOConnection]:
    """Insert that many connected users, without thanks.io. The first ones have failed with these codes."""
    now = utc_now()
    model = get_user_model()
    numbers = range(first, first + count)
    users = model.objects.bulk_create(
        model(username=f"user-{number}", email=f"user-{number}@example.com", password="!") for number in numbers
    )
    connections = ThanksIOConnection.objects.bulk_create(
        ThanksIOConnection(user=user, thanksio_user_id=f"tio-{user.username}", connected_at=now - timedelta(days=40))
        for user in users
    )
    codes = [*failures, *([""] * (count - len(failures)))]
    pair = {"access_token": sealed("access"), "refresh_token": sealed("refresh")}
    obtained_at = now - timedelta(hours=10)
    ConnectionTokens._base_manager.bulk_create(
        ConnectionTokens(
            connection=connection,
            **pair,
            obtained_at=obtained_at,
            expires_at=obtained_at + timedelta(hours=24),
            next_refresh_at=now + timedelta(hours=6),
            last_error_code=code,
            last_failed_at=now - timedelta(minutes=5) if code else None,
            failure_count=3 if code else 0,
            status="reconnect_required" if code in NEED_THEIR_OWNER else "connected",
        )
        for connection, code in zip(connections, codes, strict=True)
    )
    ConnectionEvent._base_manager.bulk_create(
        ConnectionEvent(
            user=connection.user,
            kind="reconnect_required" if code in NEED_THEIR_OWNER else "failing",
            code=code,
            at=now - timedelta(hours=2),
        )
        for connection, code in zip(connections, codes, strict=True)
        if code
    )
    return connections


@pytest.fixture
def staff(db):
    person = make_user("staff")
    person.is_staff = True
    person.save()
    return person


@pytest.fixture
def client_of(staff):
    """A client that is signed in and may do what is named, and no more."""

    def log_in(*permissions: str) -> Client:
        staff.user_permissions.set(
            Permission.objects.filter(codename__in=[f"{name}_thanksioconnection" for name in permissions])
        )
        client = Client()
        client.force_login(staff)
        return client

    return log_in
