"""The test project with that user model, without the admin (which wants permissions)."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as _INSTALLED_APPS

AUTH_USER_MODEL = "custom_user.Person"
INSTALLED_APPS = [name for name in _INSTALLED_APPS if name != "django.contrib.admin"] + ["tests.custom_user"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ROOT_URLCONF = "tests.custom_user.urls"
