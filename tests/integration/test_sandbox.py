"""The stand-in for thanks.io, as a real process: what it promises, and in whose words."""

import base64
import hashlib
import json
import secrets
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from example_project.demo import keys, processes
from example_project.demo.browser import Browser
from tests.prepared_demo import copy_demo

REDIRECT_URI = "http://localhost:1/thanksio/callback/"
POSTCARD = {
    "size": "4x6",
    "front_image_url": "https://example.com/front.png",
    "message": "Hello",
    "recipients": [{"name": "Ada", "address": "1 Main Street", "country": "US"}],
    "metadata": {"reference": "abc"},
}


class Sandbox:
    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.inspection_key = environment["SANDBOX_INSPECTION_KEY"]
        self.client_id = environment["THANKSIO_CLIENT_ID"]
        self.client_secret = environment["THANKSIO_CLIENT_SECRET"]
        self.http = requests.Session()
        self.http.trust_env = False

    def code(self, username: str = "demo", *, verifier: str | None = None, allow: bool = True) -> dict[str, str]:
        """Log in, decide on the consent page, and hand back what the callback would be told."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "state": "the-state",
        }
        if verifier:
            digest = hashlib.sha256(verifier.encode()).digest()
            query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            query["code_challenge_method"] = "S256"
        browser = Browser()
        page = browser.get(f"{self.url}/oauth/authorize?{urlencode(query)}")
        consent = browser.submit(page.form(has_field="password"), {"username": username, "password": username})
        form = consent.form(has_field="client_id")
        data = form.fields | ({"allow": "Allow"} if allow else {})
        answer = browser._session.post(form.action, data=data, allow_redirects=False, timeout=30)
        browser.close()
        assert answer.status_code == 302
        target = urlsplit(answer.headers["Location"])
        assert f"{target.scheme}://{target.netloc}{target.path}" == REDIRECT_URI
        return {name: values[0] for name, values in parse_qs(target.query).items()}

    def token(self, **form: str) -> requests.Response:
        data = {"client_id": self.client_id, "client_secret": self.client_secret} | form
        return self.http.post(f"{self.url}/oauth/token", data=data, timeout=30)

    def exchange(self, code: str, **form: str) -> requests.Response:
        return self.token(**{"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "code": code} | form)

    def refresh(self, refresh_token: str, **form: str) -> requests.Response:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": refresh_token} | form)

    def connect(self, username: str = "demo") -> dict:
        verifier = secrets.token_urlsafe(48)
        answer = self.exchange(self.code(username, verifier=verifier)["code"], code_verifier=verifier)
        assert answer.status_code == 200
        return answer.json()

    def api(self, method: str, path: str, token: str | None, **kwargs) -> requests.Response:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.request(method, f"{self.url}/api/v2{path}", headers=headers, timeout=30, **kwargs)

    def records(self) -> dict:
        headers = {"X-Sandbox-Key": self.inspection_key}
        return self.http.get(f"{self.url}/_sandbox/records", headers=headers, timeout=30).json()


def start(directory: Path, template: Path, **extra: str):
    """Context manager and address of a sandbox with its own directory."""
    copy_demo(template, directory)
    _, port = processes.free_ports()
    address = processes.Address("127.0.0.1", port)
    environment = keys.child_environment(directory, "http://localhost:1", address.url) | extra
    children = processes.Children(environment, directory)
    preparation = children.start("sandbox", "-m", "example_project.demo.prepare", "sandbox")
    assert preparation.wait(60) == 0, processes.tail(children.log_file("sandbox"))
    process = children.start("sandbox", "-m", "example_project.demo.serve", "sandbox", f"127.0.0.1:{port}")
    processes.wait_until_ready(children, process, "sandbox", f"{address.url}/login")
    made = dict(line.split("=", 1) for line in (directory / "demo.env").read_text().splitlines())
    return children, Sandbox(address.url, made)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, prepared_demo):
    children, running = start(tmp_path_factory.mktemp("sandbox"), prepared_demo, SANDBOX_RATE_LIMIT_PER_MINUTE="100000")
    with children:
        yield running
        running.http.close()


@pytest.fixture(scope="module")
def token(sandbox):
    return sandbox.connect()["access_token"]


@pytest.mark.compliance("RFC 6749", "5.1")
def test_code_is_exchanged_for_a_pair_in_the_shape_of_passport(sandbox):
    body = sandbox.connect()
    assert list(body) == ["token_type", "expires_in", "access_token", "refresh_token"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 120)
    assert len(body["access_token"]) > 900
    assert len(body["refresh_token"]) == 700


def test_denial_comes_back_with_the_state(sandbox):
    assert sandbox.code(allow=False) == {"error": "access_denied", "state": "the-state"}


@pytest.mark.compliance("RFC 6749", "4.1.2")
def test_code_works_once(sandbox):
    code = sandbox.code()["code"]
    assert sandbox.exchange(code).status_code == 200
    again = sandbox.exchange(code)
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"
    assert again.json()["hint"] == "Authorization code has been revoked"


@pytest.mark.compliance("RFC 7636", "4.6")
def test_wrong_code_verifier_is_refused(sandbox):
    code = sandbox.code(verifier="a" * 43)["code"]
    refused = sandbox.exchange(code, code_verifier="b" * 43)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert refused.json()["hint"] == "Failed to verify `code_verifier`."


@pytest.mark.compliance("RFC 7636", "4.5")
def test_missing_code_verifier_is_refused(sandbox):
    refused = sandbox.exchange(sandbox.code(verifier="a" * 43)["code"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert refused.json()["hint"] == "Check the `code_verifier` parameter"


def test_refresh_kills_the_old_pair_at_once(sandbox):
    old = sandbox.connect("second")
    before = _counts(sandbox, "second")
    new = sandbox.refresh(old["refresh_token"]).json()
    assert new["access_token"] != old["access_token"]
    assert sandbox.api("GET", "/ping", old["access_token"]).json() == {"message": "Unauthenticated."}
    assert sandbox.api("GET", "/ping", new["access_token"]).status_code == 200
    refused = sandbox.refresh(old["refresh_token"])
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "invalid_grant",
        "error_description": "The refresh token is invalid.",
        "hint": "Token has been revoked",
    }
    after = _counts(sandbox, "second")
    assert after["access_tokens"]["live"] == before["access_tokens"]["live"]
    assert after["access_tokens"]["revoked"] == before["access_tokens"]["revoked"] + 1
    assert after["refresh_tokens"]["live"] == before["refresh_tokens"]["live"]
    assert after["refresh_tokens"]["revoked"] == before["refresh_tokens"]["revoked"] + 1
    assert sandbox.refresh(new["refresh_token"]).status_code == 200, "a replay must not kill the new pair"


def test_of_refreshes_at_the_same_moment_one_wins(sandbox):
    from concurrent.futures import ThreadPoolExecutor

    old = sandbox.connect()["refresh_token"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sandbox.refresh(old), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400, 400]


@pytest.mark.parametrize(
    ("form", "status", "error", "hint"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", None),
        ({"client_id": "unknown"}, 401, "invalid_client", None),
        ({"refresh_token": "junk"}, 400, "invalid_grant", "Cannot decrypt the refresh token"),
        ({"refresh_token": ""}, 400, "invalid_request", "Check the `refresh_token` parameter"),
        (
            {"grant_type": "magic"},
            400,
            "unsupported_grant_type",
            "Check that all required parameters have been provided",
        ),
    ],
)
def test_errors_are_worded_as_league_does(sandbox, form, status, error, hint):
    answer = sandbox.token(**{"grant_type": "refresh_token", "refresh_token": "some-token"} | form)
    assert (answer.status_code, answer.json()["error"], answer.json().get("hint")) == (status, error, hint)
    assert "no-store" in answer.headers["Cache-Control"]


def test_unregistered_redirect_uri_ends_at_the_sandbox(sandbox):
    query = urlencode({"response_type": "code", "client_id": sandbox.client_id, "redirect_uri": "http://evil.example/"})
    browser = Browser()
    page = browser.get(f"{sandbox.url}/oauth/authorize?{query}")
    shown = browser.submit(page.form(has_field="password"), {"username": "demo", "password": "demo"})
    browser.close()
    assert shown.status == 400
    assert shown.origin == sandbox.url
    assert "can't be granted" in shown.text


def test_revoking_access_kills_every_token(sandbox):
    pair = sandbox.connect("second")
    browser = Browser()
    page = browser.get(f"{sandbox.url}/")
    account = browser.submit(page.form(has_field="password"), {"username": "second", "password": "second"})
    assert "has access" in account.text
    account = browser.submit(account.form(action_ends="/revoke/1/"))
    browser.close()
    assert "Postlight no longer has access" in account.text
    assert sandbox.api("GET", "/ping", pair["access_token"]).status_code == 401
    assert sandbox.refresh(pair["refresh_token"]).json()["hint"] == "Token has been revoked"
    counts = _counts(sandbox, "second")
    assert (counts["access_tokens"]["live"], counts["refresh_tokens"]["live"]) == (0, 0)


@pytest.mark.parametrize("token", [None, "bogus"])
@pytest.mark.parametrize("path", ["/ping", "/mailing-lists/", "/orders/list", "/image-templates/"])
def test_call_without_a_living_token_is_refused(sandbox, path, token):
    answer = sandbox.api("GET", path, token)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthenticated."})


def test_handwriting_styles_are_public(sandbox):
    answer = sandbox.api("GET", "/handwriting-styles", "bogus")
    assert answer.status_code == 200
    assert set(answer.json()["data"][0]) == {"handwriting_style_id", "sample", "name", "type"}


def test_mailing_lists_are_created_and_paged(sandbox, token):
    made = sandbox.api("POST", "/mailing-lists/", token, json={"description": "Birthdays"})
    assert made.status_code == 201
    assert set(made.json()) == {
        *("type", "description", "sub_account_id", "user_id", "updated_at", "created_at", "id"),
    }
    listed = sandbox.api("GET", "/mailing-lists/", token, params={"items_per_page": "1"}).json()
    assert [row["id"] for row in listed["data"]] == [made.json()["id"]]
    assert listed["data"][0]["user_id"] == made.json()["user_id"]
    assert (listed["meta"]["total"], listed["meta"]["per_page"], listed["meta"]["last_page"]) == (2, "1", 2)
    assert listed["links"]["next"].endswith("/mailing-lists?page=2")


def test_estimate_prices_and_orders_nothing(sandbox, token):
    before = sandbox.records()
    answer = sandbox.api("POST", "/estimate/postcard", token, json=POSTCARD)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert (data["total_cost_in_cents"], data["total_cost"], data["total_recipients"]) == (118, "$1.18", 1)
    assert data["costs_in_cents"]["grand_total"] == 118
    assert sandbox.records() == before
    assert answer.headers["x-ratelimit-limit"] == "100000"
    assert int(answer.headers["x-ratelimit-remaining"]) < 100000


def test_preview_orders_nothing(sandbox, token):
    before = sandbox.records()
    answer = sandbox.api("POST", "/send/postcard", token, json={**POSTCARD, "preview": True}).json()
    assert answer["success"] is True
    assert answer["data"]["previews"][0] == POSTCARD["front_image_url"]
    assert sandbox.http.get(answer["data"]["previews"][1], timeout=30).status_code == 200
    assert sandbox.records() == before


def test_order_is_sent_listed_tracked_and_cancelled(sandbox, token):
    sent = sandbox.api("POST", "/send/postcard", token, json=POSTCARD).json()
    assert (sent["status"], sent["display_status"], sent["authorization_total"]) == (
        "reviewing",
        "Reviewing",
        118,
    )
    assert (sent["metadata"], sent["display_type"], sent["method"]) == (
        {"reference": "abc"},
        "Postcard-4x6",
        "api",
    )
    listed = sandbox.api("GET", "/orders/list", token).json()["data"][0]
    assert (listed["id"], listed["status"], listed["cancellable"]) == (sent["id"], "Reviewing", True)
    assert "user_id" not in listed
    tracked = sandbox.api("GET", f"/orders/{sent['id']}/track", token).json()["data"]
    assert (tracked["id"], tracked["stats"]["processing"]) == (sent["id"], 1)
    items = sandbox.api("GET", f"/orders/{sent['id']}/items", token).json()
    assert (items["data"][0]["recipient"]["name"], items["meta"]["per_page"]) == ("Ada", 50)
    cancelled = sandbox.api("PUT", f"/orders/{sent['id']}/cancel", token).json()["order"]
    assert (cancelled["id"], cancelled["status"]) == (sent["id"], "cancelled")
    assert sandbox.records()["users"][0]["orders"][-1]["status"] == "cancelled"


class Receiver(BaseHTTPRequestHandler):
    events: ClassVar[list[dict]] = []

    def do_POST(self):
        self.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_order_that_moves_on_is_told_to_its_webhook_and_can_no_longer_be_cancelled(sandbox):
    token = sandbox.connect("second")["access_token"]
    sent = sandbox.api("POST", "/send/postcard", token, json=POSTCARD).json()
    browser = Browser()
    page = browser.get(f"{sandbox.url}/")
    account = browser.submit(page.form(has_field="password"), {"username": "second", "password": "second"})
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        fields = {"url": f"http://127.0.0.1:{server.server_port}/", "type": "order.status_update", "verb": "post"}
        webhook = sandbox.api("POST", "/webhooks", token, json=fields).json()
        account = browser.submit(account.form(action_ends=f"/move-on/{sent['id']}/"))
        server.shutdown()
    account = browser.submit(account.form(action_ends=f"/move-on/{sent['id']}/"))  # nobody answers now
    browser.close()
    [event] = Receiver.events
    assert event["event_type"] == "order.status_update"
    assert event["data"] == {
        "order.id": sent["id"],
        "order.status": "Printing",
        "order.previous_status": "reviewing",
        "order.current_status": "processing",
        "order.metadata": {"reference": "abc"},
    }
    tracked = sandbox.api("GET", f"/orders/{sent['id']}/track", token).json()["data"]
    assert (tracked["order"]["status"], tracked["stats"]["in_transit"]) == ("Shipped", 1)
    assert sandbox.api("PUT", f"/orders/{sent['id']}/cancel", token).json()["order"]["status"] == "shipped"
    listed = sandbox.api("GET", "/webhooks", token).json()
    assert (listed["can_manage_webhooks"], listed["data"][0]["invoke_count"]) == (True, 2)
    assert sandbox.api("DELETE", f"/webhooks/{webhook['id']}", token).json() == {"status": "success"}


def test_webhooks_are_changed_and_deleted_by_their_owner_only(sandbox, token):
    fields = {"url": "http://127.0.0.1:1/", "type": "order.status_update", "verb": "post"}
    assert list(sandbox.api("POST", "/webhooks", token, json={"url": "x"}).json()["errors"]) == ["type", "verb"]
    made = sandbox.api("POST", "/webhooks", token, json=fields)
    assert made.status_code == 201
    path = f"/webhooks/{made.json()['id']}"
    stranger = sandbox.connect("second")["access_token"]
    assert sandbox.api("DELETE", path, stranger).status_code == 404
    changed = sandbox.api("PUT", path, token, json=fields | {"url": "http://127.0.0.1:2/"}).json()
    assert (changed["id"], changed["url"]) == (made.json()["id"], "http://127.0.0.1:2/")
    assert sandbox.api("DELETE", path, token).status_code == 200
    assert sandbox.api("DELETE", path, token).status_code == 404


def test_somebody_elses_order_is_refused_without_blaming_the_token(sandbox, token):
    sent = sandbox.api("POST", "/send/postcard", token, json=POSTCARD).json()
    stranger = sandbox.connect("second")["access_token"]
    answer = sandbox.api("GET", f"/orders/{sent['id']}/items", stranger)
    assert (answer.status_code, answer.json()) == (401, {"status": "failed", "errors": ["Unauthorized"]})
    assert sandbox.api("GET", "/orders/999999/items", token).json() == {"message": "Not Found"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"recipients": []}, "recipients"),
        ({"recipients": "Ada"}, "recipients"),
        ({"recipients": [{"name": "Ada"}]}, "recipients.0.address"),
        ({"front_image_url": None}, "front_image_url"),
        ({"front_image_url": "file:///etc/passwd"}, "front_image_url"),
        ({"size": "9x9"}, "size"),
        ({"message": 7}, "message"),
        ({"image_template_id": 999}, "image_template_id"),
        ({"image_template_id": True}, "image_template_id"),
        ({"handwriting_style_id": {}}, "handwriting_style_id"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": "b" * 9000}}, "metadata"),
        ({"radius_search": {"address": "x"}}, "radius_search"),
    ],
)
def test_bad_postcard_names_the_field(sandbox, token, change, field):
    for kind in ("estimate", "send"):
        answer = sandbox.api("POST", f"/{kind}/postcard", token, json=POSTCARD | change)
        assert answer.status_code == 422
        body = answer.json()
        assert (body["message"], body["failure"]) == ("The given data was invalid.", True)
        assert list(body["errors"]) == [field]


def test_body_that_is_no_json_object_is_refused(sandbox, token):
    for raw in (b"[]", b"{", b"\xff"):
        assert sandbox.api("POST", "/send/postcard", token, data=raw).status_code == 422


def test_mailing_list_of_somebody_else_does_not_exist(sandbox, token):
    foreign = sandbox.records()["users"][1]["mailing_lists"][0]
    body = {**POSTCARD, "recipients": [], "mailing_list_ids": [foreign]}
    answer = sandbox.api("POST", "/send/postcard", token, json=body)
    assert (answer.status_code, answer.json()) == (400, {"message": "Mailing List Does Not Exist"})


def test_records_hold_no_token_and_need_the_key(sandbox):
    pair = sandbox.connect()
    written = json.dumps(sandbox.records())
    assert pair["access_token"] not in written
    assert pair["refresh_token"] not in written
    assert sandbox.http.get(f"{sandbox.url}/_sandbox/records", timeout=30).status_code == 404


def test_tokens_and_limits_of_a_sandbox_of_its_own(tmp_path, prepared_demo):
    children, running = start(
        tmp_path, prepared_demo, SANDBOX_ACCESS_TOKEN_SECONDS="1", SANDBOX_RATE_LIMIT_PER_MINUTE="0"
    )
    with children:
        pair = running.connect()
        throttled = running.api("GET", "/ping", pair["access_token"])
        assert (throttled.status_code, throttled.json()) == (429, {"message": "Too Many Attempts."})
        assert 1 <= int(throttled.headers["Retry-After"]) <= 60
        _wait_for(lambda: _counts(running, "demo")["access_tokens"]["expired"] == 1)
        assert running.api("GET", "/ping", pair["access_token"]).status_code == 401
        assert running.refresh(pair["refresh_token"]).status_code == 200
        assert pair["refresh_token"] not in processes.tail(children.log_file("sandbox"), 1000)
        assert "code=" not in processes.tail(children.log_file("sandbox"), 1000)
        running.http.close()


def _counts(sandbox: Sandbox, username: str) -> dict:
    return next(user for user in sandbox.records()["users"] if user["username"] == username)["clients"][0]


def _wait_for(condition) -> None:
    import time

    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
