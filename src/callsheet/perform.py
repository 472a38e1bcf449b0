"""Carrying out one action, so that nothing is lost whatever happens meanwhile.

Rules of this module: every action checks, at the last moment that it can, that both sides still hold what the action expects; what is
replaced or removed is in that side's trash before anything takes its place; what is written is proven to be what was meant.
It raises what went wrong and changes no status.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress

from callsheet import etag, files, folders, local, system
from callsheet.action import Action, Op, Outcome, Version
from callsheet.download import download, has_multipart_etag
from callsheet.errors import (
    BadDigest,
    CallsheetError,
    ChangingFile,
    LocalError,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
)
from callsheet.layout import printable
from callsheet.meter import Meter
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import Source
from callsheet.site import AGAIN, Site, check_md5, check_place, put_back, side, take


def perform(site: Site, action: Action) -> Outcome:
    """Carry out one action. Raises the `CallsheetError` that says why it was not done; then both sides are as they were, or what
    was there is in the trash."""
    check_place(site, action)
    return _HOW[action.op](site, action)


def _upload(site: Site, action: Action) -> Outcome:
    path, sent = site.path(action), side(action.local)
    kept = None
    if action.s3 is not None:
        _check_file(path, sent)
        kept = _keep_in_s3(site, action.location, action.s3)
    straight = path if site.meter.limit_bytes_s is None else ""
    source = Source(sent.size_bytes, lambda: _Upload(path, sent.size_bytes, site.meter), straight, site.meter.pass_on)
    replaces = action.s3.etag if action.s3 else None
    try:
        tag = site.remote.put(action.location, source, md5=_md5(sent), replaces=replaces)
    except BadDigest:
        _check_file(path, sent)
        raise
    return Outcome(action, placed=Version(sent.size_bytes, sent.md5, tag), kept=kept)


def _download(site: Site, action: Action) -> Outcome:
    result = download(site, [action])[0]
    if isinstance(result, CallsheetError):
        raise result
    return result


def _evict(site: Site, action: Action) -> Outcome:
    """The object is proven, now, to have the file's bytes; the file is taken away, hashed, and only then deleted."""
    held, there = side(action.local), side(action.s3)
    described = _check_still(site, action.location, there.etag)
    if not _proven(site, described, held, site.path(action)):
        raise BadDigest(f"{action.location} does not hold the same bytes as the file", hint=AGAIN)
    take(site, action, held)
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
        raise ObjectChanged(f"{location} has changed since it was looked at", hint=AGAIN)
    return described


def _proven(site: Site, described: RemoteObject, held: Version, path: str) -> bool:
    """Whether an object has the bytes of the file at `path`: by its ETag, else by reading it. Metadata is no proof."""
    if described.etag_is_md5:
        return described.etag == held.md5
    parts = etag.is_multipart(described.etag)
    if parts and has_multipart_etag(path, held.size_bytes, described.etag, parts):
        return True
    digest = hashlib.md5(usedforsecurity=False)
    for block in site.remote.read(described.location, if_match=described.etag).blocks:
        site.meter.pass_on(len(block))
        digest.update(block)
    return digest.hexdigest() == held.md5


def _trash_local(site: Site, action: Action) -> Outcome:
    return Outcome(action, kept=take(site, action, side(action.local)))


def _trash_s3(site: Site, action: Action) -> Outcome:
    there = side(action.s3)
    kept = _keep_in_s3(site, action.location, there)
    site.remote.delete(action.location, if_match=str(there.etag))
    return Outcome(action, kept=kept)


def _restore_local(site: Site, action: Action) -> Outcome:
    if action.trashed is None:
        raise AssertionError("a restoring action says what it restores")
    path, source = site.path(action), site.trash(action, action.trashed.run_id)
    _check_trashed(source, action.trashed.version)
    local.check_inside(os.path.dirname(path), site.actor_folder(action))
    kept = take(site, action, action.local) if action.local is not None else None
    try:
        files.move(source, path)
    except LocalError:
        if kept is not None:
            put_back(site, action)
        raise
    folders.remove_empty(os.path.dirname(source), site.trash_dir)
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


def _check_trashed(path: str, version: Version) -> None:
    if not system.lexists(path):
        raise LocalError(
            f"{printable(path)} is not in the trash any more", hint="It was restored, or the trash emptied."
        )
    try:
        check_md5(path, version, f"{printable(path)} is not what was put there")
    except ChangingFile as error:
        raise LocalError(
            str(error), hint="It stays in the trash: look at it there, and move it back by hand."
        ) from error


def _check_file(path: str, version: Version) -> None:
    """Whether the file to be sent is the one that was meant: asked before anything is put away for its sake, and if the store says no."""
    check_md5(path, version, f"{printable(path)} changed since it was looked at")


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
        return ChangingFile(f"{printable(self._path)} changed since it was looked at", hint=AGAIN)
