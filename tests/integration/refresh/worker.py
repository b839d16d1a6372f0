"""``python -m tests.integration.refresh.worker``: carries out orders, a JSON line in and a JSON line out for each."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

import django
from django.conf import settings


def apply(values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


def main() -> None:
    start = json.loads(sys.stdin.readline())
    if start["pymysql"]:
        driver: Any = importlib.import_module("pymysql")
        driver.version_info = (2, 2, 4, "final", 0)  # what Django asks of mysqlclient
        driver.install_as_MySQLdb()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    apply(start["settings"])
    django.setup()
    databases = importlib.import_module("tests.integration.refresh.databases")
    orders = {}
    for name in start["orders"].split(","):
        orders |= vars(importlib.import_module(name))
    for line in sys.stdin:
        asked = json.loads(line)
        if "settings" in asked:
            apply(asked["settings"])
            databases.point_at(asked["settings"]["DATABASES"]["default"])
            continue
        try:
            answer = {"result": orders[asked["order"]](**asked["arguments"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"kind": type(error).__name__, "code": getattr(error, "code", ""), "text": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    orders["connections"].close_all()


if __name__ == "__main__":
    main()
