"""The OAuth client against a real server: what goes over the wire, and what each failure becomes."""

import pytest

from tests.integration.client_server import (
    ScriptedServer,
    answering,
    assert_hides,
    closing,
    dripping,
    free_port,
    resetting,
    silent,
)
from thanksio_connect.client.oauth import OAuthClient, OAuthConfig
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import Transport, TransportConfig
from thanksio_connect.exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    NotSent,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)

SECRETS = {
    "client_secret": "CLIENTSECRET",
    "code": "CODESECRET",
    "verifier": "VERIFIERSECRET",
    "refresh": "OLDREFRESHSECRET",
    "new_access": "NEWACCESSSECRET",
    "new_refresh": "NEWREFRESHSECRET",
}
ECHO = dict.fromkeys(("error_description", "message", "hint", "x"), " ".join(SECRETS.values()))
PATIENT = TransportConfig()
QUICK = TransportConfig(connect_timeout_seconds=0.5, read_timeout_seconds=0.5)  # where nothing else ends the wait


def client(url, transport_config=PATIENT):
    config = OAuthConfig("client-id", Secret(SECRETS["client_secret"]), f"{url}/oauth/token")
    return OAuthClient(config, Transport(transport_config))


def exchange(oauth):
    return oauth.exchange_code(
        code=Secret(SECRETS["code"]),
        redirect_uri="https://shop.example/callback/",
        code_verifier=Secret(SECRETS["verifier"]),
    )


def refresh(oauth):
    return oauth.refresh(Secret(SECRETS["refresh"]))


@pytest.fixture(autouse=True)
def _netrc(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password netrcsecret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))


@pytest.mark.compliance("RFC 6749", "4.1.3")
def test_exchange_code_sends_the_form_and_reads_the_tokens():
    with ScriptedServer(answering(200, {"access_token": "A", "refresh_token": "R", "expires_in": 60})) as server:
        token_set = exchange(client(server.url))
    (request,) = server.requests
    assert request.line == "POST /oauth/token HTTP/1.1"
    assert request.form == {
        "grant_type": "authorization_code",
        "client_id": "client-id",
        "client_secret": SECRETS["client_secret"],
        "redirect_uri": "https://shop.example/callback/",
        "code": SECRETS["code"],
        "code_verifier": SECRETS["verifier"],
    }
    assert "authorization" not in request.headers
    assert (token_set.access_token, token_set.refresh_token, token_set.expires_in) == ("A", "R", 60)


def test_exchange_code_without_pkce():
    with ScriptedServer(answering(200, {"access_token": "A"})) as server:
        client(server.url).exchange_code(code=Secret("c"), redirect_uri="https://x/", code_verifier=None)
    assert "code_verifier" not in server.requests[0].form


@pytest.mark.compliance("RFC 6749", "6")
def test_refresh_sends_the_form_and_reads_the_tokens():
    with ScriptedServer(answering(200, {"access_token": "A", "token_type": "bearer"})) as server:
        token_set = refresh(client(server.url))
    assert server.requests[0].form == {
        "grant_type": "refresh_token",
        "client_id": "client-id",
        "client_secret": SECRETS["client_secret"],
        "refresh_token": SECRETS["refresh"],
    }
    assert (token_set.access_token, token_set.refresh_token, token_set.expires_at) == ("A", None, None)


def live_but_broken(**changes):
    return {"access_token": SECRETS["new_access"], "refresh_token": SECRETS["new_refresh"], **changes}


FAILURES = {
    "invalid_grant": (answering(400, {"error": "invalid_grant", **ECHO}), InvalidGrant),
    "invalid_client": (answering(401, {"error": "invalid_client", **ECHO}), ThanksIOConfigurationError),
    "odd error": (answering(400, {"error": SECRETS["refresh"], **ECHO}), InvalidTokenResponse),
    "throttled": (answering(429, ECHO, {"Retry-After": "5"}), Throttled),
    "maintenance": (answering(503, ECHO), Throttled),
    "server error": (answering(500, ECHO), OutcomeUnknown),
    "redirect": (answering(302, live_but_broken(), {"Location": f"/?t={SECRETS['refresh']}"}), InvalidTokenResponse),
    "broken access token": (answering(200, live_but_broken(access_token="a\nb")), InvalidTokenResponse),
    "no access token": (answering(200, {"refresh_token": SECRETS["new_refresh"]}), InvalidTokenResponse),
    "other token type": (answering(200, live_but_broken(token_type="mac")), InvalidTokenResponse),
    "broken JSON": (answering(200, str(live_but_broken()).encode()), InvalidTokenResponse),
    "HTML": (answering(200, " ".join(SECRETS.values()).encode()), InvalidTokenResponse),
    "cut short": (
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + str(live_but_broken()).encode()),
        OutcomeUnknown,
    ),
    "too large": (answering(200, str(live_but_broken()).encode() * 30_000), OutcomeUnknown),
    "echoed in the status line": (closing(f"HTTP/1.1 x {SECRETS['refresh']}\r\n\r\n".encode()), OutcomeUnknown),
    "reset": (resetting(), OutcomeUnknown),
    "closed": (closing(), OutcomeUnknown),
    "silence": (silent(), OutcomeUnknown),
    "drip": (dripping(b"HTTP/1.1 200 OK\r\n\r\n" + str(live_but_broken()).encode(), b" "), OutcomeUnknown),
}


@pytest.mark.parametrize("grant", [exchange, refresh])
@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_has_its_class_and_shows_no_secret(name, grant):
    script, error = FAILURES[name]
    with ScriptedServer(script) as server:
        with pytest.raises(error) as caught:
            grant(client(server.url, QUICK if name in ("silence", "drip") else PATIENT))
        assert len(server.requests) == 1
    assert type(caught.value) is error
    assert_hides(caught, *SECRETS.values())


@pytest.mark.parametrize(
    ("hint", "error"),
    [
        ("Cannot decrypt the refresh token", TokenUndecryptable),
        ("Token is not linked to client", InvalidGrant),
    ],
)
def test_a_hint_decides_and_shows_no_secret(hint, error):
    body = {"error": "invalid_grant", "error_description": SECRETS["refresh"], "hint": hint}
    with ScriptedServer(answering(400, body)) as server, pytest.raises(error) as caught:
        refresh(client(server.url))
    assert_hides(caught, *SECRETS.values())


@pytest.mark.parametrize("grant", [exchange, refresh])
def test_what_is_not_sent_shows_no_secret(grant):
    with pytest.raises(NotSent) as caught:
        grant(client(f"http://127.0.0.1:{free_port()}"))
    assert_hides(caught, *SECRETS.values())


@pytest.mark.parametrize("grant", [exchange, refresh])
def test_an_insecure_endpoint_shows_no_secret(grant):
    with pytest.raises(ThanksIOConfigurationError) as caught:
        grant(client("http://dashboard.thanks.io"))
    assert_hides(caught, *SECRETS.values())


def test_no_log_line_shows_a_secret(caplog):
    caplog.set_level(0)
    with ScriptedServer(answering(200, {"access_token": SECRETS["new_access"]})) as server:
        exchange(client(server.url))
        refresh(client(server.url))
    with pytest.raises(NotSent):
        refresh(client(f"http://127.0.0.1:{free_port()}"))
    for secret in SECRETS.values():
        assert secret not in caplog.text
