"""What is read of an encrypted column: a text that is a mask until it is revealed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..client.tokens import Secret
from ..encryption_key import encryption_keys
from ..exceptions import TokenUndecryptable

MASK = "********"


@lru_cache(maxsize=8)
def _cipher_of(keys: tuple[bytes, ...]) -> MultiFernet:
    """Return the cipher for these keys; built once for each value that the setting takes."""
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """Return the cipher of ``FIELD_ENCRYPTION_KEY``.

    Raises :class:`~thanksio_connect.exceptions.ThanksIOConfigurationError` for a missing or malformed key.
    """
    return _cipher_of(encryption_keys())


class LazySecret(str):
    """A stored token: the ciphertext, and once it was revealed the clear text, in memory only.

    As text it is a mask, for whatever reads model fields: logs, audit tables, serializers, exports, JSON. A pickle or a
    copy carries the ciphertext. Two are equal if their ciphertext is; nothing is decrypted to compare them.
    """

    __slots__ = ("_ciphertext", "_clear")
    _ciphertext: str | None
    _clear: Secret | None

    def __new__(cls, ciphertext: str | None = None, *, clear: str | None = None) -> LazySecret:
        """Wrap a ciphertext, or a clear text that is encrypted when it is stored."""
        self = super().__new__(cls, MASK)
        self._ciphertext, self._clear = ciphertext, None if clear is None else Secret(clear)
        return self

    def reveal(self) -> str:
        """Return the clear text. Raises :class:`TokenUndecryptable` when no key of the setting fits.

        Keep it out of local variables: tracebacks are recorded with them.
        """
        if self._clear is None:
            assert self._ciphertext is not None
            try:
                self._clear = Secret(cipher().decrypt(self._ciphertext.encode()).decode())
            except (InvalidToken, UnicodeError):
                pass
            else:
                return self._clear.reveal()
            raise TokenUndecryptable
        return self._clear.reveal()

    @property
    def ciphertext(self) -> str:
        """What the database stores; a clear text is encrypted at the first access."""
        if self._ciphertext is None:
            assert self._clear is not None
            self._ciphertext = cipher().encrypt(self._clear.reveal().encode()).decode()
        return self._ciphertext

    def reencrypted(self) -> LazySecret:
        """Return the same clear text under the newest key. Raises :class:`TokenUndecryptable`."""
        return LazySecret(clear=self.reveal())

    def __reduce__(self) -> tuple[Any, ...]:
        return LazySecret, (self.ciphertext,)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __repr__(self) -> str:
        return "<encrypted>"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, LazySecret) and self.ciphertext == other.ciphertext)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.ciphertext)


def sealed(value: object) -> str | None:
    """Return the value as a :class:`LazySecret`; an empty text, which hides nothing, and None stay as they are.

    Raises ValueError for the mask: it came back from somewhere that was shown it, and is no token.
    """
    if value is None or isinstance(value, LazySecret):
        return value
    if value == MASK:
        raise ValueError("This is the mask that is shown for a token, and no token.")
    return LazySecret(clear=str(value)) if str(value) else ""
