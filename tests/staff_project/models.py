"""The user model."""

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Person(AbstractBaseUser, PermissionsMixin):
    """Signs in with an address that is called neither username nor email, and has one name."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    mail_address = models.EmailField(unique=True)
    known_as = models.CharField(max_length=100)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    objects = BaseUserManager()
    USERNAME_FIELD = "mail_address"
    EMAIL_FIELD = "mail_address"

    class Meta:
        app_label = "staff_project"

    def get_full_name(self) -> str:
        """The one name."""
        return self.known_as
