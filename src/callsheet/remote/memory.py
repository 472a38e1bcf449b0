"""A store in memory: for tests, and for programs that embed callsheet and want to try something out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from callsheet.errors import BadDigest, NoSuchBucket, NoSuchObject, ObjectChanged
from callsheet.layout import printable, s3_url
from callsheet.model import Evidence, Location, RemoteObject
from callsheet.remote.names import check_bucket, check_location, check_text, shown

_CHUNK_BYTES = 1 << 20


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

    def list(self, bucket: str, prefix: str) -> Iterator[RemoteObject]:
        check_text(prefix)
        with self._lock:
            stored = self._bucket(bucket, f"list s3://{bucket}/{printable(prefix)}")
            found = [(key, one.described) for key, one in stored.items() if key.startswith(prefix)]
        for _, described in sorted(found, key=lambda pair: pair[0]):
            yield replace(described, etag_is_md5=None, md5=None, md5_evidence=None)

    def head(self, location: Location) -> RemoteObject:
        return self._stored(location, "look at").described

    def read(self, location: Location, *, if_match: str) -> Iterator[bytes]:
        stored = self._stored(location, "read")
        if stored.described.etag != if_match:
            raise ObjectChanged(f"Cannot read {shown(location)}: the object has changed meanwhile", hint="Sync again")
        for start in range(0, len(stored.body), _CHUNK_BYTES):
            yield stored.body[start : start + _CHUNK_BYTES]

    def put(self, location: Location, body: bytes, *, md5: str) -> RemoteObject:
        check_location(location)
        if hashlib.md5(body, usedforsecurity=False).hexdigest() != md5:
            raise BadDigest(f"Cannot write {shown(location)}: the bytes are not those that were announced")
        return self.store(location, body, etag=md5, etag_is_md5=True, md5=md5)

    def delete(self, location: Location) -> None:
        check_location(location)
        with self._lock:
            self._bucket(location.bucket, f"delete {shown(location)}").pop(location.key, None)

    def url(self, location: Location) -> str:
        return s3_url(location, self._region)

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
        modified = (last_modified or datetime.now(UTC)).replace(microsecond=0)
        evidence = None if md5 is None else Evidence.MD5
        described = RemoteObject(location, len(body), etag, modified, etag_is_md5, md5, evidence)
        with self._lock:
            self._bucket(location.bucket, f"write {shown(location)}")[location.key] = _Stored(body, described)
        return described

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
