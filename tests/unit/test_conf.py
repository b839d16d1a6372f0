"""Settings from the environment: what is accepted, and what an error says and keeps to itself."""

import traceback

import pytest

from thanksio_connect.conf import app_settings, transport_config
from thanksio_connect.exceptions import ThanksIOConfigurationError


@pytest.fixture
def environment(settings, monkeypatch):
    """Put a variable into the environment, where no Django setting of that name hides it."""

    def put(name, value):
        if hasattr(settings, name):
            delattr(settings, name)
        monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize("secret", ["$ecret", "$$ecret", r"\$ecret", "$", "with=equals", "a b", "ä"])
def test_a_secret_is_taken_as_it_is(environment, secret):
    """django-environ alone takes a leading dollar sign for the name of a variable, and tells the rest in its error."""
    environment("THANKSIO_CLIENT_SECRET", secret)
    assert app_settings.client_secret.reveal() == secret


def test_a_variable_may_name_another_one(environment, monkeypatch):
    monkeypatch.setenv("VAULT_SECRET", "from-the-vault")
    environment("THANKSIO_CLIENT_SECRET", "$VAULT_SECRET")
    assert app_settings.client_secret.reveal() == "from-the-vault"


def test_a_chain_that_leads_nowhere_says_so_without_the_value(environment, monkeypatch):
    monkeypatch.setenv("VAULT_SECRET", "$ecret-of-ours")
    environment("THANKSIO_CLIENT_SECRET", "$VAULT_SECRET")
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_CLIENT_SECRET must be text") as caught:
        _ = app_settings.client_secret
    assert "ecret-of-ours" not in "".join(traceback.format_exception(caught.value))


def test_a_variable_that_names_itself_says_so(environment):
    environment("THANKSIO_CLIENT_ID", "$THANKSIO_CLIENT_ID")
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_CLIENT_ID must be text"):
        _ = app_settings.client_id


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("1", True), (" on ", True), ("no", False), ("0", False), ("FALSE", False)],
)
def test_a_switch(environment, text, value):
    environment("THANKSIO_PKCE", text)
    assert app_settings.pkce is value


@pytest.mark.parametrize("text", ["ture", "", "2", "enabled"])
def test_a_typing_error_does_not_switch_pkce_off(environment, text):
    environment("THANKSIO_PKCE", text)
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_PKCE must be true or false"):
        _ = app_settings.pkce


@pytest.mark.parametrize("text", ["", "soon", "30s", "5 minutes", "nan", "-1"])
def test_a_time_is_a_number_of_seconds_and_nothing_else(environment, text):
    environment("THANKSIO_READ_TIMEOUT_SECONDS", text)
    with pytest.raises(ThanksIOConfigurationError, match=r"THANKSIO_READ_TIMEOUT_SECONDS must be a (positive )?number"):
        _ = app_settings.read_timeout_seconds


@pytest.mark.parametrize(("text", "scopes"), [("", ()), ("a", ("a",)), ("a, b ,c,", ("a", "b", "c"))])
def test_scopes(environment, text, scopes):
    environment("THANKSIO_SCOPES", text)
    assert app_settings.scopes == scopes


def prepare(connection):
    """What a project names in THANKSIO_PREPARE_SESSION."""


def test_the_function_that_prepares_sessions(environment, settings):
    assert app_settings.prepare_session is None
    settings.THANKSIO_PREPARE_SESSION = prepare
    assert app_settings.prepare_session is prepare
    settings.THANKSIO_PREPARE_SESSION = f"{__name__}.prepare"
    assert app_settings.prepare_session is prepare
    environment("THANKSIO_PREPARE_SESSION", f"{__name__}.prepare")
    assert app_settings.prepare_session is prepare


@pytest.mark.parametrize(
    "value", ["prepare", "no.module", f"{__name__}.missing", f"{__name__}.pytestmark", 5, "a..b", "."]
)
def test_what_is_no_function_is_named_by_its_setting(settings, value):
    settings.THANKSIO_PREPARE_SESSION = value
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_PREPARE_SESSION must be the dotted path"):
        _ = app_settings.prepare_session


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tab\there", "naïve-secret", "nul\x00secret"])
def test_a_bearer_token_that_no_header_can_carry_is_named_by_its_setting_and_not_shown(settings, token):
    settings.THANKSIO_BEARER_TOKEN = token
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_BEARER_TOKEN must be ASCII text") as caught:
        _ = app_settings.bearer_token
    below = caught.value.__traceback__.tb_next  # this frame holds it
    shown = "".join(traceback.TracebackException(type(caught.value), caught.value, below, capture_locals=True).format())
    assert "bearer_token" in shown
    assert token not in shown
    assert repr(token) not in shown


def test_a_bearer_token_is_masked(environment):
    assert not app_settings.bearer_token
    environment("THANKSIO_BEARER_TOKEN", "own-token")
    assert app_settings.bearer_token.reveal() == "own-token"
    assert "own-token" not in repr(app_settings.bearer_token)


@pytest.mark.parametrize("name", ["", "shop", "shop/2.1", "my-shop_x/2026.11+b1"])
def test_a_product_name(environment, name):
    environment("THANKSIO_PRODUCT_NAME", name)
    assert app_settings.product_name == name
    assert transport_config().product_name == name


@pytest.mark.parametrize(
    "name", ["my shop", "shop/2/1", "shop/", "/2", "shop\r\nX-Y: z", "sh\u00f6p", "x" * 61, "shop (test)"]
)
def test_a_product_name_that_is_none(settings, name):
    settings.THANKSIO_PRODUCT_NAME = name
    with pytest.raises(ThanksIOConfigurationError, match="THANKSIO_PRODUCT_NAME must be a name without spaces"):
        _ = app_settings.product_name
