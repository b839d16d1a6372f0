"""The admin: how connections stand, without tokens; what may be done, by permissions of their own."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.integration.browsing import make_user, messages_of
from tests.integration.staff import LIST, act, page_of, seed
from thanksio_connect import signals
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionEvent, ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db
ALL = ("view", "refresh", "disconnect")


@pytest.fixture
def connections(thanksio):
    return [thanksio.connect(make_user(name)) for name in ("ann", "ben")]


@pytest.fixture
def heard():
    """The users of whom ``disconnected`` was sent."""
    seen = []

    def receive(connection, **kwargs):
        seen.append(connection.user_id)

    signals.disconnected.connect(receive)
    yield seen
    signals.disconnected.disconnect(receive)


def change(row, **values):
    ConnectionTokens._base_manager.filter(connection=row).update(**values)


def html(client, path):
    response = client.get(path)
    assert response.status_code == 200, (path, response)
    return response.content.decode().replace("\xa0", " ").replace("&nbsp;", " ")


# What is shown


def test_no_page_shows_a_token(client_of, connections):
    client = client_of(*ALL, "delete")
    pages = [page_of(connections[0], page) for page in ("change", "disconnect", "delete", "history")]
    for path in (LIST, f"{LIST}?q=ann", *pages):
        text = html(client, path)
        assert "access_token" not in text
        assert "gAAAA" not in text  # ciphertext
        for row in connections:
            assert row.tokens.access_token.reveal() not in text
            assert row.tokens.refresh_token.reveal() not in text


@pytest.mark.parametrize("key", ["A" * 43 + "=", None, "short"])
def test_list_and_page_need_no_key(client_of, connections, settings, key):
    client = client_of(*ALL)
    settings.FIELD_ENCRYPTION_KEY = key
    html(client, LIST)
    html(client, page_of(connections[0]))


def test_people_go_by_their_names(client_of, connections, django_assert_num_queries):
    row = ThanksIOConnection.objects.select_related("user").get(pk=connections[0].pk)
    bare = ThanksIOConnection.objects.get(pk=row.pk)
    with django_assert_num_queries(0):
        assert str(row) == "thanks.io connection of ann"
        assert str(bare) == f"thanks.io connection of user {row.user_id}"
    client = client_of(*ALL)
    for path in (LIST, *(page_of(row, page) for page in ("change", "disconnect", "history"))):
        text = html(client, path)
        assert "ann" in text
        assert f"user {row.user_id}" not in text


def test_a_name_is_never_markup(client_of, connections):
    person = connections[0].user
    person.first_name, person.email = "<b>Ann</b>", '"<i>"@example.com'
    person.save()
    client = client_of(*ALL)
    for path in (LIST, page_of(connections[0]), page_of(connections[0], "disconnect")):
        text = html(client, path)
        assert "<b>Ann" not in text
        assert "<i>" not in text


def test_a_page_has_nothing_to_save(client_of, connections):
    client = client_of(*ALL, "change", "add", "delete")
    text = html(client, page_of(connections[0]))
    assert 'name="_save"' not in text
    assert 'name="_continue"' not in text
    assert client.get(f"{LIST}add/").status_code == 403
    mine = ThanksIOConnection.objects.filter(pk=connections[0].pk)
    columns = ("tokens__status", "tokens__version", "tokens__access_token")
    before = mine.values().get(), mine.values(*columns).get()
    posted = client.post(page_of(connections[0]), {"status": "reconnect_required", "access_token": "x", "_save": "1"})
    assert posted.status_code == 403
    assert before == (mine.values().get(), mine.values(*columns).get())


def test_the_page_says_since_when_why_and_what_to_do(client_of):
    [broken] = seed(1, ["undecryptable"])
    text = html(client_of("view"), page_of(broken))
    assert "Failing" in text
    assert "don&#x27;t fit this server&#x27;s encryption key" in text
    assert "Put the right key back into FIELD_ENCRYPTION_KEY." in text
    assert "(2 hours ago)" in text  # broken since, by the event; the last failure was five minutes ago
    assert "(5 minutes ago)" in text
    assert "undecryptable" not in text
    assert "Refresh now" not in text


def test_without_an_event_it_is_broken_since_the_last_failure(client_of):
    [broken] = seed(1, ["invalid_grant"])
    ConnectionEvent.objects.all().delete()
    text = html(client_of("view"), page_of(broken))
    assert "2 hours ago" not in text
    assert "(5 minutes ago)" in text
    assert "Nothing has been written down yet." in text


def test_trouble_of_an_earlier_pair_is_history(client_of):
    [broken] = seed(1, ["not_sent"])
    now = utc_now()
    change(broken, obtained_at=now, last_error_code="", last_failed_at=None, failure_count=0)
    text = html(client_of("view"), page_of(broken))
    assert "Broken since" not in text
    assert "renewals began to fail" in text  # in the timeline


def test_the_timeline_is_the_users_newest_first(client_of):
    mine, other = seed(2)
    ConnectionEvent.objects.all().delete()
    for kind, code in (("connected", ""), ("failing", "timeout"), ("recovered", ""), ("disconnected", "")):
        ConnectionEvent.objects.create(user=mine.user, kind=kind, code=code)
    ConnectionEvent.objects.create(user=other.user, kind="account_changed")
    text = html(client_of("view"), page_of(mine))
    order = [text.index(words) for words in ("disconnected<", "recovered<", "renewals began to fail", "connected<")]
    assert order[:3] == sorted(order[:3])
    assert "Answer took too long" in text
    assert "another thanks.io account" not in text


def test_a_connection_without_tokens_is_shown_and_disconnected(client_of, connections):
    ConnectionTokens.objects.all().delete()
    client = client_of(*ALL)
    for query in ("", "?o=1", "?o=2", "?o=3.4.5", f"?q={connections[0].user}", "?standing=needs_owner"):
        assert "ann" in html(client, LIST + query)
    text = html(client, page_of(connections[0]))
    assert "Needs its owner" in text
    assert "The connection has no tokens" in text
    texts = messages_of(client.post(page_of(connections[0], "refresh")))
    assert texts == [
        "ann was not refreshed. The connection has no tokens: it was made by hand, or loaded from half of a backup. "
        "Ask the owner to connect again."
    ]
    act(client, "disconnect_selected", connections, confirmed="2")
    assert not ThanksIOConnection.objects.exists()


@pytest.mark.parametrize(("use_tz", "shown"), [(True, "7:30 a.m."), (False, "7:30 a.m.")])
def test_moments_are_in_the_projects_zone(client_of, connections, settings, use_tz, shown):
    settings.USE_TZ = use_tz  # TIME_ZONE is New York
    change(connections[0], last_refreshed_at=utc_now().replace(month=1, day=5, hour=12, minute=30))
    text = html(client_of("view"), page_of(connections[0]))
    assert shown in text
    assert re.search(r"Connected since:.*?\d+/\d+/\d{4} .*?\(0 minutes ago\)", text, re.DOTALL)


# Refresh


def test_refresh_now_renews_this_one(client_of, connections, thanksio):
    response = client_of("view", "refresh").post(page_of(connections[0], "refresh"))
    assert response["Location"] == page_of(connections[0])
    assert messages_of(response) == ["ann was refreshed."]
    assert thanksio.count("refresh_token") == 1
    assert thanksio.is_live(ConnectionTokens.objects.get(connection=connections[0]).refresh_token.reveal())
    assert LogEntry.objects.get().object_repr == "thanks.io connection of ann"


def test_refresh_now_says_why_not_in_plain_words(client_of, connections, thanksio):
    thanksio.revoke(connections[1].tokens.access_token.reveal())
    response = client_of("view", "refresh").post(page_of(connections[1], "refresh"))
    assert messages_of(response) == [
        "ben was not refreshed. thanks.io no longer accepts this connection: its owner took the access away there, or "
        "it has expired. Ask the owner to connect again."
    ]


def test_refresh_now_tells_the_operator_what_is_misconfigured(client_of, connections, settings):
    settings.THANKSIO_CLIENT_SECRET = ""
    [text] = messages_of(client_of("view", "refresh").post(page_of(connections[0], "refresh")))
    assert "THANKSIO_CLIENT_SECRET is not set." in text
    assert "no connection can be refreshed" in text


def test_a_link_refreshes_and_disconnects_nobody(client_of, connections, thanksio):
    client = client_of(*ALL)
    assert client.get(page_of(connections[0], "refresh")).status_code == 405
    assert "Disconnect ann?" in html(client, page_of(connections[0], "disconnect"))
    assert ThanksIOConnection.objects.count() == 2
    assert thanksio.count("refresh_token") == 0


@pytest.mark.parametrize("page", ["refresh", "disconnect"])
def test_the_buttons_need_the_forms_csrf_token(staff, connections, thanksio, page):
    staff.is_superuser = True
    staff.save()
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)
    assert client.post(page_of(connections[0], page)).status_code == 403
    assert ThanksIOConnection.objects.count() == 2
    assert thanksio.count("refresh_token") == 0


@pytest.mark.parametrize("page", ["refresh", "disconnect", "change"])
@pytest.mark.parametrize("key", ["999999", "x", "_5F"])
def test_a_connection_that_is_gone_leads_back(client_of, page, key):
    client = client_of(*ALL)
    method = client.get if page == "change" else client.post
    assert method(f"{LIST}{key}/{page}/").status_code == 302


# Permissions


def test_each_button_needs_its_permission(client_of, connections, thanksio):
    for may in (("view",), ("view", "disconnect"), ("view", "change", "delete", "add")):
        client = client_of(*may)
        assert "Refresh now" not in html(client, page_of(connections[0]))
        assert 'value="refresh"' not in html(client, LIST)
        assert client.post(page_of(connections[0], "refresh")).status_code == 403
        act(client, "refresh", connections)
    for may in (("view",), ("view", "refresh"), ("view", "change", "delete", "add")):
        client = client_of(*may)
        assert "Disconnect…" not in html(client, page_of(connections[0]))
        assert 'value="disconnect_selected"' not in html(client, LIST)
        for page in ("disconnect", "delete"):
            assert client.post(page_of(connections[0], page), {"post": "yes"}).status_code == 403
        act(client, "disconnect_selected", connections, confirmed="2")
    assert thanksio.count("refresh_token") == 0
    assert ThanksIOConnection.objects.count() == 2
    assert not ConnectionTokens.objects.filter(next_refresh_at__lte=utc_now()).exists()


def test_who_may_not_view_gets_nothing(client_of, connections):
    client = client_of()
    for path in (LIST, f"{LIST}csv/", page_of(connections[0]), page_of(connections[0], "disconnect")):
        assert client.get(path).status_code == 403


def test_the_permissions_are_there_to_be_given():
    names = Permission.objects.filter(content_type__app_label="thanksio_connect").values_list("codename", flat=True)
    assert {"refresh_thanksioconnection", "disconnect_thanksioconnection"} <= set(names)


# Disconnect


@pytest.mark.parametrize("key", ["A" * 43 + "=", None, "short"])
def test_disconnecting_needs_no_key(client_of, connections, settings, key):
    client = client_of("view", "disconnect")
    settings.FIELD_ENCRYPTION_KEY = key
    act(client, "disconnect_selected", connections[:1], confirmed="1")
    client.post(page_of(connections[1], "disconnect"))
    assert not ThanksIOConnection.objects.exists()


def test_disconnect_asks_then_sends_the_signal(client_of, connections, django_capture_on_commit_callbacks, heard):
    client = client_of("view", "disconnect")
    page = act(client, "disconnect_selected", connections)
    assert "These 2 users have to connect again" in page.content.decode()
    assert ThanksIOConnection.objects.count() == 2
    with django_capture_on_commit_callbacks(execute=True):
        response = act(client, "disconnect_selected", connections, confirmed="2")
    assert sorted(heard) == sorted(row.user_id for row in connections)
    assert messages_of(response) == ["2 users disconnected."]
    assert not ThanksIOConnection.objects.exists()
    assert {entry.object_repr for entry in LogEntry.objects.all()} == {
        "thanks.io connection of ann",
        "thanks.io connection of ben",
    }


def test_nobody_is_disconnected_on_a_confirmation_of_another_number(client_of, connections):
    response = act(client_of("view", "disconnect"), "disconnect_selected", connections, confirmed="1")
    assert "These 2 users have to connect again" in response.content.decode()
    assert ThanksIOConnection.objects.count() == 2


@pytest.mark.parametrize("page", ["disconnect", "delete"])
def test_the_button_disconnects(client_of, connections, django_capture_on_commit_callbacks, heard, page):
    with django_capture_on_commit_callbacks(execute=True):
        response = client_of("view", "disconnect").post(page_of(connections[0], page), {"post": "yes"})
    assert messages_of(response) == ["ann was disconnected."]
    assert heard == [connections[0].user_id]
    assert ThanksIOConnection.objects.count() == 1


def test_history_shows_no_token(client_of, connections):
    client = client_of(*ALL)
    token = connections[0].tokens.access_token.reveal()
    client.post(page_of(connections[0], "refresh"))
    act(client, "disconnect_selected", connections, confirmed="2")
    entries = LogEntry.objects.all()
    assert len(entries) == 3
    for entry in entries:
        text = f"{entry.object_repr} {entry.change_message}"
        assert token not in text
        assert "connection" in text


# Users


def test_a_users_page_leads_to_the_connection_and_back(client_of, staff, connections):
    client = client_of("view")
    staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    users_page = f"/admin/auth/user/{connections[0].user_id}/change/"
    assert f'href="{page_of(connections[0])}"' in html(client, users_page)
    assert f'href="{users_page}"' in html(client, page_of(connections[0]))
    assert f'href="{LIST}' not in html(client, f"/admin/auth/user/{staff.pk}/change/").replace(f'href="{LIST}"', "")


def test_a_users_page_names_no_connection_to_who_may_not_see_it(client_of, staff, connections):
    client = client_of()
    staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert LIST not in html(client, f"/admin/auth/user/{connections[0].user_id}/change/")


def test_the_link_costs_a_users_page_one_query(client_of, staff, connections):
    staff.user_permissions.add(Permission.objects.get(codename="view_user"))
    path = f"/admin/auth/user/{connections[0].user_id}/change/"
    counts = []
    for may in ((), ("view",)):
        client = client_of(*may)
        staff.user_permissions.add(Permission.objects.get(codename="view_user"))
        html(client, path)
        with CaptureQueriesContext(connection) as queries:
            html(client, path)
        counts.append(len(queries))
    assert counts[1] - counts[0] <= 1


def test_a_user_with_a_connection_can_be_deleted(client_of, staff, connections):
    client = client_of("view", "disconnect")
    for name in ("view_user", "delete_user"):
        staff.user_permissions.add(Permission.objects.get(codename=name))
    path = f"/admin/auth/user/{connections[0].user_id}/delete/"
    assert "thanks.io connection of ann" in html(client, path)
    client.post(path, {"post": "yes"})
    assert ThanksIOConnection.objects.count() == 1


def test_the_lists_filter_is_kept_all_the_way(client_of, connections):
    client = client_of(*ALL)
    kept = "_changelist_filters=standing%3Dconnected"
    text = html(client, f"{page_of(connections[0])}?{kept}")
    for page in ("refresh", "disconnect"):
        assert f'"{page_of(connections[0], page)}?{kept}"' in text
        response = client.post(f"{page_of(connections[0], page)}?{kept}")
        assert response["Location"] in (f"{page_of(connections[0])}?{kept}", f"{LIST}?standing=connected")


@pytest.mark.django_db(transaction=True)
def test_what_the_engine_writes_down_is_what_the_operator_reads(client_of, thanksio):
    ann = thanksio.connect(make_user("ann"))
    client = client_of(*ALL)
    thanksio.next_token(status=503)
    client.post(page_of(ann, "refresh"))
    text = html(client, page_of(ann))
    assert "thanks.io was too busy, or out of service." in text
    assert "renewals began to fail" in text
    client.post(page_of(ann, "refresh"))
    assert "recovered" in html(client, page_of(ann))
    thanksio.revoke(ConnectionTokens.objects.get().access_token.reveal())
    client.post(page_of(ann, "refresh"))
    text = html(client, page_of(ann))
    assert "Needs its owner" in text
    timeline = text[text.index('id="thanksio-timeline"') :]
    kinds = re.findall(r'class="thanksio-moment--(\w+)"', timeline)
    assert kinds == ["reconnect_required", "recovered", "failing", "connected"]
    assert "Access ended at thanks.io" in timeline
