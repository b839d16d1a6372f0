from django.apps import AppConfig


class SandboxConfig(AppConfig):
    name = "example_project.sandbox"
    label = "sandbox"
    verbose_name = "thanks.io sandbox"
    default_auto_field = "django.db.models.BigAutoField"
