"""What the documentation tells a project to write; every line passes mypy --strict and pyright."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from thanksio_connect import signals
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.exceptions import NotConnected, OutcomeUnknown, ReconnectRequired, ThanksIOError
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO, Fault, ThanksIOServer
from thanksio_connect.webhooks import OrderItemEvent, OrderStatusUpdate, WebhookEvent


@login_required
def send(request: HttpRequest) -> HttpResponse:
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        order = connection.api.send.postcard(
            message="Thank you!", recipients=[{"name": "Ann"}], front_image_url="https://shop.example/front.png"
        )
    except (NotConnected, ReconnectRequired):
        return redirect("thanksio_connect:connection")
    except OutcomeUnknown as error:
        return HttpResponse(error.code, status=502)
    except ThanksIOError as error:
        return HttpResponse(str(error.retryable), status=502)
    return HttpResponse(str(order))


def facts(user: User) -> dict[str, object]:
    connection = ThanksIOConnection.objects.for_user(user)
    whose: User = connection.user
    since: datetime = connection.connected_at
    account: str = connection.thanksio_user_id
    until: datetime | None = connection.expires_at
    token: str = connection.get_access_token()
    client: ThanksIOClient = connection.api
    status: str = connection.status
    connected: bool = connection.is_connected and not connection.needs_reconnect
    connection.refresh(force=True)
    number: int = connection.send_once("invoice-17").postcard(message="Thank you!")["id"]
    found = connection.find_order("invoice-17")
    number += found["id"] if found is not None else 0
    connection.disconnect()
    return {"values": (whose, since, account, until, token, client, status, connected, number)}


async def asynchronously(user: User) -> str:
    connection = await ThanksIOConnection.objects.aget(user=user)
    return await connection.aget_access_token()


def tokens_of(connection: ThanksIOConnection) -> tuple[str, datetime | None, int]:
    tokens: ConnectionTokens = connection.tokens
    return tokens.access_token.reveal(), tokens.expires_at, tokens.version


def lists() -> list[ThanksIOConnection]:
    due = ThanksIOConnection.objects.due()
    stranded = ThanksIOConnection.objects.needing_reconnect().filter(user__is_active=True)
    working = ThanksIOConnection.objects.connected().order_by("connected_at").first()
    return [*due, *stranded, *([working] if working else [])]


def imported(user: User) -> ThanksIOConnection:
    given = TokenSet(access_token="a", refresh_token="r", expires_in=3600)
    ThanksIOConnection.objects.connect(user, {"access_token": "a", "token_type": "Bearer"})
    return ThanksIOConnection.objects.connect(user, given, thanksio_user_id="7")


@receiver(signals.reconnect_required)
def tell_the_owner(sender: type[ThanksIOConnection], connection: ThanksIOConnection, **kwargs: Any) -> None:
    connection.user.email_user("Reconnect", "thanks.io needs you.")


@receiver(signals.webhook_received)
def move_the_timeline(
    sender: type[ThanksIOConnection], connection: ThanksIOConnection, event: WebhookEvent, **kwargs: Any
) -> None:
    if isinstance(event, OrderStatusUpdate):
        stats: int = event.fetch()["stats"]["delivered"]
        assert stats >= 0
    elif isinstance(event, OrderItemEvent):
        failure: str | None = event.fetch()["failure"]
        assert failure != event.recipient.get("name")


def listen(connection: ThanksIOConnection) -> None:
    connection.receive_webhooks(["order.status_update", "order_item.delivered"])


def a_test(user: User) -> None:
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        connection = thanksio.connect(user)
        fault: Fault = thanksio.next_token(lose_reply="after")
        count: int = thanksio.count("refresh_token")
        statuses: list[int] = thanksio.send_webhook("order_item.delivered", {"order.id": 17})
        assert statuses == []
        server: ThanksIOServer = thanksio
        assert count == 0
        assert server.live_pair(connection.tokens.access_token.reveal())
        fault.release()
