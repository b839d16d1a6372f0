"""The failure table: what a token endpoint's answer means."""

import json

import pytest
from requests.structures import CaseInsensitiveDict

from thanksio_connect.client.token_response import read_token_response
from thanksio_connect.client.transport import Response
from thanksio_connect.exceptions import (
    InvalidGrant,
    InvalidTokenResponse,
    OutcomeUnknown,
    ThanksIOConfigurationError,
    Throttled,
    TokenUndecryptable,
)
from thanksio_connect.testing.refusals import DIALECTS, REFUSALS, refusal

REFRESH = "refresh_token"
CODE = "authorization_code"
V8_DEAD = "The refresh token is invalid."
V8_BAD = (
    "The request is missing a required parameter, includes an invalid parameter value, "
    "includes a parameter more than once, or is otherwise malformed."
)
PROVIDER_TEXT = "provider-text-that-nobody-may-show"


def answer(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, CaseInsensitiveDict({name.replace("_", "-"): v for name, v in headers.items()}), raw)


def league8(description, hint=None, error="invalid_request"):
    body = {"error": error, "error_description": description, "message": description}
    return body | ({"hint": hint} if hint else {})


def league9(hint, error="invalid_grant", description=V8_DEAD):
    return {"error": error, "error_description": description, "hint": hint}


TABLE = [
    # A dead refresh token, in both dialects.
    (REFRESH, 400, league9("Token has been revoked"), InvalidGrant, "invalid_grant"),
    (REFRESH, 400, league9("Token has expired"), InvalidGrant, "invalid_grant"),
    (REFRESH, 401, league8(V8_DEAD, "Token has been revoked"), InvalidGrant, "invalid_grant"),
    (REFRESH, 400, league8(V8_DEAD, "Token has expired"), InvalidGrant, "invalid_grant"),
    (REFRESH, 401, league8(V8_DEAD), InvalidGrant, "invalid_grant"),
    (REFRESH, 401, {"error": "invalid_request", "message": V8_DEAD}, InvalidGrant, "invalid_grant"),
    (REFRESH, 400, {"error": "invalid_grant"}, InvalidGrant, "invalid_grant"),
    (REFRESH, 403, {"error": "invalid_grant"}, InvalidGrant, "invalid_grant"),
    # The same statuses and codes, another meaning.
    (REFRESH, 400, league9("Token is not linked to client"), InvalidGrant, "other_client"),
    (REFRESH, 401, league8(V8_DEAD, "Token is not linked to client"), InvalidGrant, "other_client"),
    (REFRESH, 400, league9("Cannot decrypt the refresh token"), TokenUndecryptable, "undecryptable"),
    (REFRESH, 401, league8(V8_DEAD, "Cannot decrypt the refresh token"), TokenUndecryptable, "undecryptable"),
    (REFRESH, 400, league8(V8_BAD, "Check the `refresh_token` parameter"), InvalidTokenResponse, "invalid_request"),
    # Our configuration.
    (REFRESH, 401, {"error": "invalid_client"}, ThanksIOConfigurationError, "invalid_client"),
    (REFRESH, 400, {"error": "invalid_client"}, ThanksIOConfigurationError, "invalid_client"),
    (REFRESH, 401, {"error": "unauthorized_client"}, ThanksIOConfigurationError, "unauthorized_client"),
    (REFRESH, 400, {"error": "unsupported_grant_type"}, ThanksIOConfigurationError, "unsupported_grant_type"),
    (CODE, 400, {"error": "invalid_scope"}, ThanksIOConfigurationError, "invalid_scope"),
    (CODE, 401, {"error": "invalid_client"}, ThanksIOConfigurationError, "invalid_client"),
    (CODE, 400, league8(V8_BAD, "Invalid redirect URI"), ThanksIOConfigurationError, "redirect_uri_mismatch"),
    (CODE, 400, league9("Invalid redirect URI"), ThanksIOConfigurationError, "redirect_uri_mismatch"),
    (CODE, 400, {"error": "invalid_grant", "error_description": "redirect_uri mismatch"},
     ThanksIOConfigurationError, "redirect_uri_mismatch"),
    (CODE, 400, {"error": "invalid_request", "hint": "Check the `redirect_uri` parameter"},
     ThanksIOConfigurationError, "redirect_uri_mismatch"),
    # A dead code.
    (CODE, 400, {"error": "invalid_grant"}, InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Authorization code has been revoked"), InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Authorization code has expired"), InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Authorization code was not issued to this client"), InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Cannot decrypt the authorization code"), InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Check the `code` parameter"), InvalidGrant, "invalid_grant"),
    (CODE, 400, league9("Failed to verify `code_verifier`."), InvalidGrant, "invalid_grant"),
    (CODE, 400, league8(V8_BAD, "Check the `code_verifier` parameter"), InvalidTokenResponse, "invalid_request"),
    # A scope of this grant alone: the request named none.
    (REFRESH, 400, {"error": "invalid_scope"}, InvalidTokenResponse, "invalid_scope"),
    # Not an answer of the token endpoint.
    (REFRESH, 401, {"message": "Unauthenticated."}, InvalidTokenResponse, "http_401"),
    (REFRESH, 400, {"error": PROVIDER_TEXT}, InvalidTokenResponse, "http_400"),
    (REFRESH, 400, {"error": ["invalid_grant"]}, InvalidTokenResponse, "http_400"),
    (REFRESH, 400, {"error": {"code": "invalid_grant"}, "hint": ["Cannot decrypt"]}, InvalidTokenResponse, "http_400"),
    (REFRESH, 401, {"error": "access_denied"}, InvalidTokenResponse, "access_denied"),
    (REFRESH, 400, ["invalid_grant"], InvalidTokenResponse, "http_400"),
    (REFRESH, 403, b"<html>403 Forbidden</html>", InvalidTokenResponse, "http_403"),
    (REFRESH, 404, b"", InvalidTokenResponse, "http_404"),
    (REFRESH, 400, b"invalid_grant", InvalidTokenResponse, "http_400"),
    (REFRESH, 407, b"<html>proxy</html>", InvalidTokenResponse, "http_407"),
    (REFRESH, 400, b'{"error":"invalid_grant","error":"invalid_client"}', InvalidTokenResponse, "http_400"),
    (REFRESH, 302, b"", InvalidTokenResponse, "redirect"),
    (REFRESH, 307, {"error": "invalid_grant"}, InvalidTokenResponse, "redirect"),
    # Try later, whatever the body says.
    (REFRESH, 429, {"message": "Too Many Attempts."}, Throttled, "throttled"),
    (REFRESH, 503, b"<html>maintenance</html>", Throttled, "throttled"),
    (REFRESH, 429, {"error": "invalid_grant"}, Throttled, "throttled"),
    (REFRESH, 400, {"error": "temporarily_unavailable"}, Throttled, "throttled"),
    (REFRESH, 500, {"error": "server_error"}, OutcomeUnknown, "server_error"),
    (REFRESH, 500, {"error": "invalid_grant"}, OutcomeUnknown, "server_error"),
    (CODE, 502, b"<html>bad gateway</html>", OutcomeUnknown, "server_error"),
]  # fmt: skip


@pytest.mark.parametrize(("grant", "status", "body", "error", "code"), TABLE)
def test_failure_table(grant, status, body, error, code):
    with pytest.raises(error) as caught:
        read_token_response(answer(status, body), grant)
    assert type(caught.value) is error
    assert caught.value.code == code


REFUSED = {
    "invalid_client": (ThanksIOConfigurationError, "invalid_client"),
    "unauthorized_client": (ThanksIOConfigurationError, "unauthorized_client"),
    "unsupported_grant_type": (ThanksIOConfigurationError, "unsupported_grant_type"),
    "server_error": (OutcomeUnknown, "server_error"),
    "undecryptable": (TokenUndecryptable, "undecryptable"),
    "client_mismatch": (InvalidGrant, "other_client"),
    "refresh_expired": (InvalidGrant, "invalid_grant"),
    "invalid_grant": (InvalidGrant, "invalid_grant"),
    "missing_client_id": (ThanksIOConfigurationError, "invalid_client"),
    "missing_client_secret": (ThanksIOConfigurationError, "invalid_client"),
    "missing_refresh_token": (InvalidTokenResponse, "invalid_request"),
    "missing_code": (InvalidGrant, "invalid_grant"),
    "missing_redirect_uri": (ThanksIOConfigurationError, "redirect_uri_mismatch"),
    "redirect_uri_mismatch": (ThanksIOConfigurationError, "redirect_uri_mismatch"),
    "code_undecryptable": (InvalidGrant, "invalid_grant"),
    "code_expired": (InvalidGrant, "invalid_grant"),
    "code_used": (InvalidGrant, "invalid_grant"),
    "code_client_mismatch": (InvalidGrant, "invalid_grant"),
    "missing_code_verifier": (InvalidTokenResponse, "invalid_request"),
    "malformed_code_verifier": (InvalidTokenResponse, "invalid_request"),
    "unexpected_code_verifier": (InvalidTokenResponse, "invalid_request"),
    "wrong_code_verifier": (InvalidGrant, "invalid_grant"),
}
ABOUT_REFRESH = {"undecryptable", "client_mismatch", "refresh_expired", "invalid_grant", "missing_refresh_token"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_of_league_in_both_dialects(name, dialect):
    error, code = REFUSED[name]
    with pytest.raises(error) as caught:
        read_token_response(answer(*refusal(name, dialect)), REFRESH if name in ABOUT_REFRESH else CODE)
    assert (type(caught.value), caught.value.code) == (error, code)


def test_the_standards_long_text_is_not_about_the_redirect_uri():
    text = "The grant is invalid, expired, revoked, or does not match the redirect URI used in the request."
    with pytest.raises(InvalidGrant):
        read_token_response(answer(400, {"error": "invalid_grant", "error_description": text}), CODE)


UNUSABLE = [
    b"",
    b"<html>hello</html>",
    b"null",
    b"[]",
    b'"token"',
    b"5",
    b"{}",
    b'{"access_token": ""}',
    b'{"access_token": null, "refresh_token": "R"}',
    b'{"access_token": "A\\r\\nSet-Cookie: x"}',
    b'{"access_token": "A", "token_type": "mac"}',
    '{"access_token": "A"}'.encode("utf-16"),
    b'{"access_token": "A\xff"}',
    b'{"access_token": "A"} trailing',
    b'{"access_token": "A"',
    b'{"access_token": "\\ud800"}',
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"error": "invalid_grant"}',
]


@pytest.mark.parametrize("body", UNUSABLE, ids=lambda body: repr(body[:40]))
@pytest.mark.parametrize("grant", [REFRESH, CODE])
def test_2xx_without_a_usable_token_set_is_an_invalid_response(grant, body):
    with pytest.raises(InvalidTokenResponse) as caught:
        read_token_response(answer(200, body), grant)
    assert caught.value.retryable
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("status", [200, 201, 203])
def test_2xx_with_tokens_is_a_token_set(status):
    body = {"access_token": "A", "refresh_token": "R", "expires_in": 60, "token_type": "Bearer"}
    token_set = read_token_response(answer(status, body), REFRESH)
    assert (token_set.access_token, token_set.refresh_token, token_set.expires_in) == ("A", "R", 60)


@pytest.mark.parametrize("number", [b"1" * 5000, b"-" + b"1" * 5000, b"1e999", b"NaN", b"Infinity"])
def test_an_absurd_lifetime_does_not_cost_the_tokens(number):
    body = b'{"access_token": "A", "refresh_token": "R", "expires_in": ' + number + b"}"
    token_set = read_token_response(answer(200, body), REFRESH)
    assert (token_set.access_token, token_set.refresh_token, token_set.expires_at) == ("A", "R", None)


def test_throttled_says_how_long():
    with pytest.raises(Throttled) as caught:
        read_token_response(answer(429, b"", retry_after="17"), REFRESH)
    assert caught.value.retry_after == 17


@pytest.mark.parametrize("name", ["error", "error_description", "hint", "message", "code"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 429, 500])
def test_provider_text_is_never_shown(status, name):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        read_token_response(answer(status, {"error": "invalid_grant", name: PROVIDER_TEXT}), REFRESH)
    assert PROVIDER_TEXT not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"access_token": "A"}', b'{"access_token": "Z", "access_token": "A", "x": 1, "x": 2}']
)
def test_an_odd_spelling_of_good_tokens_is_not_thrown_away(body):
    assert read_token_response(Response(200, {}, body), "refresh_token").access_token == "A"
