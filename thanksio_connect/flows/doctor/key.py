"""The encryption key: is it there, and does it decrypt what is stored?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from ...encryption_key import encryption_keys
from ...exceptions import ThanksIOConfigurationError, TokenUndecryptable
from ...fields import LazySecret
from ...models import ConnectionTokens
from ..selection import read
from .finding import Finding, ok, problem

SAMPLE = 200
PAGE_SIZE = 500


def probe_key() -> Iterator[Finding]:
    """Whether there is one, and which: by a fingerprint, to compare servers with each other."""
    try:
        keys = encryption_keys()
    except ThanksIOConfigurationError as error:
        yield problem("key", str(error))
        return
    names = ", ".join(hashlib.sha256(b"thanksio_doctor" + key).hexdigest()[:8] for key in keys)
    text = ngettext(
        "FIELD_ENCRYPTION_KEY has %(count)d key (fingerprint %(names)s)",
        "FIELD_ENCRYPTION_KEY has %(count)d keys (fingerprints %(names)s)",
        len(keys),
    )
    yield ok("key", text % {"count": len(keys), "names": names})


def probe_tokens(*, everything: bool) -> Iterator[Finding]:
    """Whether stored tokens can be decrypted: a sample of the rows that were written last, or all."""
    try:
        encryption_keys()
    except ThanksIOConfigurationError:
        return  # said already
    tried = unreadable = 0
    for page in _pages(None if everything else SAMPLE):
        tried += len(page)
        unreadable += sum(not _is_readable(*row) for row in page)
    yield _verdict(tried, unreadable)


def _verdict(tried: int, unreadable: int) -> Finding:
    counts = {"tried": tried, "unreadable": unreadable}
    if not tried:
        return ok("tokens", _("No tokens are stored yet."))
    if not unreadable:
        text = ngettext("%(tried)d connection's tokens decrypt.", "%(tried)d connections' tokens decrypt.", tried)
        return ok("tokens", text % counts)
    text = _("Of %(tried)d connections' tokens, %(unreadable)d can't be decrypted.") % counts
    if unreadable == tried:
        cure = _("FIELD_ENCRYPTION_KEY is another key than the one they were encrypted with. Put that one back.")
    else:
        cure = _("Add the key that they were encrypted with to the list in FIELD_ENCRYPTION_KEY, and re-encrypt.")
    return problem("tokens", text, cure + " " + _("Nothing is lost meanwhile."))


def _pages(limit: int | None) -> Iterator[list[tuple[str, str]]]:
    """Pairs of stored tokens, encrypted: the newest, or all by keyset."""
    if limit is not None:
        yield read(
            lambda using: list(
                ConnectionTokens._base_manager.using(using)
                .order_by("-obtained_at")
                .values_list("access_token", "refresh_token")[:limit]
            )
        )
        return
    last = ""
    while (
        page := read(
            lambda using: list(
                ConnectionTokens._base_manager.using(using)
                .filter(pk__gt=last)  # noqa: B023
                .order_by("pk")
                .values_list("pk", "access_token", "refresh_token")[:PAGE_SIZE]
            )
        )
    ):
        last = page[-1][0]
        yield [(access_token, refresh_token) for _pk, access_token, refresh_token in page]


@sensitive_variables()
def _is_readable(*stored: str) -> bool:
    try:
        for value in stored:
            if isinstance(value, LazySecret):
                LazySecret(value.ciphertext).reveal()
    except TokenUndecryptable:
        return False
    return True
