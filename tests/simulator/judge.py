"""Holds every effect, and what is left in the end, to the seven promises: by the plainest of rules, and with none of the code that it judges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from callsheet.layout import Layout
from callsheet.model import Location
from sim.world import Beliefs, Image, Row, World, _row, check_rows, located
from simulator.cloud import Cloud
from simulator.engine import Breach, Engine, Machine, Process, Watch

WHERE = Layout()
_ASIDE = "/.callsheet_aside-"
_IMAGE = re.compile(r"^/p/data/actors/([^/]+)/training_data/([^/.][^/]*\.png)$")
_MANIFEST = re.compile(r"^/p/data/actor_manifests/[^/]+_manifest\.json$")
_RESPONSE = re.compile(r"^/p/data/actors/([^/]+)/training_data/response\.json$")
_HERE = ("local_only", "synced", "out_of_sync")
_THERE = ("s3_only", "synced", "out_of_sync")


@dataclass(eq=False)
class Mark:
    """A mark and a prompt that somebody asked for: from when to when, and whether he was told that it was done."""

    good: bool | None
    prompt: str | None
    began: int
    ended: int
    done: bool = False


@dataclass
class Judge(Watch):
    """What is known to have been there, and what became of it."""

    engine: Engine
    cloud: Cloud
    machines: list[Machine]
    contents: dict[bytes, str] = field(default_factory=dict)
    """Every content that a user ever put anywhere, with its name."""

    given_up: set[bytes] = field(default_factory=set)
    """Those that users have deleted, or replaced, everywhere."""

    urls: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Those that legacy files of a machine's actor ever told."""

    marks: dict[tuple[str, Image], list[Mark]] = field(default_factory=dict)
    """By machine and image, what was ever asked for."""

    foreign: dict[tuple[str, str], Any] = field(default_factory=dict)
    """By machine and manifest, what is not ours in it."""

    beliefs: dict[str, Beliefs] = field(default_factory=dict)
    _dropped: dict[bytes, int] = field(default_factory=dict)
    _replaced: dict[bytes, int] = field(default_factory=dict)
    """When a user took away a name of a content, at last."""

    _saved: dict[str, int] = field(default_factory=dict)
    """When a user gave a file this name, at last."""

    _put_aside: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By the name that a run gave a file between two of its own: the name that it had, and when it got this."""

    _unnamed: str = ""
    _doubtful: set[bytes] = field(default_factory=set)
    _changed: dict[object, tuple[int, Process | None]] = field(default_factory=dict)

    # 1. Bytes survive.

    def everywhere(self) -> Iterator[bytes]:
        """All bytes that can still be read, but for those of files that nobody has given a name yet."""
        for machine in self.machines:
            for path, inode in machine.disk.files(machine.root):
                if "/.callsheet-" not in path:
                    yield bytes(inode.data)
        yield from self.cloud.bodies()

    def lost_file(self, process: Process | None, path: str, content: bytes) -> None:
        if process is not None and process.user:
            self._replaced[content] = self.engine.serial
        self._lost(process, content, path)
        self._doubt(process, content)

    def lost_object(self, process: Process | None, what: str, body: bytes) -> None:
        if process is not None and process.user:
            self._dropped[body] = self.engine.serial
        self._lost(process, body, what)
        self._doubt(process, body)

    def _doubt(self, process: Process | None, content: bytes) -> None:
        """A user took away the last copy that would have survived a power cut."""
        if process is not None and process.user and content in self.contents:
            flushed = {kept for machine in self.machines for kept in machine.disk.surviving_files()}
            if content not in flushed and content not in set(self.cloud.bodies()):
                self._doubtful.add(content)

    def _lost(self, process: Process | None, content: bytes, where: str) -> None:
        if content not in self.contents or content in set(self.everywhere()):
            return
        # Nobody can notice that an object goes between the proof that it holds a file's bytes and the deletion of the file.
        if process is not None and (process.user or self._dropped.get(content, -1) > process.began):
            self.given_up.add(content)
            return
        if process is not None and _ASIDE in where and self._saved_over(process, content, where):
            self.given_up.add(content)
            return
        self.engine.break_promise(f"promise 1: {self.contents[content]} is gone for good: it was last at {where}")

    def _saved_over(self, process: Process, content: bytes, aside: str) -> bool:
        """Whether a user saved over what a run takes the second name from: once it had its place back, between a look at that and this; or in
        its place, while it was away from there."""
        place, since = self._put_aside.get(aside, ("", 0))
        return self._replaced.get(content, -1) > process.began or self._saved.get(place, -1) > since

    def before_cut(self, machine: Machine) -> frozenset[bytes]:
        return frozenset(self.everywhere()) & self.contents.keys()

    def after_cut(self, machine: Machine, before: frozenset[bytes]) -> None:
        lost = before - set(self.everywhere())
        self.given_up |= lost & self._doubtful
        if lost := lost - self._doubtful:
            self.engine.break_promise(
                f"promise 1: the power was cut, and {[self.contents[content] for content in lost]} is gone"
            )
        for path, inode in machine.disk.files(f"{machine.root}/{WHERE.manifests_dir}"):
            if _MANIFEST.match(path):
                self._whole(path, bytes(inode.data))
        for (name, actor), urls in self.urls.items():
            if name == machine.name:
                self._urls_kept(machine, actor, urls, surviving=False)
        for path, _ in machine.disk.files(f"{machine.root}/{WHERE.trash_dir}"):
            self._told_of(machine, path)
        for path, inode in machine.disk.files(f"{machine.root}/{WHERE.actors_dir}"):
            _, process = self._changed.get((machine.name, path), (0, None))
            by_a_run = process is not None and not process.user
            if by_a_run and _IMAGE.match(path) and bytes(inode.data) not in self.contents:
                self.engine.break_promise(f"promise 1: a run put {path} there, and it is torn: {bytes(inode.data)!r}")

    def _told_of(self, machine: Machine, path: str) -> None:
        """A journal survives with what its run put away, or no undo could put it back."""
        run, _, place = path.removeprefix(f"{machine.root}/{WHERE.trash_dir}/").partition("/")
        image = _IMAGE.match(f"{machine.root}/{place}")
        journal = machine.disk.get(f"{machine.root}/{WHERE.journal(run)}")
        lines = [] if journal is None else bytes(journal.data).split(b"\n")[:-1]
        if image and not any(json.dumps(image.group(2)).encode() in line for line in lines):
            self.engine.break_promise(f"promise 1: {path} is in the trash, and no journal tells of it")

    # 2. URLs are durable before their file goes. 3. Manifests are whole. 7. What was not seen is not gone.

    def unnamed(self, process: Process | None, machine: Machine, path: str) -> None:
        self._unnamed = path
        found = _RESPONSE.match(path)
        if found and not (process and process.user):
            actor = found.group(1)
            self._urls_kept(machine, actor, self.urls.get((machine.name, actor), set()), surviving=True)

    def renamed(self, process: Process | None, machine: Machine, path: str, old: bytes | None) -> None:
        if process is not None and process.user:
            self._saved[path] = self.engine.serial
        elif _ASIDE in path:
            self._put_aside[path] = self._unnamed, self.engine.serial
        if not _MANIFEST.match(path) or process is None:
            return
        new = self._whole(path, bytes(machine.disk.find(path).data))
        if old is not None and not process.user:
            self._nothing_made_up(process, machine, _rows(json.loads(old)), _rows(new))

    def touched(self, process: Process | None, what: object) -> None:
        self._changed[what] = self.engine.serial, process

    def _whole(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except ValueError:
            self.engine.break_promise(f"promise 3: {path} is torn: {content!r}")
        if not isinstance(document, dict) or "character_name" not in document:
            self.engine.break_promise(f"promise 3: {path} is no manifest: {content!r}")
        return document

    def _urls_kept(self, machine: Machine, actor: str, urls: set[str], *, surviving: bool) -> None:
        """In a manifest that would survive a power cut, or did; or in the file that they came from."""
        path = f"{machine.root}/{WHERE.training_dir(actor)}/response.json"
        response = machine.disk.get(path)
        still = set() if response is None or surviving else set(_urls_of(bytes(response.data)))
        stem = actor.partition("_")[0]
        manifest = f"{machine.root}/{WHERE.manifest(stem)}"
        found = machine.disk.get(manifest)
        raw = machine.disk.surviving(manifest) if surviving else None if found is None else bytes(found.data)
        kept = {url for row in _rows(json.loads(raw)).values() for url in row.urls} if raw else set()
        if lost := urls - kept - still:
            self.engine.break_promise(
                f"promise 2: response.json of {actor} has gone, and no durable manifest has {sorted(lost)}"
            )

    def _nothing_made_up(
        self, process: Process, machine: Machine, old: dict[Image, Row], new: dict[Image, Row]
    ) -> None:
        """What a run says has gone, while it was there all the time, it cannot have seen to be gone."""
        for image, before in old.items():
            after = new.get(image)
            path = f"{machine.root}/{WHERE.image(*image)}"
            here = machine.disk.get(path) is not None and self._unchanged(process, (machine.name, path))
            if before.status in _HERE and here and (after is None or after.status not in _HERE):
                self.engine.break_promise(
                    f"promise 7: {image} was here all the time, and is recorded as gone from here"
                )
            if before.url is None or before.status not in _THERE:
                continue
            place = located(before.url)
            there = place.key in self.cloud.buckets.get(place.bucket, {}) and self._unchanged(process, place)
            if there and (after is None or after.status not in _THERE):
                self.engine.break_promise(
                    f"promise 7: {image} was in S3 all the time, and is recorded as gone from there"
                )

    def _unchanged(self, process: Process, what: object) -> bool:
        serial, _ = self._changed.get(what, (-1, None))
        return serial <= process.began

    # In the end.

    def world(self, machine: Machine) -> World:
        here: dict[Image, bytes] = {}
        trash: dict[str, bytes] = {}
        for path, inode in machine.disk.files(f"{machine.root}/data"):
            if found := _IMAGE.match(path):
                here[found.group(1), found.group(2)] = bytes(inode.data)
            elif "/.callsheet/trash/" in path or _ASIDE in path:
                trash[path] = bytes(inode.data)
        objects = {
            Location(bucket, key): item.body
            for bucket, held in self.cloud.buckets.items()
            for key, item in held.items()
        }
        there = {place: body for place, body in objects.items() if "/.trash/" not in place.key}
        return World(here, there, trash, {place.key: body for place, body in objects.items() if place not in there})

    def rows(self, machine: Machine) -> dict[Image, Row]:
        found: dict[Image, Row] = {}
        for path, inode in machine.disk.files(f"{machine.root}/{WHERE.manifests_dir}"):
            if _MANIFEST.match(path):
                for image, row in _rows(json.loads(bytes(inode.data))).items():
                    if image in found:
                        self.engine.break_promise(f"promise 3: {image} is recorded twice")
                    found[image] = row
        return found

    def manifests(self, machine: Machine) -> dict[str, tuple[bytes, int]]:
        """Bytes and inode of each."""
        folder = f"{machine.root}/{WHERE.manifests_dir}"
        return {path: (bytes(inode.data), inode.number) for path, inode in machine.disk.files(folder)}

    def check_end(self) -> None:
        """When everything is quiet, and every machine has just synced."""
        worlds = [self.world(machine) for machine in self.machines]
        found = {content for world in worlds for content in world.contents} | set(self.cloud.noncurrent)
        if lost := self.contents.keys() - self.given_up - found:
            self.engine.break_promise(f"promise 1: nowhere to be found: {[self.contents[content] for content in lost]}")
        for machine, world in zip(self.machines, worlds, strict=True):
            rows = self.rows(machine)
            self._check_statuses(machine, world, rows)
            for (name, actor), urls in self.urls.items():
                if name == machine.name:
                    self._urls_kept(machine, actor, urls, surviving=False)
            self._check_marks(machine, rows)
            self._check_foreign(machine)

    def _check_statuses(self, machine: Machine, world: World, rows: dict[Image, Row]) -> None:
        prefix = f"{WHERE.prefix}/"
        places: dict[Image, set[Location]] = {image: {WHERE.location(*image)} for image in world.here}
        for place in world.there:
            parts = place.key.removeprefix(prefix).split("/")
            if place.bucket == WHERE.bucket and place.key.startswith(prefix) and len(parts) == 2:
                places.setdefault((parts[0], parts[1]), set()).add(place)
        try:
            check_rows(rows, world, self.beliefs.get(machine.name) or Beliefs(), places)
        except AssertionError as error:
            self.engine.break_promise(f"promise 4: on {machine.name}: {error}")

    def _check_marks(self, machine: Machine, rows: dict[Image, Row]) -> None:
        for (name, image), marks in self.marks.items():
            last = max((mark.began for mark in marks if mark.done), default=None)
            if name != machine.name or last is None:
                continue
            row = rows.get(image)
            allowed = {(mark.good, mark.prompt) for mark in marks if mark.ended >= last}
            if row is None or (row.good, row.prompt) not in allowed:
                said = None if row is None else (row.good, row.prompt)
                self.engine.break_promise(f"promise 6: {image} was marked {allowed}, and has {said}")

    def _check_foreign(self, machine: Machine) -> None:
        for (name, stem), wanted in self.foreign.items():
            if name == machine.name:
                found = machine.disk.find(f"{machine.root}/{WHERE.manifest(stem)}")
                document = json.loads(bytes(found.data))
                if document.get("lora_model") != wanted:
                    self.engine.break_promise(
                        f"promise 6: what is not ours in the manifest of {stem} is {document.get('lora_model')}"
                    )


def _rows(document: dict[str, Any]) -> dict[Image, Row]:
    rows: dict[Image, Row] = {}
    for key in ("training_data", "training_data_missing"):
        for item in document.get(key, []):
            image = document["character_name"], item["filename"]
            if image in rows:
                raise Breach(f"promise 3: {image} is recorded twice")
            rows[image] = _row(item, missing=key != "training_data")
    return rows


def _urls_of(raw: bytes) -> list[str]:
    try:
        found: list[str] = json.loads(raw)["output"]["output"]["s3_image_urls"]
    except (ValueError, KeyError, TypeError):
        return []
    return found
