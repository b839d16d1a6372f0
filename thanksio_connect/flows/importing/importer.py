"""Write candidates as connections: each row by itself, none twice, and none over tokens that stand here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ...client.tokens import TokenSet
from ...encryption_key import encryption_keys
from ...models import ConnectionTokens, ThanksIOConnection
from .candidate import Candidate, Source, as_moment

_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Unusable(Exception):
    """The row can't become a connection; the text says why, without a value of it that could be secret."""


@dataclass
class ImportSummary:
    """How many rows became connections, were here already, or could not be used (``sentences`` says why)."""

    dry_run: bool
    imported: int = 0
    already_connected: int = 0
    unusable: int = 0
    sentences: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


class Importer:
    """``tell`` is called with a sentence for each row that can't be used."""

    def __init__(self, source: Source, *, dry_run: bool, tell: Callable[[str], object] = lambda text: None) -> None:
        self.source = source
        self.tell = tell
        self.summary = ImportSummary(dry_run)
        self._seen: set[Any] = set()

    def run(self) -> ImportSummary:
        """Go over the source. Raises SourceUnusable and ThanksIOConfigurationError before anything is written."""
        encryption_keys()
        ConnectionTokens.objects.exists()  # a database without the tables is found before the first row
        for candidate in self.source.candidates():
            try:
                self._import(candidate)
            except Unusable as unusable:
                sentence = f"{candidate.name}: {unusable}"
                self.summary.unusable += 1
                self.summary.sentences.append(sentence)
                self.tell(sentence)
        return self.summary

    @sensitive_variables()
    def _import(self, candidate: Candidate) -> None:
        user = self._user(candidate.user)
        if user.pk in self._seen or ConnectionTokens.objects.filter(connection__user_id=user.pk).exists():
            self.summary.already_connected += 1
            return
        token_set = _token_set(candidate)
        if not self.summary.dry_run:
            try:
                ThanksIOConnection.objects.connect(user, token_set, thanksio_user_id=_account(candidate.account))
            except DatabaseError as error:
                text = _("it could not be stored (%(error)s).") % {"error": type(error).__name__}
                raise Unusable(text) from None
        self._seen.add(user.pk)
        self.summary.imported += 1

    def _user(self, value: Any) -> Any:
        if value is None or value == "":
            raise Unusable(_("it names no user."))
        users = get_user_model()._default_manager
        try:
            return users.get(**{self.source.user_field: value})
        except ObjectDoesNotExist:
            text = _("there is no user %(value)s.") % {"value": repr(value)}
        except users.model.MultipleObjectsReturned:
            text = _("more than one user is %(value)s.") % {"value": repr(value)}
        except (ValueError, TypeError, ValidationError, OverflowError):
            text = _("%(value)s can't be a user's %(field)s.") % {
                "value": repr(value),
                "field": self.source.user_field,
            }
        raise Unusable(text)


@sensitive_variables()
def _token_set(candidate: Candidate) -> TokenSet:
    """Return the tokens. Raises Unusable."""
    problem = ""
    try:
        expires_at = as_moment(candidate.expires_at)
    except (ValueError, OverflowError):
        raise Unusable(_("its expiry is no moment.")) from None
    if not candidate.access_token:
        raise Unusable(_("it has no access token."))
    refresh_token = candidate.refresh_token or None
    if refresh_token is None and expires_at is not None and expires_at <= datetime.now(UTC):
        raise Unusable(_("its access token has expired, and it has no refresh token."))
    try:
        scope = " ".join(candidate.scope) if isinstance(candidate.scope, list) else candidate.scope or ""
        return TokenSet(candidate.access_token, refresh_token, scope=str(scope), expires_at=expires_at)
    except (ValueError, TypeError):
        problem = _("its tokens are no text that a header can carry.")
    raise Unusable(problem)


def _account(value: Any) -> str:
    return str(value) if _ACCOUNT.fullmatch(str(value)) else ""
