"""The admin's list for many connections: what it finds, what it counts, what it costs."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.staff import LIST, page_of, seed
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionTokens, Sweep, ThanksIOConnection

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def html(client, path=LIST):
    response = client.get(path)
    assert response.status_code == 200, (path, response)
    return response.content.decode().replace("\xa0", " ").replace("&nbsp;", " ")


def found(client, query):
    """The users in the list, in its order."""
    return re.findall(r'<th class="field-person"><a href="[^"]+">([^<]+)', html(client, f"{LIST}?{query}"))


def change(row, **values):
    ConnectionTokens._base_manager.filter(connection=row).update(**values)


def cost(client, path):
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
        assert response.status_code == 200
        b"".join(response)
    return len(queries)


# What it costs


def test_every_page_costs_the_same_at_10_and_at_1000_connections(client_of):
    first = seed(10, ["invalid_grant", "not_sent"])
    client = client_of("view", "refresh", "disconnect")
    paths = (
        LIST,
        f"{LIST}?q=user-1",
        f"{LIST}?standing=failing&trouble=not_sent&renewal=due",
        f"{LIST}?o=2.-4.5&p=1",
        f"{LIST}csv/",
        page_of(first[0]),
        page_of(first[0], "disconnect"),
        page_of(first[0], "history"),
    )
    for path in paths:
        cost(client, path)  # content types are looked up once in a process
    before = [cost(client, path) for path in paths]
    seed(990, ["invalid_grant", "not_sent"] * 60, first=10)
    assert [cost(client, path) for path in paths] == before
    assert max(before) <= 13, before


def test_marking_them_all_as_due_costs_the_same_at_10_and_at_1000_connections(client_of):
    client = client_of("view", "refresh")
    counts = []
    for first, count in ((0, 10), (10, 990)):
        rows = seed(count, first=first)
        data = {"action": "refresh", "_selected_action": [rows[0].pk], "index": 0, "select_across": 1}
        with CaptureQueriesContext(connection) as queries:
            assert client.post(LIST, data).status_code == 302
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert ConnectionTokens.objects.filter(next_refresh_at__lte=utc_now()).count() == 1000


def test_the_list_counts_the_table_no_more_often_than_it_must(client_of):
    seed(3)
    client = client_of("view")
    with CaptureQueriesContext(connection) as queries:
        html(client)
    counted = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert len(counted) == 4, counted  # the pages; the census: connections, states, failures


# What it finds


def test_filters_by_state(client_of):
    seed(5, ["invalid_grant", "not_sent", "undecryptable"])
    client = client_of("view")
    assert found(client, "standing=needs_owner") == ["user-0"]
    assert found(client, "standing=failing") == ["user-2", "user-1"]
    assert found(client, "standing=connected") == ["user-4", "user-3"]
    assert len(found(client, "standing=nonsense")) == 5


def test_filters_by_the_last_failure_in_words(client_of):
    _lost, _sent, bare, _ = seed(4, ["lost_reply", "not_sent"])
    ConnectionTokens.objects.filter(connection=bare).delete()
    client = client_of("view")
    assert found(client, "trouble=lost_reply") == ["user-0"]
    assert found(client, "trouble=no_tokens") == ["user-2"]
    text = html(client)
    choices = re.findall(r'href="\?trouble=(\w+)">([^<]+)</a>', text)
    assert ("lost_reply", "Answer was lost") in choices
    assert ("not_sent", "thanks.io not reached") in choices
    assert found(client, "trouble=%3Cscript%3E") == []
    assert (
        "<script>"
        not in html(client, f"{LIST}?trouble=%3Cscript%3E").split("changelist-filter", 1)[1].split("</form")[0]
    )


def test_filters_by_time(client_of):
    due, overdue, expired, dead, _ = seed(5)
    now = utc_now()
    change(due, next_refresh_at=now - HOUR / 2)
    change(overdue, next_refresh_at=now - 2 * HOUR)
    change(expired, expires_at=now - HOUR)
    change(dead, expires_at=now - HOUR, next_refresh_at=now - 2 * HOUR, status="reconnect_required")
    client = client_of("view")
    assert found(client, "renewal=due") == ["user-1", "user-0"]
    assert found(client, "renewal=overdue") == ["user-1"]
    assert found(client, "renewal=expired") == ["user-2"]
    text = html(client)
    assert "due now" in text
    assert "overdue for 2 hours" in text
    assert "access token expired" in text


def test_searches_as_the_users_own_admin_does(client_of):
    rows = seed(4)
    people = get_user_model().objects
    people.filter(pk=rows[1].user_id).update(last_name="Okafor")
    client = client_of("view")
    assert found(client, "q=user-2%40example.com") == ["user-2"]
    assert found(client, "q=okafor") == ["Okafor"]
    assert found(client, "q=user-3") == ["user-3"]
    assert found(client, "q=tio-user-0") == ["user-0"]
    assert found(client, "q=tio-user") == []  # thanks.io's id is a whole one


@pytest.mark.parametrize(
    ("theirs", "query", "names"),
    [
        (("^email", "=username"), "user-1%40ex", ["user-1"]),
        (("^email", "=username"), "example.com", []),
        (("groups__name",), "pilots", ["user-2"]),
        ((), "user-0", ["user-0"]),
        (None, "user-0%40example", ["user-0"]),
    ],
)
def test_searches_by_whatever_a_projects_user_admin_searches(client_of, monkeypatch, theirs, query, names):
    rows = seed(3)
    for name in ("pilots", "pilots too"):
        rows[2].user.groups.create(name=name)
    model = get_user_model()
    if theirs is None:
        monkeypatch.delitem(admin.site._registry, model)
    else:
        own = type("PersonAdmin", (UserAdmin,), {"search_fields": theirs})
        monkeypatch.setitem(admin.site._registry, model, own(model, admin.site))
    assert found(client_of("view"), f"q={query}") == names


@pytest.mark.parametrize(
    "query", ["o=99", "o=x", "p=99", "p=x", "standing=", "trouble=", "all=", "_facets=True", "e=1"]
)
def test_odd_addresses_are_no_errors(client_of, query):
    seed(3, ["not_sent"])
    assert client_of("view").get(f"{LIST}?{query}").status_code in (200, 302)


# What it says on top


def test_the_health_line_counts_and_leads_to_the_rows(client_of):
    rows = seed(8, ["invalid_grant", "not_sent", "not_sent"])
    change(rows[5], next_refresh_at=utc_now() - 2 * HOUR)
    text = html(client_of("view"))
    for query, words in (
        ("standing=connected", "5 connected"),
        ("standing=failing", "2 failing"),
        ("standing=needs_owner", "1 needs its owner"),
        ("renewal=due", "1 due"),
        ("renewal=overdue", "1 overdue"),
        ("renewal=expired", "0 expired"),
    ):
        assert re.search(rf'<a href="\?{query}"[^>]*>{words}</a>', text), words
        assert len(found(client_of("view"), query)) == int(words.split()[0])


def test_connections_without_tokens_are_a_reason_like_others(client_of):
    rows = seed(3)
    ConnectionTokens.objects.filter(connection=rows[1]).delete()
    client = client_of("view")
    for query in ("", "?trouble=no_tokens"):
        text = html(client, LIST + query)
        assert '<a href="?trouble=no_tokens"><strong>1</strong> No tokens</a>' in text
        assert "The connection has no tokens" in text


@pytest.mark.parametrize(
    ("hours", "words", "is_alarm"),
    [
        (None, "No renewal run has been seen yet.", True),
        (0.5, "The last renewal run ended 30 minutes ago.", False),
        (50, "The last renewal run ended 2 days ago.", True),
    ],
)
def test_it_says_when_the_last_run_was_and_what_that_means(client_of, hours, words, is_alarm):
    seed(1)
    if hours is not None:
        Sweep.objects.create(started_at=utc_now() - 60 * HOUR, finished_at=utc_now() - hours * HOUR)
    text = html(client_of("view"))
    assert words in text
    assert ("ask whoever runs the server" in text) == is_alarm


def test_it_says_that_a_run_is_under_way_and_that_thanksio_asked_to_wait(client_of):
    seed(1)
    now = utc_now()
    Sweep.objects.create(lease_id="a" * 32, lease_expires_at=now + HOUR, started_at=now, wait_until=now + 2.5 * HOUR)
    text = html(client_of("view"))
    assert "Connections are being renewed just now." in text
    assert "renewals go on in 2 hours." in text


def test_an_empty_table_is_no_alarm(client_of):
    text = html(client_of("view"))
    assert "0 connected" in text
    assert "ask whoever runs the server" not in text


def test_many_reasons_are_bounded(client_of):
    seed(20, [f"http_{400 + number}" for number in range(20)])
    text = html(client_of("view"))
    assert text.count('class="thanksio-what"') == 12
    assert "8 more reasons are in the filter." in text


def test_numbers_that_are_data_are_never_localised(client_of, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    [row] = seed(1, ["not_sent"])
    ConnectionTokens.objects.all().delete()
    ThanksIOConnection.objects.filter(pk=row.pk).update(id=1234567)
    row.pk = 1234567
    client = client_of("view", "refresh", "disconnect")
    pages = [html(client), html(client, page_of(row)), html(client, page_of(row, "disconnect"))]
    data = {"action": "disconnect_selected", "_selected_action": [row.pk], "index": 0}
    pages.append(client.post(LIST, data).content.decode())
    for text in pages:
        assert "1,234,567" not in text
        assert "1234567" in text


# For operators, in words


def test_nothing_in_the_admin_speaks_to_developers(client_of):
    codes = ["invalid_grant", "lost_reply", "undecryptable", "not_sent", "other_client", "timeout", "unexpected_error"]
    rows = seed(8, codes)
    client = client_of("view", "refresh", "disconnect")
    for path in (LIST, *(page_of(row) for row in rows)):
        text = re.sub(r"<[^>]+>", " ", html(client, path))
        for word in (*codes, "Reconnect button", "get_access_token", "[", "reconnect_required", "primary key"):
            if word != "timeout":
                assert word not in text, (path, word)


def test_an_operator_finds_each_of_five_reasons_and_its_cure(client_of):
    """37 of many connections fail for five reasons: from the list to the rows, and from each row to its cure."""
    reasons = {
        "invalid_grant": (14, "Access ended at thanks.io", "Ask the owner to connect again."),
        "undecryptable": (9, "Tokens can't be decrypted", "Put the right key back into FIELD_ENCRYPTION_KEY."),
        "not_sent": (8, "thanks.io not reached", "run manage.py thanksio_doctor on the server: it names the cause."),
        "lost_reply": (3, "Answer was lost", "look for time-outs between this site and thanks.io"),
        "other_client": (3, "Given to another client ID", "If THANKSIO_CLIENT_ID was changed by mistake"),
    }
    seed(300, [code for code, (count, *_) in reasons.items() for _ in range(count)])
    client = client_of("view")
    text = html(client).replace("&#x27;", "'")
    assert "37 connections failed last: why, and what to do" in text
    links = re.findall(r'<li><a href="(\?trouble=\w+)"><strong>(\d+)</strong> ([^<]+)</a>', text)
    assert len(links) == 5
    assert [int(count) for _, count, _ in links] == sorted((count for count, *_ in reasons.values()), reverse=True)
    for query, count, short in links:
        expected, words, cure = reasons[query.removeprefix("?trouble=")]
        assert (int(count), short) == (expected, words)
        assert cure in text
        listed = html(client, LIST + query).replace("&#x27;", "'")
        assert f"<strong>{count}</strong>" in listed
        assert cure in listed
        pages = re.findall(rf'<th class="field-person"><a href="({LIST}\d+/change/)', listed)
        assert len(pages) == expected
        page = html(client, pages[0]).replace("&#x27;", "'")
        assert cure in page
        assert words in page  # in the timeline
