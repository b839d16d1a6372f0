"""The app's tables stand in each tenant's schema, and in the shared one as well if ``APPS`` says so."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

PROJECT = json.loads(os.environ["TENANTS_PROJECT"])
globals().update(PROJECT["SETTINGS"])

DATABASES["default"] |= {"ENGINE": "django_tenants.postgresql_backend", "NAME": PROJECT["DATABASE_NAME"]}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_MODEL = "tenants_project.Tenant"
TENANT_DOMAIN_MODEL = "tenants_project.Domain"
_OF_TENANTS = ["django.contrib.auth", "django.contrib.contenttypes", "thanksio_connect"]
_SHARED = ["django_tenants", "tests.tenants_project"]
SHARED_APPS = _SHARED + (_OF_TENANTS if PROJECT["APPS"] == "shared and tenant" else ["django.contrib.contenttypes"])
TENANT_APPS = _OF_TENANTS
INSTALLED_APPS = list(dict.fromkeys([*_SHARED, *_OF_TENANTS, *[app for app in INSTALLED_APPS if "contrib" not in app]]))
