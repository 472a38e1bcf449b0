"""What a manifest's own words tell of whether it is sound: each record against itself, and all of them against each other.

Rules of this module: pure, and it reports only. A status is judged by the table of `reconcile`, from both sides as they are recorded; no
other rule for it is written down here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from callsheet import codec, etag, layout, reconcile
from callsheet.checkup import Code, Finding, told
from callsheet.findings import findings
from callsheet.layout import Layout
from callsheet.model import (
    Actor,
    Entry,
    Evidence,
    LocalFile,
    Location,
    Manifest,
    RemoteObject,
    Sight,
    Status,
)
from callsheet.reconcile import RemoteSide

_PROVEN = (Evidence.CONTENT, Evidence.MD5, Evidence.ETAG, Evidence.MULTIPART_ETAG)
_IN_S3 = "if the image is in S3, put its S3 URL there; else take the URL out of the manifest"


def manifest_findings(manifest: Manifest, actor: Actor, where: Layout, now: datetime) -> Iterator[Finding]:
    """Everything that is wrong with a manifest that could be read, and that no look at a side is needed for."""
    for problem in findings(manifest, actor, where):
        yield told(problem, _IN_S3)
    for entry in manifest.entries:
        yield from _of_entry(entry, actor, where, now)
    yield from _shared_objects(manifest, actor, where)
    yield from _of_document(manifest, actor, now)


def without_claim(entry: Entry) -> Entry:
    """The entry as one of which nothing was checked: the next look proves it, or does not."""
    return replace(entry, evidence=Evidence.RECORDED, checked_at=None)


def unfounded(entry: Entry) -> str:
    """Why an entry's evidence cannot be what its status rests on; empty if it can.

    | evidence         | with the status           | needs                                                  |
    |------------------|---------------------------|--------------------------------------------------------|
    | `content`, `md5` | `synced`, `out_of_sync`   | the object's MD5, equal to the file's only if `synced` |
    | `etag`           | the same                  | the same, and that the ETag is that MD5                |
    | `multipart_etag` | the same                  | the same, and an ETag of parts                         |
    | `listed`         | `local_only`, `s3_only`   | nothing more                                           |
    | `listed`         | `out_of_sync`             | two sizes that differ                                  |
    """
    evidence, record, compared = entry.evidence, entry.s3, entry.status in (Status.SYNCED, Status.OUT_OF_SYNC)
    if evidence in (None, Evidence.RECORDED) or entry.status is None:
        return ""
    if entry.checked_at is None:
        return "it does not say since when"
    if evidence is Evidence.LISTED:
        if not compared:
            return ""
        differ = entry.status is Status.OUT_OF_SYNC and record is not None and record.size_bytes != entry.size_bytes
        return "" if differ else "a listing proves no such thing of these two sizes"
    if not compared:
        return "there was nothing to compare it with"
    if record is None or record.md5 is None or entry.md5_hash is None:
        return "the MD5 of one side is not recorded"
    if (record.md5 == entry.md5_hash) is not (entry.status is Status.SYNCED):
        return "the recorded MD5s say otherwise"
    if evidence is Evidence.ETAG and record.etag != record.md5:
        return "the recorded ETag is not the MD5"
    if evidence is Evidence.MULTIPART_ETAG and not etag.is_multipart(record.etag):
        return "the recorded ETag is not one of a multipart upload"
    return ""


def _of_entry(entry: Entry, actor: Actor, where: Layout, now: datetime) -> Iterator[Finding]:
    if entry.local_path and entry.local_path != where.image(actor.name, entry.filename):
        message = f"its local_path is {entry.local_path}, where the image does not lie"
        yield _mendable(Code.LOCAL_PATH, actor, entry.filename, message)
    yield from _of_status(entry, actor, now)
    if reason := unfounded(entry):
        message = f"it is recorded as {entry.status} by {entry.evidence}, but {reason}"
        yield _mendable(Code.EVIDENCE, actor, entry.filename, message)
    location = where.locate(entry.s3_url) if entry.s3_url else None
    if location is not None and _is_anothers(location, entry, actor, where):
        message = f"its URL leads to what looks like another image: {location}"
        repair = "if it is not meant, look at both images, and correct s3_url in the manifest"
        yield Finding(Code.OTHER_URL, actor.name, entry.filename, message, repair)


def _of_status(entry: Entry, actor: Actor, now: datetime) -> Iterator[Finding]:
    said = entry.source.get("status")
    if said is None or not layout.is_image(entry.filename):
        return  # an older record, which a sync completes; or one that no look is about
    verdict = _judged(entry, now)
    if verdict is Sight.ABSENT:
        message = f"it is recorded as {said}, but by the same record it is on neither side"
        yield _mendable(Code.NOWHERE, actor, entry.filename, message)
    elif isinstance(verdict, Entry) and verdict.status is not entry.status:
        message = f"it is recorded as {said}, but what is recorded of both sides makes it {verdict.status}"
        yield _mendable(Code.STATUS, actor, entry.filename, message)


def _judged(entry: Entry, now: datetime) -> Entry | Sight:
    """What the truth table makes of both sides as they are recorded; of S3, if the status rests on a look at it.

    `UNKNOWN` if the record does not tell of the file.
    """
    local: LocalFile | Sight = Sight.ABSENT
    if entry.recorded_local:
        if entry.md5_hash is None or entry.size_bytes is None or entry.modified_timestamp is None:
            return Sight.UNKNOWN
        local = LocalFile(entry.filename, entry.size_bytes, int(entry.modified_timestamp * 1e9), entry.md5_hash)
    seen: RemoteObject | Sight = Sight.UNKNOWN if entry.s3_url else Sight.ABSENT
    checked = entry.evidence not in (None, Evidence.RECORDED)
    if entry.s3_url and entry.s3 and checked:
        seen = RemoteObject(Location("", ""), entry.s3.size_bytes, entry.s3.etag, entry.s3.last_modified)
    return reconcile.judge(entry, local, RemoteSide(seen, entry.s3_url, entry.alternate_s3_urls), now)


def _is_anothers(location: Location, entry: Entry, actor: Actor, where: Layout) -> bool:
    folder = where.key_prefix()
    in_default = location.bucket == where.bucket and location.key.startswith(folder)
    name = location.key[len(folder) :].partition("/")[0] if in_default else actor.name
    return layout.key_filename(location) != entry.filename or name != actor.name


def _shared_objects(manifest: Manifest, actor: Actor, where: Layout) -> Iterator[Finding]:
    """Images of which one cannot be replaced or removed in S3 without the other."""
    first: dict[Location, str] = {}
    for entry in manifest.entries:
        location = where.locate(entry.s3_url) if entry.s3_url else None
        if location is None:
            continue
        if (other := first.setdefault(location, entry.filename)) != entry.filename:
            message = f"it is recorded at the same object as {other}: {location}"
            repair = "find out whose it is, and correct s3_url of the other one in the manifest"
            yield Finding(Code.SHARED_OBJECT, actor.name, entry.filename, message, repair)


def _of_document(manifest: Manifest, actor: Actor, now: datetime) -> Iterator[Finding]:
    """What a sync would write anew whatever it sees."""
    explained = False
    for key, entries in (("training_data", manifest.entries), ("training_data_missing", manifest.missing)):
        names = [entry.filename for entry in entries]
        if names != sorted(names, key=layout.natural_key):
            explained = True
            yield _mendable(Code.ORDER, actor, "", f"{key} is not in natural order (_2 before _10)")
    document = codec.learnt(manifest, actor, now)
    if document is None:
        return
    said, counted = manifest.source.get("statistics") or {}, document["statistics"]
    wrong = [key for key in counted if key in said and said[key] != counted[key]]
    for key in wrong[:1]:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        message = f"statistics.{key} is {said[key]!r}, but the images make it {counted[key]!r}{more}"
        yield _mendable(Code.STATISTICS, actor, "", message)
    if not wrong and not explained:
        message = "its manifest is not in the form in which a sync writes it"
        yield Finding(Code.FORM, actor.name, "", message, f"callsheet sync {actor.name}")


def _mendable(code: Code, actor: Actor, filename: str, message: str) -> Finding:
    return Finding(code, actor.name, filename, message, f"callsheet fsck {actor.name} --fix", fixable=True)
