"""The test project with those packages, on an SQLite file whose bytes can be searched."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as _INSTALLED_APPS
from tests.settings import MIDDLEWARE as _MIDDLEWARE

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["READERS_DATABASE"]}}
INSTALLED_APPS = [
    *_INSTALLED_APPS,
    "auditlog",
    "import_export",
    "rest_framework",
    "simple_history",
    "tests.readers_project",
]
MIDDLEWARE = [
    *_MIDDLEWARE,
    "auditlog.middleware.AuditlogMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
]
AUDITLOG_INCLUDE_ALL_MODELS = True
ROOT_URLCONF = "tests.readers_project.urls"
