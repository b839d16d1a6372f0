"""Settings of the test suite. ``THANKSIO_TEST_DATABASE`` picks the database: sqlite (default), postgres or mariadb."""

import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

DATABASE = os.environ.get("THANKSIO_TEST_DATABASE", "sqlite")

SECRET_KEY = "tests-only"
FIELD_ENCRYPTION_KEY = os.environ.get("THANKSIO_TEST_ENCRYPTION_KEY") or Fernet.generate_key().decode()
# Child processes of the tests encrypt and decrypt with the same key.
os.environ["THANKSIO_TEST_ENCRYPTION_KEY"] = FIELD_ENCRYPTION_KEY

_DATABASES: dict[str, Any] = {
    "sqlite": {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    },
    "postgres": {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("POSTGRES_DB", "postgres"),
            "HOST": os.environ.get("POSTGRES_HOST", "127.0.0.1"),
            "PORT": os.environ.get("POSTGRES_PORT", "5432"),
            "USER": os.environ.get("POSTGRES_USER", "postgres"),
            "PASSWORD": os.environ.get("POSTGRES_PASSWORD", ""),
            "TEST": {"NAME": f"test_thanksio_{os.getpid()}"},
        },
    },
    "mariadb": {
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": os.environ.get("MARIADB_DB", "test"),
            "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
            "PORT": os.environ.get("MARIADB_PORT", "3306"),
            "USER": os.environ.get("MARIADB_USER", "root"),
            "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
            "TEST": {"NAME": f"test_thanksio_{os.getpid()}"},
        },
    },
}
DATABASES: dict[str, Any] = _DATABASES[DATABASE]
if file := os.environ.get("THANKSIO_TEST_SQLITE_FILE"):
    DATABASES["default"]["NAME"] = file

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "thanksio_connect",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "America/New_York"

THANKSIO_CLIENT_ID = "test-client"
THANKSIO_CLIENT_SECRET = "test-client-secret"
