"""What S3 answers mean: pages of a listing, and an object's headers.

Rules of this module: no I/O; what is not as S3 defines it is an error, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from operator import lt
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from callsheet.errors import BrokenListing, RemoteError
from callsheet.layout import printable
from callsheet.model import Evidence, Location, RemoteObject
from callsheet.remote.failures import local_name, parse_xml
from callsheet.remote.names import is_md5, md5_from_base64, shown

MD5_HEADER = "x-amz-meta-md5chksum"
"""Where we keep an object's MD5, in Base64: rclone's name for it, so that rclone verifies what we wrote."""

_S3CMD_HEADER = "x-amz-meta-s3cmd-attrs"
_S3CMD_MD5 = re.compile(r"(?:^|/)md5:([0-9a-f]{32})(?:/|$)", re.ASCII)
_CHECKSUM_HEADER = "x-amz-checksum-md5"
_MOST_DIGITS = 18

# An object of a listing as nearly every store writes it: key, time to the second, ETag and size. It matches nothing that XML
# would read otherwise: the key is in printable ASCII without markup, and every element stands where it is looked for.
_USUAL = re.compile(
    r"<Contents>\s*<Key>([!-%'-;=?-~]+)</Key>\s*"
    r"<LastModified>(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z</LastModified>\s*"
    r"<ETag>(?:&quot;|\")?([0-9A-Za-z-]*)(?:&quot;|\")?</ETag>\s*"
    r"(?:<ChecksumAlgorithm>\w*</ChecksumAlgorithm>\s*|<ChecksumType>\w*</ChecksumType>\s*)*"
    r"<Size>(\d{1,18})</Size>\s*(?:<StorageClass>\w*</StorageClass>\s*)?</Contents>\s*",
    re.ASCII,
)
_GROUPS = _USUAL.groups + 1


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `token` asks for the next one and is empty on the last."""

    objects: tuple[RemoteObject, ...]
    token: str


def unquoted(etag: str) -> str:
    """An ETag without quotes and without the mark of a weak one (RFC 9110, 8.8.3)."""
    return etag.strip().removeprefix("W/").strip('"')


def read_page(body: bytes, bucket: str, prefix: str, after: str) -> Page:
    """A page of ListObjectsV2 whose keys all come after `after`. Raises `BrokenListing` if it makes no sense."""
    where = f"The listing of s3://{bucket}/{printable(prefix)}"
    usual, rest = _usual(body)
    try:
        root = parse_xml(rest)
    except ElementTree.ParseError as error:
        raise BrokenListing(f"{where} is no XML", hint="Check AWS_ENDPOINT_URL_S3: is that an S3 store?") from error
    if local_name(root) != "ListBucketResult":
        raise BrokenListing(f"{where} is no listing", hint="Check AWS_ENDPOINT_URL_S3: is that an S3 store?")
    fields = _fields(root)
    try:
        encoded = fields.get("EncodingType") == "url"
        if usual:
            objects = tuple(_columns(usual, bucket, encoded))
        else:
            objects = tuple(_listed(child, bucket, encoded) for child in root if local_name(child) == "Contents")
        truncated = {"true": True, "false": False}[fields["IsTruncated"]]
        token = fields["NextContinuationToken"] if truncated else ""
    except (KeyError, ValueError, OverflowError) as error:
        raise BrokenListing(f"{where} lacks what a listing must have, or has it in a wrong form") from error
    _check_keys([listed.location.key for listed in objects], prefix, after, where)
    if truncated and not (token and objects):
        raise BrokenListing(f"{where} says that it goes on, but not where")
    return Page(objects, token)


def read_head(location: Location, headers: Mapping[str, str]) -> RemoteObject:
    """The object that the headers of a HEAD or GET describe. Raises `RemoteError` if they do not."""
    etag = unquoted(headers.get("etag", ""))
    try:
        size_bytes = _size(headers["content-length"])
        last_modified = _moment(headers["last-modified"])
    except (KeyError, ValueError, OverflowError) as error:
        raise RemoteError(f"The store describes {shown(location)} without a size or a time") from error
    told = etag_is_md5(etag, headers)
    md5 = _recorded_md5(headers)
    if told and md5 != etag:
        md5 = None  # metadata that an overwrite left behind: the ETag is computed from the bytes
    return RemoteObject(location, size_bytes, etag, last_modified, told, md5, None if md5 is None else Evidence.MD5)


@lru_cache(maxsize=256)
def _moment(text: str) -> datetime:
    """A time as HTTP writes it, in UTC; what was uploaded together has few of them. `ValueError` or `OverflowError` if it is none."""
    return _utc(parsedate_to_datetime(text))


def known_md5(described: RemoteObject) -> str | None:
    """The object's MD5, by its ETag or by other means."""
    return described.etag if described.etag_is_md5 else described.md5


def etag_is_md5(etag: str, headers: Mapping[str, str]) -> bool:
    """Whether an object whose answer has these headers has its MD5 for an ETag."""
    return is_md5(etag) and etag_is_plain(headers)


def etag_is_plain(headers: Mapping[str, str]) -> bool:
    """Whether an ETag is computed from the object's bytes alone: encryption by KMS or by the customer's key makes it another.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag)
    """
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    return plain and "x-amz-server-side-encryption-customer-algorithm" not in headers


def _recorded_md5(headers: Mapping[str, str]) -> str | None:
    """S3's own checksum, else what the uploader kept in the metadata: ours and rclone's form, then s3cmd's."""
    # A checksum of checksums ends in "-<parts>" and is not Base64 of 16 bytes.
    for header in (_CHECKSUM_HEADER, MD5_HEADER):
        if header in headers and (md5 := md5_from_base64(headers[header])) is not None:
            return md5
    attributes = _S3CMD_MD5.search(headers.get(_S3CMD_HEADER, ""))
    return attributes[1] if attributes else None


def _fields(element: ElementTree.Element) -> dict[str, str]:
    return {local_name(child): child.text or "" for child in element}


def _listed(contents: ElementTree.Element, bucket: str, encoded: bool) -> RemoteObject:
    fields = _fields(contents)
    key = unquote_plus(fields["Key"], errors="strict") if encoded else fields["Key"]
    size_bytes = _size(fields["Size"])
    modified = datetime.fromisoformat(fields["LastModified"])
    if not key or modified.tzinfo is None:
        raise ValueError(key)
    # Whole seconds, as HEAD gives them: the same object must not look modified from one request to the next.
    modified = modified.astimezone(UTC).replace(microsecond=0)
    return RemoteObject(Location(bucket, key), size_bytes, unquoted(fields["ETag"]), modified)


def _size(text: str) -> int:
    """`ValueError` for what is no size that a disk could hold."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError(text)
    return int(text)


def _utc(moment: datetime) -> datetime:
    """A time of HTTP or e-mail: without a zone, or with the unknown one of RFC 5322 (`-0000`), it is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _usual(body: bytes) -> tuple[list[str], bytes]:
    """A page's objects, if all of them are written as usual, as what `_USUAL.split` makes of them; and the page without them.

    Reading them one by one as XML takes several times as long.
    """
    if not body.isascii() or b"<!" in body:  # a comment, a document type or a CDATA section may stand anywhere
        return [], body
    parts = _USUAL.split(body.decode())
    if len(parts) == 1:
        return [], body
    head, between, tail = parts[0], parts[_GROUPS:-1:_GROUPS], parts[-1]
    inside = "<ListBucketResult" in head and not any(between) and "</ListBucketResult>" in tail
    return (parts, (head + tail).encode()) if inside and "Contents" not in head + tail else ([], body)


def _columns(usual: list[str], bucket: str, encoded: bool) -> Iterator[RemoteObject]:
    keys, times, etags, sizes = (usual[start::_GROUPS] for start in range(1, _GROUPS))
    if encoded:
        keys = [unquote_plus(key, errors="strict") if "%" in key or "+" in key else key for key in keys]
    for key, time, etag, size in zip(keys, times, etags, sizes, strict=True):
        yield RemoteObject(Location(bucket, key), int(size), etag, datetime.fromisoformat(f"{time}+00:00"))


def _check_keys(keys: list[str], prefix: str, after: str, where: str) -> None:
    # Code points sort as their UTF-8 bytes do; what starts with a prefix lies together.
    if keys and not (keys[0].startswith(prefix) and keys[-1].startswith(prefix)):
        raise BrokenListing(f"{where} has a key that it was not asked for")
    if not all(map(lt, [after, *keys], keys)):
        raise BrokenListing(f"{where} is not in ascending order, or repeats a key")
