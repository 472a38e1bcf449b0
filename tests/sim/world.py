"""What is where, read byte by byte, and what manifests must say of it: by the plainest of rules, and with none of the code that it judges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote import Remote

Image = tuple[str, str]
"""An actor's folder and a filename."""


@dataclass(frozen=True)
class World:
    """All bytes of both sides and of the trash of each."""

    here: Mapping[Image, bytes]
    there: Mapping[Location, bytes]
    trash_here: Mapping[str, bytes]
    trash_there: Mapping[str, bytes]

    @property
    def contents(self) -> frozenset[bytes]:
        """Everything that can be found somewhere."""
        sides = (self.here, self.there, self.trash_here, self.trash_there)
        return frozenset(content for side in sides for content in side.values())


@dataclass(frozen=True)
class Row:
    """What a manifest says of an image. `status` is `missing` for one that is recorded as on neither side."""

    status: str
    url: str | None
    urls: frozenset[str]
    good: bool | None
    prompt: str | None


def read_world(root: Path, where: Layout, remote: Remote, buckets: Iterable[str]) -> World:
    """Open every file and every object."""
    here = {
        (path.parent.parent.name, path.name): path.read_bytes()
        for path in root.glob(f"{where.actors_dir}/*/training_data/*.png")
        if not path.name.startswith(".")
    }
    trash = root / where.trash_dir
    trash_here = {str(path.relative_to(trash)): path.read_bytes() for path in trash.rglob("*") if path.is_file()}
    there: dict[Location, bytes] = {}
    trash_there: dict[str, bytes] = {}
    for bucket in buckets:
        for item in remote.list(bucket, ""):
            body = b"".join(remote.read(item.location, if_match=item.etag).blocks)
            if "/.trash/" in item.location.key:
                trash_there[item.location.key] = body
            else:
                there[item.location] = body
    return World(here, there, trash_here, trash_there)


def read_rows(root: Path, where: Layout) -> dict[Image, Row]:
    """All manifests, as JSON and no more. An image that is named twice is an error."""
    rows: dict[Image, Row] = {}
    for path in root.glob(f"{where.manifests_dir}/*_manifest.json"):
        document = json.loads(path.read_bytes())
        for key in ("training_data", "training_data_missing"):
            for item in document.get(key, []):
                image = document["character_name"], item["filename"]
                assert image not in rows, f"{image} is recorded twice"
                rows[image] = _row(item, missing=key != "training_data")
    return rows


def _row(item: Mapping[str, Any], *, missing: bool) -> Row:
    url = item.get("s3_url")
    urls = frozenset(filter(None, (url, *(item.get("alternate_s3_urls") or ()))))
    return Row("missing" if missing else item["status"], url, urls, item.get("good"), item.get("prompt"))


def located(url: str) -> Location:
    """Where a URL points: the bucket is the first part of an Amazon host's name, else the first of the path."""
    parts = urlsplit(url)
    bucket, amazon, _ = (parts.hostname or "").partition(".s3.")
    path = unquote(parts.path[1:])
    return Location(bucket, path) if amazon else Location(*path.split("/", 1))


def status_of(here: bytes | None, there: bytes | None) -> str:
    """The oracle."""
    if here is None:
        return "missing" if there is None else "s3_only"
    if there is None:
        return "local_only"
    return "synced" if here == there else "out_of_sync"


@dataclass
class Beliefs:
    """What no look can tell from outside, so that a status may rest on the one or the other until somebody looks closer.

    `rotten`: bytes that changed while size and time did not, and what they were before. `lies`: objects whose metadata claim other bytes.
    """

    rotten: dict[Image, tuple[bytes, bytes]] = field(default_factory=dict)
    lies: dict[Location, tuple[bytes, bytes]] = field(default_factory=dict)

    def of_file(self, image: Image, content: bytes | None) -> list[bytes | None]:
        now, before = self.rotten.get(image, (None, None))
        return [content, before] if content is not None and content == now else [content]

    def of_object(self, location: Location | None, content: bytes | None) -> list[bytes | None]:
        now, claimed = self.lies.get(location, (None, None)) if location else (None, None)
        return [content, claimed] if content is not None and content == now else [content]

    def allowed(self, image: Image, here: bytes | None, location: Location | None, there: bytes | None) -> set[str]:
        """The statuses that an image may have."""
        return {status_of(a, b) for a in self.of_file(image, here) for b in self.of_object(location, there)}


def check_rows(
    rows: Mapping[Image, Row], world: World, beliefs: Beliefs, places: Mapping[Image, set[Location]]
) -> None:
    """Every status against the bytes. `places` are the images that must be recorded, and where each may be in S3."""
    assert not set(places) - set(rows), f"not recorded: {set(places) - set(rows)}"
    for image, row in rows.items():
        here = world.here.get(image)
        if row.url is None:
            found = [location for location in places.get(image, ()) if location in world.there]
            assert not found, f"{image} is recorded without a URL, but is in S3 at {found}"
            there, location = None, None
        else:
            location = located(row.url)
            there = world.there.get(location)
            assert there is not None, f"{image} is recorded at {row.url}, where nothing is"
        allowed = beliefs.allowed(image, here, location, there)
        assert row.status in allowed, f"{image} is recorded as {row.status}, but is {' or '.join(sorted(allowed))}"
