"""The sandbox's own settings: another project, another database, another process than the product's."""

from example_project.demo import keys

env = keys.load()

SECRET_KEY = env.str("SANDBOX_SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "example_project.sandbox.urls"
WSGI_APPLICATION = None

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "oauth2_provider",
    "example_project.sandbox",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.sandbox.policy.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": keys.demo_directory() / "sandbox.sqlite3",
        # Writers queue up instead of failing, and a token request is alone from its first read on.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"

# Cookies ignore ports: names of its own keep the two projects apart even on one host name.
SESSION_COOKIE_NAME = "thanksio_sandbox_session"
CSRF_COOKIE_NAME = "thanksio_sandbox_csrf"

# thanks.io documents no scope; django-oauth-toolkit wants one, and no answer mentions it.
OAUTH2_PROVIDER = {
    "SCOPES": {"mail": "Use the thanks.io API on your behalf"},
    "DEFAULT_SCOPES": ["mail"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": env.int("SANDBOX_ACCESS_TOKEN_SECONDS", default=120),
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 600,
    "ACCESS_TOKEN_GENERATOR": "example_project.sandbox.oauth.tokens.access_token",
    "REFRESH_TOKEN_GENERATOR": "example_project.sandbox.oauth.tokens.refresh_token",
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
    "PKCE_REQUIRED": False,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}

SANDBOX_INSPECTION_KEY = env.str("SANDBOX_INSPECTION_KEY")
SANDBOX_RATE_LIMIT_PER_MINUTE = env.int("SANDBOX_RATE_LIMIT_PER_MINUTE", default=120)
SANDBOX_PRODUCT_URL = env.str("DEMO_PRODUCT_URL", default="http://localhost:8000")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
        "oauth2_provider": {"handlers": ["console"], "level": "ERROR", "propagate": False},
        "oauthlib": {"handlers": ["console"], "level": "ERROR", "propagate": False},
    },
}
