"""Copies inside S3. Both objects are looked at before and after: not every store heeds a copy's conditions, or keeps its word.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import quote

from callsheet.errors import BadDigest, NoSuchObject, ObjectChanged, RemoteError
from callsheet.model import Location, RemoteObject
from callsheet.remote import multipart
from callsheet.remote.answers import MD5_HEADER, known_md5, read_head
from callsheet.remote.conditions import Heeded, Kind, changed, holds
from callsheet.remote.contract import ANYTHING, Held
from callsheet.remote.failures import Request
from callsheet.remote.looking import head, headers_of, look
from callsheet.remote.names import md5_to_base64, shown
from callsheet.remote.session import Session

_KEPT = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires")
_ON_SOURCE = "x-amz-copy-source-if-match"


def copy(session: Session, heeded: Heeded, source: Location, target: Location, *, if_match: str, replaces: Held) -> str:
    """As `Remote.copy`. An object that is copied onto itself is left alone: S3 refuses that."""
    headers = headers_of(session, source)
    original = read_head(source, headers)
    if original.etag != if_match:
        raise changed("copy", source)
    if source == target:
        return if_match
    copying = _Copying(session, heeded, original, headers, target, replaces)
    held = copying.expected()
    if held is not None:
        return held
    copying.run()
    return copying.verified()


class _Copying:
    """One copy of an object that was looked at a moment ago."""

    def __init__(
        self,
        session: Session,
        heeded: Heeded,
        original: RemoteObject,
        headers: Mapping[str, str],
        target: Location,
        replaces: Held,
    ) -> None:
        self._session = session
        self._heeded = heeded
        self._original = original
        self._headers = headers
        self._target = target
        self._replaces = replaces

    def expected(self) -> str | None:
        """None if the target is as expected, the ETag of what is there if that is the same bytes. Else raises `ObjectChanged`."""
        if self._replaces is ANYTHING:
            return None
        found = look(self._session, self._target)
        if holds(self._replaces, None if found is None else found.etag):
            return None
        if found is not None and self._alike(found) is True:
            return found.etag
        if found is None:
            with contextlib.suppress(NoSuchObject):
                head(self._session, self._target)  # it may be the bucket that is missing
        raise changed("copy to", self._target, self._replaces)

    def run(self) -> None:
        """Copy under all conditions; under those of them that the store can tell without, if it refuses and they do hold."""
        bucket = self._target.bucket
        refused = self._heeded.by(bucket, Kind.COPY) is False
        on_source = {_ON_SOURCE: self._heeded.headers(self._original.etag)["If-Match"]}
        on_target = {} if refused else self._heeded.headers(self._replaces)
        try:
            self._copy({**on_source, **on_target})
        except (ObjectChanged, NoSuchObject) as refusal:
            self._check_source()
            if self.expected() is None:
                # 409: somebody is writing there at this moment. Else the store compares in a way of its own.
                self._copy({**on_source, **on_target} if refusal.status == 409 else {})
        except RemoteError as error:
            if error.status != 501 or not on_target:
                raise
            self._heeded.learn(bucket, Kind.COPY, heeds=False)
            self._check()
            self._copy(on_source)

    def verified(self) -> str:
        """The copy's ETag, now that it was looked at."""
        found = head(self._session, self._target)
        alike = self._alike(found)
        if not alike:
            # Which of the two is another now, the store may not have told.
            self._check_source()
        if alike is False:
            raise BadDigest(
                f"The copy at {shown(self._target)} is not like {shown(self._original.location)}", hint="Repeat it"
            )
        return found.etag

    def _copy(self, conditions: Mapping[str, str]) -> None:
        size_bytes, source = self._original.size_bytes, self._original.location
        if size_bytes > multipart.COPY_THRESHOLD_BYTES:
            multipart.copy(
                self._session,
                source,
                self._target,
                size_bytes,
                self._kept(),
                conditions=conditions,
                check=self._check,
                ours=lambda found: self._alike(found) is True,
            )
            return
        headers = {
            "x-amz-copy-source": quote(f"{source.bucket}/{source.key}", safe="/"),
            "x-amz-metadata-directive": "COPY",
            **conditions,
        }
        request = Request("copy to", "PUT", self._target.bucket, self._target.key, headers=headers, body=b"", slow=True)
        self._session.send(request)

    def _check(self) -> None:
        self._check_source()
        if self.expected() is not None:
            raise changed("copy to", self._target, self._replaces)

    def _check_source(self) -> None:
        if head(self._session, self._original.location).etag != self._original.etag:
            raise changed("copy", self._original.location)

    def _alike(self, found: RemoteObject) -> bool | None:
        """Whether an object has the original's bytes; None if only their size can be compared."""
        if found.size_bytes != self._original.size_bytes:
            return False
        mine, its = known_md5(self._original), known_md5(found)
        if mine is None or its is None:
            return True if found.etag == self._original.etag else None
        return mine == its

    def _kept(self) -> dict[str, str]:
        """What a copy in parts must be told to keep, and the MD5 that its ETag will not tell."""
        kept = {
            name.lower(): value
            for name, value in self._headers.items()
            if name.lower() in _KEPT or name.lower().startswith("x-amz-meta-")
        }
        md5 = known_md5(self._original)
        return kept if md5 is None else {**kept, MD5_HEADER: md5_to_base64(md5)}
