"""Reading one object: the condition that it is still the same, and going on where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TypeVar

from callsheet.errors import ObjectChanged
from callsheet.model import Location
from callsheet.remote.answers import read_head, unquoted
from callsheet.remote.bodies import BLOCK_BYTES
from callsheet.remote.conditions import changed
from callsheet.remote.contract import Reading
from callsheet.remote.failures import Request
from callsheet.remote.session import Session
from callsheet.remote.transport import Again, Lost, Stream

_T = TypeVar("_T", bytes | bytearray, int)


def read_object(session: Session, location: Location, if_match: str, into: memoryview | None) -> Reading:
    """The version whose ETag is `if_match`; errors are those of `Remote.read`."""
    headers, stream = _open(session, location, if_match, 0, into)
    try:
        described = read_head(location, headers)
    except BaseException:
        stream.close()
        raise
    body = _Body(session, location, if_match, described.size_bytes, stream, into)
    blocks = body.blocks()
    next(blocks)
    return Reading(described, blocks, None if into is None else body.fill)


class _Body:
    """An object's bytes, each once, whether they are read in blocks or into memory."""

    def __init__(
        self,
        session: Session,
        location: Location,
        if_match: str,
        size_bytes: int,
        stream: Stream,
        into: memoryview | None,
    ) -> None:
        self._session = session
        self._location = location
        self._if_match = if_match
        self._size_bytes = size_bytes
        self._stream = stream
        self._into = into

    def blocks(self) -> Generator[bytes | bytearray]:
        """The bytes after an empty block: once that is taken, the connection is freed even if no other is."""
        try:
            yield b""
            yield from self._resumed(lambda stream: stream.blocks(BLOCK_BYTES), len)
        finally:
            self._stream.close()

    def fill(self) -> Iterator[int]:
        """As `Reading.fill`."""
        return self._resumed(lambda stream: stream.fill(BLOCK_BYTES), int)

    def _resumed(self, taken: Callable[[Stream], Iterator[_T]], size_of: Callable[[_T], int]) -> Iterator[_T]:
        """What is taken of the stream, and of those after it that go on where it broke."""
        done_bytes, losses = 0, 0
        while True:
            try:
                for piece in taken(self._stream):
                    done_bytes += size_of(piece)
                    yield piece
            except Lost as loss:
                losses += 1
                if not self._session.retries(loss, losses):
                    raise self._session.lost(self._request(done_bytes), loss) from loss
                self._stream.close()
                into = None if self._into is None else self._into[done_bytes:]
                _, self._stream = _open(self._session, self._location, self._if_match, done_bytes, into)
            else:
                break
        self._stream.close()
        if done_bytes != self._size_bytes:
            short = Lost(f"{done_bytes} bytes came instead of {self._size_bytes}", Again.NO)
            raise self._session.lost(self._request(done_bytes), short)

    def _request(self, start: int) -> Request:
        return _request(self._location, self._if_match, start)


def _request(location: Location, if_match: str | None, start: int, into: memoryview | None = None) -> Request:
    headers = {"x-amz-checksum-mode": "ENABLED"}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if start:
        headers["Range"] = f"bytes={start}-"
    return Request("read", "GET", location.bucket, location.key, headers=headers, into=into)


def _open(
    session: Session, location: Location, if_match: str, start: int, into: memoryview | None
) -> tuple[Mapping[str, str], Stream]:
    try:
        headers, stream = session.stream(_request(location, if_match, start, into))
    except ObjectChanged:
        # Some stores compare If-Match with quotes that they do not keep (Ceph 16): the answer's own ETag decides.
        headers, stream = session.stream(_request(location, None, start, into))
    if unquoted(headers.get("etag", "")) != if_match:
        stream.close()
        raise changed("read", location)
    if start and not headers.get("content-range", "").startswith(f"bytes {start}-"):
        stream.close()
        loss = Lost("the connection broke, and the store cannot resume", Again.NO)
        raise session.lost(_request(location, if_match, start), loss)
    return headers, stream
