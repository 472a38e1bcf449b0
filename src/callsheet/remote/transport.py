"""One HTTP exchange: what is sent and read, timeouts, and what each exception of the libraries means. No retries, no S3.

Connections are urllib3's (see `dial`), answers are read by `reply`; in between, a request is written in one piece: a push is a
thousand of them, and header by header they cost more than to send. Importing this imports urllib3, so it is imported when the first request is made.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from urllib.parse import urlsplit

from urllib3 import exceptions as u3
from urllib3.connection import HTTPConnection

from callsheet.remote import wire
from callsheet.remote.bodies import Straight
from callsheet.remote.dial import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Route
from callsheet.remote.reply import NO_MEMORY, Begun, Reply, receive

_CONTENT_BYTES = 1 << 20

FIRST_READ_TIMEOUT_S = 2.0
"""How long a host that never answered yet is given before it is asked whether it is there at all."""


class Again(Enum):
    """Whether a lost exchange is worth another try."""

    NO = "no"
    ONCE = "once"
    YES = "yes"
    IF_ALIVE = "if_alive"


class Lost(Exception):
    """An exchange that brought no answer, or not all of it."""

    def __init__(self, reason: str, again: Again, hint: str = "") -> None:
        super().__init__(reason)
        self.again = again
        self.hint = hint


class Stream:
    """The body of an answer, still to be read. Whoever takes it closes it."""

    def __init__(self, reply: Reply, connection: HTTPConnection, route: Route) -> None:
        self._reply = reply
        self._connection = connection
        self._route = route
        self._closed = False

    def blocks(self, size_bytes: int) -> Iterator[bytes | bytearray]:
        """Its bytes, at most `size_bytes` at a time. Raises `Lost` if it ends early."""
        try:
            while block := self._reply.read(size_bytes):
                yield block
        except FOREIGN as error:
            raise lost(error) from error

    def fill(self, size_bytes: int) -> Iterator[int]:
        """As `blocks`, but into the memory that was given for it; tells how many bytes came each time. Of what there is no room for, it tells one
        byte."""
        try:
            while come := self._reply.fill(size_bytes):
                yield come
            if more := self._reply.read(1):
                yield len(more)
        except FOREIGN as error:
            raise lost(error) from error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            _part(self._reply, self._connection, self._route)


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have lower-case names. `body` is empty if the answer is a stream, which `stream` holds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: Stream | None = None


_REFUSED = "Check AWS_ENDPOINT_URL_S3 and the network"
_PROXY = "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
_UNSENDABLE = "Check the region, and the credentials for stray spaces and line breaks"

# Every exception of urllib3 and of what is below it, the special before the general: a row stands for its subclasses too.
_FAULTS: tuple[tuple[type[BaseException], str, Again, str], ...] = (
    (u3.NameResolutionError, "its name cannot be resolved", Again.NO, _REFUSED),
    (u3.NewConnectionError, "no connection", Again.ONCE, _REFUSED),
    (u3.ConnectTimeoutError, f"no connection within {CONNECT_TIMEOUT_S:g} s", Again.ONCE, _REFUSED),
    (u3.ReadTimeoutError, "no answer in time", Again.IF_ALIVE, _REFUSED),
    (u3.TimeoutError, "no answer in time", Again.IF_ALIVE, _REFUSED),
    (u3.ProxyError, "the proxy fails", Again.ONCE, _PROXY),
    (u3.ProxySchemeUnknown, "the proxy's URL is not one", Again.NO, _PROXY),
    (u3.ProxySchemeUnsupported, "the proxy's URL is of an unsupported kind", Again.NO, _PROXY),
    (u3.SSLError, "TLS fails", Again.NO, "If the endpoint has a certificate of its own, set AWS_CA_BUNDLE"),
    (u3.LocationValueError, "the endpoint's URL is not one", Again.NO, _REFUSED),
    (u3.ProtocolError, "the connection broke", Again.YES, _REFUSED),
    (u3.IncompleteRead, "the connection broke", Again.YES, _REFUSED),
    (u3.InvalidChunkLength, "the connection broke", Again.YES, _REFUSED),
    (u3.HTTPError, "the HTTP answer makes no sense", Again.NO, _REFUSED),
    (http.client.HTTPException, "the connection broke", Again.YES, _REFUSED),
    (ssl.SSLError, "TLS fails", Again.NO, "If the endpoint has a certificate of its own, set AWS_CA_BUNDLE"),
    (TimeoutError, "no answer in time", Again.IF_ALIVE, _REFUSED),
    (OSError, "the connection broke", Again.YES, _REFUSED),
    (ValueError, "the request cannot be sent", Again.NO, _UNSENDABLE),
)  # fmt: skip
FOREIGN = tuple(kind for kind, *_ in _FAULTS)
"""What `Transport` catches."""


def lost(error: BaseException) -> Lost:
    """The `Lost` that a foreign exception stands for. It carries the system's words at most, never what was sent."""
    _, reason, again, hint = next(row for row in _FAULTS if isinstance(error, row[0]))
    system = _system_error(error)
    return Lost(f"{reason} ({system})" if system else reason, again, hint)


class Transport:
    """Requests on kept-alive connections. Safe to use from many threads."""

    def __init__(self, ca_bundle: str) -> None:
        self._ca_bundle = ca_bundle
        self._routes: dict[str, Route] = {}
        self._lock = threading.Lock()

    def exchange(
        self,
        method: str,
        base: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[bytes | memoryview] | None,
        *,
        read_timeout_s: float,
        stream: bool,
        into: memoryview = NO_MEMORY,
    ) -> Answer:
        """Send one request for `target` (path and query, already encoded) to `base` (scheme, host, port). The stream of an answer may be there already,
        see `Stream.fill`: the memory `into` which it goes must be given now.

        Raises `Lost`, and whatever the body raises as it is sent.
        """
        try:
            route = self._route(base)
            whole = base + _without_dots(target) if route.forwarded else target
            head = _head(method, whole, {**headers, **route.headers})
            connection = route.take()
            try:
                reply = _answered(connection.sock, method, head, body, into, read_timeout_s)
                if stream and reply.status < 300:
                    return Answer(reply.status, reply.headers, b"", Stream(reply, connection, route))
                try:
                    content = b"".join(iter(partial(reply.read, _CONTENT_BYTES), b""))
                finally:
                    _part(reply, connection, route)
                return Answer(reply.status, reply.headers, content)
            except BaseException:
                connection.close()
                raise
        except FOREIGN as error:
            # A ValueError's text may quote the header that could not be sent.
            raise lost(error) from (None if isinstance(error, ValueError) else error)

    def _route(self, base: str) -> Route:
        with self._lock:
            route = self._routes.get(base)
            if route is None:
                route = self._routes[base] = Route(base, self._ca_bundle)
            return route


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The request up to its body. Raises `ValueError` if it cannot be sent, for a line break in a header, say."""
    lines = [f"{method} {target} HTTP/1.1", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines)
    if text.count("\n") >= len(lines) or text.count("\r") >= len(lines) or "\0" in text or " " in target:
        raise ValueError("line break, blank or NUL")
    return f"{text}\r\n\r\n".encode("latin-1")


def _answered(
    sock: socket.socket,
    method: str,
    head: bytes,
    body: Iterable[bytes | memoryview] | None,
    into: memoryview,
    read_timeout_s: float,
) -> Reply:
    """The answer to a request, of which status and headers have come."""
    straight = body if isinstance(body, Straight) and wire.sends(sock) and body.is_small else None
    if wire.is_plain(sock) and (body is None or straight is not None):
        done = wire.exchange(
            sock,
            head,
            "" if straight is None else straight.path,
            0 if straight is None else straight.size_bytes,
            into,
            send_timeout_s=READ_TIMEOUT_S,
            receive_timeout_s=read_timeout_s,
        )
        if done.file_error is None or done.file_bytes:
            if straight is not None:
                straight.went(done)
            _wait_at_most(sock, read_timeout_s)
            begun = Begun(done.answer, done.filled_bytes, done.socket_error)
            return receive(sock, method, last=done.refused, into=into, begun=begun)
        head = head[done.request_bytes :]  # to read the file may do, or tells what is wrong with it
    refused = _refused(sock, head, body)
    _wait_at_most(sock, read_timeout_s)
    return receive(sock, method, last=refused, into=into)


def _refused(sock: socket.socket, head: bytes, body: Iterable[bytes | memoryview] | None) -> bool:
    """Send a request piece by piece; whether the other side did not take all of it, and may have said why."""
    _wait_at_most(sock, READ_TIMEOUT_S)
    if isinstance(body, Straight):
        body.open()
    try:
        sock.sendall(head)
        if isinstance(body, Straight) and wire.sends(sock):
            body.send(sock)
        else:
            for piece in body or ():
                sock.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def _wait_at_most(sock: socket.socket, timeout_s: float) -> None:
    """To set what is set costs a call of the system."""
    if sock.gettimeout() != timeout_s:
        sock.settimeout(timeout_s)


def _part(reply: Reply, connection: HTTPConnection, route: Route) -> None:
    """Keep a connection whose answer was read to its end, close any other."""
    if reply.leaves_usable:
        route.keep(connection)
    else:
        reply.close()
        connection.close()


def _without_dots(target: str) -> str:
    """`target` with `.` and `..` segments encoded: a URL in absolute form would be normalised."""
    path, mark, query = target.partition("?")
    segments = (s.replace(".", "%2E") if s in (".", "..") else s for s in path.split("/"))
    return "/".join(segments) + mark + query


@lru_cache(maxsize=64)
def authority(base: str) -> str:
    """Host and port of a URL, for messages and the `Host` header; a default port is left out."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, default) else f"{host}:{parts.port}"


def _system_error(error: BaseException | None) -> str:
    """What the operating system said at the root of an exception: `Connection refused`."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        nested = error.args[-1] if error.args and isinstance(error.args[-1], BaseException) else None
        error = nested or error.__cause__ or error.__context__
    return ""
