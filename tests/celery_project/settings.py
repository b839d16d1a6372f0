"""The test project's settings, and what the test passes on as JSON: the database, thanks.io's address, the broker."""

import json
import os

from tests.settings import *  # noqa: F403

globals().update(json.loads(os.environ["CELERY_PROJECT_SETTINGS"]))
