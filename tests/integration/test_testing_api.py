"""The fake's API: bearer tokens, ownership, and the shapes of thanks.io's OpenAPI document."""

from __future__ import annotations

import pytest
import requests

from thanksio_connect.testing import ThanksIOServer

POSTCARD = {
    "message": "Hello",
    "front_image_url": "https://product.example/front.png",
    "recipients": [{"name": "Ann", "address": "1 Main Street", "postal_code": "12345"}] * 2,
    "metadata": {"deal": "D-1"},
}


@pytest.fixture
def server():
    with ThanksIOServer() as server:
        yield server


def call(server, method, path, token, **options):
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    return requests.request(method, server.api_url + path, headers=headers, timeout=10, **options)


def test_an_order_from_estimate_to_tracking(server):
    token = server.issue(user_id=7).access_token
    estimate = call(server, "POST", "/estimate/postcard", token, json=POSTCARD).json()
    assert (estimate["message"], estimate["data"]["total_cost_in_cents"]) == ("OK", 236)
    assert estimate["data"]["total_cost"] == "$2.36"
    order = call(server, "POST", "/send/postcard", token, json=POSTCARD).json()
    assert (order["user_id"], order["status"], order["metadata"]) == (7, "reviewing", {"deal": "D-1"})
    listed = call(server, "GET", "/orders/list", token).json()
    assert [(row["id"], row["status"], row["cancellable"]) for row in listed["data"]] == [
        (order["id"], "Reviewing", True)
    ]
    track = call(server, "GET", f"/orders/{order['id']}/track", token).json()["data"]
    assert (track["id"], track["stats"]["processing"]) == (order["id"], 2)
    items = call(server, "GET", f"/orders/{order['id']}/items", token).json()["data"]
    assert [(item["status"], item["recipient"]["name"]) for item in items] == [("Processing", "Ann")] * 2
    cancelled = call(server, "PUT", f"/orders/{order['id']}/cancel", token).json()
    assert cancelled["order"]["status"] == "cancelled"
    assert server.api.orders == [cancelled["order"]]


@pytest.mark.parametrize(
    "mailer", ["postcard", "windowedletter", "windowlessletter", "notecard", "magnacard", "giftcard"]
)
def test_every_mailer(server, mailer):
    token = server.issue().access_token
    assert call(server, "POST", f"/send/{mailer}", token, json=POSTCARD).json()["type"] == mailer
    assert call(server, "POST", f"/estimate/{mailer}", token, json=POSTCARD).json()["data"]["type"] == mailer


def test_a_preview_orders_nothing(server):
    token = server.issue().access_token
    body = call(server, "POST", "/send/postcard", token, json=POSTCARD | {"preview": True}).json()
    assert len(body["data"]["previews"]) == 2
    assert server.api.orders == []


def test_a_send_to_nobody_is_rejected(server):
    response = call(server, "POST", "/send/postcard", server.issue().access_token, json={"message": "x"})
    assert (response.status_code, response.json()["message"]) == (422, "The given data was invalid.")
    assert list(response.json()["errors"]) == ["recipients"]


@pytest.mark.parametrize("token", ["", "junk", "expired", "revoked", "refresh"])
def test_a_token_that_is_not_live_is_unauthenticated(server, token):
    token_set = server.issue(expires_in=-1 if token == "expired" else None)
    if token == "revoked":
        server.revoke(token_set)
    value = {
        "expired": token_set.access_token,
        "revoked": token_set.access_token,
        "refresh": token_set.refresh_token,
    }.get(token, token)
    response = call(server, "GET", "/mailing-lists/", value)
    assert (response.status_code, response.json()) == (401, {"message": "Unauthenticated."})
    assert server.api_requests()[0].outcome == "unauthenticated"


def test_somebody_elses_order_is_a_401_of_another_kind(server):
    mine, other = server.issue(user_id=1), server.issue(user_id=2)
    order = call(server, "POST", "/send/postcard", mine.access_token, json=POSTCARD).json()
    for path in ("track", "items"):
        response = call(server, "GET", f"/orders/{order['id']}/{path}", other.access_token)
        assert response.status_code == 401
        assert response.json() == {"status": "failed", "errors": ["Unauthorized"]}
    assert call(server, "GET", "/orders/list", other.access_token).json()["data"] == []
    assert call(server, "GET", "/orders/1/track", mine.access_token).status_code == 404


def test_mailing_lists_tell_the_account_and_are_paged(server):
    token = server.issue(user_id=7).access_token
    body = call(server, "GET", "/mailing-lists/", token, params={"items_per_page": "1"}).json()
    assert body["data"][0]["user_id"] == 7
    assert (body["meta"]["per_page"], body["links"]["next"]) == ("1", None)
    server.api.mailing_lists = [{"id": number, "user_id": 7} for number in range(3)]
    body = call(server, "GET", "/mailing-lists/", token, params={"items_per_page": "2", "page": "2"}).json()
    assert [row["id"] for row in body["data"]] == [2]
    assert body["links"]["prev"].endswith("?page=1")


def test_public_catalogues_need_no_token(server):
    assert requests.get(f"{server.api_url}/handwriting-styles", timeout=10).status_code == 200
    [brand] = requests.get(f"{server.api_url}/giftcard-brands-list", timeout=10).json()["brands"]
    assert (brand["brand_code"], brand["group"]) == ("amazonus", "Featured")


def test_unknown_paths_and_methods(server):
    token = server.issue().access_token
    assert call(server, "GET", "/nothing", token).status_code == 404
    assert requests.get(f"{server.url}/elsewhere", timeout=10).status_code == 404
    assert requests.get(server.token_url, timeout=10).status_code == 405
    assert requests.post(server.authorize_url, timeout=10).status_code == 405
    response = call(server, "GET", "/ping", token)
    assert (response.status_code, response.headers["X-RateLimit-Limit"]) == (200, "120")
