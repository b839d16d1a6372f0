"""The fake thanks.io as one object: server, provider, log and faults. Needs no Django settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.testing import webhooks
from thanksio_connect.testing.api_endpoints import PREFIX, APIEndpoints
from thanksio_connect.testing.dispatch import AUTHORIZE_PATH, TOKEN_PATH, Dispatcher
from thanksio_connect.testing.faults import Fault, FaultPlan, FaultSource
from thanksio_connect.testing.grants import Grant, GrantLike, Pair, access_token_of, clear_text
from thanksio_connect.testing.lifecycle import LocalServer
from thanksio_connect.testing.oauth_endpoints import OAuthEndpoints
from thanksio_connect.testing.pages import Pages
from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestLog, RequestRecord
from thanksio_connect.testing.refusals import DIALECTS, Dialect


class ThanksIOServer(LocalServer):
    """A thanks.io of your own on a free port of 127.0.0.1. Use it as a context manager, or start() and stop()
    it.

    Everything may be called while requests run, from any thread; other processes reach it by its URLs.
    """

    def __init__(
        self,
        *,
        dialect: Dialect = "league9",
        rotate: bool = True,
        reuse_detection: bool = False,
        access_token_seconds: float = 3600.0,
        refresh_token_seconds: float = 30 * 86400.0,
        jwt: bool = True,
        client_id: str = "test-client",
        client_secret: str = "test-secret",  # noqa: S107 - it opens nothing but this fake
        redirect_uris: list[str] | None = None,
        user_id: str = "1",
        port: int = 0,
        auto_allow: bool = True,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect is one of {', '.join(DIALECTS)}")
        self.provider = Provider(
            rotate=rotate,
            reuse_detection=reuse_detection,
            access_token_seconds=access_token_seconds,
            refresh_token_seconds=refresh_token_seconds,
            jwt=jwt,
        )
        self.oauth = OAuthEndpoints(
            self.provider,
            dialect=dialect,
            client_id=client_id,
            client_secret=client_secret,
            redirect_uris=redirect_uris,
            user_id=user_id,
            auto_allow=auto_allow,
        )
        self.api = APIEndpoints(self.provider)
        self.log = RequestLog()
        self.faults = FaultPlan()
        pages = Pages(self.provider, self.settings)
        super().__init__(Dispatcher(self.oauth, self.api, pages, self.log, FaultPlan()), port)

    # Addresses

    @property
    def authorize_url(self) -> str:
        return self.url + AUTHORIZE_PATH

    @property
    def token_url(self) -> str:
        return self.url + TOKEN_PATH

    @property
    def api_url(self) -> str:
        return self.url + PREFIX

    def settings(self) -> dict[str, str]:
        """Return the ``THANKSIO_*`` settings (or environment variables) that point the app at this server."""
        return {
            "THANKSIO_CLIENT_ID": self.oauth.client_id,
            "THANKSIO_CLIENT_SECRET": self.oauth.client_secret,
            "THANKSIO_AUTHORIZE_URL": self.authorize_url,
            "THANKSIO_TOKEN_URL": self.token_url,
            "THANKSIO_API_URL": self.api_url,
        }

    # Grants

    @property
    def grants(self) -> list[Grant]:
        return list(self.provider.grants)

    def issue(self, *, user_id: object = "1", scope: str = "", expiry_known: bool = True, **options: Any) -> TokenSet:
        """Mint a pair as if the user had just connected.

        Options: ``expires_in`` (seconds; negative: already expired; default: the server's lifetime),
        ``with_refresh_token``, ``token_length`` (characters). ``expiry_known=False`` gives a token set that
        does not say when it expires.
        """
        pair = self.provider.issue(user_id=str(user_id), client_id=self.oauth.client_id, scope=scope, **options)
        pair.reply = "issued"
        return TokenSet(
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            scope=scope,
            expires_at=datetime.fromtimestamp(pair.access.expires_at, UTC) if expiry_known else None,
        )

    def grant_of(self, what: GrantLike) -> Grant:
        """Return the grant of a connection, a token set, a token, or a grant's id. Raises ``LookupError``."""
        if isinstance(what, Grant):
            return what
        value = access_token_of(what)
        token = self.provider.find(value)
        if token is not None:
            return token.grant
        for grant in self.provider.grants:
            if grant.id == value:
                return grant
        raise LookupError("The provider knows no such grant or token")

    def is_live(self, token: str | None) -> bool:
        """True if the provider would accept this access or refresh token now."""
        return self.provider.is_live(clear_text(token or ""))

    def cause_of_death(self, token: str) -> str | None:
        """Return what a token died of (``"rotated"``, ``"revoked_by_user"`` …), None while it lives."""
        value = clear_text(token)
        known = self.provider.find(value)
        if known is None:
            return "unknown"
        return known.cause_of_death or (None if self.provider.is_live(value) else "expired")

    def live_pair(self, grant: GrantLike) -> Pair | None:
        """Return the pair that a client must hold to go on; its ``reply`` says whether it was ever told."""
        return self.provider.live_pair(self.grant_of(grant))

    def revoke(self, grant: GrantLike, cause: str = "revoked_by_user") -> None:
        """Kill a grant, as its user can at thanks.io."""
        self.provider.revoke(self.grant_of(grant), cause)

    def expire_access_token(self, grant: GrantLike) -> None:
        """Let the access token be past its time; the refresh token stays good."""
        self.provider.expire_access_token(self.grant_of(grant))

    # Faults

    def next_token(self, **options: Any) -> Fault:
        """Plan a :class:`Fault` for the next token request (or the next ``times``, or matching ones)."""
        return self.faults.add("token", Fault(**options))

    def next_api(self, path: str | None = None, **options: Any) -> Fault:
        """Plan a :class:`Fault` for the next API request; ``path`` is a prefix below the API URL."""
        return self.faults.add("api", Fault(path=None if path is None else PREFIX + path, **options))

    def next_authorize(self, **options: Any) -> Fault:
        """Plan a :class:`Fault` for the next visit to the authorization page."""
        return self.faults.add("authorize", Fault(**options))

    def on_token(self, source: FaultSource) -> None:
        """Call ``source(record)`` for each token request that no planned fault takes; it may return one."""
        self.faults.add_source("token", source)

    def on_api(self, source: FaultSource) -> None:
        """Call ``source(record)`` for each API request that no planned fault takes; it may return one."""
        self.faults.add_source("api", source)

    def deny(self) -> None:
        """Let the user say no at the authorization page, from now on."""
        self.oauth.user_answer = "deny"

    def allow(self) -> None:
        """Let the user say yes (the default)."""
        self.oauth.user_answer = "allow"

    # Webhooks

    def send_webhook(
        self,
        event_type: str = "order.status_update",
        data: Mapping[str, Any] | None = None,
        *,
        user_id: object = None,
        event_id: str | None = None,
    ) -> list[int]:
        """Send an event to each webhook of this type that was registered through the API; return the answers' status.

        ``data`` has thanks.io's keys with dots (``"order.id"``); what it does not say is as in thanks.io's examples.
        ``user_id`` picks the webhooks of one thanks.io user. The same ``event_id`` again is the same event again.
        """
        event = webhooks.envelope(event_type, data or {}, event_id, self.provider.clock())
        statuses = []
        for row in self.api.account.rows["webhooks"].copy():
            if row["type"] == event_type and (user_id is None or str(row["user_id"]) == str(user_id)):
                row["invoke_count"] += 1
                statuses.append(webhooks.deliver(row["url"], row["verb"], event))
        return statuses

    def visit(self, url: str) -> str:
        """Open an authorization URL as the user's browser does; return where the answer sends the browser.

        That is the callback's URL with ``code`` and ``state`` (or ``error``), for the test client to open.
        Raises ``ValueError`` with the page's text if thanks.io shows an error page instead.
        """
        parts = urlsplit(url)
        connection = HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}")
            response = connection.getresponse()
            page = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        location = response.getheader("Location")
        if location is None:
            raise ValueError(f"No redirect but {response.status}: {page}")
        return location

    # Log

    @property
    def requests(self) -> list[RequestRecord]:
        return self.log.all()

    def token_requests(self, grant_type: str | None = None) -> list[RequestRecord]:
        """What the token endpoint was asked, of one grant type or all."""
        return [
            record for record in self.log.all() if record.target == "token" and grant_type in (None, record.grant_type)
        ]

    def api_requests(self, path: str | None = None) -> list[RequestRecord]:
        """Return the API requests, all or those below ``path`` (relative to the API URL)."""
        wanted = PREFIX + (path or "")
        return [record for record in self.log.all() if record.target == "api" and record.path.startswith(wanted)]

    def count(self, grant_type: str) -> int:
        """Return how many token requests of this grant type arrived."""
        return len(self.token_requests(grant_type))

    def wait_for_token_requests(self, count: int = 1, *, timeout_seconds: float = 10.0) -> list[RequestRecord]:
        """Return the token requests once ``count`` have arrived (answered or not)."""

        def enough(records: list[RequestRecord]) -> bool:
            return sum(record.target == "token" for record in records) >= count

        self.log.wait(enough, timeout_seconds=timeout_seconds)
        return self.token_requests()
