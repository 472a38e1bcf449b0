"""What a look at an actor came to, kept beside its manifest, so that the next look need not work it out again.

What a sync comes to follows from what it sees: the manifest's bytes, the folder's names, kinds, sizes and times, the legacy files, since when hashes
are settled, and the keys, ETags, sizes and times of a listing. A memo holds digests of these. If the next look sees the very same, nothing was learnt, and what there is to
tell is in the memo. Rules of this module:

- Everything is looked at each time: a memo saves the thinking, not the looking. Nothing that was seen is taken apart to be digested.
- It is kept only if the manifest says of each image what was seen of it, and how it is proven (`settled`); then a look that asks less, without S3,
  would learn nothing either.
- It is good for the program that wrote it, and for no other version of it.
- It may be lost or torn at any time: then the work is done again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from pkgutil import get_data
from typing import NamedTuple

import orjson

from callsheet import codec, files, local, reconcile, system
from callsheet.errors import LocalError
from callsheet.layout import RESPONSE, Layout, is_image
from callsheet.model import Actor, Change, Counts, Entry, Evidence, Listing, Manifest

RESTS_ON = (
    "model", "layout", "codec", "legacy", "etag", "reconcile", "findings", "system", "hashing", "local", "memo", "observe", "sync",
)  # fmt: skip
"""The modules that decide what a look comes to."""

_UNIQUE_BYTES = 16
_DESCRIBED = attrgetter("etag", "size_bytes", "last_modified")
_COUNTED = attrgetter(*(field.name for field in fields(Counts)))


class Records(NamedTuple):
    """What is kept of an actor: its manifest, None if it has none, and, empty if there is none, `Store.settled` and its memo."""

    manifest: bytes | None
    settled: bytes
    memo: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of an actor, as digests: `here` of the manifest and the folder, `there` of its folder in S3, empty if it was not looked at."""

    here: str
    there: str


@dataclass(frozen=True, slots=True)
class Memo:
    """What a look came to: the images by status, how many are recorded on each side, and those out of sync, with the side that changed."""

    counts: Counts
    local_recorded: int
    remote_recorded: int
    changes: Mapping[str, Change]


class Memos:
    """The memos of one tree. Safe to use from many threads and processes."""

    def __init__(self, root: str, where: Layout) -> None:
        self._root = root
        self._where = where
        self._basis = f"{_program()} {where!r}".encode()

    def records(self, stem: str) -> Records:
        """What is kept of an actor at this moment. `LocalError` if its manifest cannot be read."""
        where = self._where
        paths = [f"{self._root}/{name}" for name in (where.manifest(stem), where.hashed_stamp(stem), where.memo(stem))]
        manifest, settled, memo = local.read_each(paths)
        if isinstance(manifest, LocalError):
            raise manifest
        return Records(manifest, *(raw if isinstance(raw, bytes) else b"" for raw in (settled, memo)))

    def look(
        self,
        actor: Actor,
        manifest: bytes,
        folder: local.Looked,
        legacy: Mapping[str, bytes],
        listing: Listing | None,
        settled: bytes,
    ) -> Look | None:
        """The digests of what was seen, and of when hashes were settled, see `Store.settled`. None for what no memo is kept of: a look
        that met trouble, or may not have seen all."""
        if RESPONSE in legacy or (listing and not listing.complete):
            return None
        if isinstance(folder, local.Scan) and not _is_plain(folder):  # of which not all is digested
            return None
        lengths = [(name, len(raw)) for name, raw in legacy.items()]
        try:
            seen = _seen(folder)
            told = orjson.dumps([actor.name, actor.id, actor.stem, lengths, len(seen), len(settled)])
        except orjson.JSONEncodeError:  # a name that is no text
            return None
        here = sha256(b"".join((self._basis, told, seen, settled, *legacy.values(), manifest))).hexdigest()
        return Look(here, "" if listing is None else _digest_of(listing))

    @staticmethod
    def recall(memo: bytes, look: Look) -> Memo | None:
        """What was kept of the same look; one without S3 is in the memo of one with it."""
        try:
            kept = orjson.loads(memo)
            if kept["here"] != look.here or (look.there and kept["there"] != look.there):
                return None
            changes = {name: Change(change) for name, change in kept["changes"].items()}
            local_recorded, remote_recorded = kept["recorded"]
            return Memo(Counts(*kept["counts"]), local_recorded, remote_recorded, changes)
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    def keep(self, stem: str, look: Look, memo: Memo) -> None:
        """Remember what a look came to."""
        recorded = memo.local_recorded, memo.remote_recorded
        kept = {"here": look.here, "there": look.there, "counts": _COUNTED(memo.counts), "recorded": recorded}
        with suppress(LocalError):
            files.jot(self._path(stem), orjson.dumps({**kept, "changes": memo.changes}))

    def _path(self, stem: str) -> str:
        return os.path.join(self._root, self._where.memo(stem))


def memo_of(manifest: Manifest) -> Memo:
    """What there is to remember of a manifest."""
    entries = manifest.entries
    here, there = (sum(getattr(entry, side) for entry in entries) for side in ("recorded_local", "recorded_remote"))
    return Memo(codec.counts(manifest), here, there, reconcile.changes(manifest))


def settled(
    manifest: Manifest, actor: Actor, where: Layout, scan: local.Scan, listing: Listing | None, settled_ns: int
) -> bool:
    """Whether the manifest says of each image what was seen of it, proven, no file was too new for that, and there was no trouble.
    `settled_ns` as in `reconcile.trusted_md5`."""
    entries = manifest.entries
    if not _is_plain(scan):
        return False
    if not all(_is_proven(entry) for entry in entries):
        return False
    if not all(_is_in_place(entry, actor, where) for entry in (*entries, *manifest.missing)):
        return False
    if not all(reconcile.is_settled(found.mtime_ns, settled_ns) for found in scan.found):
        return False
    recorded = {e.filename: (e.size_bytes, e.modified_timestamp) for e in entries if e.recorded_local}
    if recorded != {f.filename: (f.size_bytes, reconcile.timestamp(f.mtime_ns)) for f in scan.found}:
        return False
    if listing is None:
        return True
    there = {e.filename: (e.s3.etag, e.s3.size_bytes, e.s3.last_modified) for e in entries if e.s3}
    seen = {name: (o.etag, o.size_bytes, o.last_modified) for name, o in listing.objects.items() if is_image(name)}
    return there == seen


def _is_plain(scan: local.Scan) -> bool:
    """Whether all of a folder was seen, and there is nothing to tell of it or to do about it."""
    return scan.complete and not scan.faults and not scan.leftovers


def _is_proven(entry: Entry) -> bool:
    known = entry.evidence not in (None, Evidence.RECORDED) and entry.expected_md5 is None
    hashed = entry.md5_hash is not None or not entry.recorded_local
    return known and hashed and len(entry.urls) == (entry.s3 is not None)


def _is_in_place(entry: Entry, actor: Actor, where: Layout) -> bool:
    """Whether the image is nowhere in S3 but in the actor's folder."""
    default = where.location(actor.name, entry.filename)
    return all(where.locate(url) == default for url in entry.urls)


def _seen(folder: local.Looked) -> bytes:
    """The images of a folder, if not all that is in it."""
    return orjson.dumps([*map(tuple, folder.found)]) if isinstance(folder, local.Scan) else folder


def _digest_of(listing: Listing) -> str:
    rows = [*listing.objects], [*map(_DESCRIBED, listing.objects.values())]
    return sha256(orjson.dumps(rows)).hexdigest()


@lru_cache(maxsize=1)
def _program() -> str:
    """What tells this version of the program from others: its very text. Of an install without it, no two runs are known to be alike."""
    digest = sha256()
    try:
        for name in RESTS_ON:
            digest.update(get_data("callsheet", f"{name}.py") or b"")
    except OSError:
        digest.update(system.urandom(_UNIQUE_BYTES))
    return digest.hexdigest()
