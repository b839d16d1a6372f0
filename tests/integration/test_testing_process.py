"""The fake's life: starting, stopping, restarting on the same port, and running as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import requests

from thanksio_connect.testing import ThanksIOServer
from thanksio_connect.testing.remote import RemoteError, RemoteThanksIO


def test_it_starts_and_stops_without_a_trace():
    before = threading.active_count()
    for _ in range(5):
        with ThanksIOServer() as server:
            assert requests.get(f"{server.api_url}/handwriting-styles", timeout=10).ok
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url, timeout=10)
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "fake" in thread.name:
            thread.join(10)
    assert threading.active_count() <= before + 5


def test_an_address_before_the_start_is_a_plain_mistake():
    with pytest.raises(RuntimeError, match="Start the fake first"):
        _ = ThanksIOServer().url


def test_an_unknown_dialect_is_a_plain_mistake():
    with pytest.raises(ValueError, match="league8, league9"):
        ThanksIOServer(dialect="league7")


def test_down_refuses_connections_and_comes_back_with_everything():
    with ThanksIOServer() as server:
        token = server.issue().access_token
        url = server.url
        with server.down(), pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(f"{server.api_url}/ping", timeout=10)
        assert server.url == url
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{server.api_url}/ping", headers=headers, timeout=10).ok


def test_stopping_ends_open_connections():
    with ThanksIOServer() as server, requests.Session() as session:
        assert session.get(f"{server.api_url}/handwriting-styles", timeout=10).ok
        server.next_token(delay=60)
        failures = []

        def wait_in_vain():
            try:
                requests.post(server.token_url, timeout=30)
            except requests.ConnectionError as error:
                failures.append(error)

        waiting = threading.Thread(target=wait_in_vain)
        waiting.start()
        server.wait_for_token_requests(1)
        server.stop()
        waiting.join(10)
        assert len(failures) == 1
        assert (server.requests[-1].outcome, server.requests[-1].reply) == ("not_processed", "lost")
        server.start()
        assert session.get(f"{server.api_url}/handwriting-styles", timeout=10).ok


def test_waiting_for_what_never_comes_says_so():
    with ThanksIOServer() as server:
        with pytest.raises(TimeoutError, match="asked"):
            server.wait_for_token_requests(1, timeout_seconds=0)
        with pytest.raises(TimeoutError, match="hold='after'"):
            server.next_token(hold="after").wait_reached(0)


def test_a_process_of_its_own_takes_orders():
    with RemoteThanksIO.launch("--dialect", "league8", "--reuse-detection") as thanksio:
        issued = thanksio.call("issue", user_id=7)
        form = {
            "grant_type": "refresh_token",
            "client_id": thanksio.settings["THANKSIO_CLIENT_ID"],
            "client_secret": thanksio.settings["THANKSIO_CLIENT_SECRET"],
            "refresh_token": issued["refresh_token"],
        }
        thanksio.call("next_token", lose_reply="after")
        with pytest.raises(requests.ConnectionError):
            requests.post(thanksio.settings["THANKSIO_TOKEN_URL"], data=form, timeout=10)
        assert thanksio.call("live_pair", grant=issued["grant"])["reply"] == "lost"
        response = requests.post(thanksio.settings["THANKSIO_TOKEN_URL"], data=form, timeout=10)
        assert (response.status_code, response.json()["error"]) == (401, "invalid_request")
        assert thanksio.call("count", grant_type="refresh_token") == 2
        [grant] = thanksio.call("grants")
        assert grant["cause_of_death"] == "reuse"
        assert [record["outcome"] for record in thanksio.call("requests")] == ["ok", "invalid_grant"]
        assert issued["refresh_token"] not in str(thanksio.call("requests"))
        with pytest.raises(RemoteError, match="No such order"):
            thanksio.call("explode")
        with pytest.raises(RemoteError, match="refuse"):
            thanksio.call("next_token", refuse="nonsense")
    with pytest.raises(requests.ConnectionError):
        requests.get(thanksio.url, timeout=10)


def test_the_control_endpoint_needs_its_key():
    with RemoteThanksIO.launch() as thanksio:
        response = requests.post(f"{thanksio.url}/_control/issue", json={}, timeout=10)
        assert response.status_code == 403
        assert thanksio.call("grants") == []


def test_without_control_there_is_no_control_endpoint():
    with ThanksIOServer() as server:
        assert requests.post(f"{server.url}/_control/issue", json={}, timeout=10).status_code == 404


def test_a_taken_port_is_said_plainly():
    with ThanksIOServer() as server:
        port = server.url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "thanksio_connect.testing", "--port", port],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == f"Port {port} can't be used: Address already in use\n"
