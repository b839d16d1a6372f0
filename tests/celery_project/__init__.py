"""A project with Celery, set up as the documentation says: ``python -m celery -A tests.celery_project worker``."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.celery_project.settings")

TRANSPORT_ALIASES["folder"] = "tests.celery_folder:Transport"

app = Celery("tests")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.task(name="tests.get_token", soft_time_limit=2)
def get_token(pk: int) -> str:
    """A project's task that needs a token, and may not take long."""
    from thanksio_connect.models import ThanksIOConnection

    try:
        ThanksIOConnection.objects.get(pk=pk).get_access_token()
    except Exception as error:
        return type(error).__name__
    return "no limit"
