"""Writes and deletions on S3 that happen only where the place is as expected.

A request says its condition in a header, and a store that heeds it closes every race. Which stores do is found out once for
each bucket and kind of condition, by a request that must be refused and does no harm if it is not (`_probe`). Until that is
known, and where they do not, the place is looked at just before the write: then another write between the look and the write goes
unnoticed, and nothing can be done about that. A refusal may also follow a success whose answer was lost: so after each one the
place is looked at, and the bytes that were to be written there are a success.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from mimetypes import MimeTypes

from callsheet.errors import BadDigest, CallsheetError, NoSuchObject, ObjectChanged, RemoteError
from callsheet.model import Location, RemoteObject
from callsheet.remote import multipart
from callsheet.remote.answers import MD5_HEADER, etag_is_md5, known_md5, unquoted
from callsheet.remote.bodies import size_of
from callsheet.remote.conditions import Heeded, Kind, changed, holds
from callsheet.remote.contract import ANYTHING, Anything, Held, Source
from callsheet.remote.failures import Request
from callsheet.remote.looking import head, look
from callsheet.remote.names import is_md5, md5_to_base64, shown
from callsheet.remote.session import Session

_PROBE_BYTES = 8 << 20
"""Nothing larger is sent a second time to find out whether a store heeds conditions."""

_NEVER = "0" * 32
"""An ETag that no object has: whose MD5 is that is not known."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One conditional write. `ours` tells whether an object is what it would leave there; `attempt` does it, with further headers, and returns the ETag."""

    verb: str
    location: Location
    replaces: Held
    ours: Callable[[RemoteObject], bool]
    attempt: Callable[[Mapping[str, str]], str]


def put(session: Session, heeded: Heeded, location: Location, body: bytes | Source, *, md5: str, replaces: Held) -> str:
    """As `Remote.put`."""
    if not is_md5(md5):
        raise BadDigest(f"Cannot write {shown(location)}: {md5!r} is no MD5")
    size_bytes = size_of(body)
    kept = {MD5_HEADER: md5_to_base64(md5), "Content-Type": _content_type(location.key.rpartition(".")[2])}

    def ours(found: RemoteObject) -> bool:
        return found.size_bytes == size_bytes and known_md5(found) == md5

    def whole(headers: Mapping[str, str]) -> str:
        return _put_whole(session, location, body, md5, {**kept, **headers})

    def in_parts(headers: Mapping[str, str]) -> str:
        def check() -> None:
            _check(session, write)

        return multipart.upload(session, location, body, md5, kept, conditions=headers, check=check, ours=ours)

    large = size_bytes > multipart.THRESHOLD_BYTES
    write = _Write("write", location, replaces, ours, in_parts if large else whole)
    if replaces is ANYTHING:
        return write.attempt({})
    return _conditional(session, heeded, write, probed=size_bytes <= _PROBE_BYTES)


def delete(session: Session, heeded: Heeded, location: Location, *, if_match: str | Anything) -> None:
    """As `Remote.delete`. What is deleted is always looked at before: stores that heed a deletion's condition are few."""
    with contextlib.suppress(NoSuchObject):
        if if_match is ANYTHING:
            _delete(session, location, {})
            return
        _check_deletion(session, location, if_match)
        bucket = location.bucket
        if heeded.by(bucket, Kind.DELETE) is None and heeded.claim(bucket, Kind.DELETE):
            heeds = _probe_deletion(session, location)
            if heeds is not None:
                heeded.learn(bucket, Kind.DELETE, heeds=heeds)
        headers = {} if heeded.by(bucket, Kind.DELETE) is False else heeded.headers(if_match)
        try:
            _delete(session, location, headers)
        except RemoteError as refused:
            if not headers or not (isinstance(refused, ObjectChanged) or refused.status == 501):
                raise
            if refused.status == 501:
                heeded.learn(bucket, Kind.DELETE, heeds=False)
            _check_deletion(session, location, if_match)
            _delete(session, location, {})


def _conditional(session: Session, heeded: Heeded, write: _Write, *, probed: bool) -> str:
    bucket, kind = write.location.bucket, Kind.CREATE if write.replaces is None else Kind.REPLACE
    heeds = heeded.by(bucket, kind)
    if not heeds:
        held = _expected(session, write)
        if held is not None:
            return held
    if heeds is False:
        return write.attempt({})
    try:
        etag = write.attempt(heeded.headers(write.replaces))
    except (ObjectChanged, NoSuchObject) as refused:
        return _after_refusal(session, heeded, write, refused)
    except RemoteError as refused:
        if refused.status != 501:
            raise
        heeded.learn(bucket, kind, heeds=False)
        return _conditional(session, heeded, write, probed=False)
    if heeds is None and probed and etag != write.replaces and heeded.claim(bucket, kind):
        _probe(heeded, write, kind)
    return etag


def _expected(session: Session, write: _Write) -> str | None:
    """None if the place is as expected, the ETag of what is there if that is ours already. Else raises `ObjectChanged`."""
    found = look(session, write.location)
    if holds(write.replaces, None if found is None else found.etag):
        return None
    if found is not None and write.ours(found):
        return found.etag
    if found is None:
        with contextlib.suppress(NoSuchObject):
            head(session, write.location)  # it may be the bucket that is missing
    raise changed(write.verb, write.location, write.replaces)


def _check(session: Session, write: _Write) -> None:
    """The last look before a write that took long. Raises `ObjectChanged`."""
    if write.replaces is not ANYTHING and _expected(session, write) is not None:
        raise changed(write.verb, write.location, write.replaces)


def _after_refusal(session: Session, heeded: Heeded, write: _Write, refused: RemoteError) -> str:
    held = _expected(session, write)
    if held is not None:
        return held
    if isinstance(write.replaces, str) and refused.status == 412 and not heeded.bare_etags:
        etag = write.attempt({"If-Match": write.replaces})
        heeded.bare_etags = True
        return etag
    if isinstance(refused, ObjectChanged):
        raise refused
    raise changed(write.verb, write.location) from refused


def _probe(heeded: Heeded, write: _Write, kind: Kind) -> None:
    """The same request once more, now that its condition cannot hold.

    Where it succeeds, it wrote the same bytes again: over what somebody else wrote since, if they were that quick.
    """
    try:
        write.attempt(heeded.headers(write.replaces))
    except ObjectChanged as refused:
        if refused.status == 412:
            heeded.learn(write.location.bucket, kind, heeds=True)
    except CallsheetError:
        return
    else:
        heeded.learn(write.location.bucket, kind, heeds=False)


def _put_whole(session: Session, location: Location, body: bytes | Source, md5: str, headers: Mapping[str, str]) -> str:
    sent = {"Content-MD5": headers[MD5_HEADER], **headers}
    answer = session.send(Request("write", "PUT", location.bucket, location.key, headers=sent, body=body))
    etag = unquoted(answer.headers.get("etag", "")) or head(session, location).etag
    if etag_is_md5(etag, answer.headers) and etag != md5:
        raise BadDigest(f"The store holds other bytes for {shown(location)} than it was sent", hint="Push it again")
    return etag


def _delete(session: Session, location: Location, headers: Mapping[str, str]) -> None:
    session.send(Request("delete", "DELETE", location.bucket, location.key, headers=headers))


def _check_deletion(session: Session, location: Location, etag: str) -> None:
    if head(session, location).etag != etag:
        raise changed("delete", location)


def _probe_deletion(session: Session, location: Location) -> bool | None:
    """Whether a deletion that must not happen is refused; None if that cannot be told. Where it is not, it did what was to be done."""
    try:
        _delete(session, location, {"If-Match": f'"{_NEVER}"'})
    except ObjectChanged:
        return True
    except NoSuchObject:
        raise
    except RemoteError as refused:
        return False if refused.status == 501 else None
    return False


@cache
def _content_type(extension: str) -> str:
    """By the standard library's table, with the image types that older versions of it lack."""
    types = MimeTypes()
    types.add_type("image/webp", ".webp")
    types.add_type("image/avif", ".avif")
    return types.guess_type(f"x.{extension}")[0] or "application/octet-stream"
