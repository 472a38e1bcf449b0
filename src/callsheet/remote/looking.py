"""Looking at one object on S3: what a HEAD says, and what is behind one that is refused."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.errors import AccessDenied, RemoteError
from callsheet.model import Location, RemoteObject
from callsheet.remote.answers import read_head
from callsheet.remote.failures import Refusal, Request, error_for
from callsheet.remote.session import Session


def head(session: Session, location: Location, *, explained: bool = True) -> RemoteObject:
    """As `Remote.head`."""
    return read_head(location, headers_of(session, location, explained=explained))


def look(session: Session, location: Location) -> RemoteObject | None:
    """The object, or None if there is none. Nor need there be a bucket then: whoever does not go on to write there asks `head`."""
    try:
        return head(session, location, explained=False)
    except RemoteError as refused:
        if refused.status == 404:
            return None
        raise


def headers_of(session: Session, location: Location, *, explained: bool = True) -> Mapping[str, str]:
    """What a HEAD says. Errors are those of `Remote.head`; a 404 that is not `explained` may be any."""
    request = Request("look at", "HEAD", location.bucket, location.key, headers={"x-amz-checksum-mode": "ENABLED"})
    try:
        return session.send(request).headers
    except RemoteError as refused:
        if refused.s3_code or refused.status not in (400, 403, 404) or (refused.status == 404 and not explained):
            raise
        behind = _explained(session, request, refused)
        if behind is refused:
            raise
        raise behind from refused


def _explained(session: Session, request: Request, refused: RemoteError) -> RemoteError:
    """The error behind a refused HEAD, whose answer has no body and so no code: a listing's refusal has one."""
    absent = error_for(request, Refusal(404, "NoSuchKey"))
    query = (("list-type", "2"), ("max-keys", "1"), ("prefix", request.key))
    probe = Request(request.verb, "GET", request.bucket, query=query, place=request.key)
    try:
        session.send(probe)
    except AccessDenied as told:
        # Whoever may not list is told 403 for a missing key, but 404 if the bucket's policy says so.
        if told.s3_code not in ("", "AccessDenied"):
            return told
    except RemoteError as told:
        return told
    return absent if refused.status == 404 else refused
