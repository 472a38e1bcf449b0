"""Stores of objects: S3, a directory, memory. Importing this imports none of them."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from callsheet.errors import UsageError
from callsheet.layout import Layout
from callsheet.remote.contract import Remote

__all__ = ["Remote", "open_remote"]

_HINT = "Write s3://BUCKET/PREFIX for S3, or file:///PATH for a directory that holds one folder per bucket"


def open_remote(url: str, *, layout: Layout, anonymous: bool = False) -> Remote:
    """The store that `url` names: `s3://bucket[/prefix]` or `file:///path`. Nothing is contacted.

    Bucket and prefix are the layout's business; here they only say that the store is S3. `UsageError` if `url` is neither.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL", hint=_HINT) from error
    if parts.scheme == "s3" and parts.netloc:
        from callsheet.remote.s3 import S3Remote

        return S3Remote(layout.region, anonymous=anonymous)
    plain = not parts.query and not parts.fragment
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/") and plain:
        from callsheet.remote.directory import DirectoryRemote

        return DirectoryRemote(unquote(parts.path), layout.region)
    raise UsageError(f"{url!r} names no store", hint=_HINT)
