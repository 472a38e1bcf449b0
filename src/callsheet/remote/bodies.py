"""The bytes that a write is given, whether at once or as a `Source`."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

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


@contextlib.contextmanager
def opened(body: bytes | Source, location: Location) -> Iterator[BinaryIO]:
    """The body as a file at its first byte, closed at the end. `LocalError` if it cannot be opened."""
    try:
        file = body.open() if isinstance(body, Source) else io.BytesIO(body)
    except OSError as error:
        raise _unreadable(location, error) from error
    with file:
        yield file


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


@dataclass(frozen=True, slots=True)
class Straight:
    """A file that a socket may be given without its being read. As an iterable, it is read all the same, in pieces."""

    file: BinaryIO
    size_bytes: int
    sent: Callable[[int], None]
    location: Location

    def __iter__(self) -> Iterator[memoryview]:
        return self._pieces(self.size_bytes)

    def send(self, sock: socket.socket) -> None:
        """All of it, to a socket of which `wire.sends`. Raises as `blocks`, and what sockets do."""
        left_bytes = self.size_bytes
        while left_bytes:
            moved = wire.send(sock, self.file.fileno(), min(left_bytes, BLOCK_BYTES))
            if moved is None:  # the file system cannot do it
                for piece in self._pieces(left_bytes):
                    sock.sendall(piece)
                return
            self.sent(moved.size_bytes)
            left_bytes -= moved.size_bytes
            if moved.file_error is not None:
                raise _unreadable(self.location, moved.file_error) from moved.file_error
            if moved.socket_error is not None:
                raise moved.socket_error
            if not moved.size_bytes:
                raise _ended_early(self.location, left_bytes)

    def went(self, done: wire.Exchanged) -> None:
        """All of it was to go with an exchange. Raises if the file is why it did not."""
        self.sent(done.sent_bytes)
        if done.file_error is not None:
            raise _unreadable(self.location, done.file_error) from done.file_error
        if done.sent_bytes < self.size_bytes and not done.refused and done.socket_error is None:
            raise _ended_early(self.location, self.size_bytes - done.sent_bytes)

    def _pieces(self, size_bytes: int) -> Iterator[memoryview]:
        return (piece for block in blocks(self.file, size_bytes, self.location) for piece in _pieces(block))


@contextlib.contextmanager
def sendable(body: bytes | Source | None, location: Location) -> Iterator[Iterable[bytes | memoryview] | None]:
    """The body in pieces to be sent, in constant memory. What is to be read, and can be at once, is read before anything is sent."""
    if isinstance(body, Source) and body.sent is not None:
        with opened(body, location) as file:
            yield Straight(file, body.size_bytes, body.sent, location)
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
