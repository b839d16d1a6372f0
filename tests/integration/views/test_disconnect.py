"""Disconnecting: the row goes, the page is honest, and a revocation endpoint is asked where there is one."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
import requests
import requests_mock as mocks
from django.contrib.auth import get_user_model
from django.db import transaction

from tests.integration.browsing import DISCONNECT, Browser, connection_of
from thanksio_connect.flows.disconnect import disconnect
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db(transaction=True)
REVOKE = "https://thanks.example/oauth/revoke"


@pytest.fixture
def endpoint(settings, requests_mock: mocks.Mocker) -> mocks.Mocker:
    settings.THANKSIO_REVOKE_URL = REVOKE
    requests_mock.post(REVOKE, status_code=200)
    return requests_mock


def sent(endpoint: mocks.Mocker) -> list[dict[str, str]]:
    return [{name: value[0] for name, value in parse_qs(each.text).items()} for each in endpoint.request_history]


def pair(user) -> tuple[str, str]:
    tokens = ConnectionTokens.objects.get(connection__user=user)
    return tokens.refresh_token.reveal(), tokens.access_token.reveal()


@pytest.mark.compliance("RFC 7009", "2.1")
def test_the_refresh_token_first_then_the_access_token(browser, user, thanksio, endpoint):
    thanksio.connect(user)
    refresh_token, access_token = pair(user)
    browser.post(DISCONNECT)
    credentials = {"client_id": "test-client", "client_secret": "test-secret"}
    assert sent(endpoint) == [
        {"token": refresh_token, "token_type_hint": "refresh_token"} | credentials,
        {"token": access_token, "token_type_hint": "access_token"} | credentials,
    ]
    assert all(each.url == REVOKE for each in endpoint.request_history)  # no token in an address


def test_it_is_asked_once_the_row_is_gone(browser, user, thanksio, endpoint):
    thanksio.connect(user)
    seen = []

    def look(request, context):
        seen.append(connection_of(user))
        return ""

    endpoint.post(REVOKE, text=look)
    browser.post(DISCONNECT)
    assert seen == [None, None]


def test_never_inside_a_transaction(user, thanksio, endpoint):
    connection = thanksio.connect(user)
    with transaction.atomic():
        disconnect(connection)
        assert endpoint.request_history == []
    assert len(endpoint.request_history) == 2


def test_a_rollback_revokes_nothing(user, thanksio, endpoint):
    connection = thanksio.connect(user)
    with transaction.atomic():
        disconnect(connection)
        transaction.set_rollback(True)
    assert endpoint.request_history == []
    assert connection_of(user)


def test_the_newest_pair_is_revoked_whatever_was_loaded(user, thanksio, endpoint):
    connection = thanksio.connect(user)
    assert connection.tokens
    ConnectionTokens._base_manager.update(refresh_token="newer-refresh", access_token="newer-access")
    disconnect(connection)
    assert [form["token"] for form in sent(endpoint)] == ["newer-refresh", "newer-access"]


@pytest.mark.parametrize(
    "answer",
    [{"status_code": 503}, {"status_code": 302}, {"exc": requests.ConnectTimeout}, {"exc": requests.ReadTimeout}],
    ids=str,
)
def test_a_failure_is_logged_and_harms_nothing(browser, user, thanksio, endpoint, caplog, answer):
    thanksio.connect(user)
    secrets = pair(user)
    endpoint.post(REVOKE, **answer)
    assert browser.post(DISCONNECT).status_code == 302
    assert connection_of(user) is None
    assert "was not told of the disconnect" in caplog.text
    assert not any(secret in caplog.text for secret in secrets)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("THANKSIO_CLIENT_SECRET", ""), ("FIELD_ENCRYPTION_KEY", "A" * 43 + "="), ("THANKSIO_REVOKE_URL", "nonsense")],
)
def test_nor_do_settings_that_are_not_right(browser, user, thanksio, endpoint, settings, caplog, setting, value):
    thanksio.connect(user)
    setattr(settings, setting, value)
    assert browser.get(DISCONNECT).status_code == 200
    assert browser.post(DISCONNECT).status_code == 302
    assert connection_of(user) is None
    assert "not told" in caplog.text


def test_without_the_setting_nobody_is_asked(browser, user, thanksio, requests_mock):
    thanksio.connect(user)
    browser.post(DISCONNECT)
    assert requests_mock.request_history == []


def test_the_admin_goes_the_same_way(thanksio, user, endpoint):
    connection = thanksio.connect(user)
    browser = Browser()
    browser.force_login(get_user_model().objects.create_superuser("root"))
    form = {"action": "disconnect_selected", "_selected_action": connection.pk}
    address = "/admin/thanksio_connect/thanksioconnection/"
    assert "stays on the list" not in browser.post(address, form).content.decode()
    browser.post(address, form | {"confirmed": "1"})
    assert connection_of(user) is None
    assert [form["token_type_hint"] for form in sent(endpoint)] == ["refresh_token", "access_token"]


def test_numbers_that_are_data_stay_as_they_are(user, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    ThanksIOConnection.objects.create(pk=1234567, user=user)
    browser = Browser()
    browser.force_login(get_user_model().objects.create_superuser("root"))
    asked = browser.post(
        "/admin/thanksio_connect/thanksioconnection/", {"action": "disconnect_selected", "_selected_action": 1234567}
    )
    assert 'value="1234567"' in asked.content.decode()


def test_the_page_says_what_stays_and_where_to_remove_it(browser, user, thanksio, settings):
    thanksio.connect(user)
    page = browser.get(DISCONNECT).content.decode()
    assert "stays on the list of those that may use your account" in page
    assert f'href="{thanksio.url}/profile/api"' in page
    settings.THANKSIO_AUTHORIZE_URL = "https://dashboard.thanks.io/oauth/authorize?x=y"
    assert 'href="https://dashboard.thanks.io/profile/api"' in browser.get(DISCONNECT).content.decode()
    settings.THANKSIO_AUTHORIZE_URL = "nonsense"
    assert "profile/api" not in browser.get(DISCONNECT).content.decode()
    settings.THANKSIO_REVOKE_URL = REVOKE
    assert "thanks.io is told that this access ends" in browser.get(DISCONNECT).content.decode()
