"""A provider that rotates like league/oauth2-server: a refresh kills the old pair at once."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """The n-th pair of a grant."""

    grant: int
    number: int


class Grant(NamedTuple):
    """The newest pair's number, and whether it lives."""

    last: int = 1
    lives: bool = True


class Provider(NamedTuple):
    """All grants that were ever given to the user."""

    grants: tuple[Grant, ...] = (Grant(),)

    def is_live(self, token: Token) -> bool:
        """Whether the pair is accepted."""
        return self.grants[token.grant] == Grant(token.number, lives=True)

    def is_spent(self, token: Token) -> bool:
        """Whether the pair was traded for a newer one."""
        return token.number < self.grants[token.grant].last

    def refresh(self, token: Token, *, detects_reuse: bool) -> tuple[Provider, Token | None]:
        """The provider afterwards, and the new pair or None. With reuse detection a spent token kills its grant."""
        if self.is_live(token):
            new = Token(token.grant, token.number + 1)
            return self._with(token.grant, Grant(new.number)), new
        if detects_reuse and self.is_spent(token):
            return self.revoke(token.grant), None
        return self, None

    def revoke(self, grant: int) -> Provider:
        """The user takes the grant back."""
        return self._with(grant, self.grants[grant]._replace(lives=False))

    def authorize(self) -> tuple[Provider, Token]:
        """A new grant beside the old ones."""
        return Provider((*self.grants, Grant())), Token(len(self.grants), 1)

    def _with(self, number: int, grant: Grant) -> Provider:
        return Provider((*self.grants[:number], grant, *self.grants[number + 1 :]))
