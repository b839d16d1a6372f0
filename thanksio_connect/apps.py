"""The app's configuration."""

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _

from . import checks, checks_surroundings, fields  # noqa: F401 - fields, before a model of the project imports encrypted_model_fields


class ThanksIOConnectConfig(AppConfig):
    """Registers the system checks."""

    name = "thanksio_connect"
    verbose_name = _("thanks.io connections")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Called by Django once all apps are loaded."""
        register(checks.check_settings, checks.TAG)
        register(checks.check_names, checks.TAG)
        register(checks.check_encryption_key, checks.TAG)
        register(checks.check_urls, checks.TAG)
        register(checks.check_content_security_policy, checks.TAG)
        register(checks.check_http_stack, checks.TAG)
        register(checks_surroundings.check_login, checks.TAG)
        register(checks_surroundings.check_users_and_sessions, checks.TAG)
        register(checks_surroundings.check_one_callback, checks.TAG)
        register(checks_surroundings.check_webhooks, checks.TAG)
        register(checks_surroundings.check_redirect_uri, checks.TAG)
        register(checks_surroundings.check_tables, Tags.database)
        register(checks.check_deployment, checks.TAG, deploy=True)
