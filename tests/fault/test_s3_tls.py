"""TLS and tunnels: a certificate is checked, and a proxy is asked to reach the store."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.errors import RemoteError, Unreachable
from callsheet.remote import session
from callsheet.remote.s3 import S3Remote
from faults import FaultServer, Reply, fault_server
from servers import REGION, free_port

PAGE = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for the name `localhost`, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-addext", "keyUsage=digitalSignature,keyCertSign"]
    subprocess.run([*command, "-keyout", f"{path}.key", "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(session, "pause", lambda seconds: None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with fault_server() as running:
        running.socket = context.wrap_socket(running.socket, server_side=True)
        running.rule = lambda seen: Reply(200, PAGE)
        yield running


def listed(host: str, server: FaultServer) -> list[object]:
    return list(S3Remote(REGION, endpoint_url=f"https://{host}:{server.server_address[1]}").list("bucket", ""))


def test_a_certificate_of_a_bundle_is_trusted(
    server: FaultServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    remote = S3Remote(REGION, endpoint_url=f"https://localhost:{server.server_address[1]}")
    for _ in range(3):
        assert list(remote.list("bucket", "")) == []
    assert len(server.connections) == 1


def test_no_other_certificate_is(server: FaultServer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="TLS fails") as caught:
        listed("localhost", server)
    assert "AWS_CA_BUNDLE" in caught.value.hint
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with pytest.raises(Unreachable, match="TLS fails"):
        listed("127.0.0.1", server)
    assert server.seen == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_bundle_that_cannot_be_used_is_named(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(RemoteError) as caught:
        listed("localhost", server)
    assert "AWS_CA_BUNDLE" in caught.value.hint


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Knows only CONNECT, and only for those who bring a password."""

    tunnels: list[str]

    def do_CONNECT(self) -> None:
        if "Proxy-Authorization" not in self.headers:
            self.send_error(407)
            return
        self.tunnels.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response_only(200)
            self.end_headers()
            back = threading.Thread(target=_pumped, args=(there, self.connection))
            back.start()
            _pumped(self.connection, there)
            back.join()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


def _pumped(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[str]]]:
    """The port of a proxy, and the tunnels that it made."""
    tunnels: list[str] = []
    handler = type("Handler", (_Proxy,), {"tunnels": tunnels})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        running.block_on_close = False
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running.server_address[1], tunnels
        running.shutdown()
        thread.join()


def test_a_proxy_makes_a_tunnel(
    server: FaultServer, certificate: Path, proxy: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, tunnels = proxy
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:password@127.0.0.1:{port}")
    assert listed("localhost", server) == []
    assert tunnels == [f"localhost:{server.server_address[1]}"]
    assert not any("proxy" in name.lower() for seen in server.seen for name in seen.headers)


def test_a_proxy_that_refuses_is_named(
    server: FaultServer, certificate: Path, proxy: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    for url in (f"http://127.0.0.1:{proxy[0]}", f"http://127.0.0.1:{free_port()}"):
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(Unreachable, match="the proxy fails") as caught:
            listed("localhost", server)
        assert "HTTPS_PROXY" in caught.value.hint
