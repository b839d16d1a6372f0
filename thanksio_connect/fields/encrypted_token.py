"""A column for a token: encrypted, and masked for whatever reads it.

A small subclass of django-encrypted-model-fields' text field. The library's own reads give back the ciphertext when
the key is wrong, its dumps are in clear text, its cipher is built once at import, and a missing key stops
``django.setup()``; each is mended here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError, ValidationError
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_lazy as _

from ..encryption_key import importable_encryption_key
from .lazy_secret import MASK, LazySecret, cipher, sealed

with importable_encryption_key() as _is_stand_in:
    from encrypted_model_fields import fields as _library

if TYPE_CHECKING:
    from django.db.models import Model

# A token has no spaces (RFC 6750 2.1), so no token is mistaken for what a fixture holds.
_DUMP_PREFIX = "encrypted with Fernet: "


class _CipherOfTheSetting:
    """What the library uses where it was imported without a usable key: the setting is looked up at each use."""

    def encrypt(self, *args: Any) -> bytes:
        return cipher().encrypt(*args)

    def decrypt(self, *args: Any) -> bytes:
        return cipher().decrypt(*args)


if _is_stand_in:
    _library.CRYPTER = _CipherOfTheSetting()


class SealedAttribute(DeferredAttribute):
    """Reads give a :class:`LazySecret`, writes make one: an instance's ``__dict__`` holds no clear text.

    A serializer or a form that gives back the mask that it was shown changes nothing.
    """

    def __set__(self, instance: Model, value: object) -> None:
        name = self.field.attname
        is_stored = name in instance.__dict__ or not instance._state.adding
        if is_stored and value == MASK and not isinstance(value, LazySecret):
            return
        instance.__dict__[name] = sealed(value)


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
        try:
            return sealed(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

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
