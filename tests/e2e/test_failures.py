"""What the product says and keeps when thanks.io misbehaves: a product process, a local thanks.io, real HTTP."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from example_project.demo.browser import Browser, Page
from tests.e2e.letters import LETTER
from tests.e2e.product import product_beside
from thanksio_connect.testing import ThanksIOServer

SEND = "/send/postcard"
ESTIMATE = "/estimate/postcard"


@pytest.fixture(scope="module")
def thanksio() -> Iterator[ThanksIOServer]:
    with ThanksIOServer() as server:
        yield server


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def product_url(thanksio: ThanksIOServer, directory: Path, prepared_demo: Path) -> Iterator[str]:
    with product_beside(thanksio, directory, prepared_demo) as url:
        yield url


@pytest.fixture
def product_database(directory: Path) -> Path:
    return directory / "product.sqlite3"


class Customer(Browser):
    """Signed in and connected."""

    def __init__(self, product_url: str) -> None:
        super().__init__()
        self.url = product_url
        page = self.get(f"{product_url}/login/")
        self.submit(page.form(has_field="username"), {"username": "demo", "password": "demo"})
        self.connect()

    def connect(self) -> Page:
        return self.submit(self.get(f"{self.url}/thanksio/connect/").form(action_ends="/connect/"))

    def visit(self, path: str) -> Page:
        return self.get(self.url + path)

    def review(self, **changes: str) -> Page:
        page = self.visit("/postcards/new/")
        return self.submit(page.form(has_field="message"), LETTER | changes)

    def send(self, page: Page) -> Page:
        return self.submit(page.form(action_ends="/send/"))


@pytest.fixture
def customer(product_url: str) -> Iterator[Customer]:
    customer = Customer(product_url)
    yield customer
    customer.close()


def sends(thanksio: ThanksIOServer) -> int:
    return len(thanksio.api_requests(SEND))


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ({"status": 402, "body": {"message": "no", "code": "api_disabled_payment_failures"}}, 402, "settle a payment"),
        ({"status": 429, "retry_after": 7, "body": {"message": "Too Many Attempts."}}, 429, "to wait 7 seconds"),
        ({"status": 403, "body": {"message": "Unauthorized"}}, 502, "thanks.io could not do that"),
    ],
)
def test_a_refused_send_leaves_a_draft(customer: Customer, thanksio: ThanksIOServer, fault, status, words):
    page = customer.review()
    before = sends(thanksio)
    thanksio.next_api(SEND, **fault)
    refused = customer.send(page)
    assert (refused.status, words in refused.text) == (status, True), refused.text
    assert sends(thanksio) == before + 1
    again = customer.visit(page.path)
    assert customer.send(again).text.count("thanks.io has your postcard") == 1


@pytest.mark.parametrize("path", [ESTIMATE, SEND])
def test_thanksios_complaints_stand_on_their_fields(customer: Customer, thanksio: ThanksIOServer, path):
    errors = {"recipients.0.postal_code": ["Not <b>deliverable</b>."], "sub_account": ["Not yours."]}
    body = {"message": "The given data was invalid.", "errors": errors, "failure": True}
    if path == ESTIMATE:
        thanksio.next_api(path, status=422, body=body)
        refused = customer.review()
    else:
        page = customer.review()
        thanksio.next_api(path, status=422, body=body)
        refused = customer.send(page)
    assert refused.status == 422
    assert "Not <b>deliverable</b>." in refused.text
    assert "Not yours." in refused.text
    form = refused.form(has_field="message")
    assert form.fields["name"] == LETTER["name"]
    corrected = customer.submit(form, {"postal_code": "97301"})
    assert "What it costs" in corrected.text


@pytest.mark.parametrize(
    "fault",
    [{"lose_reply": "after"}, {"status": 500, "body": {"message": "Error Submitting Mailer"}, "processed": True}],
    ids=["lost reply", "server error"],
)
def test_a_send_without_an_answer_is_never_repeated_and_is_found_again(customer, thanksio, fault):
    page = customer.review(name="Lost Lea")
    before = sends(thanksio)
    thanksio.next_api(SEND, **fault)
    unknown = customer.send(page)
    assert "We don't know whether it was sent" in unknown.text
    assert sends(thanksio) == before + 1
    assert customer.visit(page.path).path == unknown.path, "a card that may have been sent can't be reviewed again"
    assert "We don't know whether your postcard to Lost Lea was sent" in customer.visit("/").text
    found = customer.send(unknown)
    assert "thanks.io has your postcard to Lost Lea" in found.text
    assert "To Lost Lea" in found.text
    assert sends(thanksio) == before + 1


def test_a_send_that_never_arrived_is_sent_after_ten_minutes(customer, thanksio, product_database):
    page = customer.review(name="Gone Gil")
    before = sends(thanksio)
    thanksio.next_api(SEND, lose_reply="before")
    unknown = customer.send(page)
    assert "We don't know whether it was sent" in unknown.text
    searched = customer.send(unknown)
    assert "It is not among your orders yet" in searched.text
    assert sends(thanksio) == before + 1
    with closing(sqlite3.connect(product_database)) as database, database:
        database.execute(
            "UPDATE thanksio_connect_sentorder SET created_at = datetime(created_at, '-11 minutes'), "
            "attempted_at = datetime(attempted_at, '-11 minutes') WHERE state = 'sending'"
        )
    assert "thanks.io has your postcard to Gone Gil" in customer.send(searched).text
    assert sends(thanksio) == before + 2


def test_a_postcard_that_nobody_can_settle_says_where_to_look(customer, thanksio, product_database):
    page = customer.review(name="Changed Cho")
    thanksio.next_api(SEND, lose_reply="before")
    unknown = customer.send(page)
    with closing(sqlite3.connect(product_database)) as database, database:
        database.execute("UPDATE product_postcard SET message = 'Another one' WHERE name = 'Changed Cho'")
    refused = customer.send(unknown)
    assert refused.status == 409
    assert "We can't settle this for you" in refused.text


def test_pressing_send_twice_orders_once(customer: Customer, thanksio: ThanksIOServer):
    page = customer.review()
    before = sends(thanksio)
    first, second = customer.send(page), customer.send(page)
    assert first.path == second.path
    assert sends(thanksio) == before + 1


@pytest.mark.parametrize("fault", [{"status": 500, "body": "<h1>x"}, {"status": 200, "body": "<h1>x"}])
def test_an_unusable_order_list_is_a_page_with_a_way_on(customer: Customer, thanksio: ThanksIOServer, fault):
    thanksio.next_api("/orders/list", **fault)
    page = customer.visit("/orders/")
    assert page.status == 502
    assert "Try again" in page.text


@pytest.mark.parametrize("order", [{}, {"id": "x", "status": None, "created_at": "6 years ago", "grand_total": "73"}])
def test_an_order_of_an_unexpected_shape_does_not_break_the_list(customer, thanksio, order):
    thanksio.next_api("/orders/list", status=200, body={"data": [order, "nonsense"], "meta": []})
    assert customer.visit("/orders/").status == 200


def test_an_order_of_somebody_else_is_not_found(customer: Customer):
    page = customer.visit("/orders/999999/")
    assert page.status == 404
    assert "We can't find that order" in page.text


def test_an_order_that_is_too_late_to_cancel_says_so(customer: Customer, thanksio: ThanksIOServer):
    page = customer.send(customer.review())
    thanksio.next_api("/orders/", method="PUT", status=200, body={"order": {"status": "printing"}})
    late = customer.submit(page.form(action_ends="/cancel/"))
    assert "It is too late" in late.text


def test_a_revoked_connection_asks_for_its_owner(customer: Customer, thanksio: ThanksIOServer):
    page = customer.review()
    for grant in thanksio.grants:
        thanksio.revoke(grant)
    refused = customer.send(page)
    assert refused.status == 409
    assert "Your thanks.io connection needs you" in refused.text
    customer.connect()
    assert "thanks.io has your postcard" in customer.send(customer.visit(page.path)).text


@pytest.mark.parametrize("path", ["/", "/orders/", "/postcards/new/", "/admin/", "/thanksio/"])
def test_pages_are_for_those_who_signed_in(product_url: str, path: str):
    browser = Browser()
    page = browser.get(product_url + path)
    browser.close()
    assert page.path.endswith("/login/")


def test_the_sites_own_mistake_is_not_blamed_on_the_user(customer: Customer, thanksio: ThanksIOServer):
    page = customer.review()
    for grant in thanksio.grants:
        thanksio.expire_access_token(grant)
    thanksio.next_token(refuse="invalid_client")
    refused = customer.send(page)
    assert refused.status == 503
    assert "Sending is not set up on this site" in refused.text
    assert "invalid_client" not in refused.text
    assert "thanks.io has your postcard" in customer.send(customer.visit(page.path)).text


def test_the_policy_lets_the_connect_form_reach_thanksio_and_nothing_else(product_url, thanksio):
    response = requests.get(f"{product_url}/login/", timeout=10)
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {thanksio.url}"
    )
    assert not re.search(r"<style|\bstyle=|<script(?! src=)|\bon\w+=|https?://", response.text)
