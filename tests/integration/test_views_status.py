"""The status page and the page that disconnects, for people and for front ends that fetch."""

import pytest

from tests.integration.browsing import CONNECT, DISCONNECT, STATUS, Browser, connection_of, messages_of
from thanksio_connect.models import ConnectionTokens

pytestmark = pytest.mark.django_db
JSON = {"accept": "application/json"}


def mark_dead(user):
    ConnectionTokens._base_manager.filter(connection__user=user).update(status="reconnect_required")


def test_status_page_tells_each_state_in_words(browser, thanksio, user):
    assert "No thanks.io account is connected" in browser.get(STATUS).content.decode()
    thanksio.connect(user)
    assert "has been connected since" in browser.get(STATUS).content.decode()
    mark_dead(user)
    page = browser.get(STATUS).content.decode()
    assert "Connect again to go on" in page
    assert "Reconnect thanks.io" in page


def test_json_gives_the_state_and_no_token(browser, thanksio, user):
    assert browser.get(STATUS, headers=JSON).json() == {
        "state": "not_connected",
        "needs_reconnect": False,
        "connected_since": None,
        "expires_at": None,
        "connection_url": STATUS,
        "connect_url": CONNECT,
        "disconnect_url": DISCONNECT,
    }
    connection = thanksio.connect(user)
    response = browser.get(STATUS, headers=JSON)
    assert response.json()["state"] == "connected"
    assert response.json()["connected_since"] == connection.connected_at.isoformat()
    assert connection.tokens.access_token.reveal() not in response.content.decode()
    assert "csrftoken" in response.cookies
    mark_dead(user)
    assert browser.get(STATUS, headers=JSON).json()["needs_reconnect"] is True


def test_a_browsers_navigation_gets_html(browser, thanksio):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for header in (accept, "*/*", ""):
        response = browser.get(STATUS, headers={"accept": header})
        assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("key", ["A" * 43 + "=", None, "short"])
def test_no_page_needs_a_key(browser, thanksio, user, settings, key):
    thanksio.connect(user)
    settings.FIELD_ENCRYPTION_KEY = key
    for path in (STATUS, CONNECT, DISCONNECT):
        assert browser.get(path).status_code == 200
    assert browser.get(STATUS, headers=JSON).json()["state"] == "connected"
    assert browser.post(DISCONNECT)["Location"] == STATUS
    assert connection_of(user) is None


def test_pages_tell_what_to_do_about_a_connection_without_tokens(browser, thanksio, user):
    thanksio.connect(user)
    ConnectionTokens.objects.all().delete()
    assert "Reconnect thanks.io" in browser.get(STATUS).content.decode()
    for path in (CONNECT, DISCONNECT):
        assert browser.get(path).status_code == 200
    told = browser.get(STATUS, headers=JSON).json()
    assert (told["state"], told["needs_reconnect"], told["expires_at"]) == ("reconnect_required", True, None)
    browser.get(browser.allow(thanksio))
    assert connection_of(user).is_connected
    ConnectionTokens.objects.all().delete()
    browser.post(DISCONNECT)
    assert connection_of(user) is None


def test_the_status_page_costs_one_query_beside_the_session_and_the_user(
    browser, thanksio, user, django_assert_num_queries
):
    for headers in ({}, JSON):
        with django_assert_num_queries(3):
            browser.get(STATUS, headers=headers)
    thanksio.connect(user)
    for headers in ({}, JSON):
        with django_assert_num_queries(3):
            browser.get(STATUS, headers=headers)


def test_disconnect_asks_then_removes(browser, thanksio, user):
    thanksio.connect(user)
    assert browser.get(DISCONNECT).status_code == 200
    assert connection_of(user)
    response = browser.post(DISCONNECT)
    assert response["Location"] == STATUS
    assert messages_of(response) == []  # the status page says it
    assert connection_of(user) is None


def test_disconnect_twice_is_no_error(browser, thanksio, user):
    assert browser.get(DISCONNECT)["Location"] == STATUS
    assert messages_of(browser.post(DISCONNECT)) == []
    response = browser.post(DISCONNECT, {"next": "/letters/"})
    assert messages_of(response) == ["No thanks.io account was connected."]


@pytest.mark.compliance("RFC 6749", "10.12")
def test_disconnect_without_csrf_token_is_refused(thanksio, user):
    thanksio.connect(user)
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.post(DISCONNECT).status_code == 403
    assert connection_of(user)


def test_disconnect_by_fetch(browser, thanksio, user):
    thanksio.connect(user)
    assert browser.post(DISCONNECT, headers=JSON).json()["state"] == "not_connected"
    assert Browser().post(DISCONNECT, headers=JSON).status_code == 401


def test_disconnected_url_is_used_and_next_wins(browser, thanksio, settings):
    settings.THANKSIO_DISCONNECTED_URL = "/bye/"
    assert browser.post(DISCONNECT)["Location"] == "/bye/"
    assert browser.post(DISCONNECT, {"next": "/letters/"})["Location"] == "/letters/"


def test_one_user_never_sees_or_removes_anothers(browser, thanksio, user, django_user_model):
    other = django_user_model.objects.create_user(username="bob")
    thanksio.connect(other)
    assert browser.get(STATUS, headers=JSON).json()["state"] == "not_connected"
    browser.post(DISCONNECT)
    assert connection_of(other)
