"""Running the server: the socket, the signals that end it, and who may reach it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callsheet.errors import CallsheetError, UsageError
from callsheet.layout import printable
from callsheet.library import Library
from callsheet.web.app import create_app
from callsheet.web.options import ServeOptions
from callsheet.web.security import Access, Guard, is_everywhere
from callsheet.web.service import Service

_GRACE_S = 3
_TOKEN_BYTES = 24
_log = logging.getLogger("callsheet.access")
_uvicorn_log = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """Ends at the first Ctrl-C, and lets those who listen to its events go first. `was_forced` tells of a second, or of a job that went on."""

    def __init__(self, config: uvicorn.Config, service: Service, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.service = service
        self._on_ready = on_ready
        self._left = False

    @property
    def was_forced(self) -> bool:
        """Whether something is still under way."""
        return self._left or self.force_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.start()
        try:
            await super().startup(sockets)
            self._on_ready()
        except BaseException:
            self.service.close()
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.hub.close()
        _uvicorn_log.addFilter(_not_cancelled)
        await super().shutdown(sockets)
        if not self.force_exit:
            self._left = not self.service.close(lambda: self.force_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the signal is not raised again
        if self.should_exit:
            self.force_exit = True
            _uvicorn_log.setLevel(logging.CRITICAL + 1)  # what breaks now, breaks on purpose
        self.should_exit = True


def _not_cancelled(record: logging.LogRecord) -> bool:
    """Whether a failure is one: not of a request whose reader took too long when the server was stopped."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class AccessLog:
    """Logs each request when it is over: never its query, which may hold a token, nor its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.monotonic()

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            took_ms = (time.monotonic() - started) * 1000
            _log.info("%s %s %d %.0f ms", scope["method"], printable(scope["path"]), status, took_ms)


def serve(library: Library, options: ServeOptions, *, on_ready: Callable[[str], None]) -> None:
    """Serve a tree until Ctrl-C. `on_ready` is called with the URL to open, the login link if a token is needed, once the server listens.

    `KeyboardInterrupt` if it was pressed twice, or a job did not stop in time: the process is to end at once, whatever its threads do.
    `UsageError` if the server cannot listen, or must not; `TreeError`
    if another one works on the tree.
    """
    with listen(options.host, options.port) as listener:
        server = make_server(library, options, listener, on_ready)
        server.run(sockets=[listener])
    if server.was_forced:
        raise KeyboardInterrupt


def make_server(
    library: Library, options: ServeOptions, listener: socket.socket, on_ready: Callable[[str], None]
) -> Server:
    """What `serve` runs, for a socket that `listen` made."""
    address, port = listener.getsockname()[:2]
    token = _token(options.token, address)
    hosts = frozenset(host.lower() for host in options.allowed_hosts)
    access = Access(address, port, hosts | {f"{options.host.lower()}:{port}"}, token)
    service = Service(library, options)
    app: ASGIApp = Guard(create_app(service), access, lambda: _image_origins(library))
    if options.access_log:
        app = AccessLog(app)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        ws="none",
        lifespan="off",  # what hinders the service from starting is for the caller, not for a log
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return Server(config, service, lambda: on_ready(_url(address, port, token)))


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address of this machine. `UsageError` if that cannot be."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(place[:2], family=family, backlog=2048)
        # Connections inherit it: asyncio sets it only for sockets that were made as TCP by name, and waiting costs 40 ms an answer.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        hint = "Stop what listens there, or take any free port: callsheet serve --port 0"
        reason = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise UsageError(f"Cannot listen at {printable(host)}:{port}: {reason}", hint=hint) from error
    return listener


def _image_origins(library: Library) -> tuple[str, ...]:
    """Where the URLs of objects lead, as far as is known now: an answer of S3 may tell of another region."""
    buckets = (library.where.bucket, *library.where.other_buckets)
    with suppress(CallsheetError):  # no profile of that name, say: then there are no URLs, either
        return tuple(origin for bucket in buckets if (origin := library.remote.origin(bucket)) is not None)
    return ()


def _token(given: str, address: str) -> str:
    """The token to ask for: empty for a server that only this machine reaches, unless one is given."""
    return given or ("" if ipaddress.ip_address(address).is_loopback else secrets.token_urlsafe(_TOKEN_BYTES))


def _url(address: str, port: int, token: str) -> str:
    """What to open in a browser."""
    name = socket.gethostname() if is_everywhere(address) else address
    host = f"[{name}]" if ":" in name else name
    return f"http://{host}:{port}/" + (f"login?token={quote(token, safe='')}" if token else "")
