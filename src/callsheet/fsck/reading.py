"""Reading the bytes of both sides, and what they say of the record.

Bytes that are not as recorded are told only where nothing else has changed: a file with another size or time, and an object with another
ETag, are newer than the record, and for a sync.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from callsheet import hashing, layout, reconcile, system
from callsheet.checkup import Code, Finding
from callsheet.errors import (
    ChangingFile,
    LocalError,
    NoSuchBucket,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    WorkerLost,
)
from callsheet.fsck.objects import Content, ReadObjects, Wanted
from callsheet.fsck.scope import Scope
from callsheet.listing import list_actor
from callsheet.local import Found
from callsheet.model import Actor, Entry, HashedFile, Location, Manifest, RemoteObject, Status
from callsheet.remote import Remote

_BATCH_FILES = 256


@dataclass(slots=True)
class Reader:
    """Reads what is recorded of one actor, on both sides. `read_bytes` counts."""

    scope: Scope
    actor: Actor
    manifest: Manifest
    read_bytes: int = 0

    def local(self, on_disk: Mapping[str, Found]) -> Iterator[Finding]:
        """The files that have the recorded size and time, hashed."""
        known = [entry for entry in self.manifest.entries if _is_still(entry, on_disk.get(entry.filename))]
        store = self.scope.run.store
        settled_ns = store.settled_for(store.settled(self.actor.stem), self.manifest)
        for start in range(0, len(known), _BATCH_FILES):
            batch = known[start : start + _BATCH_FILES]
            paths = [self.scope.path(self.scope.where.image(self.actor.name, entry.filename)) for entry in batch]
            for entry, result in zip(batch, hashing.hash_files(paths), strict=True):
                yield from self._of_file(entry, on_disk[entry.filename], result, settled_ns)

    def s3(self, remote: Remote, read: ReadObjects) -> Iterator[Finding]:
        """The objects that the record is about, each read to its end; and what else is in the actor's folder."""
        where, name = self.scope.where, self.actor.name
        listing, error = list_actor(where, remote, self.actor)
        if error is not None:
            yield unchecked(error, where.bucket)
        recorded = {entry.filename for entry in self.manifest.entries if entry.recorded_remote}
        new = [found for found in listing.objects if layout.is_image(found) and found not in recorded]
        if new:
            message = f"images in S3 that are not recorded as being there: {len(new)} (first: {min(new)})"
            yield Finding(Code.DRIFT, name, "", message, f"callsheet sync {name}")
        wanted: list[tuple[Entry, Wanted]] = []
        for entry in self.manifest.entries:
            location = where.locate(entry.s3_url) if entry.s3_url else None
            if location is None:
                continue
            listed = listing.objects.get(entry.filename) if location == where.location(name, entry.filename) else None
            tag = entry.s3.etag if entry.s3 else listed.etag if listed else ""
            wanted.append((entry, Wanted(location, tag)))
        contents = read([one for _, one in wanted])
        for (entry, one), content in zip(wanted, contents, strict=True):
            yield from self._of_object(entry, one.location, content)

    def _of_file(
        self, entry: Entry, found: Found, result: HashedFile | LocalError, settled_ns: int
    ) -> Iterator[Finding]:
        name, filename = self.actor.name, entry.filename
        if isinstance(result, LocalError):
            code = Code.CHANGING if isinstance(result, ChangingFile) else Code.UNREADABLE
            yield Finding(code, name, filename, str(result), result.hint.rstrip(".") or "check again")
            return
        self.read_bytes += result.size_bytes
        still = (result.size_bytes, result.mtime_ns) == (found.size_bytes, found.mtime_ns)
        if not still or result.md5 == entry.md5_hash or entry.md5_hash is None:
            return
        if reconcile.trusted_md5(entry, found.size_bytes, found.mtime_ns, settled_ns) is None:
            message = "its bytes changed in the instant in which they were recorded"
            yield Finding(Code.DRIFT, name, filename, message, f"callsheet sync {name}")
            return
        message = (
            f"corrupt: its bytes changed while its size and time did not (MD5 {result.md5}, recorded {entry.md5_hash})"
        )
        yield Finding(Code.CORRUPT, name, filename, message, self._mend_file(entry))

    def _mend_file(self, entry: Entry) -> str:
        if entry.s3 is not None and entry.s3.md5 == entry.md5_hash:
            chosen = f"{self.actor.name} --only {shlex.quote(entry.filename)}"
            return f"callsheet sync --verify {self.actor.name}, then callsheet repair {chosen} takes it from S3"
        return "restore it from a backup, or save it anew if the change was meant, then callsheet sync"

    def _of_object(
        self, entry: Entry, location: Location, content: Content | RemoteError | WorkerLost
    ) -> Iterator[Finding]:
        name, filename, sync = self.actor.name, entry.filename, f"callsheet sync {self.actor.name}"
        if isinstance(content, Content):
            self.read_bytes += content.size_bytes
            yield from self._of_bytes(entry, location, content.described, content.md5)
        elif isinstance(content, NoSuchObject):
            left = "" if entry.recorded_local else ", and it was recorded as being only there"
            repair = f"look for it with callsheet trash list, or in the bucket's versions; then {sync}"
            yield Finding(Code.OBJECT_GONE, name, filename, f"{location} is not in S3 any more{left}", repair)
        elif isinstance(content, ObjectChanged):
            yield Finding(Code.OBJECT_CHANGED, name, filename, f"{location} is another version than is recorded", sync)
        elif isinstance(content, WorkerLost):
            yield Finding(Code.UNCHECKED, name, filename, str(content), content.hint.rstrip("."))
        else:
            yield unchecked(content, location.bucket, name, filename)

    def _of_bytes(self, entry: Entry, location: Location, described: RemoteObject, md5: str) -> Iterator[Finding]:
        promised = (entry.s3 and entry.s3.md5) or promised_md5(described)
        if promised is not None and promised != md5:
            message = f"{location} holds other bytes than it should (MD5 {md5}, not {promised})"
            sound = entry.recorded_local and entry.md5_hash == promised
            source = "the file here" if sound else "a backup or an older version of the object"
            repair = f"upload {source} in its place with any S3 tool, then callsheet sync {self.actor.name}"
            yield Finding(Code.OBJECT_CORRUPT, self.actor.name, entry.filename, message, repair)
        elif entry.status is Status.SYNCED and entry.md5_hash not in (None, md5):
            message = f"it is recorded as synced, but {location} holds other bytes (MD5 {md5})"
            yield Finding(Code.STATUS, self.actor.name, entry.filename, message, f"callsheet sync {self.actor.name}")


def promised_md5(described: RemoteObject) -> str | None:
    """The MD5 that a store says its object has; None if it says nothing of that."""
    return described.md5 or (described.etag if described.etag_is_md5 else None)


def unchecked(error: RemoteError, bucket: str, actor: str = "", filename: str = "") -> Finding:
    """That something in S3 could not be looked at: all of it or all of a bucket, or else `filename` alone."""
    if error.everywhere or isinstance(error, NoSuchBucket) or not filename:
        actor, filename = "", "S3" if error.everywhere else f"s3://{bucket}"
    return Finding(Code.UNCHECKED, actor, filename, str(error), error.hint.rstrip(".") or "check again later")


def trashed(scope: Scope, expected: Iterable[tuple[str, str]]) -> Iterator[tuple[Finding | None, int]]:
    """Reads files of the trash, given with the MD5 that each was put there with, empty where nothing tells it. With each comes how much was read."""
    wanted = list(expected)
    for start in range(0, len(wanted), _BATCH_FILES):
        batch = wanted[start : start + _BATCH_FILES]
        for (path, md5), result in zip(batch, hashing.hash_files([scope.path(p) for p, _ in batch]), strict=True):
            if isinstance(result, LocalError) and not system.lexists(scope.path(path)):
                yield None, 0  # it was put back meanwhile
            elif isinstance(result, LocalError):
                yield Finding(Code.UNREADABLE, "", path, str(result), result.hint.rstrip(".") or "check again"), 0
            elif md5 and result.md5 != md5:
                yield spoilt(path, f"MD5 {result.md5}, not {md5}"), result.size_bytes
            else:
                yield None, result.size_bytes


def spoilt(path: str, how: str) -> Finding:
    """That something in the trash is not what was put there."""
    message = f"what lies in the trash is not what was put there ({how})"
    return Finding(Code.TRASH_CORRUPT, "", path, message, "restore the image from a backup; an undo leaves it as it is")


def _is_still(entry: Entry, found: Found | None) -> bool:
    """Whether a file looks as it is recorded."""
    if found is None or not entry.recorded_local:
        return False
    recorded = (entry.size_bytes, entry.modified_timestamp)
    return recorded == (found.size_bytes, reconcile.timestamp(found.mtime_ns))
