"""Django settings of the benchmarks. ``BENCHMARK_DATABASE`` is postgres (default), sqlite (a file) or mariadb.

The parent process makes the database and tells its children the name in ``BENCHMARK_DATABASE_NAME``.
"""

import os
from importlib.util import find_spec

from cryptography.fernet import Fernet

DATABASE = os.environ.get("BENCHMARK_DATABASE", "postgres")
_NAME = os.environ.get("BENCHMARK_DATABASE_NAME", "")
_OWN_NAME = f"thanksio_benchmark_{os.getpid()}"

DATABASES = {
    "sqlite": {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": _NAME or "unused", "TEST": {"NAME": _NAME}},
    },
    "postgres": {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _NAME or os.environ.get("POSTGRES_DB", "postgres"),
            "HOST": os.environ.get("POSTGRES_HOST", "127.0.0.1"),
            "PORT": os.environ.get("POSTGRES_PORT", "5432"),
            "USER": os.environ.get("POSTGRES_USER", "postgres"),
            "PASSWORD": os.environ.get("POSTGRES_PASSWORD", ""),
            "TEST": {"NAME": _OWN_NAME},
        },
    },
    "mariadb": {
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": _NAME or os.environ.get("MARIADB_DB", "test"),
            "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
            "PORT": os.environ.get("MARIADB_PORT", "3306"),
            "USER": os.environ.get("MARIADB_USER", "root"),
            "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
            "TEST": {"NAME": _OWN_NAME},
        },
    },
}[DATABASE]

SECRET_KEY = "benchmarks-only"
FIELD_ENCRYPTION_KEY = os.environ.setdefault("BENCHMARK_ENCRYPTION_KEY", Fernet.generate_key().decode())
# The parent starts the provider first; its children inherit the addresses.
THANKSIO_CLIENT_ID = os.environ.get("THANKSIO_CLIENT_ID", "")
THANKSIO_CLIENT_SECRET = os.environ.get("THANKSIO_CLIENT_SECRET", "")
THANKSIO_TOKEN_URL = os.environ.get("THANKSIO_TOKEN_URL", "")
THANKSIO_API_URL = os.environ.get("THANKSIO_API_URL", "")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "thanksio_connect",
    "benchmarks",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "benchmarks.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["null"]},
    "loggers": {
        "thanksio_connect": {"handlers": ["null"], "propagate": False},
        "social": {"handlers": ["null"], "propagate": False},
    },
}

if find_spec("social_django"):
    INSTALLED_APPS += ["social_django"]
    AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "benchmarks.peers.social_backend.ThanksIOOAuth2",
    ]
    SOCIAL_AUTH_THANKSIO_KEY = THANKSIO_CLIENT_ID
    SOCIAL_AUTH_THANKSIO_SECRET = THANKSIO_CLIENT_SECRET
