"""The fake's token logic over real HTTP: rotation, reuse, codes, PKCE, and the exact words of both dialects."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from thanksio_connect.client.tokens import jwt_expiry
from thanksio_connect.testing import ThanksIOServer
from thanksio_connect.testing.grants import REUSE, ROTATED

REDIRECT_URI = "https://product.example/thanksio/callback/"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def server():
    with ThanksIOServer() as server:
        yield server


def ask(server, **form):
    form = {"client_id": "test-client", "client_secret": "test-secret"} | form
    return requests.post(server.token_url, data=form, timeout=10)


def refresh(server, token, **form):
    return ask(server, grant_type="refresh_token", refresh_token=token, **form)


def authorize(server, **query):
    query = {
        "response_type": "code",
        "client_id": "test-client",
        "redirect_uri": REDIRECT_URI,
        "state": "s&=1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | query
    query = {name: value for name, value in query.items() if value is not None}
    target = server.visit(f"{server.authorize_url}?{urlencode(query)}")
    assert target.startswith(REDIRECT_URI)
    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}


def exchange(server, code, **form):
    form = {"redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER} | form
    return ask(
        server,
        grant_type="authorization_code",
        code=code,
        **{name: value for name, value in form.items() if value is not None},
    )


def test_a_refresh_gives_a_new_pair_and_kills_the_old_one(server):
    old = server.issue(user_id=7)
    response = refresh(server, old.refresh_token)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    new = response.json()
    assert list(new) == ["token_type", "expires_in", "access_token", "refresh_token"]
    assert (new["token_type"], new["expires_in"]) == ("Bearer", 3600)
    assert server.is_live(new["access_token"])
    assert server.is_live(new["refresh_token"])
    assert server.cause_of_death(old.access_token) == ROTATED
    assert server.cause_of_death(old.refresh_token) == ROTATED
    pair = server.live_pair(old)
    assert (pair.number, pair.reply, pair.refresh_token) == (2, "sent", new["refresh_token"])
    [grant] = server.grants
    assert (grant.user_id, grant.cause_of_death) == ("7", None)
    assert [(event.what, event.pair_number) for event in grant.history] == [("issued", 1), ("refreshed", 2)]


def test_tokens_look_like_passports(server):
    token_set = server.issue()
    assert 900 < len(token_set.access_token) < 1400
    assert len(token_set.refresh_token) > 700
    assert abs((jwt_expiry(token_set.access_token) - token_set.expires_at).total_seconds()) <= 1


def test_opaque_tokens_tell_no_expiry():
    with ThanksIOServer(jwt=False) as server:
        token_set = server.issue(expiry_known=False)
        assert token_set.expires_at is None
        assert jwt_expiry(token_set.access_token) is None


@pytest.mark.parametrize("length", [40, 5000])
def test_tokens_of_any_length(server, length):
    token_set = server.issue(token_length=length)
    assert (len(token_set.access_token), len(token_set.refresh_token)) == (length, length)


def test_reuse_is_refused_and_harmless_by_default(server):
    old = server.issue()
    new = refresh(server, old.refresh_token).json()
    response = refresh(server, old.refresh_token)
    assert (response.status_code, response.json()["hint"]) == (400, "Token has been revoked")
    assert server.is_live(new["refresh_token"])


@pytest.mark.compliance("RFC 9700", "4.14.2")
def test_reuse_detection_kills_the_whole_grant():
    with ThanksIOServer(reuse_detection=True) as server:
        old = server.issue()
        new = refresh(server, old.refresh_token).json()
        assert refresh(server, old.refresh_token).status_code == 400
        assert server.cause_of_death(new["refresh_token"]) == REUSE
        assert server.grants[0].cause_of_death == REUSE
        assert server.live_pair("grant-1") is None


def test_without_rotation_the_old_refresh_token_stays_good():
    with ThanksIOServer(rotate=False) as server:
        old = server.issue()
        assert refresh(server, old.refresh_token).status_code == 200
        assert not server.is_live(old.access_token)
        assert refresh(server, old.refresh_token).status_code == 200


def test_a_revoked_grant_is_dead_for_good(server):
    token_set = server.issue()
    server.revoke(token_set)
    assert refresh(server, token_set.refresh_token).json()["error"] == "invalid_grant"
    assert server.cause_of_death(token_set.refresh_token) == "revoked_by_user"
    assert server.grants[0].history[-1].what == "revoked_by_user"


def test_an_expired_access_token_leaves_the_refresh_token(server):
    token_set = server.issue(expires_in=-5)
    assert not server.is_live(token_set.access_token)
    assert server.cause_of_death(token_set.access_token) == "expired"
    assert server.is_live(token_set.refresh_token)
    other = server.issue()
    server.expire_access_token(other)
    assert not server.is_live(other.access_token)
    assert server.is_live(other.refresh_token)


def test_an_expired_refresh_token():
    with ThanksIOServer(refresh_token_seconds=-1) as server:
        response = refresh(server, server.issue().refresh_token)
        assert response.json()["hint"] == "Token has expired"


NOT_A_TOKEN_8 = {
    "error": "invalid_request",
    "error_description": "The refresh token is invalid.",
    "hint": "Cannot decrypt the refresh token",
    "message": "The refresh token is invalid.",
}
NOT_A_TOKEN_9 = {
    "error": "invalid_grant",
    "error_description": "The refresh token is invalid.",
    "hint": "Cannot decrypt the refresh token",
}


@pytest.mark.parametrize(
    ("dialect", "status", "body"), [("league8", 401, NOT_A_TOKEN_8), ("league9", 400, NOT_A_TOKEN_9)]
)
def test_each_dialect_in_its_own_words(dialect, status, body):
    with ThanksIOServer(dialect=dialect) as server:
        response = refresh(server, "junk")
        assert (response.status_code, response.json()) == (status, body)
        dead = server.issue()
        server.revoke(dead)
        response = refresh(server, dead.refresh_token)
        assert (response.status_code, response.json()) == (status, body | {"hint": "Token has been revoked"})
        foreign = server.provider.issue(user_id="1", client_id="somebody-else")
        response = refresh(server, foreign.refresh_token)
        assert response.json() == body | {"hint": "Token is not linked to client"}
        response = refresh(server, dead.refresh_token, client_secret="wrong")
        assert response.status_code == 401
        assert response.json()["error"] == "invalid_client"
        assert "hint" not in response.json()
        assert ("message" in response.json()) is (dialect == "league8")


def test_malformed_token_requests(server):
    token = server.issue().refresh_token
    hints = {
        "unsupported_grant_type": ask(server, grant_type="password").json()["error"],
        "client_id": refresh(server, token, client_id="").json()["hint"],
        "client_secret": refresh(server, token, client_secret="").json()["hint"],
        "refresh_token": ask(server, grant_type="refresh_token").json()["hint"],
        "code": ask(server, grant_type="authorization_code").json()["hint"],
    }
    assert hints == {"unsupported_grant_type": "unsupported_grant_type"} | {
        name: f"Check the `{name}` parameter" for name in ("client_id", "client_secret", "refresh_token", "code")
    }
    assert server.is_live(token)


@pytest.mark.compliance("RFC 7636", "4.6")
def test_the_whole_code_flow_with_pkce(server):
    server.oauth.user_id = "42"
    answer = authorize(server)
    assert answer["state"] == "s&=1"
    response = exchange(server, answer["code"])
    assert response.status_code == 200
    assert server.grant_of(response.json()["access_token"]).user_id == "42"
    assert [record.target for record in server.requests] == ["authorize", "token"]
    assert server.count("authorization_code") == 1


@pytest.mark.compliance("RFC 6749", "4.1.2")
@pytest.mark.parametrize(("dialect", "error"), [("league8", "invalid_request"), ("league9", "invalid_grant")])
def test_a_code_used_twice_revokes_what_it_gave(dialect, error):
    with ThanksIOServer(dialect=dialect) as server:
        code = authorize(server)["code"]
        given = exchange(server, code).json()
        again = exchange(server, code)
        assert (again.status_code, again.json()["error"]) == (400, error)
        assert again.json()["hint"] == "Authorization code has been revoked"
        assert server.cause_of_death(given["refresh_token"]) == "code_reuse"


@pytest.mark.parametrize(
    ("form", "hint"),
    [
        ({"code_verifier": "w" * 64}, "Failed to verify `code_verifier`."),
        ({"code_verifier": None}, "Check the `code_verifier` parameter"),
        ({"code_verifier": "short"}, "Code Verifier must follow the specifications of RFC-7636."),
        ({"redirect_uri": "https://evil.example/"}, "Invalid redirect URI"),
        ({"redirect_uri": None}, "Check the `redirect_uri` parameter"),
    ],
)
def test_a_code_is_bound_to_its_request(server, form, hint):
    code = authorize(server)["code"]
    assert exchange(server, code, **form).json()["hint"] == hint
    assert exchange(server, code).status_code == 200


@pytest.mark.compliance("RFC 9700", "4.8.2")
def test_a_verifier_without_a_challenge_is_a_downgrade(server):
    code = authorize(server, code_challenge=None, code_challenge_method=None)["code"]
    assert exchange(server, code).json()["hint"].startswith("code_verifier received when no code_challenge")
    assert exchange(server, code, code_verifier=None).status_code == 200


def test_an_unknown_code(server):
    assert exchange(server, "junk").json()["hint"] == "Cannot validate the provided authorization code"


def test_the_user_says_no(server):
    server.deny()
    answer = authorize(server)
    assert (answer["error"], answer["state"]) == ("access_denied", "s&=1")
    assert "code" not in answer
    server.allow()
    assert "code" in authorize(server)


def test_nobody_is_redirected_to_where_nobody_registered():
    with ThanksIOServer(redirect_uris=[REDIRECT_URI]) as server:
        assert "code" in authorize(server)
        with pytest.raises(ValueError, match="invalid_client"):
            authorize(server, redirect_uri="https://evil.example/")
        with pytest.raises(ValueError, match="invalid_client"):
            authorize(server, client_id="other")


def test_records_tell_everything_but_secrets(server):
    token_set = server.issue()
    refresh(server, token_set.refresh_token)
    refresh(server, token_set.refresh_token)
    first, second = server.token_requests("refresh_token")
    assert (first.number, first.outcome, first.reply, first.status) == (1, "ok", "sent", 200)
    assert (second.number, second.outcome, second.reply, second.status) == (2, "invalid_grant", "sent", 400)
    assert first.grant_id == second.grant_id == "grant-1"
    assert first.form["refresh_token"] == token_set.refresh_token
    shown = repr((server.requests, server.grants, first.pair, server.live_pair("grant-1").access))
    shown += json.dumps(first.as_dict())
    for secret in (
        token_set.access_token,
        token_set.refresh_token,
        "test-secret",
        first.pair.access_token,
        first.pair.refresh_token,
    ):
        assert secret not in shown
