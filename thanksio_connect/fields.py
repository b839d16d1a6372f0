"""An encrypted token column that never hands on ciphertext and costs nothing until it is read.

A small subclass of django-encrypted-model-fields' text field. The library's own reads give back the ciphertext when
the key is wrong, its dumps are in clear text, and its cipher is built once at import; each is mended here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_lazy as _

from .conf import encryption_keys
from .exceptions import ThanksIOConfigurationError, TokenUndecryptable

KEY_HELP = (
    "FIELD_ENCRYPTION_KEY is {problem}. Make a key with: python -c "
    '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())" '
    "and put it into the FIELD_ENCRYPTION_KEY setting (a list rotates keys: newest first). Keep it: "
    "tokens encrypted with a lost key can't be read again."
)


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str | bytes, ...]) -> Fernet | MultiFernet:
    """The cipher for these keys; built once for each value that the setting takes."""
    if not keys:
        raise ThanksIOConfigurationError(KEY_HELP.format(problem="missing"), code="encryption_key")
    try:
        ciphers = [Fernet(key) for key in keys]
        return ciphers[0] if len(ciphers) == 1 else MultiFernet(ciphers)
    except (ValueError, TypeError):
        pass  # the error is raised outside, so that it carries no piece of the key
    raise ThanksIOConfigurationError(KEY_HELP.format(problem="malformed"), code="encryption_key")


_cipher(encryption_keys())  # the library's own error, at the next import, does not say how to make a key

try:
    from encrypted_model_fields.fields import EncryptedTextField
except ImproperlyConfigured as error:  # pragma: no cover - the line above has checked the same
    raise ThanksIOConfigurationError(KEY_HELP.format(problem="malformed"), code="encryption_key") from error

if TYPE_CHECKING:
    from django.db.models import Model

_DUMP_PREFIX = "encrypted:"


class EncryptedValue:
    """A column's value: the ciphertext, and once it was read the plain text, in memory only.

    This is what an instance's ``__dict__`` and ``values()`` hold, so neither an error report nor a pickle shows
    a token: ``repr`` is masked and pickling or copying keeps the ciphertext alone.
    """

    __slots__ = ("_ciphertext", "_plaintext")

    def __init__(self, ciphertext: str | None = None, *, plaintext: str | None = None) -> None:
        self._ciphertext = ciphertext
        self._plaintext = plaintext

    def decrypt(self) -> str:
        """The plain text. Raises :class:`TokenUndecryptable` when no configured key fits."""
        if self._plaintext is None:
            assert self._ciphertext is not None
            try:
                self._plaintext = _cipher(encryption_keys()).decrypt(self._ciphertext.encode()).decode()
            except (InvalidToken, UnicodeError):
                pass
            else:
                return self._plaintext
            raise TokenUndecryptable
        return self._plaintext

    @property
    def ciphertext(self) -> str:
        """What the database stores; encrypts at the first access."""
        if self._ciphertext is None:
            assert self._plaintext is not None
            self._ciphertext = _cipher(encryption_keys()).encrypt(self._plaintext.encode()).decode()
        return self._ciphertext

    @property
    def dumped(self) -> str:
        """The ciphertext, marked as such: what :meth:`EncryptedTokenField.to_python` reads."""
        return _DUMP_PREFIX + self.ciphertext

    def reencrypted(self) -> EncryptedValue:
        """The same plain text under the newest key. Raises :class:`TokenUndecryptable`."""
        return EncryptedValue(plaintext=self.decrypt())

    def __reduce__(self) -> tuple[Any, ...]:
        return EncryptedValue, (self.ciphertext,)

    def __deepcopy__(self, memo: dict[int, Any]) -> EncryptedValue:
        return self

    def __repr__(self) -> str:
        return "<encrypted>"


def _wrap(value: object) -> EncryptedValue | None:
    if value is None or isinstance(value, EncryptedValue):
        return value
    return EncryptedValue(plaintext=str(value))


class EncryptedTokenDescriptor(DeferredAttribute):
    """Reads decrypt on demand, writes wrap; the instance's ``__dict__`` only ever holds :class:`EncryptedValue`."""

    def __get__(self, instance: Model | None, cls: type[Model] | None = None) -> Any:
        value = None if instance is None else instance.__dict__.get(self.field.attname)
        if not isinstance(value, EncryptedValue):
            value = super().__get__(instance, cls)  # deferred, empty, or read on the class
        return value.decrypt() if isinstance(value, EncryptedValue) else value

    def __set__(self, instance: Model, value: object) -> None:
        instance.__dict__[self.field.attname] = _wrap(value)


class EncryptedTokenField(EncryptedTextField):  # type: ignore[misc]
    """Text of any length, encrypted with ``FIELD_ENCRYPTION_KEY``; reads raise :class:`TokenUndecryptable`."""

    description = _("Encrypted token")
    descriptor_class = EncryptedTokenDescriptor

    def from_db_value(self, value: str | None, *args: object) -> EncryptedValue | None:
        """Wrap the ciphertext; nothing is decrypted."""
        return None if value is None else EncryptedValue(value)

    def to_python(self, value: Any) -> Any:
        """A fixture's value (as :meth:`value_to_string` wrote it) or plain text."""
        if isinstance(value, str) and value.startswith(_DUMP_PREFIX):
            return EncryptedValue(value.removeprefix(_DUMP_PREFIX))
        return _wrap(value)

    def get_prep_value(self, value: Any) -> Any:
        """Plain text is wrapped, so that it is encrypted once."""
        return _wrap(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> str | None:
        """The ciphertext."""
        wrapped = _wrap(value)
        return None if wrapped is None else wrapped.ciphertext

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """The ciphertext; an SQL expression stays one."""
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)

    def get_lookup(self, lookup_name: str) -> Any:
        """Only ``isnull``: each encryption of a text differs, so any other lookup would silently find nothing."""
        if lookup_name != "isnull":
            raise FieldError(
                f"{self.name} is encrypted and can't be looked up; only {self.name}__isnull can. Find the row by its "
                "user or its status."
            )
        return super().get_lookup(lookup_name)

    def value_from_object(self, obj: Model) -> Any:
        """For serializers and forms: masked, never the plain text."""
        return obj.__dict__.get(self.attname)

    def value_to_string(self, obj: Model) -> Any:
        """What ``dumpdata`` writes: ciphertext, marked as such."""
        value = _wrap(obj.__dict__.get(self.attname))
        return None if value is None else value.dumped
