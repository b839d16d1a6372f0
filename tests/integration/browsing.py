"""A user's browser on the product, and the fake thanks.io on its own port."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

CONNECT, CALLBACK, STATUS, DISCONNECT = (
    "/thanksio/connect/",
    "/thanksio/callback/",
    "/thanksio/",
    "/thanksio/disconnect/",
)


class Browser(Client):
    """Django's test client, on https unless told otherwise."""

    def __init__(self, *args, **kwargs):
        self.is_secure = kwargs.pop("is_secure", True)
        super().__init__(*args, **kwargs)

    def generic(self, *args, secure=False, **kwargs):
        return super().generic(*args, secure=secure or self.is_secure, **kwargs)

    def start(self, **data) -> str:
        """Press Connect; the address at thanks.io."""
        response = self.post(CONNECT, data)
        assert response.status_code == 302, response.content
        return response["Location"]

    def allow(self, thanksio: FakeThanksIO, **data) -> str:
        """Press Connect and allow at thanks.io; the callback's path and query."""
        return path_of(thanksio.visit(self.start(**data)))

    def arrive(self, callback: str, *, pause_seconds: float = 0.0):
        """Open the callback, and again for as long as the page comes again by itself; the last answer."""
        response = self.get(callback)
        while again := re.search(r'http-equiv="refresh" content="\d+; url=([^"]+)"', response.text):
            time.sleep(pause_seconds)
            response = self.get(html.unescape(again[1]))
        return response

    def forget_session(self) -> None:
        """What ``SESSION_COOKIE_SAMESITE="Strict"`` does to a cross-site navigation: the cookie stays at home."""
        self.kept = self.cookies.pop("sessionid")

    def bring_session(self) -> None:
        self.cookies["sessionid"] = self.kept.value


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def messages_of(response) -> list[str]:
    """The messages on the page that the response leads to."""
    from django.contrib.messages import get_messages

    return [str(message) for message in get_messages(response.wsgi_request)]


def make_user(name: str = "alice"):
    return get_user_model().objects.create_user(username=name, password="pw")


def connection_of(user) -> ThanksIOConnection | None:
    return ThanksIOConnection.objects.filter(user=user).first()


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def user(db):
    return make_user()


@pytest.fixture
def browser(user) -> Browser:
    """Alice's, signed in."""
    client = Browser()
    client.force_login(user)
    return client
