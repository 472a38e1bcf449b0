"""Carrying out one action, so that nothing is lost whatever happens meanwhile.

Rules of this module: every action checks, at the last moment that it can, that both sides still hold what the action expects; what is
replaced or removed is in that side's trash before anything takes its place; what was written is proven to be what was meant.
It raises what went wrong and changes no status.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import BinaryIO

from callsheet import etag, files, hashing, local, pictures, reconcile, system
from callsheet.action import Action, Op, Outcome, Version
from callsheet.elsewhere import Place, beacon, opened, place
from callsheet.errors import (
    BadDigest,
    CallsheetError,
    ChangingFile,
    DamagedImage,
    LocalError,
    NoSuchObject,
    ObjectChanged,
    PlanError,
    RemoteError,
)
from callsheet.layout import Layout, printable
from callsheet.meter import Meter
from callsheet.model import HashedFile, Location, RemoteObject
from callsheet.remote import Remote
from callsheet.remote.contract import Reading, Source

_ATTEMPTS = 3
"""How often an object is fetched if its bytes arrive flipped."""

APART_NS = 1_000_000
"""By how much a file's modification time is put off if it would be that of the file that it replaces."""

_AGAIN = "Sync, then try again"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a run's actions are carried out. `run_id` names its trash on both sides. Pickled, it is small; each process that it comes to
    holds its own transfers to the meter's rate."""

    root: str
    where: Layout
    remote: Remote
    run_id: str
    meter: Meter

    def __reduce__(self) -> tuple[Callable[[Place, int | None], Site], tuple[Place, int | None]]:
        at = place(self.run_id, self.root, self.where, self.remote, self.remote.url)
        return _on_worker, (at, self.meter.limit_bytes_s)

    def beacon(self) -> AbstractContextManager[None]:
        return beacon(self.root, self.where, self.run_id)

    def path(self, action: Action) -> str:
        return os.path.join(self.root, self.where.image(action.actor, action.filename))

    def trash(self, action: Action, run_id: str) -> str:
        return os.path.join(self.root, self.where.trash(run_id, self.where.image(action.actor, action.filename)))

    @property
    def trash_dir(self) -> str:
        return os.path.join(self.root, self.where.trash_dir)

    def actor_folder(self, action: Action) -> str:
        return os.path.join(self.root, self.where.folder(action.actor))


@lru_cache(maxsize=1)
def _on_worker(at: Place, limit_bytes_s: int | None) -> Site:
    """One for all jobs of a process: they share its meter."""
    remote = opened(at).remote
    if remote is None:
        raise AssertionError("a site has a store")
    return Site(at.root, at.where, remote, at.run_id, Meter(limit_bytes_s))


def perform(site: Site, action: Action) -> Outcome:
    """Carry out one action. Raises the `CallsheetError` that says why it was not done; then both sides are as they were, or what
    was there is in the trash."""
    _check_place(site, action)
    return _HOW[action.op](site, action)


def _check_place(site: Site, action: Action) -> None:
    if site.where.trashed_in_s3(action.location):
        raise PlanError(f"{action.location} is in the trash: no image's place")


def _upload(site: Site, action: Action) -> Outcome:
    path, sent = site.path(action), _version(action.local)
    kept = None
    if action.s3 is not None:
        _check_file(path, sent)
        kept = _keep_in_s3(site, action.location, action.s3)
    passed = site.meter.pass_on if site.meter.limit_bytes_s is None else None
    source = Source(sent.size_bytes, lambda: _Upload(path, sent.size_bytes, site.meter), passed)
    replaces = action.s3.etag if action.s3 else None
    try:
        tag = site.remote.put(action.location, source, md5=_md5(sent), replaces=replaces)
    except BadDigest:
        _check_file(path, sent)
        raise
    return Outcome(action, placed=Version(sent.size_bytes, sent.md5, tag), kept=kept)


_Fetch = Generator[BinaryIO, str, Outcome]
"""A fetch under way: it yields the file that it wrote, once to be sent the MD5 of that, and once more to have it flushed."""


def download(site: Site, actions: Sequence[Action]) -> list[Outcome | CallsheetError]:
    """Carry out downloads, each on its own: what all of them brought is hashed and flushed to disk at once, which costs a fraction
    of doing it one by one.

    Returns the outcome of each, or the error that says why it was not done.
    """
    results: dict[int, Outcome | CallsheetError] = {}
    arrived: list[set[str]] = [set() for _ in actions]
    waiting = list(range(len(actions)))
    for _ in range(_ATTEMPTS):
        fetches = {number: _fetch(site, actions[number], arrived[number]) for number in waiting}
        _in_step(fetches, results)
        waiting = [number for number in waiting if isinstance(results[number], BadDigest)]
    return [results[number] for number in range(len(actions))]


def _in_step(fetches: Mapping[int, _Fetch], results: dict[int, Outcome | CallsheetError]) -> None:
    """Bring fetches to their ends, each step for all of them before the next."""

    def step(steps: Iterable[tuple[int, Callable[[], BinaryIO]]]) -> dict[int, BinaryIO]:
        """The files of those that go on; what others come to is a result."""
        written = {}
        for number, take in steps:
            try:
                written[number] = take()
            except StopIteration as end:
                results[number] = end.value
            except CallsheetError as error:
                results[number] = error
        return written

    brought = step((number, partial(next, fetch)) for number, fetch in fetches.items())
    hashed = hashing.hash_files([file.name for file in brought.values()])
    checked = step((number, _hashed(fetches[number], found)) for number, found in zip(brought, hashed, strict=True))
    flushed = files.flush(list(checked.values()))
    step((number, _flushed(fetches[number], error)) for number, error in zip(checked, flushed, strict=True))


def _hashed(fetch: _Fetch, found: HashedFile | LocalError) -> Callable[[], BinaryIO]:
    return partial(fetch.throw, found) if isinstance(found, LocalError) else partial(fetch.send, found.md5)


def _flushed(fetch: _Fetch, error: OSError | None) -> Callable[[], BinaryIO]:
    return partial(next, fetch) if error is None else partial(fetch.throw, error)


def _fetch(site: Site, action: Action, arrived: set[str]) -> _Fetch:
    """One attempt: into a new file beside the image's place, checked, made durable, and only then into that place.

    `arrived` are the MD5s of attempts before that only another one could confirm.
    """
    _check_place(site, action)
    path, wanted = site.path(action), _version(action.s3)
    reading = site.remote.read(action.location, if_match=str(wanted.etag))
    kept = None
    try:
        with closing(reading.blocks), files.new_file(path, within=site.actor_folder(action)) as file:
            if reading.described.size_bytes != wanted.size_bytes:
                raise ObjectChanged(f"{action.location} has another size than was seen", hint=_AGAIN)
            _write(site, reading, file)
            md5 = yield file
            is_it = vouched(reading.described, wanted, md5, file.name)
            if is_it is False or (is_it is None and md5 not in arrived):
                arrived.add(md5)
                raise BadDigest(f"{action.location} arrived with other bytes than it has", hint="Try again")
            moment_ns = fetched_ns(reading.described)
            # Or it could be taken for the file that it replaces.
            if action.local is not None and local.mtime_ns(path) == moment_ns:
                moment_ns += APART_NS
            files.date(file, moment_ns)
            yield file
            telling = reconcile.is_settled(moment_ns, system.time_ns())
            if action.local is not None:
                if flaw := pictures.flaw(file.name, action.filename):
                    hint = "Prefer the local one: --prefer local"
                    raise DamagedImage(f"The image in S3 is damaged: {flaw}", hint=hint)
                kept = _take(site, action, action.local)
    except LocalError:
        if kept is not None:
            put_back(site, action)
        raise
    return Outcome(action, None, Version(wanted.size_bytes, md5), kept, moment_ns if telling else None)


def fetched_ns(described: RemoteObject) -> int:
    """The modification time of the file that a download makes of an object; it may be `APART_NS` later."""
    return int(described.last_modified.timestamp()) * 1_000_000_000


def _write(site: Site, reading: Reading, file: BinaryIO) -> None:
    """In a function of its own: a fetch that waits for its hash must not hold on to a block."""
    if reading.pour is not None and site.meter.limit_bytes_s is None:
        for size_bytes in reading.pour(file):
            site.meter.pass_on(size_bytes)
        return
    for block in reading.blocks:
        site.meter.pass_on(len(block))
        file.write(block)
    file.flush()


def _download(site: Site, action: Action) -> Outcome:
    result = download(site, [action])[0]
    if isinstance(result, CallsheetError):
        raise result
    return result


def vouched(described: RemoteObject, wanted: Version, md5: str, path: str) -> bool | None:
    """Whether what arrived has every MD5 that is known of the object; None if it was cut into parts in no usual way, and only
    another reading can tell. Of an object whose ETag tells nothing it is taken to: the look after the run compares."""
    told = {wanted.md5, described.md5, described.etag if described.etag_is_md5 else None} - {None}
    parts = etag.is_multipart(described.etag)
    if told or not parts:
        return not told - {md5}
    return True if _has_multipart_etag(path, wanted.size_bytes, described.etag, parts) else None


def _has_multipart_etag(path: str, size_bytes: int, tag: str, parts: int) -> bool:
    return any(hashing.multipart_etag_of(path, size).etag == tag for size in etag.part_sizes(size_bytes, parts))


def _evict(site: Site, action: Action) -> Outcome:
    """The object is proven, now, to have the file's bytes; the file is taken away, hashed, and only then deleted."""
    held, there = _version(action.local), _version(action.s3)
    described = _check_still(site, action.location, there.etag)
    if not _proven(site, described, held, site.path(action)):
        raise BadDigest(f"{action.location} does not hold the same bytes as the file", hint=_AGAIN)
    _take(site, action, held)
    aside = site.trash(action, site.run_id)
    try:
        if not described.etag_is_md5:  # to prove it took its time
            _check_still(site, action.location, there.etag)
        files.delete(aside)
    except (RemoteError, LocalError):
        put_back(site, action)
        raise
    return Outcome(action)


def _check_still(site: Site, location: Location, etag: str | None) -> RemoteObject:
    """The object, if it is still the one that was seen; else `ObjectChanged`, or `NoSuchObject`."""
    described = site.remote.head(location)
    if described.etag != etag:
        raise ObjectChanged(f"{location} has changed since it was looked at", hint=_AGAIN)
    return described


def _proven(site: Site, described: RemoteObject, held: Version, path: str) -> bool:
    """Whether an object has the bytes of the file at `path`: by its ETag, else by reading it. Metadata is no proof."""
    if described.etag_is_md5:
        return described.etag == held.md5
    parts = etag.is_multipart(described.etag)
    if parts and _has_multipart_etag(path, held.size_bytes, described.etag, parts):
        return True
    digest = hashlib.md5(usedforsecurity=False)
    for block in site.remote.read(described.location, if_match=described.etag).blocks:
        site.meter.pass_on(len(block))
        digest.update(block)
    return digest.hexdigest() == held.md5


def _trash_local(site: Site, action: Action) -> Outcome:
    return Outcome(action, kept=_take(site, action, _version(action.local)))


def _trash_s3(site: Site, action: Action) -> Outcome:
    there = _version(action.s3)
    kept = _keep_in_s3(site, action.location, there)
    site.remote.delete(action.location, if_match=str(there.etag))
    return Outcome(action, kept=kept)


def _restore_local(site: Site, action: Action) -> Outcome:
    if action.trashed is None:
        raise AssertionError("a restoring action says what it restores")
    path, source = site.path(action), site.trash(action, action.trashed.run_id)
    _check_trashed(source, action.trashed.version)
    local.check_inside(os.path.dirname(path), site.actor_folder(action))
    kept = _take(site, action, action.local) if action.local is not None else None
    try:
        files.move(source, path)
    except LocalError:
        if kept is not None:
            put_back(site, action)
        raise
    files.remove_empty_folders(os.path.dirname(source), site.trash_dir)
    return Outcome(action, placed=action.trashed.version, kept=kept)


def _restore_s3(site: Site, action: Action) -> Outcome:
    if action.trashed is None:
        raise AssertionError("a restoring action says what it restores")
    version = action.trashed.version
    source = site.where.s3_trash(action.trashed.run_id, action.location)
    kept = _keep_in_s3(site, action.location, action.s3) if action.s3 is not None else None
    replaces = action.s3.etag if action.s3 else None
    try:
        tag = site.remote.copy(source, action.location, if_match=str(version.etag), replaces=replaces)
    except NoSuchObject as error:
        raise RemoteError(f"{source} is not in the trash any more", hint="It was emptied") from error
    with suppress(RemoteError):  # what stays in the trash does no harm
        site.remote.delete(source, if_match=str(version.etag))
    return Outcome(action, placed=Version(version.size_bytes, version.md5, tag), kept=kept)


_HOW: dict[Op, Callable[[Site, Action], Outcome]] = {
    Op.UPLOAD: _upload,
    Op.DOWNLOAD: _download,
    Op.EVICT: _evict,
    Op.TRASH_LOCAL: _trash_local,
    Op.TRASH_S3: _trash_s3,
    Op.RESTORE_LOCAL: _restore_local,
    Op.RESTORE_S3: _restore_s3,
}


def _keep_in_s3(site: Site, location: Location, version: Version) -> Version:
    """Copy what is about to be replaced or removed into the trash of S3."""
    kept_in = site.where.s3_trash(site.run_id, location)
    tag = site.remote.copy(location, kept_in, if_match=str(version.etag), replaces=None)
    return Version(version.size_bytes, version.md5, tag)


def _take(site: Site, action: Action, version: Version) -> Version:
    """Move the image's file into the trash of this disk, if it is `version`: what was moved is hashed, and goes back if it is not."""
    path, aside = site.path(action), site.trash(action, site.run_id)
    local.check_inside(os.path.dirname(path), site.actor_folder(action))
    if system.islink(path):
        raise LocalError(f"{printable(path)} is a symlink", hint="Put a copy in its place, then sync.")
    files.move(path, aside)
    try:
        _check_md5(aside, version, f"{printable(path)} changed since it was looked at")
    except LocalError:
        files.move(aside, path)
        raise
    return version


def put_back(site: Site, action: Action) -> None:
    """After all, nothing takes the place of the file that was moved into the trash. If something else did, it stays there."""
    with suppress(LocalError):
        files.move(site.trash(action, site.run_id), site.path(action))


def _check_trashed(path: str, version: Version) -> None:
    if not system.lexists(path):
        raise LocalError(
            f"{printable(path)} is not in the trash any more", hint="It was restored, or the trash emptied."
        )
    try:
        _check_md5(path, version, f"{printable(path)} is not what was put there")
    except ChangingFile as error:
        raise LocalError(
            str(error), hint="It stays in the trash: look at it there, and move it back by hand."
        ) from error


def _check_md5(path: str, version: Version, otherwise: str) -> None:
    hashed = hashing.hash_files([path])[0]
    if isinstance(hashed, LocalError):
        raise hashed
    if hashed.md5 != version.md5:
        raise ChangingFile(otherwise, hint=_AGAIN)


def _check_file(path: str, version: Version) -> None:
    """Whether the file to be sent is the one that was meant: asked before anything is put away for its sake, and if the store says no."""
    _check_md5(path, version, f"{printable(path)} changed since it was looked at")


def _version(version: Version | None) -> Version:
    if version is None:
        raise AssertionError("the op has no such side")
    return version


def _md5(version: Version) -> str:
    if version.md5 is None:
        raise AssertionError("a file's MD5 is known")
    return version.md5


class _Upload(io.BufferedReader):
    """A file on its way to S3: metered, and an error as soon as it is not the file that was announced."""

    def __init__(self, path: str, size_bytes: int, meter: Meter) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._meter = meter
        try:
            super().__init__(system.open_file(path, "rb", buffering=0))
            found_bytes = system.fstat(self.fileno()).st_size
        except OSError as error:
            raise local.failed("read", path, error) from error
        if found_bytes != size_bytes:
            self.close()
            raise self._changed()

    def read(self, size: int | None = -1) -> bytes:
        """In blocks of what may be passed on at once, past the buffer."""
        try:
            most = self._meter.block_bytes
            block = self.raw.read(most if size is None or size < 0 else min(size, most)) or b""
        except OSError as error:
            raise local.failed("read", self._path, error) from error
        if not block and size != 0 and self.raw.tell() < self._size_bytes:
            raise self._changed()
        self._meter.pass_on(len(block))
        return block

    def _changed(self) -> ChangingFile:
        return ChangingFile(f"{printable(self._path)} changed since it was looked at", hint=_AGAIN)
