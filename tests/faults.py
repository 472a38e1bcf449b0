"""An HTTP server that does what a test tells it to: answer, stall, cut off, hang up, or pass a request on."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from callsheet import system
from callsheet.remote import wire


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire: `target` is exact."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to do with one request.

    `stall_s` is waited first. `cut_at` sends that many bytes of a body that was announced in full, and `hang_up` none of
    an answer at all; both then reset the connection.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stall_s: float = 0.0
    cut_at: int | None = None
    hang_up: bool = False


Rule = Callable[[Seen], Reply | None]


class FaultServer(ThreadingHTTPServer):
    """Answers with the next scripted reply, else with what `rule` says, else with what `upstream` answers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.rule: Rule | None = None
        self.on_arrival: Callable[[Seen], None] | None = None
        """Called with each request before its body is read."""
        self.stopped = threading.Event()
        self.connections: set[socket.socket] = set()
        self._script: deque[Reply] = deque()
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is no news; a rule that fails is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        self._script.extend(replies)

    def reply(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            if self._script:
                return self._script.popleft()
        told = self.rule(seen) if self.rule else None
        if told is not None:
            return told
        return self.forwarded(seen) if self.upstream else Reply(599, b"unexpected request")

    def forwarded(self, seen: Seen) -> Reply:
        """What `upstream` answers to a request: for rules that change one of the two."""
        parts = urlsplit(self.upstream or "")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.putrequest(seen.method, seen.target, skip_host=True, skip_accept_encoding=True)
            for name, value in seen.headers.items():
                connection.putheader(name, value)
            connection.endheaders(seen.body or None)
            answer = connection.getresponse()
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
            return Reply(answer.status, answer.read(), kept)
        finally:
            connection.close()


@contextlib.contextmanager
def fault_server(upstream: str | None = None) -> Iterator[FaultServer]:
    """A running `FaultServer`; `upstream` is the endpoint that unscripted requests are passed on to."""
    server = FaultServer(upstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        for connection in list(server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The endpoint of a listener that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FaultServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass

    def _answer(self) -> None:
        # Not self.path, which is tidied up.
        target = self.requestline.split(" ")[1]
        if self.server.on_arrival is not None:
            self.server.on_arrival(Seen(self.command, target, dict(self.headers.items()), b""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.server.reply(Seen(self.command, target, dict(self.headers.items()), body))
        if reply.stall_s and self.server.stopped.wait(reply.stall_s):
            self.close_connection = True
            return
        if reply.hang_up:
            self._reset()
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        announced = next((v for n, v in reply.headers.items() if n.lower() == "content-length"), None)
        self.send_header("Content-Length", announced if self.command == "HEAD" and announced else str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: reply.cut_at])
        if reply.cut_at is not None:
            self._close()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def _close(self) -> None:
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815


WAYS = ["through Python"] if wire._receive is None else ["straight", "through Python"]
needs_extension = pytest.mark.skipif("straight" not in WAYS, reason="the extension was not built")
both_ways = pytest.mark.parametrize("way", WAYS)


@contextlib.contextmanager
def going(way: str) -> Iterator[None]:
    """With the extension (`straight`), or without it."""
    with pytest.MonkeyPatch.context() as patch:
        if way == "through Python":
            without_extension(patch)
        yield


def without_extension(patch: pytest.MonkeyPatch) -> None:
    """As where no C compiler was: bodies of transfers pass through Python."""
    patch.setattr(wire, "_receive", None)
    patch.setattr(wire, "_send", None)
    patch.setattr(wire, "_exchange", None)
    patch.setattr(wire, "_quiet", None)
    patch.setattr(system, "_create_in_c", None)
    patch.setattr(system, "_publish_in_c", None)
    patch.setattr(system, "_write_in_c", None)
    patch.setattr(system, "_fsync_in_c", None)
    patch.setattr(system, "_inventory_in_c", None)
    patch.setattr(system, "_read_in_c", None)
    patch.setattr(system, "_read_each_in_c", None)
