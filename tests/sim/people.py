"""What users and other programs do to both sides, without asking `callsheet`."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from callsheet import etag
from callsheet.model import Location
from callsheet.remote import Remote
from callsheet.remote.memory import MemoryRemote
from factory import SETTLED_S, USER_BUCKET, Tree, md5_of
from sim.history import CONTENTS, Step, bytes_of
from sim.world import Beliefs, Image


@dataclass
class People:
    """Each method is a deed of a history. `twofold` are the images that have, or had, an object in another bucket, too."""

    tree: Tree
    store: Remote
    beliefs: Beliefs
    twofold: set[Image] = field(default_factory=set)
    clock_s: float = SETTLED_S

    def place(self, image: Image) -> Location:
        return self.tree.where.location(*image)

    def do(self, step: Step) -> None:
        deed = getattr(self, step.deed)
        deed(step)

    def _path(self, image: Image) -> Path:
        return self.tree.root / self.tree.where.image(*image)

    def _put_file(self, path: Path, content: bytes) -> None:
        """As most programs save: a new file that takes the old one's place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.clock_s += 1
        beside = path.with_name(".saving")
        beside.write_bytes(content)
        os.utime(beside, (self.clock_s, self.clock_s))
        os.replace(beside, path)

    def save(self, step: Step) -> None:
        self._put_file(self._path(step.image), bytes_of(step.content))

    def rot(self, step: Step) -> None:
        path = self._path(step.image)
        if not path.is_file() or not (content := path.read_bytes()):
            return
        before = self.beliefs.rotten.get(step.image)
        status = path.stat()
        place = step.number % len(content)
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes(flipped)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.beliefs.rotten[step.image] = flipped, before[1] if before and before[0] == content else content

    def drop(self, step: Step) -> None:
        self._path(step.image).unlink(missing_ok=True)

    def rename(self, step: Step) -> None:
        source, target = self._path(step.image), self._path((step.image[0], step.other))
        if source.is_file() and not target.exists():
            os.rename(source, target)

    def truncate(self, step: Step) -> None:
        path = self._path(step.image)
        if path.is_file():
            self.clock_s += 1
            os.truncate(path, path.stat().st_size // 2)
            os.utime(path, (self.clock_s, self.clock_s))

    def upload(self, step: Step, at: Location | None = None) -> None:
        body = bytes_of(step.content)
        self.store.put(at or self.place(step.image), body, md5=md5_of(body))

    def both(self, step: Step) -> None:
        self.save(step)
        self.upload(step)

    def upload_other(self, step: Step) -> None:
        """Multipart, or encrypted with a key of KMS."""
        body = bytes_of(step.content)
        if not isinstance(self.store, MemoryRemote):
            self.upload(step)
            return
        digest = bytes.fromhex(md5_of(body))
        tag = etag.multipart_etag([digest]) if step.number % 2 else md5_of(uuid.uuid4().bytes)
        self.store.store(self.place(step.image), body, etag=tag, etag_is_md5=False)

    def lie(self, step: Step) -> None:
        """An object whose metadata claim the bytes of the local file, or others that it has not."""
        body, path = bytes_of(step.content), self._path(step.image)
        claimed = path.read_bytes() if path.is_file() else CONTENTS["noise"]
        if not isinstance(self.store, MemoryRemote) or claimed == body:
            return
        place = self.place(step.image)
        tag = f"{md5_of(uuid.uuid4().bytes)}-2"
        self.store.store(place, body, etag=tag, etag_is_md5=False, md5=md5_of(claimed))
        self.beliefs.lies[place] = body, claimed

    def vanish(self, step: Step) -> None:
        self.store.delete(self.place(step.image))

    def elsewhere(self, step: Step) -> None:
        """An object in another bucket, that a legacy file tells of."""
        if isinstance(self.store, MemoryRemote):
            place = Location(USER_BUCKET, f"made/{step.image[0]}/{step.image[1]}")
            self.upload(step, place)
            self.tree.response(step.image[0], [self.store.url(place)])
            self.twofold.add(step.image)
