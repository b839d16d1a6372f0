"""Postlight, the example product. `manage.py demo` runs it beside a stand-in for thanks.io, with no setup at all.

To go live with the real thanks.io, put THANKSIO_CLIENT_ID, THANKSIO_CLIENT_SECRET and the THANKSIO_*_URL settings
into the environment: what stands there wins over the demo's own keys.
"""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from example_project.demo.keys import demo_directory, load

env = load()

BASE_DIR = Path(__file__).resolve().parent

SECRET_KEY = env("SECRET_KEY")
FIELD_ENCRYPTION_KEY = env("FIELD_ENCRYPTION_KEY")  # encrypts the thanks.io tokens in the database
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "testserver"])

INSTALLED_APPS = [
    "example_project",  # home of the `demo` command, and of templates that win over other apps'
    "example_project.product",
    "thanksio_connect",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.product.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Finds example_project/templates first, for it is the first app: thanksio_connect/base.html in there puts
        # the app's own pages into the product's shell.
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Where thanks.io tells what becomes of an order. On this machine only the sandbox can reach it.
THANKSIO_WEBHOOKS_URL = env(
    "THANKSIO_WEBHOOKS_URL", default=f"{env('DEMO_PRODUCT_URL', default='http://localhost:8000')}/thanksio/webhooks/"
)

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": demo_directory() / "product.sqlite3",
        "OPTIONS": {"timeout": 20, "init_command": "PRAGMA journal_mode=WAL"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

# Cookies don't know ports: names of the product's own keep it apart from whatever else answers on this host.
SESSION_COOKIE_NAME = "postlight_session"
CSRF_COOKIE_NAME = "postlight_csrf"
LANGUAGE_COOKIE_NAME = "postlight_language"
SECURE_REFERRER_POLICY = "same-origin"  # not "no-referrer": forms would post `Origin: null`
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", _("English")),
    ("de", _("German")),
    ("es", _("Spanish")),
    ("fr", _("French")),
    ("pt-br", _("Brazilian Portuguese")),
    ("ja", _("Japanese")),
    ("zh-hans", _("Simplified Chinese")),
    ("ar", _("Arabic")),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {
        "thanksio_connect": {"handlers": ["console"], "level": "INFO"},
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
    },
}
