"""The test project with a key from ``KEYLESS``: ``none``, or the text that stands for the setting."""

import os
import tempfile

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as _INSTALLED_APPS

FIELD_ENCRYPTION_KEY = os.environ.get("KEYLESS", "none")
if FIELD_ENCRYPTION_KEY == "none":
    del FIELD_ENCRYPTION_KEY
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
# Before ours, and its models import the library.
INSTALLED_APPS = ["tests.keyless_project", *_INSTALLED_APPS]
STATIC_ROOT = tempfile.gettempdir() + "/thanksio-keyless-static"
