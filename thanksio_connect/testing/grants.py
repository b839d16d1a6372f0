"""What the provider knows: grants, their token pairs, and what each token died of. No HTTP, no Django.

A :class:`Grant` is one user's permission for one client. It holds one :class:`Pair` for each time that tokens
were given out; a refresh gives the next pair and kills the previous one. Everything stays in the history, so
that a test can ask why a token is dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

ROTATED: Final = "rotated"
REVOKED_BY_USER: Final = "revoked_by_user"
REUSE: Final = "reuse"
CODE_REUSE: Final = "code_reuse"
EXPIRED: Final = "expired"


@dataclass(eq=False, repr=False)
class Token:
    """One access or refresh token. ``expires_at`` is in seconds on the provider's clock."""

    value: str
    kind: str
    grant: Grant
    expires_at: float
    pair_number: int = 0
    cause_of_death: str | None = None

    def __repr__(self) -> str:
        return f"<Token {self.kind} of {self.grant.id}: {self.cause_of_death or 'live'}>"

    def die(self, cause: str) -> None:
        """Note the first cause of death; a later one changes nothing."""
        if self.cause_of_death is None:
            self.cause_of_death = cause


@dataclass(eq=False, repr=False)
class Pair:
    """What one token response gave.

    ``reply`` says what became of the response that carried it: ``"pending"``, ``"sent"``, ``"lost"`` (a fault
    dropped it: the provider's log explains a client that never learned of the pair), ``"replaced"`` (the
    client got another body), or ``"issued"`` when a test made the pair without HTTP.
    """

    number: int
    access: Token
    refresh: Token | None
    reply: str = "pending"

    def __repr__(self) -> str:
        return f"<Pair {self.number} of {self.access.grant.id}, reply {self.reply}>"

    @property
    def access_token(self) -> str:
        return self.access.value

    @property
    def refresh_token(self) -> str | None:
        return self.refresh.value if self.refresh is not None else None

    @property
    def tokens(self) -> tuple[Token, ...]:
        return (self.access,) if self.refresh is None else (self.access, self.refresh)


@dataclass(frozen=True)
class GrantEvent:
    """One line of a grant's history: ``issued``, ``refreshed`` or a cause of death, and the pair."""

    what: str
    pair_number: int
    at: float


@dataclass(eq=False)
class Grant:
    """One user's permission for one client, alive until :attr:`cause_of_death` says otherwise."""

    id: str
    user_id: str
    client_id: str
    scope: str = ""
    cause_of_death: str | None = None
    pairs: list[Pair] = field(default_factory=list, repr=False)
    history: list[GrantEvent] = field(default_factory=list, repr=False)

    def note(self, what: str, pair_number: int, at: float) -> None:
        """Add an event to the history."""
        self.history.append(GrantEvent(what, pair_number, at))

    def die(self, cause: str, at: float) -> None:
        """Kill the grant and every token that it still has alive."""
        if self.cause_of_death is None:
            self.cause_of_death = cause
            self.note(cause, self.pairs[-1].number if self.pairs else 0, at)
        for pair in self.pairs:
            for token in pair.tokens:
                token.die(cause)


class HoldsToken(Protocol):
    """A :class:`TokenSet`, a :class:`Pair`, the ``tokens`` of a connection."""

    @property
    def access_token(self) -> Any: ...


class HoldsTokens(Protocol):
    """A connection."""

    @property
    def tokens(self) -> Any: ...


GrantLike = Grant | HoldsToken | HoldsTokens | str


def access_token_of(what: HoldsToken | HoldsTokens | str) -> str:
    """Return the clear access token of what holds one."""
    if isinstance(what, str):
        return clear_text(what)
    # A pair has both names; its access token is its own.
    return clear_text(what.access_token if hasattr(what, "access_token") else what.tokens.access_token)


def clear_text(token: Any) -> str:
    """Return the clear text of a token, which a connection holds masked."""
    return str(token.reveal() if hasattr(token, "reveal") else token)
