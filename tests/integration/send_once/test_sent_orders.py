"""The entries of the book: the admin shows them, and old ones are forgotten."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client

from tests.integration.send_once.letters import FIELDS
from thanksio_connect.exceptions import OutcomeUnknown
from thanksio_connect.flows import chunks, sent_orders
from thanksio_connect.flows.sent_orders import forget_sent_orders
from thanksio_connect.models import SentOrder

pytestmark = pytest.mark.usefixtures("database")
LIST = "/admin/thanksio_connect/sentorder/"


@pytest.fixture
def connection(connected, thanksio):
    """One with a key that was sent, and one whose outcome is unknown."""
    made = connected(user_id=7)
    made.send_once("sent").postcard(**FIELDS)
    thanksio.next_api("/send", lose_reply="before")
    with pytest.raises(OutcomeUnknown):
        made.send_once("unknown").postcard(**FIELDS)
    return made


def keys() -> set[str]:
    return set(SentOrder.objects.values_list("key", flat=True))


def make_old(days: float) -> None:
    past = datetime.now(UTC) - timedelta(days=days)
    SentOrder.objects.update(created_at=past, attempted_at=past)
    SentOrder.objects.exclude(sent_at=None).update(sent_at=past)


class TestRetention:
    def test_what_was_sent_a_year_ago_is_forgotten_and_what_is_unknown_never(self, connection):
        make_old(364)
        assert forget_sent_orders() == 0
        make_old(3660)
        assert forget_sent_orders() == 1
        assert keys() == {"unknown"}

    def test_the_setting(self, connection, settings):
        settings.THANKSIO_SENT_ORDERS_KEPT_DAYS = 0.5
        make_old(1)
        assert forget_sent_orders() == 1

    def test_in_batches(self, connection, monkeypatch):
        monkeypatch.setattr(sent_orders, "_BATCH_SIZE", 2)
        for number in range(5):
            connection.send_once(f"letter-{number}").postcard(**FIELDS)
        make_old(400)
        assert forget_sent_orders() == 6

    @pytest.mark.parametrize("run", ["command", "tasks"])
    def test_the_sweep_does_it(self, connection, run):
        make_old(400)
        if run == "command":
            call_command("refresh_thanksio_tokens", "--dry-run", stdout=io.StringIO())
            assert keys() == {"sent", "unknown"}
            call_command("refresh_thanksio_tokens", stdout=io.StringIO())
        else:
            chunks.deal_out(lambda *_arguments: None)
        assert keys() == {"unknown"}

    def test_a_malformed_setting_is_no_failure_of_the_sweep(self, connection, settings, caplog):
        """All tokens were renewed, and the exit status was 2."""
        settings.THANKSIO_SENT_ORDERS_KEPT_DAYS = "banana"
        make_old(400)
        call_command("refresh_thanksio_tokens", stdout=io.StringIO())
        chunks.deal_out(lambda *_arguments: None)
        assert keys() == {"sent", "unknown"}
        assert "Old keys of send_once() stay (ThanksIOConfigurationError)." in caplog.text

    def test_a_database_that_fails_does_not_stop_the_sweep(self, connection, monkeypatch, caplog):
        from django.db import OperationalError

        def fail(*_arguments, **_options):
            raise OperationalError

        monkeypatch.setattr(sent_orders.sessions, "committed", fail)
        assert forget_sent_orders() == 0
        assert "stay (OperationalError)" in caplog.text


class TestAdmin:
    @pytest.fixture
    def client_of(self, database):
        def log_in(*permissions):
            staff = User.objects.create_user("staff", is_staff=True)
            staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
            client = Client()
            client.force_login(staff)
            return client

        yield log_in
        User.objects.all().delete()  # with what points at them

    def test_list_search_and_page(self, connection, client_of):
        client = client_of("view_sentorder")
        for query in ("", "?q=sent", "?q=abc", "?q=42665", "?state__exact=sending", "?o=7", "?operation=postcard"):
            response = client.get(LIST + query)
            assert response.status_code == 200
            assert "unknown" in response.text or "sent" in response.text
        row = SentOrder.objects.get(key="sent")
        page = client.get(f"{LIST}{row.pk}/change/").text
        assert str(row.order_id) in page
        assert row.fingerprint not in page

    def test_nobody_can_add_change_or_delete(self, connection, client_of):
        client = client_of("view_sentorder", "add_sentorder", "change_sentorder", "delete_sentorder")
        row = SentOrder.objects.get(key="sent")
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}{row.pk}/change/", {"key": "x"}).status_code == 403
        assert client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        client.post(LIST, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        assert keys() == {"sent", "unknown"}

    def test_a_user_can_still_be_deleted(self, connection, client_of):
        client = client_of("view_user", "change_user", "delete_user", "delete_thanksioconnection")
        response = client.post(f"/admin/auth/user/{connection.user_id}/delete/", {"post": "yes"})
        assert response.status_code == 302
        assert keys() == set()

    def test_an_entry_whose_user_is_gone_is_shown(self, connection, client_of):
        SentOrder.objects.update(user_id=987654)
        client = client_of("view_sentorder")
        assert "987654" in client.get(LIST).text
        row = SentOrder.objects.get(key="sent")
        assert client.get(f"{LIST}{row.pk}/change/").status_code == 200
