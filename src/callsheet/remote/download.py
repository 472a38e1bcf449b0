"""Reading one object: the condition that it is still the same, and going on where a connection broke."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from callsheet.errors import ObjectChanged
from callsheet.model import Location
from callsheet.remote import session as s3_session
from callsheet.remote.answers import unquoted
from callsheet.remote.failures import Refusal, Request, error_for
from callsheet.remote.session import ATTEMPTS, Session, backoff_s
from callsheet.remote.transport import Again, Lost


def read_object(session: Session, location: Location, if_match: str) -> Iterator[bytes]:
    """The object's bytes, each once, all of the version whose ETag is `if_match`; errors are those of `Remote.read`."""
    done_bytes = 0
    for attempt in range(1, ATTEMPTS + 1):
        request = _request(location, if_match, done_bytes)
        blocks = _open(session, request, if_match, done_bytes)
        try:
            for block in blocks:
                done_bytes += len(block)
                yield block
        except Lost as loss:
            if attempt == ATTEMPTS or loss.again is Again.NO:
                raise session.lost(request, loss) from loss
            s3_session.pause(backoff_s(attempt))
        else:
            return


def _request(location: Location, if_match: str, start: int) -> Request:
    headers = {"If-Match": f'"{if_match}"'}
    if start:
        headers["Range"] = f"bytes={start}-"
    return Request("read", "GET", location.bucket, location.key, headers=headers)


def _open(session: Session, request: Request, if_match: str, start: int) -> Generator[bytes]:
    try:
        headers, blocks = session.stream(request)
    except ObjectChanged:
        # Some stores compare If-Match with quotes that they do not keep (Ceph 16): the answer's own ETag decides.
        without = {name: value for name, value in request.headers.items() if name != "If-Match"}
        headers, blocks = session.stream(Request("read", "GET", request.bucket, request.key, headers=without))
    if unquoted(headers.get("etag", "")) != if_match:
        blocks.close()
        raise error_for(request, Refusal(412, "PreconditionFailed"))
    if start and not headers.get("content-range", "").startswith(f"bytes {start}-"):
        blocks.close()
        raise session.lost(request, Lost("the connection broke, and the store cannot resume", Again.NO))
    return blocks
