"""Every misfortune that the fake can order, seen from a real HTTP client."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from thanksio_connect.testing import Fault, ThanksIOServer


@pytest.fixture
def server():
    with ThanksIOServer() as server:
        yield server


@pytest.fixture
def tokens(server):
    return server.issue(user_id=7)


def refresh(server, token, **options):
    form = {
        "grant_type": "refresh_token",
        "client_id": "test-client",
        "client_secret": "test-secret",
        "refresh_token": token,
    }
    return requests.post(server.token_url, data=form, allow_redirects=False, **{"timeout": 10} | options)


@pytest.mark.parametrize("reset", [False, True])
def test_a_reply_lost_before_processing_spends_nothing(server, tokens, reset):
    server.next_token(lose_reply="before", reset=reset)
    with pytest.raises(requests.ConnectionError):
        refresh(server, tokens.refresh_token)
    [record] = server.requests
    assert (record.outcome, record.reply, record.status) == ("not_processed", "lost", None)
    assert record.fault == "lose_reply=before"
    assert server.is_live(tokens.refresh_token)
    assert refresh(server, tokens.refresh_token).status_code == 200


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("moment", ["after", "midway"])
def test_a_reply_lost_after_processing_spends_the_token(server, tokens, moment, reset):
    server.next_token(lose_reply=moment, reset=reset)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        refresh(server, tokens.refresh_token)
    [record] = server.requests
    assert (record.outcome, record.reply, record.status) == ("ok", "lost", None)
    assert not server.is_live(tokens.refresh_token)
    assert server.live_pair(tokens).reply == "lost"


def test_a_reset_is_a_reset(server, tokens):
    server.next_token(lose_reply="after", reset=True)
    with pytest.raises(requests.ConnectionError, match="reset"):
        refresh(server, tokens.refresh_token)


def test_slow_before_processing_spends_nothing_until_then(server, tokens):
    fault = server.next_token(hold="before")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(refresh, server, tokens.refresh_token)
        fault.wait_reached()
        assert server.is_live(tokens.refresh_token)
        assert server.requests[0].outcome == "pending"
        fault.release()
        assert answer.result().status_code == 200


def test_slow_after_processing_has_spent_the_token(server, tokens):
    fault = server.next_token(hold="after")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(refresh, server, tokens.refresh_token)
        fault.wait_reached()
        assert not server.is_live(tokens.refresh_token)
        assert server.live_pair(tokens).reply == "pending"
        fault.release()
        assert answer.result().json()["refresh_token"] == server.live_pair(tokens).refresh_token


@pytest.mark.parametrize("option", ["delay", "delay_reply"])
def test_a_delay_longer_than_the_clients_patience(server, tokens, option):
    server.next_token(**{option: 60})
    with pytest.raises(requests.ReadTimeout):
        refresh(server, tokens.refresh_token, timeout=0.05)


@pytest.mark.parametrize("part", ["body", "all"])
def test_dripping_arrives_whole_in_the_end(server, tokens, part):
    server.next_token(drip=part, drip_seconds=0)
    body = refresh(server, tokens.refresh_token).json()
    assert server.is_live(body["refresh_token"])


def test_a_client_that_leaves_a_drip_is_seen(server, tokens):
    server.next_token(drip="body", drip_seconds=0.001)
    with refresh(server, tokens.refresh_token, stream=True) as response:
        response.raw.read(1)
        response.raw.close()
    server.log.wait(lambda records: records[0].reply == "aborted", timeout_seconds=10)
    assert server.live_pair(tokens).reply == "aborted"


@pytest.mark.parametrize(
    ("options", "status", "headers", "body"),
    [
        ({"status": 500}, 500, {}, b'{"message": "Server Error"}'),
        (
            {"status": 502, "body": "<h1>Bad gateway</h1>"},
            502,
            {"Content-Type": "text/html; charset=UTF-8"},
            b"<h1>Bad gateway</h1>",
        ),
        ({"retry_after": 7}, 429, {"Retry-After": "7"}, b'{"message": "Too Many Attempts."}'),
        (
            {"status": 503, "retry_after": "Wed, 21 Oct 2065 07:28:00 GMT"},
            503,
            {"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"},
            b'{"message": "Service Unavailable"}',
        ),
        (
            {"status": 307, "headers": {"Location": "https://elsewhere.example/"}},
            307,
            {"Location": "https://elsewhere.example/"},
            b"",
        ),
        ({"body": b"\x00\xff junk"}, 200, {}, b"\x00\xff junk"),
        ({"body": b"x" * 2_000_000}, 200, {}, b"x" * 2_000_000),
        ({"body": {"access_token": ""}}, 200, {"Content-Type": "application/json"}, b'{"access_token": ""}'),
        ({"status": 299}, 299, {}, b""),
    ],
)
def test_any_reply_instead_of_processing(server, tokens, options, status, headers, body):
    server.next_token(**options)
    response = refresh(server, tokens.refresh_token)
    assert (response.status_code, response.content) == (status, body)
    assert headers.items() <= dict(response.headers).items()
    assert server.requests[0].outcome == "not_processed"
    assert server.is_live(tokens.refresh_token)


def test_any_reply_after_processing(server, tokens):
    server.next_token(status=500, processed=True)
    assert refresh(server, tokens.refresh_token).status_code == 500
    assert server.requests[0].outcome == "ok"
    assert server.live_pair(tokens).reply == "replaced"


@pytest.mark.parametrize("value", ["3600", 0, -1, None, True, "soon", 10**12, [1]])
def test_any_expires_in(server, tokens, value):
    server.next_token(reply={"expires_in": value})
    assert refresh(server, tokens.refresh_token).json()["expires_in"] == value
    assert server.live_pair(tokens).reply == "sent"


def test_members_left_out(server, tokens):
    server.next_token(omit=["expires_in", "token_type"])
    assert list(refresh(server, tokens.refresh_token).json()) == ["access_token", "refresh_token"]


@pytest.mark.compliance("RFC 6749", "6")
def test_without_a_new_refresh_token_the_old_one_stays_good(server, tokens):
    server.next_token(omit=["refresh_token"])
    assert "refresh_token" not in refresh(server, tokens.refresh_token).json()
    assert server.is_live(tokens.refresh_token)
    assert server.live_pair(tokens).refresh_token == tokens.refresh_token
    assert refresh(server, tokens.refresh_token).status_code == 200
    assert not server.is_live(tokens.refresh_token)


def test_junk_for_a_token_is_noted(server, tokens):
    server.next_token(reply={"access_token": "a\r\nb"})
    assert refresh(server, tokens.refresh_token).json()["access_token"] == "a\r\nb"
    assert server.live_pair(tokens).reply == "replaced"


def test_tokens_of_any_length(server, tokens):
    server.next_token(token_length=9000)
    body = refresh(server, tokens.refresh_token).json()
    assert (len(body["access_token"]), len(body["refresh_token"])) == (9000, 9000)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("invalid_client", 401, "invalid_client"),
        ("unauthorized_client", 400, "unauthorized_client"),
        ("invalid_grant", 400, "invalid_grant"),
        ("undecryptable", 400, "invalid_grant"),
        ("client_mismatch", 400, "invalid_grant"),
        ("server_error", 500, "server_error"),
    ],
)
def test_any_refusal(server, tokens, code, status, error):
    server.next_token(refuse=code)
    response = refresh(server, tokens.refresh_token)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert server.requests[0].outcome == code
    assert server.is_live(tokens.refresh_token)


def test_a_wrong_secret_from_now_on(server, tokens):
    server.oauth.client_secret = "changed"
    assert [refresh(server, tokens.refresh_token).status_code for _ in range(2)] == [401, 401]
    assert server.is_live(tokens.refresh_token)


def test_a_fault_happens_as_often_as_ordered(server, tokens):
    server.next_token(status=500, times=2)
    assert [refresh(server, tokens.refresh_token).status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_for_good_until_cleared(server, tokens):
    fault = server.next_token(status=500, times=None)
    assert [refresh(server, tokens.refresh_token).status_code for _ in range(3)] == [500, 500, 500]
    assert fault.used == 3
    server.faults.clear()
    assert refresh(server, tokens.refresh_token).status_code == 200


def test_faults_queue_up(server, tokens):
    server.next_token(status=500)
    server.next_token(status=502)
    assert [refresh(server, tokens.refresh_token).status_code for _ in range(3)] == [500, 502, 200]


def test_a_fault_for_one_grant_or_user_or_grant_type(server, tokens):
    other = server.issue(user_id=8)
    server.next_token(status=500, grant=server.grant_of(other).id)
    server.next_token(status=502, user_id="8")
    server.next_token(status=503, grant_type="authorization_code")
    assert refresh(server, tokens.refresh_token).status_code == 200
    assert [refresh(server, other.refresh_token).status_code for _ in range(3)] == [500, 502, 200]


def test_a_fault_for_one_path_of_the_api(server, tokens):
    server.next_api("/orders", method="GET", status=500)
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    assert requests.get(f"{server.api_url}/ping", headers=headers, timeout=10).status_code == 200
    assert requests.get(f"{server.api_url}/orders/list", headers=headers, timeout=10).status_code == 500
    assert requests.get(f"{server.api_url}/orders/list", headers=headers, timeout=10).status_code == 200


def test_a_fault_on_the_authorization_page(server):
    server.next_authorize(status=503)
    with pytest.raises(ValueError, match="503"):
        server.visit(f"{server.authorize_url}?client_id=test-client")


def test_a_callable_decides(server, tokens):
    seen = []

    def every_second(record):
        seen.append((record.number, record.user_id))
        return Fault(status=500) if record.number % 2 else None

    server.on_token(every_second)
    assert [refresh(server, tokens.refresh_token).status_code for _ in range(2)] == [500, 200]
    assert seen == [(1, "7"), (2, "7")]


def test_a_callable_may_act_on_the_provider(server, tokens):
    server.on_token(lambda record: server.revoke(record.grant_id))
    assert refresh(server, tokens.refresh_token).json()["error"] == "invalid_grant"


def test_a_callable_that_fails_fails_the_test():
    def broken(record):
        raise AssertionError("seen in the callable")

    server = ThanksIOServer().start()
    server.on_token(broken)
    assert refresh(server, server.issue().refresh_token).status_code == 500
    with pytest.raises(RuntimeError) as caught:
        server.__exit__(None)
    assert str(caught.value.__cause__) == "seen in the callable"


@pytest.mark.parametrize(
    "wrong",
    [{"refuse": "nonsense"}, {"omit": "expires_in"}, {"hold": "soon"}, {"lose_reply": True}, {"drip": "head"}],
)
def test_a_misspelt_fault_is_refused_at_once(server, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        server.next_token(**wrong)


def test_many_at_once_spend_the_token_once(server, tokens):
    barrier = threading.Barrier(16)

    def contend():
        barrier.wait(10)
        return refresh(server, tokens.refresh_token).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = [future.result() for future in [pool.submit(contend) for _ in range(16)]]
    assert sorted(statuses) == [200] + [400] * 15
    assert server.count("refresh_token") == 16
