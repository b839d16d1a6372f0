"""What a test patches in requests takes effect here too. No request may go out of somebody's test."""

import gzip
import io
import socket
import time
from unittest import mock

import freezegun
import pytest
import requests
import requests_mock
import responses
import time_machine
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException

from tests.integration.client_server import ScriptedServer, answering, dripping, reply, silent
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import MIB, Transport, TransportConfig
from thanksio_connect.exceptions import NotSent, OutcomeUnknown, ThanksIOConfigurationError

URL = "https://api.thanks.invalid/api/v2/send/postcard"
QUICK = TransportConfig(connect_timeout_seconds=0.4, read_timeout_seconds=0.6)


def send(url=URL, method="POST", **arguments):
    if method == "POST":
        arguments.setdefault("form", {"refresh_token": Secret("REFRESHSECRET")})
    return Transport(QUICK).send(method, url, **arguments)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """A mock that is passed by shows: no name is looked up but this machine's."""
    look_up = socket.getaddrinfo

    def local(host, *args, **kwargs):
        assert host in ("127.0.0.1", "localhost"), "a real request"
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", local)


def made_by_hand(body=b'{"id": 1}', **attributes):
    response = requests.Response()
    response.status_code = 201
    response._content = body
    vars(response).update(attributes)
    return response


class TestRequestsMock:
    def test_answers(self):
        with requests_mock.Mocker() as mocker:
            mocker.post(URL, json={"id": 1}, status_code=201, headers={"X-Request-Id": "r"})
            response = send()
        assert (response.status, response.body, response.headers["x-request-id"]) == (201, b'{"id": 1}', "r")
        assert mocker.last_request.text == "refresh_token=REFRESHSECRET"
        assert mocker.last_request.headers["User-Agent"].startswith("thanksio_connect/")

    @pytest.mark.parametrize(
        ("error", "outcome", "code"),
        [
            (requests.ConnectTimeout, NotSent, "not_sent"),
            (requests.ConnectionError, NotSent, "not_sent"),
            (ConnectionRefusedError, NotSent, "not_sent"),
            (requests.ReadTimeout, OutcomeUnknown, "timeout"),
            (requests.Timeout, OutcomeUnknown, "timeout"),
            (requests.exceptions.ChunkedEncodingError, OutcomeUnknown, "outcome_unknown"),
        ],
    )
    def test_fails(self, error, outcome, code):
        with requests_mock.Mocker() as mocker:
            mocker.post(URL, exc=error)
            with pytest.raises(outcome) as caught:
                send()
        assert caught.value.code == code

    def test_stops_what_no_mock_is_for(self):
        with requests_mock.Mocker(), pytest.raises(requests_mock.NoMockAddress):
            send()

    def test_lets_through_what_it_is_told_to(self):
        with ScriptedServer(answering(200, b"real")) as server, requests_mock.Mocker(real_http=True):
            assert send(server.url).body == b"real"
        with (
            ScriptedServer(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x")) as server,
            requests_mock.Mocker(real_http=True),
            pytest.raises(OutcomeUnknown) as caught,
        ):
            send(server.url)
        assert caught.value.code == "timeout"

    def test_a_mocked_redirect_is_not_followed_and_its_body_is_limited(self):
        with requests_mock.Mocker() as mocker:
            mocker.post(URL, status_code=302, headers={"Location": "https://[::1"}, content=b"moved")
            assert (send().status, mocker.call_count) == (302, 1)
            mocker.post(URL, status_code=302, headers={"Location": "/"}, content=b"x" * (MIB + 1))
            with pytest.raises(OutcomeUnknown) as caught:
                send()
        assert caught.value.code == "too_large"


class TestResponses:
    @responses.activate
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_answers(self, method):
        responses.add(method, URL, json={"id": 1}, status=201)
        response = send(method=method, json={"a": "b"}, form=None)
        assert (response.status, response.body) == (201, b'{"id": 1}')
        assert responses.calls[0].request.body == b'{"a": "b"}'

    @responses.activate
    def test_stops_what_no_mock_is_for(self):
        with pytest.raises(NotSent):
            send()

    @responses.activate
    def test_fails(self):
        responses.add("POST", URL, body=requests.ReadTimeout())
        with pytest.raises(OutcomeUnknown):
            send()
        responses.replace("POST", URL, body=AssertionError("mine"))
        with pytest.raises(AssertionError, match="mine"):
            send()

    def test_lets_through_what_it_is_told_to(self):
        with ScriptedServer(silent()) as server, responses.RequestsMock() as mocked:
            mocked.add_passthru(server.url)
            with pytest.raises(OutcomeUnknown) as caught:
                send(server.url)
        assert caught.value.code == "timeout"


class TestVcr:
    def test_records_and_plays(self, tmp_path):
        cassette = str(tmp_path / "cassette.yaml")
        with ScriptedServer(answering(201, {"id": 1})) as server:
            for _ in range(2):
                with vcr.use_cassette(cassette):
                    response = send(server.url + "/send")
                    assert (response.status, response.body) == (201, b'{"id": 1}')
            assert len(server.requests) == 1

    def test_plays_a_compressed_answer(self, tmp_path):
        answer = answering(200, gzip.compress(b"whole"), {"Content-Encoding": "gzip"})
        with ScriptedServer(answer) as server:
            for _ in range(2):
                with vcr.use_cassette(str(tmp_path / "cassette.yaml")):
                    assert send(server.url).body == b"whole"

    def test_stops_what_is_not_on_the_cassette(self, tmp_path):
        with ScriptedServer(answering(200)) as server:
            for url in (server.url, URL):
                with (
                    vcr.use_cassette(str(tmp_path / "none.yaml"), record_mode="none"),
                    pytest.raises(CannotOverwriteExistingCassetteException),
                ):
                    send(url)
            assert server.requests == []

    def test_a_request_that_is_recorded_is_bounded_too(self, tmp_path):
        script = dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x", for_seconds=3)
        began = time.monotonic()
        with ScriptedServer(script) as server, vcr.use_cassette(str(tmp_path / "cassette.yaml")):
            with pytest.raises(OutcomeUnknown) as caught:
                send(server.url)
            assert time.monotonic() - began < 2.5
        assert caught.value.code == "timeout"


class TestPatches:
    @pytest.mark.parametrize(
        "target",
        [
            "requests.Session.send",
            "requests.Session.request",
            "requests.sessions.Session.post",
            "requests.adapters.HTTPAdapter.send",
        ],
    )
    def test_take_effect(self, target):
        with mock.patch(target, return_value=made_by_hand()) as patched:
            response = send()
        assert patched.called
        assert (response.status, response.body) == (201, b'{"id": 1}')

    def test_of_get_adapter_takes_effect(self):
        adapter = mock.Mock(**{"send.return_value": made_by_hand()})
        with mock.patch("requests.Session.get_adapter", return_value=adapter):
            assert send().status == 201

    def test_of_the_session_class_takes_effect(self):
        with mock.patch("requests.Session") as session:
            session.return_value.post.return_value = made_by_hand()
            assert send().status == 201

    def test_of_urllib3_takes_effect(self):
        with (
            mock.patch("urllib3.connectionpool.HTTPConnectionPool.urlopen", side_effect=ZeroDivisionError),
            pytest.raises(ZeroDivisionError),
        ):
            send()

    @pytest.mark.parametrize("method", ["POST", "GET"])
    @pytest.mark.parametrize("is_autospecced", [True, None])
    @pytest.mark.parametrize("module", ["requests", "requests.api"])
    def test_of_requests_functions_stop_the_real_request(self, method, is_autospecced, module):
        for name in (method.lower(), "request"):
            with (
                mock.patch(f"{module}.{name}", autospec=is_autospecced),
                pytest.raises(ThanksIOConfigurationError, match=f"requests.{name}") as caught,
            ):
                send(method=method)
            assert caught.value.code == "mocked"

    def test_of_requests_functions_leave_a_local_stand_in_alone(self):
        with mock.patch("requests.post"), ScriptedServer(answering(200, b"local")) as server:
            assert send(server.url).body == b"local"

    def test_of_a_tracer_are_no_mocks(self, monkeypatch):
        def traced(*args, **kwargs):
            """Calls the original."""

        traced.__wrapped__ = requests.post
        monkeypatch.setattr(requests, "post", traced)
        with requests_mock.Mocker() as mocker:
            mocker.post(URL)
            assert send().status == 200

    @pytest.mark.parametrize("error", [AssertionError("must not be called"), RuntimeError("no network"), KeyError("x")])
    def test_of_their_own_complaints_are_heard(self, error):
        with mock.patch("requests.Session.send", side_effect=error), pytest.raises(type(error)) as caught:
            send()
        assert caught.value is error


class TestAnswersMadeByHand:
    @pytest.mark.parametrize(
        "response",
        [
            made_by_hand(),
            made_by_hand(False, raw=io.BytesIO(b'{"id": 1}')),
            mock.Mock(status_code=201, content=b'{"id": 1}', headers={"A": "b"}),
            mock.MagicMock(status_code=201, content=b'{"id": 1}'),
        ],
        ids=range(4),
    )
    def test_are_read(self, response):
        with mock.patch("requests.Session.send", return_value=response):
            answer = send()
        assert (answer.status, answer.body) == (201, b'{"id": 1}')

    def test_are_limited(self):
        with (
            mock.patch("requests.Session.send", return_value=made_by_hand(b"x" * (MIB + 1))),
            pytest.raises(OutcomeUnknown) as caught,
        ):
            send()
        assert caught.value.code == "too_large"

    @pytest.mark.parametrize("response", [mock.MagicMock(), mock.Mock(status_code=200), mock.Mock(content=b"")])
    def test_that_are_none_are_told(self, response):
        with mock.patch("requests.Session.send", return_value=response), pytest.raises(TypeError, match="status_code"):
            send()


class TestStoppedClocks:
    @pytest.fixture(params=["freezegun", "time_machine", "patched"])
    def _stopped(self, request):
        with {
            "freezegun": lambda: freezegun.freeze_time("2026-01-01"),
            "time_machine": lambda: time_machine.travel("2026-01-01", tick=False),
            "patched": lambda: mock.patch("time.monotonic", return_value=17.0),
        }[request.param]():
            yield

    @pytest.mark.usefixtures("_stopped")
    @pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
    def test_do_not_stop_the_deadline(self, start):
        began = time.clock_gettime(time.CLOCK_MONOTONIC)

        with ScriptedServer(dripping(start, b"x")) as server, pytest.raises(OutcomeUnknown) as caught:
            send(server.url)
        assert caught.value.code == "timeout"
        assert 0.9 < time.clock_gettime(time.CLOCK_MONOTONIC) - began < 5

    def test_are_bounded_by_a_count_where_there_is_no_other_clock(self, monkeypatch):
        monkeypatch.setattr("thanksio_connect.client.deadline.now", lambda: 17.0)
        monkeypatch.setattr("thanksio_connect.client.deadline._READS", 50)
        monkeypatch.setattr("thanksio_connect.client.deadline._BYTES_A_READ", MIB)
        with (
            ScriptedServer(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x", every_seconds=0.005)) as server,
            pytest.raises(OutcomeUnknown) as caught,
        ):
            send(server.url)
        assert caught.value.code == "timeout"

    @pytest.mark.usefixtures("_stopped")
    def test_do_not_harm_a_good_answer(self):
        with ScriptedServer(lambda connection, request: connection.sendall(reply(200, b"ok"))) as server:
            assert send(server.url).body == b"ok"
