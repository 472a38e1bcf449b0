"""A store in memory: for tests, and for programs that embed callsheet and want to try something out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from callsheet import system
from callsheet.errors import BadDigest, NoSuchBucket, NoSuchObject
from callsheet.layout import printable, s3_url
from callsheet.model import Evidence, Location, RemoteObject
from callsheet.remote.bodies import BLOCK_BYTES, blocks, opened
from callsheet.remote.conditions import changed, holds
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from callsheet.remote.names import check_bucket, check_expiry, check_location, check_text, shown, within


@dataclass(frozen=True, slots=True)
class _Stored:
    body: bytes
    described: RemoteObject


class MemoryRemote:
    """The `Remote` whose buckets live as long as it does. Like S3, a listing tells ETags and not what they mean."""

    def __init__(self, buckets: Iterable[str], *, region: str = "us-west-1") -> None:
        self._region = region
        self._lock = threading.Lock()
        self._buckets: dict[str, dict[str, _Stored]] = {}
        for bucket in buckets:
            check_bucket(bucket)
            self._buckets[bucket] = {}

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        check_text(prefix)
        with self._lock:
            stored = self._bucket(bucket, f"list s3://{bucket}/{printable(prefix)}")
            keys = (key for key in stored if key.startswith(prefix) and within(key, after, before))
            found = [(key, stored[key].described) for key in keys]
        for _, described in sorted(found, key=lambda pair: pair[0]):
            yield described._replace(etag_is_md5=None, md5=None, md5_evidence=None)

    def head(self, location: Location) -> RemoteObject:
        return self._stored(location, "look at").described

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:  # noqa: ARG002  in blocks
        stored = self._stored(location, "read")
        if stored.described.etag != if_match:
            raise changed("read", location)
        starts = range(0, len(stored.body), BLOCK_BYTES)
        return Reading(stored.described, (stored.body[start : start + BLOCK_BYTES] for start in starts))

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        check_location(location)
        if isinstance(body, Source):
            with opened(body, location) as file:
                body = b"".join(blocks(file, body.size_bytes, location))
        if _md5(body) != md5:
            raise BadDigest(f"Cannot write {shown(location)}: the bytes are not those that were announced")
        described = RemoteObject(location, len(body), md5, _now(), etag_is_md5=True, md5=md5, md5_evidence=Evidence.MD5)
        return self._replace("write", _Stored(body, described), replaces)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        check_location(target)
        original = self._stored(source, "copy")
        if original.described.etag != if_match:
            raise changed("copy", source)
        etag, known = _md5(original.body), original.described.md5
        md5 = None if known != etag else known
        evidence = None if md5 is None else original.described.md5_evidence
        described = RemoteObject(target, len(original.body), etag, _now(), True, md5, evidence)
        return self._replace("copy to", _Stored(original.body, described), replaces)

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        check_location(location)
        with self._lock:
            bucket = self._bucket(location.bucket, f"delete {shown(location)}")
            stored = bucket.get(location.key)
            if stored is None:
                return
            if not holds(if_match, stored.described.etag):
                raise changed("delete", location)
            del bucket[location.key]

    def notes(self) -> tuple[str, ...]:
        return ()

    def url(self, location: Location) -> str:
        return s3_url(location, self._region)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:  # noqa: ARG002
        check_location(location)
        check_expiry(expires_s)
        return None

    def origin(self, bucket: str) -> str | None:
        check_bucket(bucket)
        return None

    def store(
        self,
        location: Location,
        body: bytes,
        *,
        etag: str,
        etag_is_md5: bool | None,
        md5: str | None = None,
        last_modified: datetime | None = None,
    ) -> RemoteObject:
        """Put an object there as another program may have: multipart or KMS-encrypted, with metadata or without.

        `etag` and `etag_is_md5` are what `head` will say; `md5` is the one that the uploader recorded beside it, right or
        wrong. Nothing is checked. `last_modified` is now by default.
        """
        check_location(location)
        modified = last_modified.replace(microsecond=0) if last_modified else _now()
        evidence = None if md5 is None else Evidence.MD5
        described = RemoteObject(location, len(body), etag, modified, etag_is_md5, md5, evidence)
        with self._lock:
            self._bucket(location.bucket, f"write {shown(location)}")[location.key] = _Stored(body, described)
        return described

    def _replace(self, verb: str, new: _Stored, replaces: Held) -> str:
        """Put an object in its place, if that is as expected or holds these bytes already. Returns the ETag that is there then."""
        location = new.described.location
        with self._lock:
            bucket = self._bucket(location.bucket, f"{verb} {shown(location)}")
            held = bucket.get(location.key)
            if not holds(replaces, None if held is None else held.described.etag):
                if held is None or held.body != new.body:
                    raise changed(verb, location, replaces)
                return held.described.etag
            bucket[location.key] = new
            return new.described.etag

    def _stored(self, location: Location, verb: str) -> _Stored:
        check_location(location)
        with self._lock:
            stored = self._bucket(location.bucket, f"{verb} {shown(location)}").get(location.key)
        if stored is None:
            raise NoSuchObject(
                f"Cannot {verb} {shown(location)}: there is no such object", status=404, s3_code="NoSuchKey"
            )
        return stored

    def _bucket(self, bucket: str, task: str) -> dict[str, _Stored]:
        check_bucket(bucket)
        try:
            return self._buckets[bucket]
        except KeyError:
            raise NoSuchBucket(
                f"Cannot {task}: there is no such bucket",
                hint="Name it when the store is made",
                status=404,
                s3_code="NoSuchBucket",
            ) from None


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _now() -> datetime:
    return system.now().replace(microsecond=0)
