"""The admin: state without tokens, and actions that need their permissions."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.integration.browsing import make_user, messages_of
from thanksio_connect import signals
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db
LIST = "/admin/thanksio_connect/thanksioconnection/"


@pytest.fixture
def staff(db):
    person = make_user("staff")
    person.is_staff = True
    person.save()
    return person


@pytest.fixture
def client_of(staff):
    def log_in(*permissions):
        staff.user_permissions.set(
            Permission.objects.filter(codename__in=[f"{name}_thanksioconnection" for name in permissions])
        )
        client = Client()
        client.force_login(staff)
        return client

    return log_in


@pytest.fixture
def connections(thanksio):
    return [thanksio.connect(make_user(name)) for name in ("ann", "ben")]


def act(client, action, connections, **more):
    return client.post(LIST, {"action": action, "_selected_action": [row.pk for row in connections], **more})


def test_no_page_shows_a_token(client_of, connections):
    client = client_of("view", "change", "delete")
    for path in (LIST, f"{LIST}{connections[0].pk}/change/", f"{LIST}{connections[0].pk}/delete/", f"{LIST}?q=ann"):
        response = client.get(path)
        assert response.status_code == 200
        html = response.content.decode()
        assert "access_token" not in html
        assert "gAAAA" not in html  # ciphertext
        for row in connections:
            assert row.tokens.access_token.reveal() not in html
            assert row.tokens.refresh_token.reveal() not in html


@pytest.mark.parametrize("key", ["A" * 43 + "=", None, "short"])
def test_list_and_detail_need_no_key_and_the_same_queries_at_any_number_of_rows(
    client_of, connections, settings, key, django_assert_num_queries, thanksio
):
    client = client_of("view")
    pages = (LIST, f"{LIST}?tokens__status=connected&o=2", f"{LIST}{connections[0].pk}/change/")
    counts = []
    for page in pages:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        counts.append(len(queries))
    for number in range(20):
        thanksio.connect(make_user(f"user-{number}"))
    settings.FIELD_ENCRYPTION_KEY = key
    for page, count in zip(pages, counts, strict=True):
        with django_assert_num_queries(count):
            assert client.get(page).status_code == 200
    assert max(counts) <= 12


def test_a_connection_without_tokens_is_shown_and_disconnected(client_of, connections):
    ConnectionTokens.objects.all().delete()
    client = client_of("view", "change", "delete")
    for order in ("", "?o=1", "?o=2", "?o=3.4.5.6.7", f"?q={connections[0].user}"):
        assert "ann" in client.get(LIST + order).content.decode()
    page = client.get(f"{LIST}{connections[0].pk}/change/").content.decode()
    assert "reconnect required" in page
    assert "no_tokens" in page
    texts = messages_of(act(client, "refresh_now", connections))
    assert any(text.startswith("ann: ") for text in texts)
    act(client, "disconnect", connections, confirmed="yes")
    assert not ThanksIOConnection.objects.exists()


@pytest.mark.parametrize("key", ["A" * 43 + "=", None, "short"])
def test_disconnecting_needs_no_key(client_of, connections, settings, key):
    client = client_of("view", "delete")
    settings.FIELD_ENCRYPTION_KEY = key
    act(client, "disconnect", connections[:1], confirmed="yes")
    client.post(f"{LIST}{connections[1].pk}/delete/", {"post": "yes"})
    assert not ThanksIOConnection.objects.exists()


def test_filters_by_what_the_tokens_row_knows(client_of, connections):
    ConnectionTokens._base_manager.filter(connection=connections[1]).update(
        status="reconnect_required", last_error_code="invalid_grant"
    )
    client = client_of("view")
    for query in ("tokens__status=reconnect_required", "tokens__last_error_code=invalid_grant"):
        html = client.get(f"{LIST}?{query}").content.decode()
        assert f"{connections[1].pk}/change/" in html
        assert f"{connections[0].pk}/change/" not in html


def test_search_by_username(client_of, connections):
    html = client_of("view").get(LIST, {"q": "ben"}).content.decode()
    assert f"{connections[1].pk}/change/" in html
    assert f"{connections[0].pk}/change/" not in html


def test_nothing_can_be_added_or_edited(client_of, connections):
    client = client_of("view", "add", "change")
    assert client.get(f"{LIST}add/").status_code == 403
    mine = ThanksIOConnection.objects.filter(pk=connections[0].pk)
    before = mine.values().get(), mine.values("tokens__status", "tokens__version", "tokens__access_token").get()
    client.post(f"{LIST}{connections[0].pk}/change/", {"status": "reconnect_required", "access_token": "x"})
    assert before == (
        mine.values().get(),
        mine.values("tokens__status", "tokens__version", "tokens__access_token").get(),
    )


def test_refresh_now_reports_each_row(client_of, connections, thanksio):
    thanksio.revoke(connections[1].tokens.access_token.reveal())
    response = act(client_of("view", "change"), "refresh_now", connections)
    texts = messages_of(response)
    assert any(text.startswith("ben: ") for text in texts)
    assert "1 connection refreshed." in texts
    assert thanksio.is_live(ConnectionTokens.objects.get(connection=connections[0]).refresh_token.reveal())


def test_refresh_now_tells_the_operator_what_is_misconfigured(client_of, connections, thanksio, settings):
    settings.THANKSIO_CLIENT_SECRET = ""
    texts = messages_of(act(client_of("view", "change"), "refresh_now", connections))
    assert any("THANKSIO_CLIENT_SECRET" in text for text in texts)


def test_actions_need_their_permissions(client_of, connections, thanksio):
    html = client_of("view").get(LIST).content.decode()
    assert "refresh_now" not in html
    assert 'value="disconnect"' not in html
    act(client_of("view"), "disconnect", connections, confirmed="yes")
    act(client_of("view", "change"), "disconnect", connections, confirmed="yes")
    assert ThanksIOConnection.objects.count() == 2
    act(client_of("view", "delete"), "refresh_now", connections)
    assert thanksio.count("refresh_token") == 0


def test_disconnect_asks_then_sends_the_signal(client_of, connections, django_capture_on_commit_callbacks):
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection.user_id)

    client = client_of("view", "delete")
    page = act(client, "disconnect", connections)
    assert page.status_code == 200
    assert ThanksIOConnection.objects.count() == 2
    signals.disconnected.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            response = act(client, "disconnect", connections, confirmed="yes")
    finally:
        signals.disconnected.disconnect(receive)
    assert sorted(seen) == sorted(row.user_id for row in connections)
    assert "2 users disconnected." in messages_of(response)
    assert not ThanksIOConnection.objects.exists()
    assert LogEntry.objects.count() == 2


def test_delete_button_disconnects(client_of, connections, django_capture_on_commit_callbacks):
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection)

    signals.disconnected.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            client_of("view", "delete").post(f"{LIST}{connections[0].pk}/delete/", {"post": "yes"})
    finally:
        signals.disconnected.disconnect(receive)
    assert len(seen) == 1
    assert ThanksIOConnection.objects.count() == 1


def test_history_shows_no_token(client_of, connections):
    client = client_of("view", "delete")
    token = connections[0].tokens.access_token.reveal()
    act(client, "disconnect", connections, confirmed="yes")
    for entry in LogEntry.objects.all():
        text = f"{entry.object_repr} {entry.change_message}"
        assert token not in text
        assert "connection" in text
