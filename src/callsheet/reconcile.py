"""What is true of an actor's images, from what was recorded and what was seen: the only author of a status.

Rules of this module: pure functions; whoever calls has done the looking. Unknown is never absent: a side that was
not seen changes nothing that is recorded of it. The truth table is the `match` in `judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callsheet import layout
from callsheet.layout import Layout
from callsheet.model import (
    Actor,
    Change,
    Entry,
    Evidence,
    LocalFile,
    Location,
    Manifest,
    Observation,
    RemoteObject,
    S3Record,
    Sight,
    Status,
)

RACY_NS = 2_000_000_000
"""A file whose mtime is nearer than this to when it was hashed may change afterwards without a new mtime (coarse clocks)."""

UrlFor = Callable[[Location], str]


@dataclass(frozen=True, slots=True)
class Losses:
    """How many images were recorded on a side, and how many of them were seen to be gone from it."""

    local_recorded: int = 0
    local_gone: int = 0
    remote_recorded: int = 0
    remote_gone: int = 0

    def __add__(self, other: Losses) -> Losses:
        return Losses(
            self.local_recorded + other.local_recorded,
            self.local_gone + other.local_gone,
            self.remote_recorded + other.remote_recorded,
            self.remote_gone + other.remote_gone,
        )


@dataclass(frozen=True, slots=True)
class RemoteSide:
    """An image in S3: what was seen of it, the URL where, and the other URLs that are recorded for it."""

    seen: RemoteObject | Sight
    url: str | None
    others: tuple[str, ...]


def reconcile(
    manifest: Manifest, seen: Observation, actor: Actor, where: Layout, url_for: UrlFor, now: datetime
) -> tuple[Manifest, Losses]:
    """The manifest as it must be after `seen`, and what was lost on the way to it.

    Equal to `manifest` if nothing was learnt; its `updated` is left to the caller.
    """
    recorded = {entry.filename for entry in manifest.entries}
    was_missing = {entry.filename for entry in manifest.missing}
    entries: list[Entry] = []
    missing: list[Entry] = []
    local_recorded = local_gone = remote_recorded = remote_gone = 0
    for known in remembered(manifest, seen, actor, where):
        image = layout.is_image(known.filename)  # nobody looked for what is not: it stays as it is recorded
        local = seen.local_side(known.filename) if image else Sight.UNKNOWN
        remote = remote_side(known, seen, actor, where, url_for)
        verdict = judge(known, local, remote, now)
        if isinstance(verdict, Entry):
            entries.append(replace(verdict, removed_by=None) if verdict.removed_by else verdict)
        elif known.filename in was_missing:
            missing.append(replace(known, s3_url=None, alternate_s3_urls=known.urls))
        elif verdict is Sight.ABSENT:
            missing.append(_gone(known, remote, now))
        elif known.filename in recorded:
            entries.append(known)
        if known.filename in recorded:
            local_recorded += known.recorded_local
            local_gone += known.recorded_local and local is Sight.ABSENT
            remote_recorded += known.recorded_remote
            remote_gone += known.recorded_remote and remote.seen is Sight.ABSENT and image
    names = manifest.names or actor.name
    after = replace(manifest, names=names, entries=_sorted(entries), missing=_sorted(missing))
    return after, Losses(local_recorded, local_gone, remote_recorded, remote_gone)


def judge(known: Entry, local: LocalFile | Sight, remote: RemoteSide, now: datetime) -> Entry | Sight:
    """The truth table. `ABSENT`: the image is on neither side; `UNKNOWN`: what is recorded of it stands."""
    match local, remote.seen:
        case LocalFile(), RemoteObject():
            return _compared(known, local, remote.seen, remote, now)
        case LocalFile(), Sight.ABSENT:
            held = _of_local(local, remote)
            return _witnessed(known, Status.LOCAL_ONLY, Evidence.LISTED, now, same=True, **held, s3=None)
        case LocalFile(), Sight.UNKNOWN:
            return _local_by_record(known, local, remote, now)
        case Sight.ABSENT, RemoteObject():
            return _s3_only(known, remote.seen, remote, now)
        case Sight.ABSENT, Sight.UNKNOWN:
            return _s3_by_record(known, remote, now) if remote.url else Sight.ABSENT
        case Sight.ABSENT, Sight.ABSENT:
            return Sight.ABSENT
        case _:
            return Sight.UNKNOWN


def remembered(manifest: Manifest, seen: Observation, actor: Actor, where: Layout) -> Iterable[Entry]:
    """Every image that is recorded or was seen, with all that was known of it, legacy files included."""
    known = {entry.filename: entry for entry in (*manifest.entries, *manifest.missing)}
    listed = seen.listing.objects if seen.listing else ()
    local = (name for name, side in seen.local.items() if isinstance(side, LocalFile))
    names = dict.fromkeys((*known, *local, *listed, *seen.legacy.urls))
    for filename in names:
        path = where.image(actor.name, filename)
        entry = known.get(filename) or Entry(filename, path)
        if entry.local_path != path:
            entry = replace(entry, local_path=path)
        yield _with_legacy(entry, seen, where)


def remote_side(known: Entry, seen: Observation, actor: Actor, where: Layout, url_for: UrlFor) -> RemoteSide:
    """The image's side in S3, with its URLs."""
    side, url = remote_seen(known, seen, actor, where)
    if isinstance(side, RemoteObject):
        used = url or url_for(side.location)
        return RemoteSide(side, used, tuple(other for other in known.urls if other != used))
    if side is Sight.ABSENT:
        return RemoteSide(side, None, known.urls)
    return RemoteSide(side, known.s3_url, known.alternate_s3_urls)


def remote_seen(
    known: Entry, seen: Observation, actor: Actor, where: Layout
) -> tuple[RemoteObject | Sight, str | None]:
    """What was seen of the image in S3, in every place where it may be: its URL, the default folder, its other URLs.

    With an object comes the URL that led to it, None if that is no recorded one.
    """
    if not known.urls:
        return seen.listed_side(known.filename), None
    default = where.location(actor.name, known.filename)
    places: list[tuple[str | None, Location | None]] = [(url, where.locate(url)) for url in known.urls]
    if all(location != default for _, location in places):
        places.insert(1 if known.s3_url else 0, (None, default))
    sides = []
    for url, location in places:
        if location == default:
            side = seen.listed_side(known.filename)
        elif location is not None:
            side = seen.elsewhere.get(location, Sight.UNKNOWN)
        else:
            side = Sight.UNKNOWN if url == known.s3_url else Sight.ABSENT
        if isinstance(side, RemoteObject):
            return side, url
        if side is Sight.UNKNOWN and url is not None and url == known.s3_url and location is not None:
            return side, None  # what is elsewhere says nothing of the object that the record is about
        sides.append(side)
    return (Sight.UNKNOWN if Sight.UNKNOWN in sides else Sight.ABSENT), None


def locations_elsewhere(known: Iterable[Entry], actor: Actor, where: Layout) -> set[Location]:
    """Where recorded URLs point, other than to the image's place in the actor's default folder."""
    return {
        location
        for entry in known
        for url in entry.urls
        if (location := where.locate(url)) and location != where.location(actor.name, entry.filename)
    }


def needs_look(known: Entry, local: LocalFile, remote: RemoteObject) -> bool:
    """Whether nothing that is known so far proves the contents equal or different."""
    return local.size_bytes == remote.size_bytes and _compare(known, local, remote)[0] is None


def is_settled(mtime_ns: int, hashed_ns: int) -> bool:
    """Whether a file of this mtime had stood for so long when it was hashed that any later change would show in its size or mtime."""
    return mtime_ns + RACY_NS <= hashed_ns


def trusted_md5(known: Entry | None, size_bytes: int, mtime_ns: int, settled_ns: int) -> str | None:
    """The recorded MD5 if the file is still the one that was hashed, else None.

    `settled_ns` is a time (ns since the epoch) after which all recorded hashes were taken or confirmed.
    """
    if known is None or known.status in (None, Status.S3_ONLY) or not is_settled(mtime_ns, settled_ns):
        return None
    same = known.size_bytes == size_bytes and known.modified_timestamp == timestamp(mtime_ns)
    return known.md5_hash if same else None


def expected_md5(known: Entry | None, md5: str, trusted: str | None) -> str | None:
    """The MD5 that a file should have, if its bytes changed while its size and mtime did not; else None.

    `md5` is what it has (just taken, or `trusted`), `trusted` what `trusted_md5` said.
    """
    expected = known.expected_md5 if known else None
    if trusted is None:
        expected = None
    elif md5 != trusted:
        expected = expected or trusted
    return None if expected == md5 else expected


def change_of(entry: Entry) -> Change | None:
    """Which side of an `out_of_sync` image changed since both last agreed; None for any other status.

    An object whose MD5 is not known (its size differs) is another than the one that was agreed on.
    """
    if entry.status is not Status.OUT_OF_SYNC:
        return None
    base = entry.synced_md5
    if base is None:
        return Change.UNKNOWN
    local_moved = entry.md5_hash != base
    s3_moved = entry.s3 is None or entry.s3.md5 != base
    return {(True, True): Change.BOTH, (True, False): Change.LOCAL, (False, True): Change.S3}.get(
        (local_moved, s3_moved), Change.UNKNOWN
    )


def changes(manifest: Manifest) -> dict[str, Change]:
    """The images that are out of sync, by filename, and which side of each changed."""
    return {entry.filename: change for entry in manifest.entries if (change := change_of(entry)) is not None}


def timestamp(mtime_ns: int) -> float:
    """A file's mtime in seconds, as manifests record it."""
    return mtime_ns / 1_000_000_000


def _with_legacy(entry: Entry, seen: Observation, where: Layout) -> Entry:
    """`entry` with the URLs, prompt and mark that legacy files have for it, where it has none of its own."""
    said, name = seen.legacy, entry.filename
    if name not in said.urls and name not in said.prompts and name not in said.good:
        return entry
    known = {where.identity(url) for url in entry.urls}
    new: dict[object, str] = {}
    for url in said.urls.get(entry.filename, ()):
        if (identity := where.identity(url)) not in known:
            new.setdefault(identity, url)
    urls = (*entry.urls, *new.values())
    prompt = entry.prompt if entry.prompt is not None else said.prompts.get(entry.filename)
    good = True if entry.good is None and entry.filename in said.good else entry.good
    if not new:
        return entry if (prompt, good) == (entry.prompt, entry.good) else replace(entry, prompt=prompt, good=good)
    first = entry.s3_url or next(iter(new.values()))
    return replace(
        entry, prompt=prompt, good=good, s3_url=first, alternate_s3_urls=tuple(url for url in urls if url != first)
    )


def _compare(known: Entry, local: LocalFile, remote: RemoteObject) -> tuple[str | None, Evidence | None]:
    """The object's MD5 and how it is known, if anything tells it."""
    if remote.etag == local.md5:
        return local.md5, Evidence.ETAG
    if remote.md5 is not None:
        return remote.md5, remote.md5_evidence
    recorded = _recorded_md5(known, remote)
    if recorded is not None and known.evidence not in (None, Evidence.LISTED, Evidence.RECORDED):
        return recorded, known.evidence
    if recorded is not None:
        return recorded, Evidence.ETAG if recorded == remote.etag else Evidence.MD5
    return None, None


def _recorded_md5(known: Entry, remote: RemoteObject) -> str | None:
    """An object's version is told by its ETag: while that stays, so does the MD5 that was found once."""
    same = known.s3 is not None and (known.s3.etag, known.s3.size_bytes) == (remote.etag, remote.size_bytes)
    return known.s3.md5 if known.s3 and same else None


def _compared(known: Entry, local: LocalFile, seen: RemoteObject, remote: RemoteSide, now: datetime) -> Entry:
    md5, evidence = _compare(known, local, seen)
    if md5 is not None and evidence is not None:
        status = Status.SYNCED if md5 == local.md5 else Status.OUT_OF_SYNC
    elif seen.size_bytes != local.size_bytes:
        status, evidence = Status.OUT_OF_SYNC, Evidence.LISTED
    else:
        status = known.status if known.status is Status.OUT_OF_SYNC else Status.SYNCED
        evidence = Evidence.RECORDED
    same = known.md5_hash == local.md5 and known.s3 is not None and known.s3.etag == seen.etag
    proven = status is Status.SYNCED and evidence is not Evidence.RECORDED
    return _witnessed(
        known,
        status,
        evidence,
        now,
        same=same,
        **_of_local(local, remote),
        s3=S3Record(seen.etag, seen.size_bytes, seen.last_modified, md5),
        synced_md5=local.md5 if proven else known.synced_md5,
    )


def _local_by_record(known: Entry, local: LocalFile, remote: RemoteSide, now: datetime) -> Entry:
    """A local file whose other side was not looked at. A URL that was never checked counts as synced."""
    record = known.s3
    if not remote.url:
        status = Status.LOCAL_ONLY
    elif record and record.md5:
        status = Status.SYNCED if record.md5 == local.md5 else Status.OUT_OF_SYNC
    else:
        other_size = record is not None and record.size_bytes != local.size_bytes
        edited = known.status is Status.SYNCED and known.md5_hash not in (None, local.md5)
        differs = other_size or edited or known.status is Status.OUT_OF_SYNC
        status = Status.OUT_OF_SYNC if differs else Status.SYNCED
    same = known.md5_hash == local.md5
    return _witnessed(known, status, Evidence.RECORDED, now, same=same, **_of_local(local, remote))


def _s3_only(known: Entry, seen: RemoteObject, remote: RemoteSide, now: datetime) -> Entry:
    md5 = seen.md5 or (seen.etag if seen.etag_is_md5 else _recorded_md5(known, seen))
    same = known.s3 is not None and known.s3.etag == seen.etag
    held = _of_s3(S3Record(seen.etag, seen.size_bytes, seen.last_modified, md5), remote)
    return _witnessed(known, Status.S3_ONLY, Evidence.LISTED, now, same=same, **held)


def _s3_by_record(known: Entry, remote: RemoteSide, now: datetime) -> Entry:
    """An image that is not here, whose URL was not looked at."""
    if known.status is Status.S3_ONLY:
        return known
    held: dict[str, Any] = {"expected_md5": None, "s3_url": remote.url, "alternate_s3_urls": remote.others}
    if known.s3 is not None:
        held = _of_s3(known.s3, remote)
    elif known.status is Status.OUT_OF_SYNC:
        held.update(md5_hash=None, size_bytes=None, modified_timestamp=None)
    return _witnessed(known, Status.S3_ONLY, Evidence.RECORDED, now, same=False, **held)


def _of_local(local: LocalFile, remote: RemoteSide) -> dict[str, Any]:
    """What an entry says of a local file, and where the object is."""
    return {
        "size_bytes": local.size_bytes,
        "modified_timestamp": timestamp(local.mtime_ns),
        "md5_hash": local.md5,
        "expected_md5": local.expected_md5,
        "s3_url": remote.url,
        "alternate_s3_urls": remote.others,
    }


def _of_s3(record: S3Record, remote: RemoteSide) -> dict[str, Any]:
    """An entry that has no local file says of the object what it would say of the file."""
    return {
        "size_bytes": record.size_bytes,
        "modified_timestamp": record.last_modified.timestamp(),
        "md5_hash": record.md5,
        "expected_md5": None,
        "s3": record,
        "s3_url": remote.url,
        "alternate_s3_urls": remote.others,
    }


def _witnessed(known: Entry, status: Status, evidence: Evidence, now: datetime, *, same: bool, **held: Any) -> Entry:
    """`known` with the fields `held`, a status and how that is known. What was proven of the `same` contents before
    stays proven since then."""
    checked_at = None if evidence is Evidence.RECORDED else now
    if same and known.status is status and known.evidence is not None:
        proven_before = known.evidence is not Evidence.RECORDED
        if proven_before or evidence is Evidence.RECORDED:
            evidence, checked_at = known.evidence, known.checked_at
    return replace(known, status=status, evidence=evidence, checked_at=checked_at, **held)


def _gone(known: Entry, remote: RemoteSide, now: datetime) -> Entry:
    """The last that was known of an image that is on neither side any more."""
    looked = remote.seen is Sight.ABSENT
    return replace(
        known,
        status=None,
        evidence=Evidence.LISTED if looked else Evidence.RECORDED,
        checked_at=now if looked else known.checked_at,
        s3_url=None,
        alternate_s3_urls=known.urls,
    )


def _sorted(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """`_2` before `_10`."""
    return tuple(sorted(entries, key=lambda entry: layout.natural_key(entry.filename)))
