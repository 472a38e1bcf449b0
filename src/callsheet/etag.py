"""The arithmetic of multipart ETags.

The ETag of a multipart upload is the MD5 of its parts' binary MD5s, one after another, then `-` and the
number of parts. It tells the content only to someone who knows how it was cut, and S3 doesn't tell that in a
listing: `part_sizes` lists the ways that the usual tools cut.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

_MIB = 1024 * 1024
_MB = 1000 * 1000
_MAX_PARTS = 10_000
_MULTIPART = re.compile(r'"?[0-9a-f]{32}-([1-9][0-9]{0,4})"?', re.IGNORECASE | re.ASCII)

# By how likely a tool is for images: its default first, then what people set.
_USUAL_SIZES = (
    8 * _MIB,  # AWS CLI, boto3
    5 * _MIB,  # rclone, the SDKs for JavaScript, Java and Go, obstore
    16 * _MIB,  # MinIO's mc and SDKs, the S3 console
    50 * _MIB,  # s5cmd, s3fs for Python
    15 * _MIB,  # s3cmd
    10 * _MIB,  # s3fs-fuse, Cyberduck
    64 * _MIB,  # Hadoop
    *(mib * _MIB for mib in (32, 100, 20, 25, 128, 6, 7, 200, 256, 512, 1024)),
    *(mb * _MB for mb in (10, 8, 5, 16, 50, 15, 100, 64, 20, 25, 32, 6, 7, 128, 200, 256, 500, 512, 1000)),
)


def is_multipart(etag: str) -> int | None:
    """The number of parts that a multipart ETag names, with or without quotes; None for any other ETag."""
    match = _MULTIPART.fullmatch(etag)
    return int(match[1]) if match else None


def part_sizes(size_bytes: int, parts: int) -> tuple[int, ...]:
    """The usual part sizes, in bytes, that cut `size_bytes` into `parts`, the likeliest first; perhaps none.

    All parts but the last have that size. Any size that holds the whole makes a single part, so for one part
    the answer is `size_bytes` alone (1 for an empty object: a part size is never 0).
    """
    if parts == 1:
        return (max(size_bytes, 1),)
    candidates = (*_USUAL_SIZES, *_enlarged(size_bytes))
    return tuple(size for size in dict.fromkeys(candidates) if _ceil_div(size_bytes, size) == parts)


def multipart_etag(part_md5s: Sequence[bytes]) -> str:
    """The ETag, without quotes, of an upload whose parts have these binary MD5s, at least one."""
    if not part_md5s:
        raise ValueError("an upload has at least one part")
    return f"{hashlib.md5(b''.join(part_md5s), usedforsecurity=False).hexdigest()}-{len(part_md5s)}"


def _enlarged(size_bytes: int) -> Iterator[int]:
    """What tools take when their usual size would make more parts than S3 allows, 10,000."""
    doubled = 8 * _MIB  # the AWS CLI and boto3 double theirs until it fits
    while _ceil_div(size_bytes, doubled) > _MAX_PARTS:
        doubled *= 2
    yield doubled
    smallest = _ceil_div(size_bytes, _MAX_PARTS)
    yield _ceil_div(smallest, _MIB) * _MIB or _MIB  # rclone and others round up to the next MiB


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
