"""An object store in memory: versions or none, pages, conditions, and ETags that are the MD5 or are not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from callsheet import etag
from callsheet.errors import BadDigest, NoSuchBucket, NoSuchObject
from callsheet.model import Evidence, Location, RemoteObject
from callsheet.remote.conditions import changed, holds
from callsheet.remote.contract import ANYTHING, Anything, Held

PLAIN, MULTIPART, KMS = "plain", "multipart", "kms"


@dataclass(frozen=True, slots=True)
class Object:
    body: bytes
    described: RemoteObject


@dataclass
class Cloud:
    """What every client of the store sees. `kinds` are the ETags that uploads get, by bucket; `page` is how many keys a listing gives at once."""

    buckets: dict[str, dict[str, Object]]
    versioned: bool = False
    page: int = 1000
    kind: str = PLAIN
    moment_ns: int = 0
    noncurrent: list[bytes] = field(default_factory=list)
    """What was replaced or deleted in a store that keeps versions."""

    _made: int = 0

    def pages(self, bucket: str, prefix: str) -> Iterator[list[RemoteObject]]:
        """Each page is of one moment: what changes between two of them is seen or not."""
        last = ""
        while True:
            objects = self._bucket(bucket)
            keys = sorted(key for key in objects if key.startswith(prefix) and key > last)
            found = [objects[key].described for key in keys[: self.page]]
            yield [item._replace(etag_is_md5=None, md5=None, md5_evidence=None) for item in found]
            if len(keys) <= self.page:
                return
            last = keys[self.page - 1]

    def get(self, location: Location) -> Object:
        found = self._bucket(location.bucket).get(location.key)
        if found is None:
            raise NoSuchObject(f"There is no {location}", status=404, s3_code="NoSuchKey")
        return found

    def read(self, location: Location, if_match: str) -> Object:
        found = self.get(location)
        if found.described.etag != if_match:
            raise changed("read", location)
        return found

    def put(self, location: Location, body: bytes, md5: str, replaces: Held) -> tuple[str, list[bytes]]:
        """The ETag that is there then, and what was replaced for good."""
        if hashlib.md5(body, usedforsecurity=False).hexdigest() != md5:
            raise BadDigest(f"Cannot write {location}: the bytes are not those that were announced")
        return self._place(Object(body, self.described(location, body, md5, self.kind)), replaces)

    def copy(self, source: Location, target: Location, if_match: str, replaces: Held) -> tuple[str, list[bytes]]:
        original = self.get(source)
        if original.described.etag != if_match:
            raise changed("copy", source)
        made = self.described(target, original.body, original.described.md5, self.kind)
        return self._place(Object(original.body, made), replaces)

    def delete(self, location: Location, if_match: str | Anything) -> list[bytes]:
        """What was deleted for good."""
        bucket = self._bucket(location.bucket)
        found = bucket.get(location.key)
        if found is None:
            return []
        if not holds(if_match, found.described.etag):
            raise changed("delete", location)
        del bucket[location.key]
        return self._gone(found)

    def described(self, location: Location, body: bytes, md5: str | None, kind: str) -> RemoteObject:
        """A new object. With `md5`, its metadata say so."""
        self._made += 1
        digest = hashlib.md5(body, usedforsecurity=False)
        tags = {
            PLAIN: digest.hexdigest(),
            MULTIPART: etag.multipart_etag([digest.digest()]),
            KMS: hashlib.md5(f"{self._made}".encode(), usedforsecurity=False).hexdigest(),
        }
        modified = datetime.fromtimestamp(self.moment_ns // 1_000_000_000, UTC)
        evidence = None if md5 is None else Evidence.MD5
        return RemoteObject(location, len(body), tags[kind], modified, kind == PLAIN, md5, evidence)

    def bodies(self) -> Iterator[bytes]:
        """Everything that can still be read."""
        for objects in self.buckets.values():
            yield from (item.body for item in objects.values())
        yield from self.noncurrent

    def _place(self, new: Object, replaces: Held) -> tuple[str, list[bytes]]:
        location = new.described.location
        bucket = self._bucket(location.bucket)
        there = bucket.get(location.key)
        if replaces is not ANYTHING and not holds(replaces, None if there is None else there.described.etag):
            if there is None or there.body != new.body:
                raise changed("write", location, replaces)
            return there.described.etag, []
        bucket[location.key] = new
        return new.described.etag, [] if there is None else self._gone(there)

    def _gone(self, old: Object) -> list[bytes]:
        if self.versioned:
            self.noncurrent.append(old.body)
            return []
        return [old.body]

    def _bucket(self, bucket: str) -> dict[str, Object]:
        if bucket not in self.buckets:
            raise NoSuchBucket(f"There is no bucket {bucket}", status=404, s3_code="NoSuchBucket")
        return self.buckets[bucket]
