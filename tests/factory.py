"""Made-up trees for tests: real files on a real disk, and the objects that belong to them in any store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callsheet import layout
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.model import Location, Manifest
from callsheet.remote import Remote
from callsheet.remote.memory import MemoryRemote
from callsheet.settings import open_library

SETTLED_S = 1_760_000_000.0
"""An mtime (seconds) far enough in the past that hashes taken now are settled."""

USER_BUCKET = "storyboard-user-files"


@dataclass
class Tree:
    """A project's root and its S3 side. Methods add to both; `library()` opens what is there."""

    root: Path
    remote: Remote = field(default_factory=lambda: MemoryRemote((Layout().bucket, USER_BUCKET)))
    where: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        (self.root / self.where.actors_dir).mkdir(parents=True, exist_ok=True)

    def library(self) -> Library:
        return open_library(self.root, remote=self.remote, environ={})

    def folder(self, actor: str) -> Path:
        path = self.root / self.where.training_dir(actor)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def image(self, actor: str, filename: str, content: bytes = b"", *, mtime_s: float = SETTLED_S) -> Path:
        """A local image; its content is its name unless given."""
        path = self.folder(actor) / filename
        path.write_bytes(content or filename.encode("utf-8", "surrogateescape"))
        os.utime(path, (mtime_s, mtime_s))
        return path

    def object(self, actor: str, filename: str, content: bytes = b"", *, at: Location | None = None) -> str:
        """An object in the actor's default folder, or `at` another place; returns its URL."""
        body = content or filename.encode()
        location = at or self.where.location(actor, filename)
        self.remote.put(location, body, md5=md5_of(body))
        return self.remote.url(location)

    def both(self, actor: str, filename: str, content: bytes = b"") -> str:
        self.image(actor, filename, content)
        return self.object(actor, filename, content)

    def url(self, actor: str, filename: str) -> str:
        return layout.s3_url(self.where.location(actor, filename), self.where.region)

    def legacy(self, actor: str, name: str, document: Any) -> Path:
        path = self.folder(actor) / name
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return path

    def response(self, actor: str, urls: Iterable[str]) -> Path:
        """A `response.json` of the usual shape."""
        body = {
            "output": {"output": {"s3_image_urls": list(urls), "job_id": "j-1"}, "status": "COMPLETED"},
            "status": "COMPLETED",
        }
        return self.legacy(actor, layout.RESPONSE, body)

    def manifest_path(self, stem: str) -> Path:
        return self.root / self.where.manifest(stem)

    def write_manifest(self, stem: str, document: Mapping[str, Any] | bytes) -> Path:
        path = self.manifest_path(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document, indent=4).encode())
        return path

    def read_manifest(self, stem: str) -> dict[str, Any]:
        loaded = json.loads(self.manifest_path(stem).read_bytes())
        assert isinstance(loaded, dict)
        return loaded

    def statuses(self, stem: str) -> dict[str, str]:
        return {row["filename"]: row["status"] for row in self.read_manifest(stem)["training_data"]}

    def manifests(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and mtime (ns) of every file in the manifests' folder."""
        folder = self.root / self.where.manifests_dir
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.glob("*"))}

    def trash(self) -> list[Path]:
        """Every file in the trash."""
        return sorted(path for path in (self.root / self.where.state_dir / "trash").rglob("*") if path.is_file())


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def seed_tree(tree: Tree) -> None:
    """The documented example: 17 images, of which 12 have URLs in a `response.json` and are in S3."""
    actor = "0000_european_16_male"
    names = [f"{actor}_{number}.jpg" for number in range(17)]
    for name in names:
        tree.image(actor, name)
    tree.response(actor, [tree.object(actor, name) for name in names[:12]])


def urls_of(manifest: Manifest) -> set[str]:
    """Every URL that a manifest records."""
    return {url for entry in (*manifest.entries, *manifest.missing) for url in entry.urls}
