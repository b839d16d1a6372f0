"""Make one of the two databases ready: ``python -m example_project.demo.prepare product`` (or ``sandbox``).

Both run as processes of their own, because one process has one settings module. Safe to run again.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.apps import apps
from django.core.management import call_command

SETTINGS = {"product": "example_project.settings", "sandbox": "example_project.sandbox.settings"}
CLIENT_NAME = "Postlight"
SAMPLE_RECIPIENTS = [
    {
        "name": "Ada Alder",
        "address": "12 Orchard Lane",
        "city": "Springfield",
        "province": "IL",
        "postal_code": "62701",
        "country": "US",
    },
    {
        "name": "Ben Birch",
        "address": "48 Mill Road",
        "city": "Salem",
        "province": "OR",
        "postal_code": "97301",
        "country": "US",
    },
]


def prepare(part: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS[part]
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    {"product": _fill_product, "sandbox": _fill_sandbox}[part]()


def _fill_product() -> None:
    _user("demo", first_name="Dana")
    _user("admin", is_staff=True, is_superuser=True)


def _fill_sandbox() -> None:
    for username in ("demo", "second"):
        user = _user(username)
        apps.get_model("sandbox", "MailingList").objects.get_or_create(
            user=user,
            description="Customers",
            defaults={"recipients": SAMPLE_RECIPIENTS, "api_key": "SANDBOX"},
        )
    client_id = os.environ["THANKSIO_CLIENT_ID"]
    applications = apps.get_model("oauth2_provider", "Application").objects
    # The earlier ones stay: a demo on other ports may be running.
    callbacks = set(" ".join(applications.filter(client_id=client_id).values_list("redirect_uris", flat=True)).split())
    callbacks.add(f"{os.environ['DEMO_PRODUCT_URL']}/thanksio/callback/")
    applications.update_or_create(
        client_id=client_id,
        defaults={
            "name": CLIENT_NAME,
            "client_type": "confidential",
            "authorization_grant_type": "authorization-code",
            # Random, and the file beside the database holds it as it is: a hash would protect nothing.
            "hash_client_secret": False,
            "client_secret": os.environ["THANKSIO_CLIENT_SECRET"],
            "redirect_uris": " ".join(sorted(callbacks)),
        },
    )


def _user(username: str, **fields: Any) -> Any:
    """The password is the user name: this is a demo on this machine, and the addresses are local."""
    model = apps.get_model("auth", "User")
    user, was_created = model.objects.get_or_create(username=username, defaults=fields)
    if was_created:
        user.set_password(username)
        user.save()
    return user


if __name__ == "__main__":
    prepare(sys.argv[1])
