"""Reading one object: the condition that it is still the same, and going on where a connection broke."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from callsheet.errors import ObjectChanged
from callsheet.model import Location
from callsheet.remote.answers import read_head, unquoted
from callsheet.remote.bodies import BLOCK_BYTES
from callsheet.remote.conditions import changed
from callsheet.remote.contract import Reading
from callsheet.remote.failures import Request
from callsheet.remote.session import Session
from callsheet.remote.transport import Again, Lost, Stream


def read_object(session: Session, location: Location, if_match: str) -> Reading:
    """The version whose ETag is `if_match`; errors are those of `Remote.read`."""
    headers, stream = _open(session, location, if_match, 0)
    try:
        described = read_head(location, headers)
    except BaseException:
        stream.close()
        raise
    whole = _resumed(session, location, if_match, described.size_bytes, stream)
    next(whole)
    return Reading(described, whole)


def _resumed(
    session: Session, location: Location, if_match: str, size_bytes: int, stream: Stream
) -> Generator[bytes | bytearray]:
    """The object's bytes, each once, after an empty block: once that is taken, the connection is freed even if no other is."""
    done_bytes, losses = 0, 0
    try:
        yield b""
        while True:
            try:
                for block in stream.blocks(BLOCK_BYTES):
                    done_bytes += len(block)
                    yield block
            except Lost as loss:
                losses += 1
                if not session.retries(loss, losses):
                    raise session.lost(_request(location, if_match, done_bytes), loss) from loss
                stream.close()
                _, stream = _open(session, location, if_match, done_bytes)
            else:
                break
    finally:
        stream.close()
    if done_bytes != size_bytes:
        short = Lost(f"{done_bytes} bytes came instead of {size_bytes}", Again.NO)
        raise session.lost(_request(location, if_match, done_bytes), short)


def _request(location: Location, if_match: str | None, start: int) -> Request:
    headers = {"x-amz-checksum-mode": "ENABLED"}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    if start:
        headers["Range"] = f"bytes={start}-"
    return Request("read", "GET", location.bucket, location.key, headers=headers)


def _open(session: Session, location: Location, if_match: str, start: int) -> tuple[Mapping[str, str], Stream]:
    try:
        headers, stream = session.stream(_request(location, if_match, start))
    except ObjectChanged:
        # Some stores compare If-Match with quotes that they do not keep (Ceph 16): the answer's own ETag decides.
        headers, stream = session.stream(_request(location, None, start))
    if unquoted(headers.get("etag", "")) != if_match:
        stream.close()
        raise changed("read", location)
    if start and not headers.get("content-range", "").startswith(f"bytes {start}-"):
        stream.close()
        loss = Lost("the connection broke, and the store cannot resume", Again.NO)
        raise session.lost(_request(location, if_match, start), loss)
    return headers, stream
