"""System checks: one id a cause."""

import re

import pytest
from django.core.checks import ERROR, registry, run_checks
from django.test import override_settings
from urllib3.connectionpool import HTTPSConnectionPool

from thanksio_connect import checks

CSP_MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware"]
DJANGO_CSP = ["csp.middleware.CSPMiddleware"]


def ids(*found):
    return [message.id.removeprefix("thanksio_connect.") for messages in found for message in messages]


def test_a_good_project_has_nothing_to_be_told():
    assert run_checks(tags=[checks.TAG]) == []


@pytest.mark.parametrize(("name", "check_id"), [("THANKSIO_CLIENT_ID", "W001"), ("THANKSIO_CLIENT_SECRET", "W002")])
def test_missing_credentials_are_named_with_where_to_find_them(settings, name, check_id):
    setattr(settings, name, "")
    [message] = run_checks(tags=[checks.TAG])
    assert message.id == f"thanksio_connect.{check_id}"
    assert name in message.msg
    assert "https://dashboard.thanks.io/developer" in message.msg
    assert "OAuth Clients" in message.msg


@pytest.mark.parametrize(
    ("name", "value", "check_id"),
    [
        ("CLIENT_ID", 17, "E001"),
        ("CLIENT_SECRET", b"x", "E002"),
        ("REDIRECT_URI", "http://app.example/callback/", "E003"),
        ("AUTHORIZE_URL", "nonsense", "E004"),
        ("TOKEN_URL", "http://thanks.io/oauth/token", "E005"),
        ("API_URL", "ftp://thanks.io", "E006"),
        ("API_URL", "https://api.thanks.io/?version=2", "E006"),
        ("API_URL", "https://api.thanks.io/api/v2#", "E006"),
        ("SCOPES", "send", "E007"),
        ("PKCE", "yes", "E008"),
        ("CONNECT_TIMEOUT_SECONDS", 0, "E009"),
        ("READ_TIMEOUT_SECONDS", -1, "E010"),
        ("REFRESH_LEEWAY_SECONDS", -1, "E011"),
        ("STATE_TTL_SECONDS", "an hour", "E012"),
        ("RATE_LIMIT_PER_MINUTE", 0, "E013"),
        ("CONNECTED_URL", 3, "E014"),
        ("DISCONNECTED_URL", 3, "E015"),
        ("BEARER_TOKEN", "two words", "E023"),
        ("PRODUCT_NAME", "my shop", "E024"),
        ("SENT_ORDERS_KEPT_DAYS", 0, "E025"),
        ("PREPARE_SESSION", "no.such.function", "E017"),
        ("PREPARE_SESSION", "django.conf.settings.SECRET_KEY", "E017"),
        ("PREPARE_SESSION", 5, "E017"),
        ("WEBHOOKS_URL", "http://shop.example/", "E026"),
        ("WEBHOOKS_URL", "https://shop.example/hooks/?source=thanksio", "E026"),
    ],
)
def test_malformed_settings_are_named(name, value, check_id):
    with override_settings(**{f"THANKSIO_{name}": value}):
        [message] = run_checks(tags=[checks.TAG])
    assert message.id == f"thanksio_connect.{check_id}"
    assert f"THANKSIO_{name}" in message.msg


@pytest.mark.parametrize(("key", "problem"), [(None, "missing"), ("", "missing"), ("short", "malformed")])
def test_a_key_that_is_none_is_an_error_and_the_way_out_is_told(settings, key, problem):
    settings.FIELD_ENCRYPTION_KEY = key
    [message] = run_checks(tags=[checks.TAG])
    assert (message.id, message.level) == ("thanksio_connect.E016", ERROR)
    assert message.msg.startswith(f"FIELD_ENCRYPTION_KEY is {problem}")
    assert "generate_key" in message.msg


def test_keys_in_one_string_are_told_when_one_of_them_is_none(settings):
    whole = settings.FIELD_ENCRYPTION_KEY
    settings.FIELD_ENCRYPTION_KEY = f"{whole},{whole}"
    assert run_checks(tags=[checks.TAG]) == []
    settings.FIELD_ENCRYPTION_KEY = f"{whole},{whole[:30]}"
    [message] = run_checks(tags=[checks.TAG])
    assert "part 2 of 2 is no whole key" in message.msg
    assert whole[:30] not in message.msg


def test_secret_of_the_wrong_type_is_not_printed():
    with override_settings(THANKSIO_CLIENT_SECRET=[b"hush"]):
        assert "hush" not in str(run_checks(tags=[checks.TAG]))


def test_short_read_timeout_is_warned_of(settings):
    settings.THANKSIO_READ_TIMEOUT_SECONDS = 3
    assert ids(checks.check_settings()) == ["W005"]


def test_missing_urls_are_named(settings):
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    [message] = checks.check_urls()
    assert message.id == "thanksio_connect.W003"
    assert "thanksio_connect.urls" in message.hint


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["'self'"]}}, ["W004"]),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": []}}, ["W004"]),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"default-src": ["'self'"]}}, []),
        ({"MIDDLEWARE": [], "SECURE_CSP": {"form-action": ["'self'"]}}, []),
        (
            {"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["'self'", "https://dashboard.thanks.io"]}},
            [],
        ),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["*.thanks.io"]}}, []),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["https:"]}}, []),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["http://dashboard.thanks.io"]}}, ["W004"]),
        ({"MIDDLEWARE": CSP_MIDDLEWARE, "SECURE_CSP": {"form-action": ["notthanks.io"]}}, ["W004"]),
        (
            {"MIDDLEWARE": DJANGO_CSP, "CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"form-action": "'self'"}}},
            ["W004"],
        ),
        ({"MIDDLEWARE": DJANGO_CSP, "CSP_FORM_ACTION": ("'self'",)}, ["W004"]),
        ({"MIDDLEWARE": DJANGO_CSP, "CSP_FORM_ACTION": ("'self'", "dashboard.thanks.io")}, []),
        ({"MIDDLEWARE": DJANGO_CSP}, []),
    ],
)
def test_form_action_that_stops_the_way_is_warned_of(values, expected):
    with override_settings(**values):
        assert ids(checks.check_content_security_policy()) == expected


def test_deployment_asks_for_what_the_callback_needs(settings):
    assert ids(checks.check_deployment()) == ["W006"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert checks.check_deployment() == []
    settings.SECURE_PROXY_SSL_HEADER = None
    settings.THANKSIO_REDIRECT_URI = "https://app.example/thanksio/callback/"
    assert checks.check_deployment() == []
    assert checks.check_deployment in registry.registry.deployment_checks


@pytest.mark.parametrize("name", ["THANKSIO_CONNECTED_URL", "THANKSIO_DISCONNECTED_URL"])
def test_landing_that_names_no_url_is_told(settings, name):
    for good in ("", "admin:index", "/letters/", "https://app.example/"):
        setattr(settings, name, good)
        assert run_checks(tags=[checks.TAG]) == []
    setattr(settings, name, "nowhere")
    [message] = run_checks(tags=[checks.TAG])
    assert message.id == "thanksio_connect.W007"
    assert name in message.msg


def test_another_library_in_urllib3s_place_is_told(monkeypatch):
    assert checks.check_http_stack() == []

    class Other(HTTPSConnectionPool.ConnectionCls):
        def send(self, data):
            """Not http.client's."""

    monkeypatch.setattr(HTTPSConnectionPool, "ConnectionCls", Other)
    assert ids(checks.check_http_stack()) == ["W008"]
    assert checks.check_http_stack in registry.registry.registered_checks


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("THANKSIO_REDIRECT_URL", "THANKSIO_REDIRECT_URI"),
        ("THANKSIO_READ_TIMEOUT", "THANKSIO_READ_TIMEOUT_SECONDS"),
        ("THANKS_IO_TOKEN_URL", "THANKSIO_TOKEN_URL"),
        ("THANKSIO_CLIENTID", None),  # the right one is set
        ("THANKSIO_APP_URL", None),
        ("THANKSIO_TOKEN", None),
        ("THANKSIO_WEBHOOK_SECRET", None),
        ("THANKSIO_", None),
        ("THANKSIO_DEBUG", None),
    ],
)
def test_misspelt_names_are_told_and_a_projects_own_are_not(monkeypatch, settings, name, meant):
    assert checks.check_names() == []
    monkeypatch.setenv(name, "x")
    assert [message.hint.partition(" ")[0] for message in checks.check_names()] == ([meant] if meant else [])
    monkeypatch.delenv(name)
    setattr(settings, name, "x")
    assert ids(checks.check_names()) == (["W016"] if meant else [])


def test_documented_ids_are_unique_and_the_ones_in_use():
    documented = re.findall(r"^([EW]\d{3}) ", checks.__doc__, re.MULTILINE)
    assert len(documented) == len(set(documented))
    used = {check_id for _name, check_id in checks._SETTINGS} | set(checks._MISSING.values())
    around = {"E020", "W010", "W011", "W012", "W013", "W014", "W015", "W017", "W018"}  # checks_surroundings
    assert used | around | {"E016", "W003", "W004", "W005", "W006", "W007", "W008", "W016"} == set(documented)
