"""Answers as they come in: status, headers, and a body to be read.

`http.client` parses headers with the parser of e-mails, which costs more than the rest of a request. An answer that has the usual form
(HTTP/1.1, plain header lines, a body of announced length) is read here; whatever else there is, chunks, interim answers, folded lines, old
versions, answers that are cut short, is `http.client`'s, from its first byte.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from callsheet.remote import wire
from callsheet.remote.wire import Moved

_HEAD_BYTES = 1 << 16
"""Longer headers are unusual."""

_FIRST_BYTES = 1 << 14
"""What is received at once until the headers are complete: what comes of a body with them is copied once more."""

_STATUS = re.compile(r"HTTP/1\.1 ([2-5][0-9]{2})(?: [^\r\n]*)?")
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*")
_FIELD = re.compile(r"([^:\r\n]+):([^\r\n]*)")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH_DIGITS = 18
_WITHOUT_BODY = (204, 304)

NO_MEMORY = memoryview(bytearray())
"""Where no body goes."""


class Reply(Protocol):
    """One answer; status and headers have come. `headers` have lower-case names. All may raise what sockets and `http.client` do."""

    status: int
    headers: Mapping[str, str]

    def read(self, most_bytes: int) -> bytes | bytearray:
        """The next bytes of the body, as many as asked for if there are so many; none at its end. Raises if that comes early."""
        ...

    def fill(self, most_bytes: int) -> int:
        """As `read`, but into the memory that is there for the body, after those before: how many came, which may be fewer than were asked for;
        0 at the end of the body, and of the memory.

        What goes wrong after some have come is raised by the next call.
        """
        ...

    @property
    def leaves_usable(self) -> bool:
        """Whether the connection may serve another request: the body was read to its end, and nobody said that this was all."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Begun:
    """What has come of an answer: `text` from its beginning, and after that `filled_bytes` of the body, which are in the memory for it; and
    what went wrong then. Nothing yet, unless something is said."""

    text: bytearray = field(default_factory=bytearray)
    filled_bytes: int = 0
    failure: OSError | None = None


def receive(
    sock: socket.socket,
    method: str,
    *,
    last: bool,
    into: memoryview = NO_MEMORY,
    begun: Begun | None = None,
) -> Reply:
    """The answer to a request that was sent. `last`: there will be none after it. The body may come `into` memory, see `Reply.fill`. `begun` is what
    was received before. Raises what sockets and `http.client` do."""
    begun = begun or Begun()
    text, searched = begun.text, 0
    while True:
        end = text.find(b"\r\n\r\n", max(0, searched - 3))
        if end >= 0:
            usual = _usual(sock, method, begun, end, into, last=last)
            if usual is not None:
                return usual
            break
        if len(text) >= _HEAD_BYTES or _BARE_LINE_FEED.search(text, searched):
            break
        if begun.failure is not None:
            raise begun.failure
        searched = len(text)
        come = sock.recv(_FIRST_BYTES)
        if not come:
            break
        text += come
    text += into[: begun.filled_bytes]
    return _Unusual(sock, method, text, into, last=last)


def _usual(sock: socket.socket, method: str, begun: Begun, end: int, into: memoryview, *, last: bool) -> _Usual | None:
    """The answer whose headers end at `end`, if it has the usual form."""
    first, _, lines = begun.text[: end + 2].decode("latin-1").partition("\r\n")
    status = _STATUS.fullmatch(first)
    if status is None or int(status[1]) in _WITHOUT_BODY or _FIELDS.fullmatch(lines) is None:
        return None
    fields = [(name.lower(), value.strip(" \t")) for name, value in _FIELD.findall(lines)]
    headers = dict(fields)
    length = headers.get("content-length", "")
    twice = len(headers) < len(fields) and sum(name == "content-length" for name, _ in fields) > 1
    sound = length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS
    if twice or not sound or "transfer-encoding" in headers:
        return None
    size_bytes = 0 if method == "HEAD" else int(length)
    del begun.text[: end + 4]
    # Bytes that nobody asked for: whose answer they are the beginning of is not known.
    last = last or "close" in headers.get("connection", "").lower() or len(begun.text) > size_bytes
    return _Usual(sock, int(status[1]), headers, begun, size_bytes, into, last=last)


class _Usual:
    """A `Reply` of the usual form. `begun` is what came of the body, of `size_bytes`, which is in memory if it fits there, or else in the text."""

    def __init__(
        self,
        sock: socket.socket,
        status: int,
        headers: Mapping[str, str],
        begun: Begun,
        size_bytes: int,
        into: memoryview,
        *,
        last: bool,
    ) -> None:
        self.status = status
        self.headers = headers
        self._sock = sock
        self._begun = begun.text
        self._ahead_bytes = begun.filled_bytes
        self._into = into
        self._left_bytes = size_bytes
        self._last = last
        self._failure = begun.failure

    def read(self, most_bytes: int) -> bytes | bytearray:
        if self._ahead_bytes:
            into = self._into
            return bytearray(into[: self.fill(most_bytes)])
        block = bytearray(min(most_bytes, self._left_bytes))
        filled = self._readinto(memoryview(block))
        return block if filled == len(block) else block[:filled]

    def fill(self, most_bytes: int) -> int:
        wanted = min(most_bytes, len(self._into))
        if self._ahead_bytes:
            filled = min(wanted, self._ahead_bytes)
            self._ahead_bytes -= filled
            self._left_bytes -= filled
        else:
            filled = self._readinto(self._into[:wanted])
        self._into = self._into[filled:]
        return filled

    def _readinto(self, buffer: memoryview) -> int:
        wanted = min(len(buffer), self._left_bytes)
        filled = min(wanted, len(self._begun))
        buffer[:filled] = self._begun[:filled]
        del self._begun[:filled]
        if filled < wanted:
            filled += self._received(buffer[filled:wanted], begun=filled > 0)
        self._left_bytes -= filled
        if wanted and not filled:
            raise http.client.IncompleteRead(b"", self._left_bytes)
        return filled

    def _received(self, buffer: memoryview, *, begun: bool) -> int:
        """How many bytes came, all but if the other side ended the connection, or something goes wrong. That is raised if nothing came before."""
        if self._failure is not None:
            raise self._failure
        moved = wire.receive(self._sock, buffer) if wire.is_plain(self._sock) else _through_python(self._sock, buffer)
        self._failure = moved.socket_error
        if self._failure is not None and not moved.size_bytes and not begun:
            raise self._failure
        return moved.size_bytes

    @property
    def leaves_usable(self) -> bool:
        return not self._left_bytes and not self._last

    def close(self) -> None:
        """Nothing is held but the connection, which is its owner's."""


def _through_python(sock: socket.socket, buffer: memoryview) -> Moved:
    """As `wire.receive`, for whatever has the methods of a socket."""
    filled = 0
    try:
        while filled < len(buffer) and (come := sock.recv_into(buffer[filled:])):
            filled += come
    except OSError as error:
        return Moved(filled, error.with_traceback(None))  # which would hold on to the buffer
    return Moved(filled)


class _Unusual:
    """A `Reply` as `http.client` reads it. `begun` is what was received of it."""

    def __init__(self, sock: socket.socket, method: str, begun: bytearray, into: memoryview, *, last: bool) -> None:
        self._into = into
        self._last = last
        self._response = http.client.HTTPResponse(_Replayed(begun, sock), method=method)  # type: ignore[arg-type]
        try:
            self._response.begin()
        except BaseException:
            self._response.close()
            raise
        self.status = self._response.status
        fields = self._response.getheaders()  # which leaves the blanks after a value
        self.headers: Mapping[str, str] = {name.lower(): value.rstrip(" \t") for name, value in fields}

    def read(self, most_bytes: int) -> bytes | bytearray:
        try:
            block = self._response.read(most_bytes)
        except ValueError as error:  # of a chunk with a negative length
            raise http.client.HTTPException("the answer's body makes no sense") from error
        if not block and self._response.length:
            raise http.client.IncompleteRead(b"", self._response.length)
        return block

    def fill(self, most_bytes: int) -> int:
        block = self.read(min(most_bytes, len(self._into)))
        self._into[: len(block)] = block
        self._into = self._into[len(block) :]
        return len(block)

    @property
    def leaves_usable(self) -> bool:
        read = self._response.isclosed() and not self._response.length
        return read and not self._response.will_close and not self._last

    def close(self) -> None:
        self._response.close()


class _Replayed(io.RawIOBase):
    """A connection from which what was already received can be read once more."""

    def __init__(self, begun: bytearray, sock: socket.socket) -> None:
        self._begun = begun
        self._sock = sock

    def makefile(self, _: str) -> io.BufferedReader:
        """All that `http.client` wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._begun:
            return self._sock.recv_into(buffer)
        size_bytes = min(len(buffer), len(self._begun))
        buffer[:size_bytes] = self._begun[:size_bytes]
        del self._begun[:size_bytes]
        return size_bytes
