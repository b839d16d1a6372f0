"""The test project with that user model, and with the admin at another place and under another name."""

from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as _INSTALLED_APPS
from tests.settings import TEMPLATES as _TEMPLATES

AUTH_USER_MODEL = "staff_project.Person"
INSTALLED_APPS = [*_INSTALLED_APPS, "tests.staff_project"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TEMPLATES = [_TEMPLATES[0] | {"DIRS": [Path(__file__).parent / "templates"]}]
LOGIN_URL = "admin:login"
ROOT_URLCONF = "tests.staff_project.urls"
