"""What the API says, as plain JSON values: pure, no I/O. The shapes are described in `schema` and in docs/api.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import orjson

from callsheet import layout, reconcile
from callsheet.codec import counts, size_mib
from callsheet.layout import Layout
from callsheet.model import Actor, Counts, Entry, Manifest, Problem, S3Record, Status
from callsheet.status import Glance

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Row:
    """One actor in the list. `fault` says why its manifest cannot be used, if it cannot."""

    actor: Actor
    counts: Counts
    good: int
    problems: int
    updated: datetime | None
    fault: Problem | None = None


@dataclass(frozen=True, slots=True)
class Sights:
    """What a glance at an actor's folder shows, by filename."""

    here: frozenset[str]
    touched: frozenset[str]
    gone: frozenset[str]

    @classmethod
    def of(cls, glance: Glance) -> Self:
        here = {found.filename for found in glance.scan.found} | glance.scan.unknown
        return cls(frozenset(here), frozenset(glance.drift.touched), frozenset(glance.drift.gone))


def actor_id(actor: Actor) -> int | str:
    """The number that the API gives an actor; its name if it has no number."""
    return int(actor.id) if actor.id.isascii() and actor.id.isdigit() else actor.id


def actor_url(name: str) -> str:
    return f"/api/actors/{quote(name, safe='')}"


def image_url(name: str, filename: str) -> str:
    return f"{actor_url(name)}/training-data/{quote(filename, safe='')}"


def base_image_url(name: str, stamp: str | None) -> str | None:
    """`stamp` names the version of the base image, None if there is none."""
    return None if stamp is None else f"{actor_url(name)}/base-image?v={stamp}"


def moment(when: datetime | None) -> str | None:
    """UTC with milliseconds: `2025-10-17T14:08:00.000Z`."""
    return None if when is None else f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


def timestamp(seconds: float | None) -> str | None:
    return None if seconds is None else moment(datetime.fromtimestamp(seconds, UTC))


def tally(found: Counts) -> dict[str, int]:
    """The seed's counts under the names of the API."""
    return {
        "total_count": found.total,
        "synced_count": found.synced,
        "local_only_count": found.local_only,
        "s3_only_count": found.s3_only,
        "out_of_sync_count": found.out_of_sync,
    }


def row(found: Row, base_stamp: str | None) -> dict[str, Any]:
    name = found.actor.name
    return {
        "actor_id": actor_id(found.actor),
        "actor_name": name,
        "base_image_url": base_image_url(name, base_stamp),
        **tally(found.counts),
        "missing_count": found.counts.missing,
        "good_count": found.good,
        "problem_count": found.problems,
        "manifest_updated": moment(found.updated),
    }


def problems(found: Iterable[Problem]) -> list[dict[str, str]]:
    return [asdict(problem) for problem in found]


def entry_tag(entry: Entry) -> str:
    """The ETag of an image, quotes included: of what its manifest says of it."""
    digest = hashlib.blake2b(orjson.dumps(entry.source, option=orjson.OPT_SORT_KEYS), digest_size=12)
    return f'"{digest.hexdigest()}"'


def content_version(entry: Entry) -> str:
    """Changes whenever the image's content does, as far as that is recorded; for URLs that may be cached for ever."""
    return entry.md5_hash or (entry.s3.etag if entry.s3 else "") or "0"


def image(entry: Entry, index: int, name: str, sights: Sights, where: Layout, size: Size | None) -> dict[str, Any]:
    """One of `training_images`; `name` is the actor's."""
    on_disk = entry.filename in sights.here
    url, version = image_url(name, entry.filename), quote(content_version(entry), safe="")
    width, height = size or (None, None)
    change = reconcile.change_of(entry) if entry.status is Status.OUT_OF_SYNC else None
    return {
        "index": index,
        "filename": entry.filename,
        "s3_url": entry.s3_url,
        "local_exists": on_disk,
        "local_path": f"/{where.image(name, entry.filename)}" if on_disk else None,
        "md5_hash": entry.md5_hash,
        "size_mb": size_mib(entry.size_bytes),
        "modified_date": timestamp(entry.modified_timestamp),
        "status": entry.status and entry.status.value,
        "good": bool(entry.good),
        "evidence": entry.evidence and entry.evidence.value,
        "checked_at": moment(entry.checked_at),
        "prompt": entry.prompt or None,
        "change": change and change.value,
        "width": width,
        "height": height,
        "thumbnail_url": f"{url}/thumbnail?v={version}",
        "content_url": f"{url}/content?v={version}",
        "size_bytes": entry.size_bytes,
        "changed_since_sync": _since(entry.filename, sights),
        "corrupt": entry.expected_md5 is not None,
        "s3": entry.s3 and _s3(entry, entry.s3, name, where),
        "etag": entry_tag(entry),
    }


def training_data(
    glance: Glance, where: Layout, base: tuple[str, str] | None, sizes: Sequence[Size | None]
) -> dict[str, Any]:
    """The seed's document. `base` is the path and the version of the base image; `sizes` are those of the entries, as far as they are known."""
    manifest, actor = glance.manifest, glance.actor
    found, sights = counts(manifest), Sights.of(glance)
    images = [
        image(entry, index, actor.name, sights, where, size)
        for index, (entry, size) in enumerate(zip(manifest.entries, sizes, strict=True))
    ]
    drift = glance.drift
    return {
        "actor_id": actor_id(actor),
        "actor_name": actor.name,
        "training_images": images,
        "base_image_path": base and f"/{base[0]}",
        **tally(found),
        "manifest_updated": moment(manifest.updated),
        "missing_count": found.missing,
        "orphaned_files": list(drift.new),
        "changed_since_sync": bool(drift.new or drift.gone or drift.touched),
        "missing_images": [_missing(entry) for entry in manifest.missing],
        "base_image_url": base_image_url(actor.name, base and base[1]),
        "problems": problems(glance.problems),
    }


def find(manifest: Manifest, filename: str) -> tuple[int, Entry] | None:
    """An image's place in its manifest."""
    return next(((i, entry) for i, entry in enumerate(manifest.entries) if entry.filename == filename), None)


def _since(filename: str, sights: Sights) -> str | None:
    if filename in sights.touched:
        return "touched"
    return "gone" if filename in sights.gone else None


def _s3(entry: Entry, record: S3Record, name: str, where: Layout) -> dict[str, Any]:
    location = where.locate(entry.s3_url) if entry.s3_url else None
    return {
        "uri": str(location or where.location(name, entry.filename)),
        "etag": record.etag,
        "md5": record.md5,
        "size_bytes": record.size_bytes,
        "last_modified": moment(record.last_modified),
    }


def _missing(entry: Entry) -> dict[str, Any]:
    return {
        "filename": entry.filename,
        "md5_hash": entry.md5_hash,
        "size_bytes": entry.size_bytes,
        "modified_date": timestamp(entry.modified_timestamp),
        "s3_urls": [layout.without_signature(url) for url in entry.urls],
        "removed_by": entry.removed_by,
        "prompt": entry.prompt or None,
        "good": bool(entry.good),
    }
