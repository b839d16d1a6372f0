"""A project's own classes on top of the connection; imported after ``migrate``, for they have no migrations."""

from django.db import models

from thanksio_connect.models import ThanksIOConnection


class Letterbox(ThanksIOConnection):
    """A multi-table subclass of the connection."""

    colour = models.CharField(max_length=20, default="red")

    class Meta:
        app_label = "custom_user"


class NamedConnection(ThanksIOConnection):
    """A proxy of it."""

    class Meta:
        app_label = "custom_user"
        proxy = True
