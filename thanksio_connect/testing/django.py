"""The fake inside a Django test: settings overrides, and connected users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.test.utils import override_settings

from thanksio_connect.testing.server import ThanksIOServer

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from thanksio_connect.models import ThanksIOConnection


class FakeThanksIO(ThanksIOServer):
    """A real thanks.io stand-in on a local port, for the tests of a product that uses this app.

    ::

        with FakeThanksIO() as thanksio, thanksio.override_settings():
            connection = thanksio.connect(user)
            connection.api.get("/mailing-lists/")
            assert thanksio.count("refresh_token") == 0
    """

    def override_settings(self, **more: Any) -> override_settings:
        """Return a context manager and decorator that points the app here.

        Adds a ``FIELD_ENCRYPTION_KEY`` if the project has none. ``more`` overrides further settings.
        """
        changes: dict[str, Any] = dict(self.settings())
        if not getattr(settings, "FIELD_ENCRYPTION_KEY", None):
            changes["FIELD_ENCRYPTION_KEY"] = Fernet.generate_key().decode("ascii")
        return override_settings(**(changes | more))

    def connect(self, user: AbstractBaseUser, **options: Any) -> ThanksIOConnection:
        """Connect a user as the callback does, without a browser; options are those of :meth:`issue`.

        The thanks.io user has the primary key of ``user`` unless ``user_id`` says otherwise.
        ``expires_in=-1`` gives a connection whose access token has expired.
        """
        options.setdefault("user_id", user.pk)
        model: type[ThanksIOConnection] = apps.get_model("thanksio_connect", "ThanksIOConnection")
        connection = model.objects.connect(user, self.issue(**options), thanksio_user_id=str(options["user_id"]))
        assert isinstance(connection, model)
        return connection
