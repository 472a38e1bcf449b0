"""What every store asks of an address before it uses it, and the two forms of an MD5."""

from __future__ import annotations

import base64
import binascii
import re

from callsheet.errors import RemoteError
from callsheet.layout import printable
from callsheet.model import Location
from callsheet.remote.contract import MAX_EXPIRY_S

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


def shown(location: Location) -> str:
    """A location for a message: control characters are escaped."""
    return printable(str(location))


def check_bucket(bucket: str) -> None:
    """Raise `RemoteError` unless `bucket` can be one: it becomes part of a host name, a path or a folder's name."""
    if _BUCKET.fullmatch(bucket) is None:
        raise RemoteError(
            f"{printable(bucket)!r} is no bucket name",
            hint="A bucket name has letters, digits, dots, hyphens and underscores",
        )


def check_location(location: Location) -> None:
    """Raise `RemoteError` unless `location` can name an object. A request for an empty key would mean the bucket itself."""
    check_bucket(location.bucket)
    if not location.key:
        raise RemoteError(f"{shown(location)} names no object: its key is empty")
    check_text(location.key)


def check_text(text: str) -> None:
    """Raise `RemoteError` if `text`, a key or a prefix, has no UTF-8 form (a lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RemoteError(
            f"{printable(text)!r} is no object key: it is not valid UTF-8", hint="Rename the file"
        ) from error


def check_expiry(expires_s: int) -> None:
    """`ValueError` unless a presigned URL may last so long."""
    if not 1 <= expires_s <= MAX_EXPIRY_S:
        raise ValueError(f"A presigned URL lasts 1 to {MAX_EXPIRY_S} seconds, not {expires_s}")


def is_md5(text: str) -> bool:
    """Whether `text` is 32 lower-case hex digits."""
    return _MD5.fullmatch(text) is not None


def md5_to_base64(md5: str) -> str:
    """The form that `Content-MD5` and rclone's metadata have (RFC 1864)."""
    return base64.b64encode(bytes.fromhex(md5)).decode()


def md5_from_base64(text: str) -> str | None:
    """The reverse; None if `text` is not the Base64 form of 16 bytes."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 16 else None


def within(key: str, after: str, before: str) -> bool:
    """Whether a key comes after the one and before the other; an empty one is no bound. Code points sort as their UTF-8 bytes do."""
    return key > after and (not before or key < before)
