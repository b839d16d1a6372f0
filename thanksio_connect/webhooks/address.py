"""A connection's own address for webhooks: a URL that nobody can guess, for thanks.io signs nothing.

Its token has 256 random bits and stands encrypted in the token row, so that two workers that register at once use the
same one; beside it stands its SHA-256, by which a request's connection is found. So the time of a look-up says nothing
of a token, and whoever reads the database can't send events. A reconnect keeps both, a disconnect ends them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.db import connections, models, router, transaction
from django.views.decorators.debug import sensitive_variables

from ..client.tokens import Secret
from ..client.urls import is_base_url, is_secure_url
from ..conf import app_settings
from ..database import facts, sessions
from ..exceptions import NotConnected, ThanksIOConfigurationError, TokenUndecryptable
from ..fields import sealed

LOCK_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Address:
    """``token`` is the URL's last part. ``former_digest``: of the one that could no longer be decrypted."""

    token: Secret
    former_digest: str = ""

    def url(self, base: str) -> str:
        """Where thanks.io is to send events: below ``base``."""
        return f"{base.rstrip('/')}/{self.token.reveal()}/"

    def is_in(self, url: object) -> bool:
        """Whether a registered URL is this connection's, on whatever site."""
        last = urlsplit(url).path.rstrip("/").rpartition("/")[2] if isinstance(url, str) else ""
        mine = (digest(self.token.reveal()), self.former_digest)
        return any(hmac.compare_digest(digest(last), each) for each in mine)


def digest(token: str) -> str:
    """What the database finds a token by. It is random and long: no salt would make it harder to find."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def base_url(url: str) -> str:
    """Where ``thanksio_connect.webhook_urls`` is included. Raises ThanksIOConfigurationError if nothing says so.

    Raises ``ValueError`` for a ``url`` that is plain http (the token and the recipients' addresses go there), and for
    one with a query or a fragment.
    """
    if url and not is_secure_url(url):
        raise ValueError("url must be an absolute https:// URL (plain http only to localhost, 127.0.0.0/8 or [::1]).")
    if not is_base_url(url):
        raise ValueError("url must have no query and no fragment: the address is put at its end.")
    if base := url or app_settings.webhooks_url:
        return base
    raise ThanksIOConfigurationError(
        "THANKSIO_WEBHOOKS_URL is not set. It is the absolute URL at which your URLconf includes "
        "thanksio_connect.webhook_urls, such as https://shop.example/thanksio/webhooks/."
    )


class _Outrun(Exception):
    """Another worker has made the address in between."""


def address_of(tokens: models.Model) -> Address:
    """The connection's address, made and committed if there is none, also inside the caller's transaction.

    thanks.io is told of it next, which no rollback takes back. Raises NotConnected if the row is gone.
    """
    alias = router.db_for_write(type(tokens), instance=tokens)
    step = partial(_take_or_make, tokens=tokens, fresh=Secret(secrets.token_urlsafe(32)))
    in_testcase = facts.in_testcase(alias)
    is_beside = facts.in_transaction(alias) and not in_testcase and not facts.obstacle_beside_a_transaction(alias)
    try:
        address = sessions.committed(alias, step, on_callers=not is_beside, on_private=not in_testcase)
        if address is None and is_beside:  # the transaction itself has made the row
            address = sessions.committed(alias, step, on_private=False)
    except _Outrun:
        return address_of(tokens)
    if address is None:
        raise NotConnected
    return address


@sensitive_variables()
def _take_or_make(using: str, *, tokens: Any, fresh: Secret) -> Address | None:
    """One short step. First a read: MariaDB's UPDATE would wait for a row that the caller has just inserted."""
    rows = type(tokens)._base_manager.using(using).filter(connection_id=tokens.connection_id)
    with transaction.atomic(using=using), facts.lock_wait(connections[using], LOCK_WAIT_SECONDS):
        row = rows.only("webhook_token", "webhook_digest").first()
        if row is None:
            return None
        if row.webhook_digest and (token := _revealed(row.webhook_token)) is not None:
            return Address(token)
        values = {"webhook_token": sealed(fresh.reveal()), "webhook_digest": digest(fresh.reveal())}
        if not rows.filter(webhook_digest=row.webhook_digest).update(**values):
            raise _Outrun
        return Address(fresh, former_digest=row.webhook_digest or "")


def _revealed(token: Any) -> Secret | None:
    """None if its key is gone: thanks.io can be told of another address."""
    try:
        return Secret(token.reveal())
    except (TokenUndecryptable, AttributeError):  # AttributeError: an empty one, of a fixture
        return None
