"""Columns for tokens and for moments: reading a token never shows it, a moment is UTC whatever the project's zone.

:class:`EncryptedTokenField` is a small subclass of django-encrypted-model-fields' text field. The library's own reads
give back the ciphertext when the key is wrong, its dumps are in clear text, its cipher is built once at import, and a
missing key stops ``django.setup()``; each is mended here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import FieldError
from django.db.models import DateTimeField
from django.db.models.query_utils import DeferredAttribute
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .conf import encryption_keys, importable_encryption_key
from .exceptions import TokenUndecryptable

with importable_encryption_key() as _is_stand_in:
    from encrypted_model_fields import fields as _library

if TYPE_CHECKING:
    from django.db.models import Model

MASK = "********"
# A token has no spaces (RFC 6750 2.1), so no token is mistaken for what a fixture holds.
_DUMP_PREFIX = "encrypted with Fernet: "


@lru_cache(maxsize=8)
def _cipher_of(keys: tuple[bytes, ...]) -> MultiFernet:
    """Return the cipher for these keys; built once for each value that the setting takes."""
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """Return the cipher of ``FIELD_ENCRYPTION_KEY``.

    Raises :class:`~thanksio_connect.exceptions.ThanksIOConfigurationError` for a missing or malformed key.
    """
    return _cipher_of(encryption_keys())


class _CipherOfTheSetting:
    """What the library uses where it was imported without a usable key: the setting is looked up at each use."""

    def encrypt(self, *args: Any) -> bytes:
        return cipher().encrypt(*args)

    def decrypt(self, *args: Any) -> bytes:
        return cipher().decrypt(*args)


if _is_stand_in:
    _library.CRYPTER = _CipherOfTheSetting()


class LazySecret(str):
    """A stored token: the ciphertext, and once it was revealed the clear text, in memory only.

    As text it is a mask, for whatever reads model fields: logs, audit tables, serializers, exports, JSON. A pickle or a
    copy carries the ciphertext. Two are equal if their ciphertext is; nothing is decrypted to compare them.
    """

    __slots__ = ("_ciphertext", "_clear")
    _ciphertext: str | None
    _clear: str | None

    def __new__(cls, ciphertext: str | None = None, *, clear: str | None = None) -> LazySecret:
        """Wrap a ciphertext, or a clear text that is encrypted when it is stored."""
        self = super().__new__(cls, MASK)
        self._ciphertext, self._clear = ciphertext, clear
        return self

    def reveal(self) -> str:
        """Return the clear text. Raises :class:`TokenUndecryptable` when no key of the setting fits.

        Keep it out of local variables: tracebacks are recorded with them.
        """
        if self._clear is None:
            assert self._ciphertext is not None
            try:
                self._clear = cipher().decrypt(self._ciphertext.encode()).decode()
            except (InvalidToken, UnicodeError):
                pass
            else:
                return self._clear
            raise TokenUndecryptable
        return self._clear

    @property
    def ciphertext(self) -> str:
        """What the database stores; a clear text is encrypted at the first access."""
        if self._ciphertext is None:
            assert self._clear is not None
            self._ciphertext = cipher().encrypt(self._clear.encode()).decode()
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
    """Return the value as a :class:`LazySecret`; an empty text, which hides nothing, and None stay as they are."""
    if value is None or isinstance(value, LazySecret):
        return value
    return LazySecret(clear=str(value)) if str(value) else ""


class SealedAttribute(DeferredAttribute):
    """Reads give a :class:`LazySecret`, writes make one: an instance's ``__dict__`` holds no clear text."""

    def __set__(self, instance: Model, value: object) -> None:
        if type(value) is str and value == MASK and self.field.attname in instance.__dict__:
            return  # a serializer or a form gives back what it was shown
        instance.__dict__[self.field.attname] = sealed(value)


class EncryptedTokenField(_library.EncryptedTextField):  # type: ignore[misc]
    """Text of any length, encrypted with ``FIELD_ENCRYPTION_KEY``; reads give a :class:`LazySecret`."""

    description = _("Encrypted token")
    descriptor_class = SealedAttribute

    def from_db_value(self, value: str | None, *args: object) -> str | None:
        """Wrap the ciphertext; nothing is decrypted."""
        return LazySecret(value) if value else value

    def to_python(self, value: Any) -> Any:
        """Read a fixture's value (as :meth:`value_to_string` wrote it) or clear text."""
        if type(value) is str and value.startswith(_DUMP_PREFIX):
            return LazySecret(value.removeprefix(_DUMP_PREFIX))
        return sealed(value)

    def get_prep_value(self, value: Any) -> Any:
        """Wrap clear text, so that it is encrypted once."""
        return sealed(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> str | None:
        """Return the ciphertext."""
        value = sealed(value)
        return value.ciphertext if isinstance(value, LazySecret) else value

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Return the ciphertext; an SQL expression stays one."""
        return value if hasattr(value, "as_sql") else self.get_db_prep_value(value, connection)

    def get_lookup(self, lookup_name: str) -> Any:
        """Allow ``isnull`` alone: each encryption of a text differs, so any other lookup would find nothing."""
        if lookup_name != "isnull":
            raise FieldError(
                f"{self.name} is encrypted and can't be looked up; only {self.name}__isnull can. Find the row by its "
                "user or its status."
            )
        return super().get_lookup(lookup_name)

    def value_from_object(self, obj: Model) -> Any:
        """For serializers and forms: masked."""
        return getattr(obj, self.attname)

    def value_to_string(self, obj: Model) -> Any:
        """What ``dumpdata`` writes: ciphertext, marked as such."""
        value = sealed(getattr(obj, self.attname))
        return _DUMP_PREFIX + value.ciphertext if isinstance(value, LazySecret) else value


class UTCDateTimeField(DateTimeField):  # type: ignore[type-arg]
    """A moment, stored as UTC whatever ``USE_TZ``, ``TIME_ZONE`` and the session's zone say; read as an aware datetime.

    An hour that comes twice a year is two hours here.
    """

    def get_internal_type(self) -> str:
        """A name of its own: no database backend converts the value by the project's time zone."""
        return "UTCDateTimeField"

    def db_type(self, connection: Any) -> str:
        """A column without a time zone."""
        return "timestamp" if connection.vendor == "postgresql" else str(connection.data_types["DateTimeField"])

    def from_db_value(self, value: Any, *args: object) -> datetime | None:
        """Return an aware datetime."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is None or value.tzinfo is not None:
            return value  # type: ignore[no-any-return]
        return value.replace(tzinfo=UTC)  # type: ignore[no-any-return]

    def to_python(self, value: Any) -> Any:
        """Take a naive value for one in the project's time zone, as Django does."""
        value = super().to_python(value)
        if isinstance(value, datetime):
            value = value if value.tzinfo is not None else timezone.make_aware(value, timezone.get_default_timezone())
            return value.astimezone(UTC)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return an aware datetime in UTC; an SQL expression stays one."""
        return value if hasattr(value, "resolve_expression") else self.to_python(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return the naive moment in UTC, in the database's form."""
        value = self.get_prep_value(value)
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value.replace(tzinfo=None))
        return value

    def value_to_string(self, obj: Model) -> str:
        """What ``dumpdata`` writes."""
        value = getattr(obj, self.attname)
        return "" if value is None else self.to_python(value).isoformat()


def utc_now() -> datetime:
    """Return the current moment, aware, in UTC."""
    return datetime.now(UTC)
