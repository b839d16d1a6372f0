import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from thanksio_connect.client import oauth
from thanksio_connect.client.oauth import OAuthConfig, new_code_verifier, s256_challenge
from thanksio_connect.client.tokens import Secret

AUTHORIZE = "https://dashboard.thanks.io/oauth/authorize"
REDIRECT = "https://shop.example/thanksio/callback/?a=1&b=2"


def authorization_url(authorize_url=AUTHORIZE, scopes=(), **arguments):
    return oauth.authorization_url(
        authorize_url, client_id="id&x=1", redirect_uri=REDIRECT, state="st&te", scopes=scopes, **arguments
    )


def test_the_client_secret_is_not_shown():
    assert "topsecret" not in repr(OAuthConfig("id", Secret("topsecret"), "https://dashboard.thanks.io/oauth/token"))


@pytest.mark.compliance("RFC 6749", "4.1.1")
def test_authorization_url_has_the_parameters_of_the_standard():
    url = authorization_url(code_challenge="challenge", scopes=("a", "b"))
    assert url.startswith(f"{AUTHORIZE}?")
    assert parse_qsl(urlsplit(url).query) == [
        ("response_type", "code"),
        ("client_id", "id&x=1"),
        ("redirect_uri", REDIRECT),
        ("scope", "a b"),
        ("state", "st&te"),
        ("code_challenge", "challenge"),
        ("code_challenge_method", "S256"),
    ]


def test_authorization_url_leaves_out_what_is_not_set():
    names = [name for name, _ in parse_qsl(urlsplit(authorization_url()).query)]
    assert names == ["response_type", "client_id", "redirect_uri", "state"]


@pytest.mark.compliance("RFC 6749", "3.1")
def test_authorization_url_keeps_the_endpoints_own_query():
    url = authorization_url(f"{AUTHORIZE}?tenant=a%26b&empty=&state=old#fragment")
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert query[:2] == [("tenant", "a&b"), ("empty", "")]
    assert [value for name, value in query if name == "state"] == ["st&te"]
    assert "#" not in url


@pytest.mark.compliance("RFC 7636", "4.1")
def test_code_verifier_is_long_random_and_hidden():
    verifiers = {new_code_verifier().reveal() for _ in range(100)}
    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
    assert repr(new_code_verifier()) == "Secret(***)"


@pytest.mark.compliance("RFC 7636", "Appendix B")
def test_code_challenge_is_the_standards_example():
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert s256_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
