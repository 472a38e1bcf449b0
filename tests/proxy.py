"""A proxy in front of a real S3 server that faults what a test tells it to: before the server sees a request, after it has
carried it out, or on the way."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, unquote, urlsplit

from faults import FaultServer, Reply, Seen, fault_server

Forward = Callable[[Seen], Reply]
Way = Callable[[Seen, Forward], Reply]
"""What happens to a request: it is answered, by the server or not."""

WRITES = ("put", "copy", "delete")


@dataclass
class Fault:
    """`way` is what happens to some requests: to those after the first `after`, `times` of them. `met` counts them."""

    what: tuple[str, ...]
    key: str
    way: Way
    after: int
    times: int
    seen: int = field(default=0, init=False)

    @property
    def met(self) -> int:
        return min(max(0, self.seen - self.after), self.times)


class Proxy:
    """Passes requests on, but for those that a fault is for."""

    def __init__(self, server: FaultServer) -> None:
        self.endpoint = server.endpoint
        self.requests: list[str] = []
        self._server = server
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        server.rule = self._answered

    def fault(self, what: str, key: str, way: Way, *, after: int = 0, times: int = 1) -> Fault:
        """`what` is one or more of `list head get put copy delete`, `key` the end of the object's key (its name, say)."""
        made = Fault(tuple(what.split()), key, way, after, times)
        self._faults.append(made)
        return made

    def on_arrival(self, what: str, key: str, then: Callable[[], object]) -> None:
        """Run `then` once, when such a request has begun and its body was not read yet."""
        armed = [then]

        def arrival(seen: Seen) -> None:
            if kind_of(seen) in what.split() and key_of(seen).endswith(key) and armed:
                armed.pop()()

        self._server.on_arrival = arrival

    def heal(self) -> None:
        """From now on everything is passed on."""
        self._faults.clear()
        self._server.on_arrival = None

    def _answered(self, seen: Seen) -> Reply:
        kind, key = kind_of(seen), key_of(seen)
        with self._lock:
            self.requests.append(f"{kind} {key}")
            way = self._way(kind, key)
        return way(seen, self._server.forwarded) if way else self._server.forwarded(seen)

    def _way(self, kind: str, key: str) -> Way | None:
        for fault in self._faults:
            if kind in fault.what and key.endswith(fault.key):
                fault.seen += 1
                if fault.after < fault.seen <= fault.after + fault.times:
                    return fault.way
        return None


@contextlib.contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy in front of the server at the endpoint `upstream`."""
    with fault_server(upstream) as server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # little is sent before a body is read
        yield Proxy(server)


def kind_of(seen: Seen) -> str:
    """What a request is: `list head get put copy delete`; writes to the trash are copies, too."""
    query = parse_qs(urlsplit(seen.target).query, keep_blank_values=True)
    if seen.method == "GET" and "list-type" in query:
        return "list"
    copied = any(name.lower() == "x-amz-copy-source" for name in seen.headers)
    return "copy" if copied else seen.method.lower()


def key_of(seen: Seen) -> str:
    """The object's key, or, of a listing, the prefix."""
    parts = urlsplit(seen.target)
    key = unquote(parts.path).lstrip("/").partition("/")[2]
    return key or parse_qs(parts.query).get("prefix", [""])[0]


# --- Ways ----------------------------------------------------------------------------------------------------------------------


def answer(status: int, code: str = "") -> Reply:
    return Reply(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b"")


def refused(status: int, code: str = "") -> Way:
    """The server never sees the request."""
    return lambda seen, forward: answer(status, code)


def refused_after(status: int, code: str = "") -> Way:
    """The server does what it was asked to, and the client is told that it failed."""

    def way(seen: Seen, forward: Forward) -> Reply:
        forward(seen)
        return answer(status, code)

    return way


def dropped(seen: Seen, forward: Forward) -> Reply:
    """The connection ends, and the server never sees the request."""
    return Reply(hang_up=True)


def dropped_after(seen: Seen, forward: Forward) -> Reply:
    """The server does what it was asked to; its answer is lost."""
    forward(seen)
    return Reply(hang_up=True)


def cut(seen: Seen, forward: Forward) -> Reply:
    """Only half of the answer's body arrives."""
    reply = forward(seen)
    return replace(reply, cut_at=len(reply.body) // 2)


def flipped(seen: Seen, forward: Forward, at: int = 0) -> Reply:
    """One bit of the answer's body is another."""
    reply = forward(seen)
    return replace(reply, body=flip(reply.body, at))


def sent_flipped(seen: Seen, forward: Forward) -> Reply:
    """One bit of the request's body is another."""
    return forward(replace(seen, body=flip(seen.body)))


def sent_flipped_unchecked(seen: Seen, forward: Forward) -> Reply:
    """One bit of the request's body is another, and the server does not check digests."""
    headers = {name: value for name, value in seen.headers.items() if name.lower() != "content-md5"}
    return forward(replace(seen, headers=headers, body=flip(seen.body)))


def meanwhile(then: Callable[[], object]) -> Way:
    """Something happens before the server sees the request."""

    def way(seen: Seen, forward: Forward) -> Reply:
        then()
        return forward(seen)

    return way


def just_after(then: Callable[[], object]) -> Way:
    """Something happens between what the server does and what the client hears of it."""

    def way(seen: Seen, forward: Forward) -> Reply:
        reply = forward(seen)
        then()
        return reply

    return way


def flip(body: bytes, at: int = 0) -> bytes:
    """The same bytes but for one bit, `at` bytes after the middle."""
    middle = len(body) // 2 + at
    return body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :]
