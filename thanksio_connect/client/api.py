"""The client of thanks.io's API v2. A POST may cost money: nothing but a read is ever sent again by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from ..exceptions import ThanksIOConfigurationError
from .auth import BearerAuth
from .calls import MAX_BODY_BYTES, Caller, TokenSource
from .rate_limit import DOCUMENTED_PER_MINUTE, Pacer, RateLimit
from .resources.catalogue import GiftcardBrands, HandwritingStyles
from .resources.estimate import Estimate
from .resources.mailing_lists import MailingLists
from .resources.orders import OrderItems, Orders
from .resources.recipients import Recipients
from .resources.send import Send
from .resources.sub_accounts import SubAccounts
from .resources.templates import DynamicImages, ImageTemplates, MessageTemplates
from .resources.webhooks import Webhooks
from .retries import RetryPolicy
from .site import current_site
from .tokens import Secret
from .transport import Transport

__all__ = ["DEFAULT_API_URL", "MAX_BODY_BYTES", "RateLimit", "RetryPolicy", "ThanksIOClient", "TokenSource"]

DEFAULT_API_URL = "https://api.thanks.io/api/v2"


class ThanksIOClient:
    """Calls the API as one account, by resource: ``api.orders.list()``, ``api.send.postcard(...)``.

    ``get``, ``post``, ``put``, ``patch`` and ``delete`` are for what has no method yet. Each call raises the
    :class:`~thanksio_connect.exceptions.APIError` tree, ``NotSent``, ``OutcomeUnknown`` and whatever the token source
    raises; before anything is sent, ``UnsendableValue``, and ValueError or TypeError for a path or an id that is none.
    A read is tried again within reason (``retries``); the rest is sent once, or again after 401 ``Unauthenticated``.
    """

    send = cached_property(lambda self: Send(self._caller))
    estimate = cached_property(lambda self: Estimate(self._caller))
    orders = cached_property(lambda self: Orders(self._caller))
    order_items = cached_property(lambda self: OrderItems(self._caller))
    recipients = cached_property(lambda self: Recipients(self._caller))
    mailing_lists = cached_property(lambda self: MailingLists(self._caller))
    image_templates = cached_property(lambda self: ImageTemplates(self._caller))
    message_templates = cached_property(lambda self: MessageTemplates(self._caller))
    sub_accounts = cached_property(lambda self: SubAccounts(self._caller))
    handwriting_styles = cached_property(lambda self: HandwritingStyles(self._caller))
    giftcard_brands = cached_property(lambda self: GiftcardBrands(self._caller))
    webhooks = cached_property(lambda self: Webhooks(self._caller))
    build_image_template = cached_property(lambda self: DynamicImages(self._caller).build_image_template)

    def __init__(
        self,
        *,
        api_url: str,
        transport: Transport,
        tokens: TokenSource,
        connection_id: object = None,
        retries: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``connection_id`` stands in the log record of each call."""
        self._caller = Caller(
            api_url=api_url,
            transport=transport,
            tokens=tokens,
            connection_id=connection_id,
            retries=retries,
            sleep=sleep,
        )

    @classmethod
    def with_bearer_token(
        cls, token: str | None = None, *, api_url: str | None = None, transport: Transport | None = None
    ) -> ThanksIOClient:
        """A client of one's own account, by a personal bearer token from the thanks.io dashboard.

        What is left out is the site's: ``THANKSIO_BEARER_TOKEN``, ``THANKSIO_API_URL`` and the time limits. There is no
        connection and nothing to renew: a 401 raises Unauthorized. Raises ValueError for a token that no header can
        carry, and ThanksIOConfigurationError (``not_configured``) without any.
        """
        site = current_site()
        secret = Secret(token) if token is not None else site.bearer_token if site else Secret("")
        del token  # the traceback keeps this frame's locals
        if not secret and site is not None:
            raise ThanksIOConfigurationError("Give a token, or set THANKSIO_BEARER_TOKEN.", code="not_configured")
        BearerAuth(secret)
        if transport is None:
            transport = Transport(site.transport if site else None)
        url = api_url or (site.api_url if site else DEFAULT_API_URL)
        return cls(api_url=url, transport=transport, tokens=_BearerToken(secret))

    def paced(self, *, per_minute: float = DOCUMENTED_PER_MINUTE) -> ThanksIOClient:
        """The same client for a sweep in the background: it spreads its calls evenly, and waits out a 429.

        Its reads wait as long as thanks.io asks, up to a minute; where it does not say, they are tried for a minute.
        Use one and the same for the whole sweep.
        """
        client = object.__new__(type(self))
        retries = RetryPolicy(attempts=5, longest_wait_seconds=60, untold_wait_seconds=15)
        client._caller = self._caller.paced(Pacer(per_minute), retries)
        return client

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer to this client said of the rate limit; None before, or if it said nothing."""
        return self._caller.rate_limit

    def get(
        self,
        path: str,
        *,
        ids: Mapping[str, int | str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> Any:
        """Read. ``path`` is sent as given: ``/mailing-lists/`` ends with a slash, ``/webhooks`` does not.

        What comes from a user goes through ``ids``, which can't leave its place:
        ``get("/orders/{order_id}/track", ids={"order_id": text})``.
        """
        return self._caller.raw("GET", path, ids, params, json)

    def post(
        self,
        path: str,
        *,
        ids: Mapping[str, int | str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> Any:
        """Create. After ``OutcomeUnknown`` or ``ServerError`` look before you send it again."""
        return self._caller.raw("POST", path, ids, params, json)

    def put(
        self,
        path: str,
        *,
        ids: Mapping[str, int | str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> Any:
        """Replace, or cancel an order."""
        return self._caller.raw("PUT", path, ids, params, json)

    def patch(
        self,
        path: str,
        *,
        ids: Mapping[str, int | str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> Any:
        """Change."""
        return self._caller.raw("PATCH", path, ids, params, json)

    def delete(
        self,
        path: str,
        *,
        ids: Mapping[str, int | str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> Any:
        """Delete."""
        return self._caller.raw("DELETE", path, ids, params, json)


class _BearerToken:
    """A token that is never renewed."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def get_access_token(self) -> str:
        return self._token.reveal()

    def renew(self, rejected_access_token: Secret) -> None:
        """There is no other: the 401 comes through."""
