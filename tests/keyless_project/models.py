"""The project's own encrypted column."""

from django.db import models
from encrypted_model_fields.fields import EncryptedCharField


class Diary(models.Model):
    """Encrypted by the library, not by us."""

    secret = EncryptedCharField(max_length=100)

    class Meta:
        app_label = "keyless_project"

    def __str__(self) -> str:
        return "diary"
