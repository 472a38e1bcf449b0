"""Objects too large for one request: uploaded and copied in parts, all or nothing.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html. Parts go one after another: some stores take them in no
other way, and callers already move many objects at once.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from callsheet.errors import BadDigest, RemoteError
from callsheet.etag import is_multipart, multipart_etag
from callsheet.model import Location, RemoteObject
from callsheet.remote import bodies
from callsheet.remote.answers import etag_is_md5, etag_is_plain, read_head, unquoted
from callsheet.remote.contract import Source
from callsheet.remote.failures import Request, local_name, parse_xml
from callsheet.remote.looking import headers_of, look
from callsheet.remote.names import md5_to_base64, shown
from callsheet.remote.session import Session

MIB = 1 << 20
THRESHOLD_BYTES = 100 * MIB
"""A larger object is uploaded in parts."""

COPY_THRESHOLD_BYTES = 5 << 30
"""A larger object is copied in parts: S3 copies no more at once."""

PART_BYTES = 32 * MIB
COPY_PART_BYTES = 1 << 30
_MAX_PARTS = 10_000

Ours = Callable[[RemoteObject], bool]


def upload(
    session: Session,
    location: Location,
    body: bytes | Source,
    md5: str,
    kept: Mapping[str, str],
    *,
    conditions: Mapping[str, str],
    check: Callable[[], None],
    ours: Ours,
) -> str:
    """Upload `body`, whose MD5 is `md5`, in parts, and return the ETag. `kept` are the headers that the object keeps.

    `check` is called right before the parts become an object, and `conditions` go with that request. Nothing is left behind by
    an upload that fails, unless even ending it fails.
    """
    size_bytes = bodies.size_of(body)
    with _begun(session, location, kept) as upload_id:
        whole = hashlib.md5(usedforsecurity=False)
        etags: list[str] = []
        digests: list[bytes] = []
        with bodies.opened(body, location) as file:
            for start, part_bytes in _cut(size_bytes, PART_BYTES):
                digest = hashlib.md5(usedforsecurity=False)
                for block in bodies.blocks(file, part_bytes, location):
                    digest.update(block)
                    whole.update(block)
                part = bodies.part(body, start, part_bytes)
                etags.append(_send_part(session, location, upload_id, len(etags) + 1, part, digest.hexdigest()))
                digests.append(digest.digest())
        if whole.hexdigest() != md5:
            raise BadDigest(f"Cannot write {shown(location)}: the bytes are not those that were announced")
        check()
        etag = _complete(session, location, upload_id, etags, conditions, ours)
    return _verified(session, location, size_bytes, md5, digests, etag)


def copy(
    session: Session,
    source: Location,
    target: Location,
    size_bytes: int,
    kept: Mapping[str, str],
    *,
    conditions: Mapping[str, str],
    check: Callable[[], None],
    ours: Ours,
) -> None:
    """As `upload`, from `source`. `conditions` are those on both objects, as headers."""
    on_source = {name: value for name, value in conditions.items() if name.startswith("x-amz-copy-source")}
    on_target = {name: value for name, value in conditions.items() if name not in on_source}
    with _begun(session, target, kept) as upload_id:
        etags: list[str] = []
        for start, part_bytes in _cut(size_bytes, COPY_PART_BYTES):
            span = {"x-amz-copy-source-range": f"bytes={start}-{start + part_bytes - 1}"}
            headers = {"x-amz-copy-source": quote(f"{source.bucket}/{source.key}", safe="/"), **on_source, **span}
            query = _part_query(upload_id, len(etags) + 1)
            request = Request(
                "copy to", "PUT", target.bucket, target.key, query=query, headers=headers, body=b"", slow=True
            )
            etags.append(_said(session.send(request).body, "ETag", target))
        check()
        _complete(session, target, upload_id, etags, on_target, ours)


@contextlib.contextmanager
def _begun(session: Session, location: Location, kept: Mapping[str, str]) -> Iterator[str]:
    """An upload's id. The upload is ended if what follows fails: its parts would be paid for, and no listing shows them."""
    request = Request("write", "POST", location.bucket, location.key, query=(("uploads", ""),), headers=kept, body=b"")
    upload_id = _said(session.send(request).body, "UploadId", location)
    try:
        yield upload_id
    except BaseException:
        with contextlib.suppress(RemoteError):
            query = (("uploadId", upload_id),)
            session.send(Request("end the upload of", "DELETE", location.bucket, location.key, query=query))
        raise


def _cut(size_bytes: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, size) of each part, in whole MiB but for the last."""
    smallest = -(-size_bytes // (_MAX_PARTS * MIB)) * MIB
    part_bytes = max(part_bytes, smallest)
    for start in range(0, size_bytes, part_bytes):
        yield start, min(part_bytes, size_bytes - start)


def _part_query(upload_id: str, number: int) -> tuple[tuple[str, str], ...]:
    return ("partNumber", str(number)), ("uploadId", upload_id)


def _send_part(session: Session, location: Location, upload_id: str, number: int, part: Source, md5: str) -> str:
    """Returns the part's ETag as it was given, quotes and all."""
    headers = {"Content-MD5": md5_to_base64(md5)}
    query = _part_query(upload_id, number)
    answer = session.send(
        Request("write", "PUT", location.bucket, location.key, query=query, headers=headers, body=part)
    )
    etag = answer.headers.get("etag", "")
    if etag_is_md5(unquoted(etag), answer.headers) and unquoted(etag) != md5:
        raise BadDigest(f"The store holds other bytes for {shown(location)} than it was sent", hint="Push it again")
    return etag


def _complete(
    session: Session,
    location: Location,
    upload_id: str,
    etags: Sequence[str],
    conditions: Mapping[str, str],
    ours: Ours,
) -> str:
    """Make the parts an object. Returns the ETag that the store names. An answer that was lost leaves the object to tell."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, start=1)
    )
    body = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'
    headers = {"Content-Type": "application/xml", **conditions}
    query = (("uploadId", upload_id),)
    request = Request(
        "write", "POST", location.bucket, location.key, query=query, headers=headers, body=body.encode(), slow=True
    )
    try:
        return unquoted(_said(session.send(request).body, "ETag", location))
    except RemoteError:
        found = look(session, location)
        if found is None or not ours(found):
            raise
        return found.etag


def _verified(
    session: Session, location: Location, size_bytes: int, md5: str, digests: Sequence[bytes], etag: str
) -> str:
    """The ETag under which the store shows the object, which need not be the one it was completed with. `BadDigest` if that tells of other bytes."""
    headers = headers_of(session, location)
    found = read_head(location, headers)
    expected = multipart_etag(digests)
    if found.etag in (expected, md5):
        return found.etag
    if found.size_bytes != size_bytes or found.md5 != md5:
        return etag  # somebody else has written since
    if found.etag_is_md5 or (etag_is_plain(headers) and is_multipart(found.etag) == len(digests)):
        raise BadDigest(f"The store holds other bytes for {shown(location)} than it was sent", hint="Push it again")
    return found.etag


def _said(body: bytes, name: str, location: Location) -> str:
    """The text of the first element that has the name, with or without namespace."""
    try:
        texts = [element.text or "" for element in parse_xml(body.strip()).iter() if local_name(element) == name]
    except ElementTree.ParseError:
        texts = []
    if not texts or not texts[0]:
        raise RemoteError(
            f"Cannot write {shown(location)}: the store's answer names no {name}",
            hint="Check AWS_ENDPOINT_URL_S3: is that an S3 store?",
        )
    return texts[0]
