"""The story that the walkthrough plays, and what each step must leave behind at the product and at the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from example_project.demo import keys
from example_project.demo.browser import Browser, Page
from example_project.demo.evidence import Evidence, Mismatch, Tokens, expect
from example_project.demo.processes import Children

CONNECT = "/thanksio/connect/"
DISCONNECT = "/thanksio/disconnect/"
CALLBACK = "/thanksio/callback/"
ENCRYPTED_PREFIX = "gAAAA"  # how every Fernet token begins
LOGIN = {"username": "demo", "password": "demo"}
POSTCARD = {
    "message": "Dear Ada, thank you for trying this!",
    "name": "Ada Alder",
    "address": "12 Orchard Lane",
    "city": "Springfield",
    "province": "IL",
    "postal_code": "62701",
}
PRICE = "$1.18"
COMMAND_TIMEOUT_SECONDS = 60


@dataclass
class Story:
    product: str
    sandbox: str
    browser: Browser
    evidence: Evidence
    children: Children
    draft_url: str = ""

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "Sign in to the product", self.sign_in
        yield "Connect, and say no at the sandbox", self.deny
        yield "Connect, and allow it", self.allow
        yield "Price a postcard", self.estimate
        yield "Send it", self.send
        yield "Print it at the sandbox", self.print_it
        yield "Wait until the access token is dead", self.expire
        yield "Renew it with refresh_thanksio_tokens", self.refresh
        yield "Send another postcard", self.send_again
        yield "Disconnect", self.disconnect
        yield "Revoke the product's access at the sandbox", self.revoke

    def sign_in(self) -> str:
        page = self.browser.get(f"{self.product}/")
        expect("the page for a stranger", page.path, "/login/")
        page = self.browser.submit(page.form(has_field="password"), LOGIN)
        expect("the page after signing in", (page.status, page.url), (200, f"{self.product}/"))
        expect("connections of a new user", self.evidence.connection(), None)
        expect("tokens at the sandbox", self.evidence.tokens(), Tokens(0, 0, 0, 0, 0, 0, 0))
        return "signed in as demo, not connected yet"

    def deny(self) -> str:
        consent = self._consent()
        page = self.browser.submit(consent.form(has_field="client_id"))
        self._expect_return(page)
        expect("connections after a no", self.evidence.connection(), None)
        expect("answers at the sandbox", self.evidence.consents(), {"403": 1})
        expect("tokens at the sandbox", self.evidence.tokens(), Tokens(0, 0, 0, 0, 0, 0, 0))
        return "back at the product, nothing stored, no token given out"

    def allow(self) -> str:
        consent = self._consent()
        page = self.browser.submit(consent.form(has_field="client_id"), button="allow")
        self._expect_return(page)
        row = self._connection()
        expect("the connection's status and version", (row["status"], row["version"]), ("connected", 1))
        for column in ("access_token", "refresh_token"):
            expect(f"the start of {column} in the database", row[column][:5], ENCRYPTED_PREFIX)
        tokens = self.evidence.tokens()
        expect("code exchanges at the sandbox", tokens.exchanges, 1)
        expect("live tokens at the sandbox", (tokens.live_access, tokens.live_refresh), (1, 1))
        return "connected; one pair of tokens at the sandbox, encrypted at the product"

    def estimate(self) -> str:
        page = self._compose()
        expect("the price on the review page", PRICE in page.text, True)
        expect("orders at the sandbox", self.evidence.orders(), [])
        expect("postcards at the product", [row["status"] for row in self.evidence.postcards()], ["draft"])
        return f"the sandbox asks {PRICE}, nothing is ordered"

    def send(self) -> str:
        return self._send(1)

    def print_it(self) -> str:
        account = self.browser.get(f"{self.sandbox}/")
        self.browser.submit(account.form(action_ends="/move-on/1/"))
        expect("the order at the sandbox", self.evidence.orders()[0]["status"], "processing")
        self.evidence.wait_for(
            "the webhook at the product", lambda: self.evidence.postcards()[0]["order_status"] == "printing"
        )
        return "a webhook told the product"

    def expire(self) -> str:
        self.evidence.wait_for("the access token's end at the sandbox", lambda: self.evidence.tokens().live_access == 0)
        expect("live refresh tokens at the sandbox", self.evidence.tokens().live_refresh, 1)
        expect("the connection's status", self._connection()["status"], "connected")
        return "no live access token at the sandbox; the product's row is still connected"

    def refresh(self) -> str:
        before, row_before = self.evidence.tokens(), self._connection()
        summary = self._refresh_command()
        expect("tokens that the command renewed", summary.get("refreshed"), 1)
        row = self._connection()
        expect("the connection's status", row["status"], "connected")
        expect("the connection's version", row["version"], row_before["version"] + 1)
        self._expect_refreshed(before, 1)
        again = self._refresh_command().get("refreshed")
        self._expect_refreshed(before, 1 + int(str(again)))
        second_run = "had nothing to do" if again == 0 else "renewed it once more: this machine is slow"
        return f"one renewal, the old pair revoked; a second run {second_run}"

    def send_again(self) -> str:
        self._compose()
        return self._send(2)

    def disconnect(self) -> str:
        page = self.browser.get(f"{self.product}/thanksio/")
        expect("a link to disconnect on the status page", f"{self.product}{DISCONNECT}" in page.links, True)
        page = self.browser.get(f"{self.product}{DISCONNECT}")
        page = self.browser.submit(page.form(action_ends=DISCONNECT))
        expect("the page after disconnecting", page.status, 200)
        expect("connections after disconnecting", self.evidence.connection(), None)
        expect("orders at the sandbox", len(self.evidence.orders()), 2)
        page = self.browser.get(f"{self.product}/")
        page.form(action_ends=CONNECT)
        return "the row and its tokens are gone; the product offers to connect again"

    def revoke(self) -> str:
        account = self.browser.get(f"{self.sandbox}/")
        self.browser.submit(account.form(action_ends="/revoke/1/"))
        tokens = self.evidence.tokens()
        expect("live tokens at the sandbox", (tokens.live_access, tokens.live_refresh), (0, 0))
        expect("connections at the product", self.evidence.connection(), None)
        return "no token is alive any more"

    def _consent(self) -> Page:
        """Press Connect at the product, log in at the sandbox if it asks, and stand on the consent page."""
        page = self.browser.get(f"{self.product}/")
        page = self.browser.submit(page.form(action_ends=CONNECT))
        expect("where Connect leads", page.origin, self.sandbox)
        if page.path == "/login":
            page = self.browser.submit(page.form(has_field="password"), LOGIN)
        expect("the consent page", (page.status, page.path), (200, "/oauth/authorize"))
        return page

    def _expect_return(self, page: Page) -> None:
        expect("a call of the product's callback", f"{self.product}{CALLBACK}" in page.hops, True)
        expect("the page after the callback", (page.status, page.origin), (200, self.product))

    def _connection(self) -> dict[str, object]:
        row = self.evidence.connection()
        if row is None:
            raise Mismatch("the product's connection", "a row", None)
        return row

    def _compose(self) -> Page:
        page = self.browser.get(f"{self.product}/postcards/new/")
        page = self.browser.submit(page.form(has_field="postal_code"), POSTCARD)
        expect("the review page", (page.status, page.path.endswith("/review/")), (200, True))
        self.draft_url = page.url
        return page

    def _send(self, number: int) -> str:
        """Send the newest draft; both sides must name the same order, and count the same renewals."""
        page = self.browser.get(f"{self.product}{self._review_path()}")
        page = self.browser.submit(page.form(action_ends="/send/"))
        expect("the page after sending", page.status, 200)
        postcard, orders = self.evidence.postcards()[-1], self.evidence.orders()
        expect("orders at the sandbox", len(orders), number)
        order = orders[-1]
        expect("the product's postcard", (postcard["status"], postcard["order_id"]), ("sent", order["id"]))
        key = (order["metadata"] or {}).get("send_once_key", "")
        expect("the key in the order's metadata", key, f"postcard-{UUID(postcard['reference'])}")
        expect("the message that arrived", order["message"], POSTCARD["message"])
        expect("renewals counted on both sides", self._connection()["version"], 1 + self.evidence.tokens().refreshes)
        return f"order #{order['id']} arrived, and the product knows it"

    def _review_path(self) -> str:
        return urlsplit(self.draft_url).path

    def _expect_refreshed(self, before: Tokens, times: int) -> None:
        after = self.evidence.tokens()
        expect("renewals at the sandbox", after.refreshes, before.refreshes + times)
        # The new access token is short-lived too: on a slow machine it may be over already.
        expect("access tokens that were not revoked", after.live_access + after.expired_access, 1)
        expect("live refresh tokens", after.live_refresh, 1)
        expect("revoked access tokens", after.revoked_access, before.revoked_access + times)
        expect("revoked refresh tokens", after.revoked_refresh, before.revoked_refresh + times)

    def _refresh_command(self) -> dict[str, object]:
        """Run the command as cron would. Its summary; raises Mismatch when it did not end well."""
        done = subprocess.run(
            [sys.executable, "manage.py", "refresh_thanksio_tokens", "--json"],
            cwd=keys.REPOSITORY,
            env=dict(self.children.environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        expect(f"the command's exit status ({done.stderr[-300:]})", done.returncode, 0)
        return dict(json.loads(done.stdout))
