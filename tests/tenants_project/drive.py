"""Renew in a tenant's schema, in a transaction and by the command; prints what came of it as JSON."""

import io
import json
import logging
import os
import time
import warnings
from contextlib import suppress
from datetime import timedelta
from typing import Any

import django


class HostError(Exception):
    """What goes wrong in the project's own code."""


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.tenants_project.settings"
    warnings.simplefilter("ignore")
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import CommandError, call_command
    from django.db import connection, transaction
    from django.test import override_settings
    from django.utils import timezone

    from tests.tenants_project.models import Domain, Tenant
    from tests.tenants_project.sessions import schema
    from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

    lines: list[str] = []
    handler = logging.Handler(logging.CRITICAL)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("thanksio_connect").addHandler(handler)
    call_command("migrate_schemas", schema_name="public", verbosity=0)
    with connection.schema_editor() as editor:  # the project has no migrations
        editor.create_model(Tenant)
        editor.create_model(Domain)
    tenant = Tenant.objects.create(schema_name="t1")
    schema.set(tenant.schema_name)
    connection.set_tenant(tenant)
    user = User.objects.create(username="ann")

    def grant(**tokens: Any) -> ThanksIOConnection:
        return ThanksIOConnection.objects.connect(user, tokens)

    def stored() -> str:
        return str(ConnectionTokens.objects.get().access_token.reveal())

    def roll_back(held: Any) -> dict[str, Any]:
        started = time.monotonic()
        with suppress(HostError), transaction.atomic():
            token = held.get_access_token()
            raise HostError
        return {"token": token, "stored": stored(), "seconds": time.monotonic() - started}

    def command(workers: int) -> dict[str, Any]:
        ConnectionTokens.objects.update(next_refresh_at=timezone.now() - timedelta(minutes=1))
        out, status = io.StringIO(), 0
        try:
            call_command("refresh_thanksio_tokens", workers=workers, stdout=out)
        except CommandError as error:
            status = error.returncode
            out.write(str(error))
        return {"status": status, "said": out.getvalue()}

    def expire() -> Any:
        ConnectionTokens.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
        return ThanksIOConnection.objects.for_user(user)

    result: dict[str, Any] = {}
    first = json.loads(os.environ["TENANTS_PROJECT"])["GRANT"]
    grant(**first)
    result["rolled_back"] = roll_back(expire())
    result["workers"] = command(workers=2)
    with override_settings(THANKSIO_PREPARE_SESSION="tests.tenants_project.sessions.prepare"):
        result["prepared_workers"] = command(workers=2)
        result["prepared"] = roll_back(expire())
    result["critical"] = lines
    connection.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
