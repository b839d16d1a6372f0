"""What the admin does with many connections: no hundreds of requests while a browser waits, at any number of rows."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from tests.integration.browsing import make_user, messages_of
from tests.integration.staff import LIST, act, seed
from thanksio_connect.admin import actions
from thanksio_connect.fields import utc_now
from thanksio_connect.flows.bulk import BulkRefresh
from thanksio_connect.flows.selection import Selection
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
COUNT = 2000
ALL_PAGES = {"select_across": 1}


def change(row, **values):
    ConnectionTokens._base_manager.filter(connection=row).update(**values)


def texts_of(response):
    return [text.replace("\xa0", " ") for text in messages_of(response)]


def due():
    return set(
        ConnectionTokens.objects.filter(status="connected", next_refresh_at__lte=utc_now()).values_list(
            "connection__user__username", flat=True
        )
    )


def form_of(response):
    """What the confirmation page would send."""
    text = response.content.decode()
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text)
    data = {}
    for name, value in fields:
        data.setdefault(name, []).append(value)
    return {name: values for name, values in data.items() if name != "csrfmiddlewaretoken"}


# Refresh


def test_refreshing_many_sends_nothing_and_the_next_run_renews_them(client_of, thanksio):
    rows = [thanksio.connect(make_user(f"user-{number}")) for number in range(3)]
    Sweep.objects.create(started_at=utc_now(), finished_at=utc_now() - HOUR / 6)
    response = act(client_of("view", "refresh"), "refresh", rows[:2])
    assert thanksio.count("refresh_token") == 0
    assert texts_of(response) == [
        "2 connections are due now. The next run of refresh_thanksio_tokens (or of its task) renews them, 60 a minute: "
        "that takes about 1 minute.",
        "The last renewal run ended 10 minutes ago.",
    ]
    BulkRefresh(Selection(), workers=1, rate_per_minute=60000).run()
    assert thanksio.count("refresh_token") == 2
    for row in rows:
        version = ConnectionTokens.objects.get(connection=row).version
        assert version == (1 if row == rows[2] else 2)


def test_a_wait_after_a_failure_ends_but_not_one_that_thanksio_asked_for(client_of):
    rows = seed(4, ["invalid_grant", "throttled", "not_sent"])
    texts = texts_of(act(client_of("view", "refresh"), "refresh", rows))
    assert due() == {"user-2", "user-3"}
    assert any(text.startswith("2 connections are due now.") for text in texts)
    assert "1 needs its owner: refreshing can't help." in texts
    assert "1 waits because thanks.io asked for it." in texts


def test_what_is_overdue_keeps_its_place_in_the_queue(client_of):
    [row] = seed(1)
    before = utc_now() - 5 * HOUR
    change(row, next_refresh_at=before)
    act(client_of("view", "refresh"), "refresh", [row])
    assert ConnectionTokens.objects.get().next_refresh_at == before


def test_where_nobody_renews_the_operator_is_told(client_of):
    rows = seed(1)
    texts = texts_of(act(client_of("view", "refresh"), "refresh", rows))
    assert (
        "No renewal run has been seen yet. Nothing is renewed until one starts: ask whoever runs the server." in texts
    )


def test_refreshing_what_only_owners_can_help_promises_nothing(client_of):
    rows = seed(2, ["invalid_grant", "lost_reply"])
    assert texts_of(act(client_of("view", "refresh"), "refresh", rows)) == [
        "2 need their owners: refreshing can't help."
    ]


def test_all_pages_of_a_filter_are_refreshed_and_no_others(client_of):
    rows = seed(250, ["not_sent"] * 120)
    act(client_of("view", "refresh"), "refresh", rows[:1], "?trouble=not_sent", **ALL_PAGES)
    assert due() == {f"user-{number}" for number in range(120)}


def test_all_pages_of_a_search_are_refreshed_and_no_others(client_of):
    rows = seed(12)
    act(client_of("view", "refresh"), "refresh", rows[:1], "?q=user-1", **ALL_PAGES)
    assert due() == {"user-1", "user-10", "user-11"}


# Disconnect


def test_disconnecting_more_than_django_takes_fields_for_takes_few_and_one_press_a_bound(client_of, settings):
    rows = seed(COUNT)
    client = client_of("view", "disconnect")
    asked = act(client, "disconnect_selected", rows[:100], **ALL_PAGES)
    assert "These 2000 users have to connect again" in asked.content.decode()
    assert "and 1980 more" in asked.content.decode()
    data = form_of(asked)
    assert sum(map(len, data.values())) < 10 < settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    again = client.post(LIST, data)
    left = ThanksIOConnection.objects.count()
    assert COUNT - actions.AT_ONCE <= left < COUNT
    assert f"These {left} users have to connect again" in again.content.decode()
    assert f"{COUNT - left} users disconnected." in texts_of(again)
    assert LogEntry.objects.count() == COUNT - left


def test_pressing_on_comes_to_an_end(client_of, monkeypatch):
    monkeypatch.setattr(actions, "AT_ONCE", 3)
    rows = seed(7, ["not_sent"] * 5)
    client = client_of("view", "disconnect")
    response = act(client, "disconnect_selected", rows[:1], "?standing=failing", **ALL_PAGES)
    presses = 0
    while response.status_code == 200:
        response = client.post(f"{LIST}?standing=failing", form_of(response))
        presses += 1
    assert presses == 2
    assert response["Location"].endswith("?standing=failing")
    assert sorted(row.user.username for row in ThanksIOConnection.objects.all()) == ["user-5", "user-6"]


def test_pressing_on_keeps_to_those_that_were_chosen(client_of, monkeypatch):
    monkeypatch.setattr(actions, "AT_ONCE", 2)
    rows = seed(6)
    client = client_of("view", "disconnect")
    response = act(client, "disconnect_selected", rows[:3])
    response = client.post(LIST, form_of(response))
    assert form_of(response)["_selected_action"] == [str(rows[2].pk)]
    response = client.post(LIST, form_of(response))
    assert response.status_code == 302
    assert ThanksIOConnection.objects.count() == 3


def test_fewer_at_once_where_thanksio_is_told(client_of, thanksio, settings):
    settings.THANKSIO_REVOKE_URL = "https://thanks.example/revoke"
    rows = seed(actions.AT_ONCE_WITH_REQUESTS + 5)
    client = client_of("view", "disconnect")
    client.post(LIST, form_of(act(client, "disconnect_selected", rows)))
    assert ThanksIOConnection.objects.count() == 5


def test_no_longer_than_a_request_may_take(client_of, monkeypatch):
    monkeypatch.setattr(actions, "TIME_BUDGET_SECONDS", -1.0)
    rows = seed(3)
    client = client_of("view", "disconnect")
    client.post(LIST, form_of(act(client, "disconnect_selected", rows)))
    assert ThanksIOConnection.objects.count() == 2


def test_who_came_meanwhile_is_asked_about_first(client_of):
    rows = seed(2)
    client = client_of("view", "disconnect")
    asked = form_of(act(client, "disconnect_selected", rows[:1], **ALL_PAGES))
    seed(1, first=2)
    again = client.post(LIST, asked)
    assert "These 3 users have to connect again" in again.content.decode()
    assert ThanksIOConnection.objects.count() == 3


def test_djangos_delete_is_not_offered(client_of):
    seed(1)
    client = client_of("view", "disconnect", "delete")
    assert "delete_selected" not in client.get(LIST).content.decode()
