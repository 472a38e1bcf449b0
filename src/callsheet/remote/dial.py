"""Connections: how a host is reached, straight or through the environment's proxies, and those that are kept for the next request.

urllib3 makes them (TLS, tunnels, TLS through TLS); what is said on them is `transport`'s business.
"""

from __future__ import annotations

import socket
import ssl
import weakref
from collections import deque
from collections.abc import Mapping
from itertools import groupby
from urllib.parse import urlsplit

from urllib3 import ProxyManager
from urllib3 import exceptions as u3
from urllib3.connection import HTTPConnection, HTTPSConnection

from callsheet import system
from callsheet.remote import wire
from callsheet.remote.aws import proxy_for

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 30.0

_IDLE_PER_HOST = 128
_ADDRESSES_PER_FAMILY = 2


class Route:
    """The way to one host. Safe to use from many threads.

    A proxy that forwards, as those for plain HTTP do (`forwarded`), is sent whole URLs and `headers` of its own.
    """

    def __init__(self, base: str, ca_bundle: str) -> None:
        """`base` is scheme, host and port of a URL. Raises what urllib3 and `ssl` do if the proxy or the bundle cannot be used."""
        parts = urlsplit(base)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._tls else 80)
        self._context = _tls_context(ca_bundle) if self._tls else None
        proxy = proxy_for(base)
        self._manager = ProxyManager(proxy.url, proxy_headers=dict(proxy.headers)) if proxy else None
        self.forwarded = proxy is not None and not self._tls
        self.headers: Mapping[str, str] = proxy.headers if proxy and self.forwarded else {}
        if self.forwarded and self._manager and self._manager.proxy and self._manager.proxy.scheme == "https":
            self._context = _tls_context(ca_bundle)
        self._idle: deque[HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def take(self) -> HTTPConnection:
        """A connection that nobody else uses: one that was kept and that the other side did not end, else a new one."""
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return self._dialed()
            if _is_quiet(kept):
                return kept
            kept.close()

    def keep(self, connection: HTTPConnection) -> None:
        """For the next who takes one."""
        if len(self._idle) >= _IDLE_PER_HOST:
            connection.close()
        else:
            self._idle.append(connection)

    def _dialed(self) -> HTTPConnection:
        connection = self._connection()
        try:
            connection.connect()
        except ssl.SSLError:
            connection.close()
            raise
        except (u3.HTTPError, OSError) as error:
            connection.close()
            if self._manager is not None:
                raise u3.ProxyError("Unable to connect to the proxy", error) from error
            raise
        return connection

    def _connection(self) -> HTTPConnection:
        if self._manager is None or self._manager.proxy is None:
            if self._context is None:
                return _HTTPConnection(self._host, self._port)
            return _HTTPSConnection(self._host, self._port, ssl_context=self._context)
        proxy = self._manager.proxy
        host, port = proxy.host or "", proxy.port or 80
        if self.forwarded and self._context is None:
            return _HTTPConnection(host, port)
        if self.forwarded:
            return _HTTPSConnection(host, port, ssl_context=self._context)
        tunnel = _HTTPSConnection(
            host, port, ssl_context=self._context, proxy=proxy, proxy_config=self._manager.proxy_config
        )
        scheme = "https" if proxy.scheme == "https" else "http"
        tunnel.set_tunnel(self._host, self._port, self._manager.proxy_headers, scheme)
        return tunnel


class _Dialing(HTTPConnection):
    """Bounds connecting as a whole, where urllib3 bounds it for each of a host's addresses, and not sending by it."""

    def _new_conn(self) -> socket.socket:
        addresses = self._addresses()
        deadline = system.monotonic() + CONNECT_TIMEOUT_S
        failure: OSError = OSError("it has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            timeout_s = max(0.1, (deadline - system.monotonic()) / left)
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


def _is_quiet(connection: HTTPConnection) -> bool:
    """Whether nothing has come on a kept connection since: neither its end nor bytes that nobody asked for."""
    return connection.sock is not None and wire.is_quiet(connection.sock)


def _close_all(idle: deque[HTTPConnection]) -> None:
    while idle:
        idle.pop().close()


def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """One for all connections of a host: to read the bundle costs more than a request."""
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise ssl.SSLError(error.errno or 0, f"{ca_bundle}: {error.strerror or error}") from error
