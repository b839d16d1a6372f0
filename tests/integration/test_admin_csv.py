"""The list as CSV, to mail to."""

import asyncio
import csv
import io

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from django.utils import translation

from tests.integration.staff import LIST, seed
from thanksio_connect.admin import csv_list
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionEvent, ConnectionTokens

pytestmark = pytest.mark.django_db
CSV = f"{LIST}csv/"


def text_of(response):
    assert response.status_code == 200
    assert isinstance(response, StreamingHttpResponse)
    return b"".join(response.streaming_content).decode("utf-8-sig")


def rows_of(response):
    return list(csv.DictReader(io.StringIO(text_of(response), newline="")))


def test_who_where_how_since_when_and_why(client_of):
    good, bad = seed(2)
    ConnectionTokens.objects.filter(connection=bad).update(status="reconnect_required", last_error_code="invalid_grant")
    began = utc_now().replace(microsecond=0)
    ConnectionEvent.objects.create(user=bad.user, kind="reconnect_required", code="invalid_grant", at=began)
    response = client_of("view").get(CSV)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "thanksio-connections.csv" in response["Content-Disposition"]
    assert rows_of(response) == [
        {
            "name": "user-1",
            "email": "user-1@example.com",
            "state": "Needs its owner",
            "since": began.isoformat(),
            "reason": "thanks.io no longer accepts this connection: its owner took the access away there, or it has "
            "expired.",
        },
        {
            "name": "user-0",
            "email": "user-0@example.com",
            "state": "Connected",
            "since": good.connected_at.replace(microsecond=0).isoformat(),
            "reason": "",
        },
    ]


def test_the_current_filter_and_search_and_the_link_keeps_them(client_of):
    seed(20, ["not_sent"] * 12)
    client = client_of("view")
    query = "q=user-1&standing=failing"
    assert [row["name"] for row in rows_of(client.get(f"{CSV}?{query}"))] == ["user-11", "user-10", "user-1"]
    page = client.get(f"{LIST}?{query}").content.decode()
    assert f'href="{CSV}?q=user-1&amp;standing=failing"' in page
    assert client.get(f"{CSV}?o=99x").status_code in (200, 302)


def test_no_token_and_no_code(client_of, thanksio):
    seed(1, ["undecryptable"])
    text = text_of(client_of("view").get(CSV))
    assert "gAAAA" not in text
    assert "undecryptable" not in text
    assert text.splitlines()[0] == "name,email,state,since,reason"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_name_is_no_formula(client_of, start):
    [row] = seed(1)
    get_user_model().objects.filter(pk=row.user_id).update(username=f'{start}cmd|"/c calc"!A1', email=f"{start}1@x.y")
    [line] = rows_of(client_of("view").get(CSV))
    assert line["name"] == f'\'{start}cmd|"/c calc"!A1'
    assert line["email"] == f"'{start}1@x.y"


def test_a_first_name_is_no_formula_either(client_of):
    [row] = seed(1)
    get_user_model().objects.filter(pk=row.user_id).update(first_name="=1+1")
    [line] = rows_of(client_of("view").get(CSV))
    assert line["name"] == "'=1+1 (user-0)"


def test_it_is_streamed_in_pieces(client_of, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(csv_list, "CHUNK_ROWS", 10)
    seed(25)
    pieces = list(client_of("view").get(CSV).streaming_content)
    assert [piece.count(b"\r\n") for piece in pieces] == [1, 10, 10, 5]


def test_the_words_are_in_the_readers_language_although_the_request_is_over(client_of, monkeypatch):
    monkeypatch.setattr(csv_list, "_cells", lambda connection: (translation.get_language(),))
    seed(1)
    client = client_of("view")
    client.cookies["django_language"] = "de"
    assert text_of(client.get(CSV)).splitlines() == ["name,email,state,since,reason", "de"]


@pytest.mark.parametrize("use_tz", [True, False])
def test_moments_are_utc_whatever_the_projects_zone(client_of, settings, use_tz):
    seed(1)
    settings.USE_TZ = use_tz
    [line] = rows_of(client_of("view").get(CSV))
    assert line["since"].endswith("+00:00")


@pytest.mark.django_db(transaction=True)
def test_under_asgi_nothing_waits_for_the_whole_list(staff, monkeypatch):
    monkeypatch.setattr(csv_list, "CHUNK_ROWS", 2)
    seed(3)
    staff.is_superuser = True
    staff.save()

    async def pieces():
        client = AsyncClient()
        await client.aforce_login(staff)
        response = await client.get(CSV)
        try:
            return [piece async for piece in response.streaming_content]
        finally:
            await sync_to_async(connections.close_all)()  # the thread's own, which the test's database would wait for

    assert [piece.count(b"\r\n") for piece in asyncio.run(pieces())] == [1, 2, 1]
