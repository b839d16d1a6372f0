"""A project with ``django.tasks`` in its database, and what the test passes on as JSON."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
globals().update(json.loads(os.environ["TASKS_PROJECT_SETTINGS"]))
