"""One HTTP exchange: connections, timeouts, and what each of urllib3's exceptions means. No retries, no S3.

Importing it imports urllib3, so it is imported when the first request is made.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import groupby
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as u3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout

from callsheet.remote.aws import proxy_for

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 30.0
FIRST_READ_TIMEOUT_S = 2.0
"""How long a host that never answered yet is given before it is asked whether it is there at all."""

_CONNECTIONS_PER_HOST = 128
_BLOCK_BYTES = 128 * 1024
_ADDRESSES_PER_FAMILY = 2


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


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is empty if the answer is a stream, which `stream` holds and whoever takes it closes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: urllib3.BaseHTTPResponse | None = None


_REFUSED = "Check AWS_ENDPOINT_URL_S3 and the network"
_PROXY = "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
_UNSENDABLE = "Check the region, and the credentials for stray spaces and line breaks"

# Every exception of urllib3, the special before the general: a row stands for its subclasses too.
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
    """Pools of kept-alive connections, straight or through the proxies of the environment. Safe to use from many threads."""

    def __init__(self, ca_bundle: str) -> None:
        self._ca_bundle = ca_bundle
        self._routes: dict[str, _Route] = {}
        self._lock = threading.Lock()

    def exchange(
        self,
        method: str,
        base: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        read_timeout_s: float,
        stream: bool,
    ) -> Answer:
        """Send one request for `target` (path and query, already encoded) to `base` (scheme, host, port). Raises `Lost`."""
        try:
            route = self._route(base)
            response = route.pool.urlopen(
                method,
                base + _without_dots(target) if route.forwarded else target,
                # In blocks, so that a timeout is one for each block and not for the whole body.
                body=None if body is None else io.BytesIO(body),
                headers={**headers, **route.headers},
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
                preload_content=False,
                decode_content=False,
            )
            if stream and response.status < 300:
                return Answer(response.status, response.headers, b"", response)
            try:
                return Answer(response.status, response.headers, response.read())
            finally:
                response.close()
        except FOREIGN as error:
            # A ValueError's text may quote the header that could not be sent.
            raise lost(error) from (None if isinstance(error, ValueError) else error)

    def _route(self, base: str) -> _Route:
        with self._lock:
            route = self._routes.get(base)
            if route is None:
                route = self._routes[base] = _new_route(base, self._ca_bundle)
            return route


@dataclass(frozen=True, slots=True)
class _Route:
    """How a host is reached. A proxy that forwards, as those for plain HTTP do, is sent whole URLs and its own headers."""

    manager: urllib3.PoolManager
    pool: HTTPConnectionPool
    forwarded: bool
    headers: Mapping[str, str]


def _new_route(base: str, ca_bundle: str) -> _Route:
    proxy = proxy_for(base)
    make = (
        partial(urllib3.ProxyManager, proxy.url, proxy_headers=proxy.headers) if proxy else partial(urllib3.PoolManager)
    )
    manager = make(maxsize=_CONNECTIONS_PER_HOST, blocksize=_BLOCK_BYTES, ca_certs=ca_bundle)
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    forwarded = proxy is not None and base.startswith("http:")
    return _Route(manager, manager.connection_from_url(base), forwarded, proxy.headers if proxy and forwarded else {})


def blocks(stream: urllib3.BaseHTTPResponse, size_bytes: int) -> Generator[bytes]:
    """The bytes of an answer's body, at most `size_bytes` at a time. Raises `Lost` if it ends early."""
    try:
        while block := stream.read(size_bytes, decode_content=False):
            yield block
    except FOREIGN as error:
        raise lost(error) from error
    finally:
        stream.close()


class _Dialing(HTTPConnection):
    """Bounds connecting as a whole, where urllib3 bounds it for each of a host's addresses, and not sending by it."""

    def _new_conn(self) -> socket.socket:
        addresses = self._addresses()
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        failure: OSError = OSError("it has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            timeout_s = max(0.1, (deadline - time.monotonic()) / left)
            try:
                dialed = socket.create_connection(address, timeout_s)
            except OSError as error:
                failure = error
                continue
            for option in self.socket_options or ():
                dialed.setsockopt(*option)
            dialed.settimeout(READ_TIMEOUT_S)
            return dialed
        if isinstance(failure, TimeoutError):
            raise u3.ConnectTimeoutError(self, "timed out") from failure
        raise u3.NewConnectionError(self, str(failure)) from failure

    def _addresses(self) -> list[tuple[str, int]]:
        """The first few addresses of each family."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            gai = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise u3.NameResolutionError(self.host, self, gai) from error
        families = groupby(sorted(found, key=lambda row: row[0] != found[0][0]), key=lambda row: row[0])
        return [(str(row[4][0]), int(row[4][1])) for _, rows in families for row in list(rows)[:_ADDRESSES_PER_FAMILY]]


class _HTTPConnection(_Dialing):
    pass


class _HTTPSConnection(_Dialing, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def _without_dots(target: str) -> str:
    """`target` with `.` and `..` segments encoded: a URL in absolute form would be normalised."""
    path, mark, query = target.partition("?")
    segments = (s.replace(".", "%2E") if s in (".", "..") else s for s in path.split("/"))
    return "/".join(segments) + mark + query


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
