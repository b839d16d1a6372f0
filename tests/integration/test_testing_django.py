"""The fake inside Django tests: settings, connected users, the pytest fixture, the public names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from django.utils import timezone

import thanksio_connect.testing
from thanksio_connect.conf import app_settings
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO
from thanksio_connect.testing.pytest import fake_thanksio  # noqa: F401 - a fixture


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user("ann")


def test_public_names():
    assert set(thanksio_connect.testing.__all__) == {
        "FakeThanksIO",
        "Fault",
        "Grant",
        "GrantEvent",
        "Pair",
        "RequestRecord",
        "ThanksIOServer",
        "Token",
    }
    for name in thanksio_connect.testing.__all__:
        assert getattr(thanksio_connect.testing, name).__doc__


def test_the_settings_point_the_app_at_the_fake(fake_thanksio):  # noqa: F811
    assert app_settings.token_url == fake_thanksio.token_url
    assert app_settings.api_url == fake_thanksio.api_url
    assert app_settings.authorize_url == fake_thanksio.authorize_url
    assert app_settings.client_id == fake_thanksio.oauth.client_id
    assert app_settings.client_secret.reveal() == fake_thanksio.oauth.client_secret


def test_the_projects_encryption_key_is_kept_and_a_missing_one_is_made():
    key = settings.FIELD_ENCRYPTION_KEY
    with FakeThanksIO() as thanksio:
        with thanksio.override_settings(THANKSIO_PKCE=False):
            assert key == settings.FIELD_ENCRYPTION_KEY
            assert app_settings.pkce is False
        with override_settings(FIELD_ENCRYPTION_KEY=None), thanksio.override_settings():
            Fernet(settings.FIELD_ENCRYPTION_KEY)
    assert key == settings.FIELD_ENCRYPTION_KEY


def test_connect_makes_a_live_connection(user, fake_thanksio):  # noqa: F811
    connection = fake_thanksio.connect(user)
    assert isinstance(connection, ThanksIOConnection)
    assert ThanksIOConnection.objects.get().pk == connection.pk
    assert connection.thanksio_user_id == fake_thanksio.grant_of(connection).user_id == str(user.pk)
    assert fake_thanksio.is_live(connection.tokens.refresh_token)
    assert connection.get_access_token() == fake_thanksio.live_pair(connection).access_token
    assert fake_thanksio.requests == []


def test_connect_with_an_expired_token(user, fake_thanksio):  # noqa: F811
    connection = fake_thanksio.connect(user, expires_in=-1, user_id=7)
    assert connection.expires_at < timezone.now()
    connection.get_access_token()
    [request] = fake_thanksio.token_requests()
    assert (request.grant_type, request.user_id, request.outcome) == ("refresh_token", "7", "ok")


def test_connect_with_an_unknown_expiry_or_no_refresh_token(user, fake_thanksio):  # noqa: F811
    assert fake_thanksio.connect(user, expiry_known=False).expires_at is None
    connection = fake_thanksio.connect(user, with_refresh_token=False, expires_in=60)
    assert connection.tokens.refresh_token == ""
    assert connection.expires_at - timezone.now() < timedelta(seconds=61)


def test_the_servers_view_of_a_renewed_connection(user, fake_thanksio):  # noqa: F811
    connection = fake_thanksio.connect(user)
    spent = connection.tokens.refresh_token
    connection.refresh()
    assert fake_thanksio.cause_of_death(spent) == "rotated"
    assert fake_thanksio.live_pair(connection).refresh_token == connection.tokens.refresh_token.reveal()


class UnittestStyle(TestCase):
    def setUp(self):
        self.thanksio = self.enterContext(FakeThanksIO())
        self.enterContext(self.thanksio.override_settings())

    def test_it_works_without_pytest(self):
        connection = self.thanksio.connect(get_user_model().objects.create_user("ann"))
        assert connection.api.get("/ping") == {"message": "pong"}
        assert len(self.thanksio.api_requests("/ping")) == 1
