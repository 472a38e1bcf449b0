"""Looking at one actor's images on both sides, as closely as is needed to be sure, and no closer.

Rules of this module: it looks and reports, and decides nothing; `reconcile` says what a sight means. A problem of one file
never stops the others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from callsheet import etag, hashing, layout, legacy, local, reconcile
from callsheet.errors import (
    AccessDenied,
    CallsheetError,
    LocalError,
    NoSuchBucket,
    NoSuchObject,
    RemoteError,
)
from callsheet.findings import not_seen
from callsheet.layout import Layout
from callsheet.model import (
    Actor,
    Entry,
    Evidence,
    HashedFile,
    Legacy,
    Listing,
    LocalFile,
    Location,
    Manifest,
    Observation,
    Problem,
    RemoteObject,
    Sight,
)
from callsheet.remote import Remote

_WORTH_LISTING = 2000
"""A folder with more than this many other objects is not listed to its end."""


class Looked(NamedTuple):
    """A look at an actor's folder, and the legacy files in it that could be read, the one whose word counts most first."""

    folder: local.Looked
    legacy: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Sighting:
    """An observation, what was wrong on the way to it, and how much was read for it."""

    seen: Observation
    looked: Looked
    scan: local.Scan
    problems: tuple[Problem, ...] = ()
    hashed: tuple[HashedFile, ...] = ()
    response: tuple[bytes, Legacy] | None = None
    """`response.json` and what it says, if it is there and could be read."""

    @property
    def hashed_bytes(self) -> int:
        return sum(file.size_bytes for file in self.hashed)


@dataclass(slots=True)
class Observer:
    """Looks at one actor. `remote` is None for a run that does not look at S3; `ahead` is what `HashAhead` has of it."""

    root: str
    where: Layout
    actor: Actor
    remote: Remote | None
    ahead: Mapping[str, HashedFile] = field(default_factory=dict)
    verify: bool = False
    download: bool = True
    problems: list[Problem] = field(default_factory=list)
    hashed: list[HashedFile] = field(default_factory=list)

    def glance(self) -> Looked:
        """What is in the actor's folder, without a look into the images."""
        folder = local.look(self._path(self.where.folder(self.actor.name)), self._path(self._training_dir))
        return Looked(folder, self._legacy_files(folder))

    def look(self, manifest: Manifest, looked: Looked, listing: Listing | None, settled_ns: int) -> Sighting:
        """Everything that one run sees of the actor. `listing` is its default folder in S3, as listed; `settled_ns` see `reconcile.trusted_md5`."""
        scan = local.scan_of(looked.folder)
        files = self._legacy(looked.legacy)
        for fault in scan.faults:
            self._problem(fault.filename, fault.code, fault.message)
        known = {entry.filename: entry for entry in (*manifest.entries, *manifest.missing)}
        sides = self._local_sides(scan, known, settled_ns)
        seen = Observation(
            local=sides,
            local_complete=scan.complete,
            listing=listing and self._usable(listing),
            legacy=legacy.merged({name: said for name, (_, said) in files.items()}),
        )
        if self.remote is not None:
            entries = list(reconcile.remembered(manifest, seen, self.actor, self.where))
            seen = self._with_elsewhere(entries, seen, self.remote)
            seen = self._looked_closer(entries, seen, self.remote)
        return Sighting(
            seen,
            looked,
            scan,
            tuple(self.problems),
            tuple(self.hashed),
            files.get(layout.RESPONSE),
        )

    def _path(self, relative: str) -> str:
        return os.path.join(self.root, relative)

    @property
    def _training_dir(self) -> str:
        return self.where.training_dir(self.actor.name)

    def _problem(self, filename: str, code: str, message: str) -> None:
        self.problems.append(Problem(self.actor.name, filename, code, message))

    def _legacy_files(self, folder: local.Looked) -> dict[str, bytes]:
        files = {}
        for name in layout.LEGACY_FILES:
            if not local.has_other(folder, name):
                continue
            path = self._path(f"{self._training_dir}/{name}")
            try:
                raw = local.read_bytes(path, within=self._path(self.where.folder(self.actor.name)))
            except CallsheetError as error:
                self._problem(name, error.code, error.sentence)
            else:
                if raw is not None:
                    files[name] = raw
        return files

    def _legacy(self, files: dict[str, bytes]) -> dict[str, tuple[bytes, Legacy]]:
        """What each file says, with its bytes."""
        told = {}
        for name, raw in files.items():
            try:
                told[name] = (raw, legacy.read(raw, f"{self._training_dir}/{name}", self.where))
            except CallsheetError as error:
                self._problem(name, error.code, error.sentence)
        return told

    def _local_sides(self, scan: local.Scan, known: dict[str, Entry], settled_ns: int) -> dict[str, LocalFile | Sight]:
        sides: dict[str, LocalFile | Sight] = dict.fromkeys(scan.unknown, Sight.UNKNOWN)
        to_hash: list[tuple[local.Found, str | None]] = []
        for found in scan.found:
            entry = known.get(found.filename)
            trusted = reconcile.trusted_md5(entry, found.size_bytes, found.mtime_ns, settled_ns)
            corrupt = entry is not None and entry.expected_md5 is not None
            if trusted is None or corrupt or self.verify:
                to_hash.append((found, trusted))
            else:
                sides[found.filename] = LocalFile(found.filename, found.size_bytes, found.mtime_ns, trusted)
        for (found, trusted), result in zip(to_hash, self._hashed([found for found, _ in to_hash]), strict=True):
            name = found.filename
            if isinstance(result, LocalError):
                self._problem(name, result.code, result.sentence)
                sides[name] = Sight.UNKNOWN
                continue
            self.hashed.append(result)
            touched = (result.size_bytes, result.mtime_ns) != (found.size_bytes, found.mtime_ns)
            expected = reconcile.expected_md5(known.get(name), result.md5, None if touched else trusted)
            sides[name] = LocalFile(name, result.size_bytes, result.mtime_ns, result.md5, expected)
        return sides

    def _hashed(self, files: list[local.Found]) -> list[HashedFile | LocalError]:
        """The hash of each file, from those that were made ahead if the file still has the size and mtime that it had then."""
        paths = [self._path(self.where.image(self.actor.name, found.filename)) for found in files]
        hashes: dict[str, HashedFile | LocalError] = {}
        for path, found in zip(paths, files, strict=True):
            made = self.ahead.get(path)
            if made is not None and (made.size_bytes, made.mtime_ns) == (found.size_bytes, found.mtime_ns):
                hashes[path] = made
        lacking = [path for path in paths if path not in hashes]
        hashes.update(zip(lacking, hashing.hash_files(lacking), strict=True))
        return [hashes[path] for path in paths]

    def _usable(self, listing: Listing) -> Listing:
        """The listing's images whose names can be recorded."""
        images = {name: item for name, item in listing.objects.items() if layout.is_image(name)}
        for name in [name for name in images if layout.name_fault(name)]:
            message = (
                f"the key's name in S3 {layout.name_fault(name)}, so it cannot be recorded; copy it to another name"
            )
            self._problem(name, "bad_name", message)
            del images[name]
        return Listing(images, listing.complete)

    def _with_elsewhere(self, entries: list[Entry], seen: Observation, remote: Remote) -> Observation:
        """What recorded URLs point to in other buckets and folders: one listing a folder."""
        folders: dict[tuple[str, str], list[Location]] = {}
        wanted = reconcile.locations_elsewhere(entries, self.actor, self.where)
        for location in sorted(wanted):
            folders.setdefault((location.bucket, location.key.rpartition("/")[0]), []).append(location)
        sides: dict[Location, RemoteObject | Sight] = {}
        for (bucket, _), locations in folders.items():
            found, error = look_at(remote, bucket, locations)
            sides.update(found)
            if error is not None:
                self.problems.append(not_seen(bucket, error))
        return replace(seen, elsewhere=sides)

    def _looked_closer(self, entries: list[Entry], seen: Observation, remote: Remote) -> Observation:
        """Where neither the ETag nor the record tells whether both sides are equal, find out."""
        objects = dict(seen.listing.objects) if seen.listing else {}
        elsewhere = dict(seen.elsewhere)
        for known in entries:
            side = seen.local_side(known.filename)
            there, _ = reconcile.remote_seen(known, seen, self.actor, self.where)
            if not isinstance(side, LocalFile) or not isinstance(there, RemoteObject):
                continue
            if not reconcile.needs_look(known, side, there):
                continue
            try:
                closer = self._closer(known, side, there, remote)
            except CallsheetError as error:
                if isinstance(error, RemoteError) and (error.everywhere or isinstance(error, NoSuchBucket)):
                    self.problems.append(not_seen(there.location.bucket, error))
                else:
                    self._problem(known.filename, error.code, error.sentence)
                continue
            if there.location == self.where.location(self.actor.name, known.filename):
                objects[known.filename] = closer
            else:
                elsewhere[there.location] = closer
        listing = seen.listing and Listing(objects, seen.listing.complete)
        return replace(seen, listing=listing, elsewhere=elsewhere)

    def _closer(self, known: Entry, side: LocalFile, listed: RemoteObject, remote: Remote) -> RemoteObject:
        """The object with its MD5, by the cheapest means that tells it; without one if only a download would."""
        found = remote.head(listed.location)
        if found.etag_is_md5:
            return found._replace(md5=found.etag, md5_evidence=Evidence.ETAG)
        if found.md5 is not None or not reconcile.needs_look(known, side, found):
            return found
        path = self._path(self.where.image(self.actor.name, side.filename))
        for part_size in etag.part_sizes(side.size_bytes, etag.is_multipart(found.etag) or 0):
            parted = hashing.multipart_etag_of(path, part_size)
            if parted.etag == found.etag and (parted.size_bytes, parted.mtime_ns) == (side.size_bytes, side.mtime_ns):
                return found._replace(md5=side.md5, md5_evidence=Evidence.MULTIPART_ETAG)
        if not self.download:
            return found
        digest = hashlib.md5(usedforsecurity=False)
        for block in remote.read(found.location, if_match=found.etag).blocks:
            digest.update(block)
        return found._replace(md5=digest.hexdigest(), md5_evidence=Evidence.CONTENT)


def look_at(
    remote: Remote, bucket: str, locations: list[Location]
) -> tuple[dict[Location, RemoteObject | Sight], RemoteError | None]:
    """What is at some locations of one folder of a bucket, and why the rest is unknown, if it is.

    One listing; one request each where listing is forbidden, or the folder holds much else.
    """
    wanted, page = set(locations), iter(range(_WORTH_LISTING))
    prefix = os.path.commonprefix([location.key for location in locations])  # noqa: RUF071  of strings: keys have no folders
    sides: dict[Location, RemoteObject | Sight] = {}
    try:
        for item in remote.list(bucket, prefix):
            if item.location in wanted:
                sides[item.location] = item
            elif next(page, None) is None:
                return _one_by_one(remote, locations)
    except AccessDenied:
        return _one_by_one(remote, locations)
    except RemoteError as error:
        return sides, error
    return {location: sides.get(location, Sight.ABSENT) for location in locations}, None


def _one_by_one(
    remote: Remote, locations: list[Location]
) -> tuple[dict[Location, RemoteObject | Sight], RemoteError | None]:
    sides: dict[Location, RemoteObject | Sight] = {}
    failure = None
    for location in locations:
        try:
            sides[location] = remote.head(location)
        except NoSuchObject:
            sides[location] = Sight.ABSENT
        except RemoteError as error:
            failure = error
    return sides, failure
