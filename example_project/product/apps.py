from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProductConfig(AppConfig):
    name = "example_project.product"
    label = "product"
    verbose_name = _("Postlight")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("example_project.product.receivers")
