"""TLS and proxies: what fails before the request is on its way is NotSent, and nothing is spoken unverified."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.client_server import (
    ScriptedServer,
    answering,
    assert_hides,
    closing,
    dripping,
    free_port,
    read_request,
    resetting,
    silent,
)
from tests.integration.test_client_kept import KeepingServer
from thanksio_connect.client import kept
from thanksio_connect.client.tokens import Secret
from thanksio_connect.client.transport import Reuse, Transport, TransportConfig
from thanksio_connect.exceptions import NotSent, OutcomeUnknown, ThanksIOConfigurationError

QUICK = TransportConfig(connect_timeout_seconds=0.4, read_timeout_seconds=0.6)
FORM = {"refresh_token": Secret("REFRESHSECRET")}


def _certificate(subject, names, key, issuer, issuer_key, *, ca):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority of our own: (its bundle, a function that makes a server context for names)."""
    folder = tmp_path_factory.mktemp("tls")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Test CA", [], ca_key, "Test CA", ca_key, ca=True)
    bundle = folder / "ca.pem"
    bundle.write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def context(*names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("server", names, key, "Test CA", ca_key, ca=False)
        path = folder / f"{id(key)}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        result.load_cert_chain(path)
        return result

    return bundle, context


@pytest.fixture
def tls(authority):
    return authority[1](x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@pytest.fixture(autouse=True)
def _environment(monkeypatch, authority):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[0]))


def send(url, config=QUICK):
    return Transport(config).send("POST", f"{url}/oauth/token", form=FORM)


class TestAnotherEnvironment:
    """A CA bundle or a proxy that is named later holds at once, whatever connection is kept."""

    @pytest.fixture
    def server(self, tls):
        with KeepingServer(answering(200, b"ok"), tls) as running:
            yield running
            kept.close_all()

    def get(self, server):
        return Transport(QUICK).send("GET", server.url, reuse=Reuse.REPEATABLE).body

    def test_while_nothing_changes_the_connection_is_kept(self, server):
        assert [self.get(server), self.get(server), server.connections] == [b"ok", b"ok", 1]

    def test_a_bundle_that_is_not_there_is_missed(self, server, monkeypatch):
        self.get(server)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(ThanksIOConfigurationError, match="CA bundle"):
            self.get(server)

    def test_a_proxy_that_nobody_serves_is_asked(self, server, monkeypatch):
        self.get(server)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(NotSent):
            self.get(server)
        assert len(server.requests) == 1


class TestVerification:
    def test_the_environments_ca_bundle_is_honoured(self, tls):
        with ScriptedServer(answering(200, b"ok"), tls) as server:
            assert send(server.url).body == b"ok"

    def test_an_unknown_authority_is_refused(self, tls, monkeypatch):
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with ScriptedServer(answering(200, b"ok"), tls) as server:
            with pytest.raises(NotSent) as caught:
                send(server.url)
            assert server.requests == []
        assert caught.value.cause_name == "SSLError"
        assert_hides(caught, "REFRESHSECRET")

    def test_another_hosts_certificate_is_refused(self, authority):
        with ScriptedServer(answering(200), authority[1](x509.DNSName("other.example"))) as server:
            with pytest.raises(NotSent):
                send(server.url)
            assert server.requests == []

    def test_a_server_without_tls_gets_nothing(self):
        with ScriptedServer(closing(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server, pytest.raises(NotSent):
            send(server.url.replace("http://", "https://"))

    def test_a_handshake_that_hangs_is_cut(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            began = time.monotonic()
            with pytest.raises(NotSent):
                send(f"https://127.0.0.1:{listener.getsockname()[1]}")
            assert time.monotonic() - began < 1

    def test_a_handshake_that_is_dropped(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def drop():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    connection.close()

            thread = threading.Thread(target=drop)
            thread.start()
            with pytest.raises(NotSent):
                send(f"https://127.0.0.1:{listener.getsockname()[1]}")
            thread.join()


class TestAfterTheHandshake:
    @pytest.mark.parametrize(
        ("start", "drop"),
        [
            (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        ],
        ids=["header", "body"],
    )
    def test_a_drip_is_cut(self, tls, start, drop):
        with ScriptedServer(dripping(start, drop), tls) as server:
            began = time.monotonic()
            with pytest.raises(OutcomeUnknown) as caught:
                send(server.url)
            assert time.monotonic() - began < QUICK.total_deadline_seconds + 0.5
        assert caught.value.code == "timeout"

    @pytest.mark.parametrize("script", [resetting(), closing(), silent()])
    def test_the_outcome_is_unknown(self, tls, script):
        with ScriptedServer(script, tls) as server:
            with pytest.raises(OutcomeUnknown) as caught:
                send(server.url)
            assert len(server.requests) == server.connections == 1
        assert_hides(caught, "REFRESHSECRET")


def tunnel(connection, request):
    """Do what CONNECT asks for, and pass bytes on."""
    host, port = request.line.split()[1].split(":")
    with socket.create_connection((host, int(port))) as upstream:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def pump(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=pump, args=(upstream, connection))
        thread.start()
        pump(connection, upstream)
        thread.join()


class TestProxy:
    @pytest.fixture
    def through(self, monkeypatch):
        return lambda proxy: monkeypatch.setenv("HTTPS_PROXY", proxy)

    def test_the_environments_proxy_is_used(self, tls, through):
        with ScriptedServer(answering(200, b"ok"), tls) as server, ScriptedServer(tunnel) as proxy:
            through(proxy.url.replace("http://", "http://me:proxysecret@"))
            assert send(server.url).body == b"ok"
            assert [request.line for request in proxy.requests] == [f"CONNECT localhost:{server.port} HTTP/1.1"] or [
                request.line for request in proxy.requests
            ] == [f"CONNECT localhost:{server.port} HTTP/1.0"]
            assert "REFRESHSECRET" not in repr(proxy.requests)

    @pytest.mark.parametrize(
        "script",
        [
            answering(407, b"who are you?"),
            answering(502, b"no"),
            answering(503, b"no"),
            closing(),
            resetting(),
            closing(b"nonsense\r\n\r\n"),
        ],
        ids=range(6),
    )
    def test_a_proxy_that_refuses_is_not_sent(self, through, script):
        with ScriptedServer(script) as proxy:
            through(proxy.url.replace("http://", "http://me:proxysecret@"))
            with pytest.raises(NotSent) as caught:
                send("https://localhost:1")
            assert "REFRESHSECRET" not in repr(proxy.requests)
        assert_hides(caught, "REFRESHSECRET", "proxysecret")

    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: "])
    def test_a_proxy_that_drips_is_cut(self, through, start):
        with ScriptedServer(dripping(start, b"x")) as proxy:
            through(proxy.url)
            seconds = []
            for _try in range(3):  # the best of them: the machine may do much else
                began = time.monotonic()
                with pytest.raises(NotSent):
                    send("https://localhost:1")
                seconds.append(time.monotonic() - began)
            assert min(seconds) < QUICK.total_deadline_seconds + 0.5

    def test_a_proxy_that_is_down_is_not_sent(self, through):
        through(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(NotSent) as caught:
            send("https://localhost:1")
        assert caught.value.cause_name == "ProxyError"

    def test_a_proxy_that_breaks_off_after_the_request_is_unknown(self, tls, through):
        def cut(connection, request):
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with tls.wrap_socket(connection, server_side=True) as secured:
                received = read_request(secured)
                assert received is not None

        with ScriptedServer(cut) as proxy:
            through(proxy.url)
            with pytest.raises(OutcomeUnknown):
                send("https://localhost:1")
