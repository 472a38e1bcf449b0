"""What may reach the server: hosts, the token, requests that other sites ask for, the size of bodies; and the headers of every answer.

Pure ASGI, around the whole application: nothing gets past it, and an answer to a failure has the headers, too.
See docs/security.md.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callsheet.layout import printable
from callsheet.web.answers import JSON, ApiError, error_of

MAX_BODY_BYTES = 1 << 20
KNOWN = "is_known"
"""The state of each request that passes says by this name whether whoever makes it may see everything."""
_READ_OFF_BYTES = 8 << 20

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_OPEN_PATHS = ("/healthz",)
_LOGIN = "/login"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+?)\.?(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOCKED_OUT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>callsheet</title>
<h1>A token is needed</h1>
<p>Open the link that <code>callsheet serve</code> printed when it was started.</p>
</html>
"""
# No redirect: one that began at a link on another site, in a mail say, would bring no strict cookie along.
_LOGGED_IN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>callsheet</title>
<p>You are logged in. <a href="/">Go on</a></p>
</html>
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reach a server.

    `hosts` are the names that it answers to beside this machine's own, each with a port or for any. `bound` is the address that it listens
    at; `port` 0 is for any. An empty `token` asks nobody for one.
    """

    bound: str = "127.0.0.1"
    port: int = 0
    hosts: frozenset[str] = frozenset()
    token: str = field(default="", repr=False)

    @property
    def cookie(self) -> str:
        """Its name: browsers keep one set of cookies for all ports of a host."""
        return f"callsheet_{self.port}"

    @property
    def cookie_value(self) -> str:
        """Proves that its bearer once had the token, without giving it away."""
        return hmac.digest(self.token.encode(), b"callsheet cookie", "sha256").hex()

    def answers_to(self, host: str, scheme: str) -> bool:
        """Whether a request's `Host` is one of ours: a name that somebody else's DNS points here is not."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        port = int(match[2]) if match[2] else _DEFAULT_PORTS.get(scheme, 0)
        if name in self.hosts or f"{name}:{port}" in self.hosts:
            return True
        return self.port in (0, port) and self._is_here(name)

    def _is_here(self, name: str) -> bool:
        if name in ("localhost", self.bound.lower(), f"[{self.bound.lower()}]"):
            return True
        everywhere = is_everywhere(self.bound)
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.endswith(".localhost") or (everywhere and name == socket.gethostname().lower())
        return everywhere or address.is_loopback


def is_everywhere(address: str) -> bool:
    """Whether listening at `address` is listening at all that this machine has."""
    return address in ("0.0.0.0", "::")  # noqa: S104  compared, not bound


class Guard:
    """The application, for those who may reach it."""

    def __init__(self, app: ASGIApp, access: Access, image_origins: Callable[[], tuple[str, ...]] = tuple) -> None:
        """`image_origins` tells where redirects to images lead at this moment: the page may load images from there, too."""
        self._app = app
        self._access = access
        self._image_origins = image_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"callsheet speaks no {scope['type']}")
        send = self._with_headers(send)
        headers = Headers(scope=scope)
        try:
            if early := self._checked(scope, headers):
                await early(scope, receive, send)
                return
            if scope["method"] not in _SAFE_METHODS:
                receive = await _bounded(headers, receive)
        except ApiError as refusal:
            await self._refusal(refusal, headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _checked(self, scope: Scope, headers: Headers) -> Response | None:
        """None if the request may pass; the answer to a login. Raises `ApiError` for all else."""
        hosts = headers.getlist("host")
        scheme: str = scope["scheme"]
        if len(hosts) != 1 or not self._access.answers_to(hosts[0], scheme):
            shown = printable(hosts[0][:255]) if hosts else "none"
            hint = "If that is how you reach this server: callsheet serve --allow-host NAME"
            raise ApiError(403, "forbidden", f"This server does not go by the name {shown}", hint=hint)
        is_known = not self._access.token or self._is_known(headers)
        scope.setdefault("state", {})[KNOWN] = is_known
        if self._access.token:
            if scope["path"] == _LOGIN:
                return self._login(scope)
            if scope["path"] not in _OPEN_PATHS and not is_known:
                raise ApiError(401, "unauthorized", "This server asks for its token", hint=_HINT)
        if scope["method"] not in _SAFE_METHODS:
            _check_change(headers, f"{scheme}://{hosts[0]}")
        return None

    def _login(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        if not _same(given[0], self._access.token):
            raise ApiError(401, "unauthorized", "That is not this server's token", hint=_HINT)
        response = HTMLResponse(_LOGGED_IN, headers={"Cache-Control": "no-store"})
        secure = scope["scheme"] == "https"
        response.set_cookie(
            self._access.cookie, self._access.cookie_value, httponly=True, samesite="strict", secure=secure
        )
        return response

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _same(given.strip(), self._access.token)
        cookie = cookie_parser(headers.get("cookie", "")).get(self._access.cookie)
        return cookie is not None and _same(cookie, self._access.cookie_value)

    def _refusal(self, refusal: ApiError, headers: Headers) -> Response:
        if refusal.status != HTTPStatus.UNAUTHORIZED:
            response = error_of(refusal)
        elif "text/html" in headers.get("accept", ""):
            response = HTMLResponse(_LOCKED_OUT, refusal.status)
        else:
            response = error_of(refusal)
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Connection"] = "close"  # its body may not have been read
        return response

    def _with_headers(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _policy(self._image_origins()))
            await send(message)

        return sent


_HINT = "Open the link that callsheet serve printed, or send the token: Authorization: Bearer TOKEN"


@lru_cache(maxsize=16)
def _policy(image_origins: tuple[str, ...]) -> str:
    images = " ".join(("'self'", "blob:", *image_origins))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; connect-src 'self'; font-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _check_change(headers: Headers, own_origin: str) -> None:
    """A request that changes something is ours to make, or a program's: no other site's. Raises `ApiError`.

    Browsers say where a request comes from: all of them in `Origin`, newer ones in `Sec-Fetch-Site` as well. What a form can send
    without asking first is not JSON.
    """
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin", own_origin)
    if site not in ("same-origin", "none") or origin.lower() != own_origin.lower():
        hint = "Changes are for this server's own page, and for programs that send no Origin."
        raise ApiError(403, "forbidden", "Another site asked for this change", hint=hint)
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    kind = headers.get("content-type", "" if has_body else JSON)
    if kind.partition(";")[0].strip().lower() != JSON:
        raise ApiError(415, "wrong_type", "The body is not JSON", hint=f"Send it as Content-Type: {JSON}")


async def _bounded(headers: Headers, receive: Receive) -> Receive:
    """What gives the body again after it was read. `ApiError` for one that is too large.

    Of such a body as much is read, and forgotten, as a client may have sent before it listens for an answer; not of one without end.
    """
    announced = headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdigit() and len(announced) < 20 and int(announced) <= _READ_OFF_BYTES):
        raise _too_large()
    body, read_bytes, more = bytearray(), 0, True
    while more and read_bytes <= _READ_OFF_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return _replaying([message], receive)
        block = message.get("body", b"")
        more = message.get("more_body", False)
        read_bytes += len(block)
        if read_bytes <= MAX_BODY_BYTES:
            body += block
    if read_bytes > MAX_BODY_BYTES:
        raise _too_large()
    return _replaying([{"type": "http.request", "body": bytes(body), "more_body": False}], receive)


def _replaying(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _too_large() -> ApiError:
    return ApiError(413, "too_large", "The body is larger than 1 MiB", hint="Send it in several requests.")


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted))
    return hmac.compare_digest(*digests)
