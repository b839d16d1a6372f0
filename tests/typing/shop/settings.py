"""A project that uses the app, as its authors would type it."""

SECRET_KEY = "typing"
FIELD_ENCRYPTION_KEY = "A" * 43 + "="
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "thanksio_connect",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
