"""The bytes that a write is given, whether at once or as a `Source`."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO, Self

from callsheet.errors import BadDigest, LocalError
from callsheet.model import Location
from callsheet.remote import wire
from callsheet.remote.contract import Source
from callsheet.remote.names import shown

BLOCK_BYTES = 1 << 20
_SENT_BYTES = 1 << 18
"""A socket's timeout is one for each piece that is sent: a slow line gets it often enough."""


def size_of(body: bytes | Source) -> int:
    """In bytes."""
    return body.size_bytes if isinstance(body, Source) else len(body)


def opened(body: bytes | Source, location: Location) -> BinaryIO:
    """The body as a file at its first byte, for the caller to close. `LocalError` if it cannot be opened."""
    try:
        return body.open() if isinstance(body, Source) else io.BytesIO(body)
    except OSError as error:
        raise _unreadable(location, error) from error


def blocks(file: BinaryIO, size_bytes: int, location: Location) -> Generator[bytes]:
    """The next `size_bytes` bytes of a file.

    `LocalError` if they cannot be read; `BadDigest` if the file ends before: what was announced is not what is there.
    """
    left_bytes = size_bytes
    while left_bytes:
        try:
            block = file.read(min(BLOCK_BYTES, left_bytes))
        except OSError as error:
            raise _unreadable(location, error) from error
        if not block:
            raise _ended_early(location, left_bytes)
        left_bytes -= len(block)
        yield block


def part(body: bytes | Source, start: int, size_bytes: int) -> Source:
    """The `size_bytes` bytes of a body that begin at `start`."""

    def at_start() -> BinaryIO:
        file = body.open() if isinstance(body, Source) else io.BytesIO(body)
        file.seek(start)
        return file

    return Source(size_bytes, at_start)


class Straight:
    """A file that a socket may be given without its being read. As an iterable, it is read all the same, in pieces."""

    def __init__(self, source: Source, location: Location) -> None:
        self.path = source.path
        self.size_bytes = source.size_bytes
        self._source = source
        self._location = location
        self._file: BinaryIO | None = None

    @property
    def is_small(self) -> bool:
        """Whether it may go with its request."""
        return 0 < self.size_bytes <= BLOCK_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def open(self) -> BinaryIO:
        """The file, open until the end. `LocalError` if it cannot be opened."""
        if self._file is None:
            self._file = opened(self._source, self._location)
        return self._file

    def __iter__(self) -> Iterator[memoryview]:
        return self._pieces(self.size_bytes)

    def send(self, sock: socket.socket) -> None:
        """All of it, to a socket of which `wire.sends`. Raises as `blocks`, and what sockets do."""
        left_bytes = self.size_bytes
        while left_bytes:
            moved = wire.send(sock, self.open().fileno(), min(left_bytes, BLOCK_BYTES))
            if moved is None:  # the file system cannot do it
                for piece in self._pieces(left_bytes):
                    sock.sendall(piece)
                return
            self._source.sent(moved.size_bytes)
            left_bytes -= moved.size_bytes
            if moved.file_error is not None:
                raise _unreadable(self._location, moved.file_error) from moved.file_error
            if moved.socket_error is not None:
                raise moved.socket_error
            if not moved.size_bytes:
                raise _ended_early(self._location, left_bytes)

    def went(self, done: wire.Exchanged) -> None:
        """All of it was to go with an exchange. Raises if the file is why it did not."""
        self._source.sent(done.file_bytes)
        if done.file_error is not None:
            raise _unreadable(self._location, done.file_error) from done.file_error
        if done.file_bytes < self.size_bytes and not done.refused and done.socket_error is None:
            raise _ended_early(self._location, self.size_bytes - done.file_bytes)

    def _pieces(self, size_bytes: int) -> Iterator[memoryview]:
        return (piece for block in blocks(self.open(), size_bytes, self._location) for piece in _pieces(block))


@contextlib.contextmanager
def sendable(
    body: bytes | Source | None, location: Location, *, plain: bool
) -> Iterator[Iterable[bytes | memoryview] | None]:
    """The body in pieces to be sent, in constant memory. What is to be read, and can be at once, is read before anything is sent. `plain`: there
    is no TLS on the way, so that a file may go with its request, which opens it; others are opened now."""
    if isinstance(body, Source) and body.path:
        with Straight(body, location) as straight:
            if not (plain and straight.is_small):
                straight.open()
            yield straight
        return
    if isinstance(body, Source) and body.size_bytes > BLOCK_BYTES:
        with opened(body, location) as file:
            yield (piece for block in blocks(file, body.size_bytes, location) for piece in _pieces(block))
        return
    if isinstance(body, Source):
        with opened(body, location) as file:
            body = b"".join(blocks(file, body.size_bytes, location))
    yield None if body is None else _pieces(body)


def _pieces(block: bytes) -> list[memoryview]:
    view = memoryview(block)
    return [view[start : start + _SENT_BYTES] for start in range(0, len(block), _SENT_BYTES)]


def _ended_early(location: Location, left_bytes: int) -> BadDigest:
    return BadDigest(
        f"Cannot write {shown(location)}: the file ended {left_bytes} bytes early",
        hint="Sync again: the file may have changed",
    )


def _unreadable(location: Location, error: OSError) -> LocalError:
    return LocalError(
        f"Cannot read what is to be written to {shown(location)}: {error.strerror or error}",
        hint="Check the file, then run again.",
    )
