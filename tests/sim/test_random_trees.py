"""Random trees on both sides of a real S3 server: each status equals an independent oracle's, and nothing that changes is overlooked."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from factory import SETTLED_S, Tree, md5_of, urls_of
from servers import REGION, Server

ACTORS = ["0000_a", "0001_b-c", "0001_b.c", "02_d", "e f"]
NAMES = ["1.png", "2.png", "10.png", "ü +%.jpg", "x.WEBP"]
CONTENTS = [b"first", b"other", b"longer than the others", b""]
IMAGES = st.tuples(st.sampled_from(["0000_a", "02_d", "e f", "0003_gone"]), st.sampled_from(NAMES))


class World(RuleBasedStateMachine):
    """Edits on both sides in any order, with a sync now and then; what is there is kept beside it, as plain dicts."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="callsheet-world-")
        bucket = self.server.make_bucket(f"world-{uuid.uuid4().hex[:12]}")
        self.tree = Tree(
            Path(self.folder.name),
            S3Remote(REGION, endpoint_url=self.server.endpoint),
            replace(Layout(), bucket=bucket),
        )
        self.local: dict[tuple[str, str], bytes] = {}
        self.remote: dict[tuple[str, str], bytes] = {}
        self.ever: set[tuple[str, str]] = set()
        self.clock_s = SETTLED_S
        for actor in ("0000_a", "02_d", "e f"):
            self.tree.folder(actor)

    def teardown(self) -> None:
        self.folder.cleanup()

    def library(self) -> Library:
        environ = {"CALLSHEET_BUCKET": self.tree.where.bucket}
        return open_library(self.tree.root, remote=self.tree.remote, environ=environ)

    @initialize(
        local=st.dictionaries(IMAGES, st.sampled_from(CONTENTS)),
        remote=st.dictionaries(IMAGES, st.sampled_from(CONTENTS)),
    )
    def fill(self, local: dict[tuple[str, str], bytes], remote: dict[tuple[str, str], bytes]) -> None:
        for image, content in local.items():
            self.save(image, content)
        for image, content in remote.items():
            self.upload(image, content)

    @rule(image=IMAGES, content=st.sampled_from(CONTENTS))
    def save(self, image: tuple[str, str], content: bytes) -> None:
        if image[0] == "0003_gone" and not (self.tree.root / self.tree.where.folder(image[0])).exists():
            return
        self.clock_s += 1
        path = self.tree.folder(image[0]) / image[1]
        path.write_bytes(content)
        os.utime(path, (self.clock_s, self.clock_s))
        self.local[image] = content

    @rule(image=IMAGES, content=st.sampled_from(CONTENTS))
    def upload(self, image: tuple[str, str], content: bytes) -> None:
        location = self.tree.where.location(*image)
        self.tree.remote.put(location, content, md5=md5_of(content))
        self.remote[image] = content

    @rule(image=IMAGES)
    def delete_here(self, image: tuple[str, str]) -> None:
        if self.local.pop(image, None) is not None:
            (self.tree.folder(image[0]) / image[1]).unlink()

    @rule(image=IMAGES)
    def delete_there(self, image: tuple[str, str]) -> None:
        if self.remote.pop(image, None) is not None:
            self.tree.remote.delete(self.tree.where.location(*image))

    @rule()
    def sync(self) -> None:
        assert self.library().sync(accept_loss=True).problems == ()
        self.check()
        before = self.tree.manifests()
        again = self.library().sync(accept_loss=True)
        assert again.manifests_updated == 0
        shutil.rmtree(self.tree.root / self.tree.where.state_dir / "memos", ignore_errors=True)
        assert self.library().sync(accept_loss=True) == again
        assert self.library().sync(offline=True, accept_loss=True).manifests_updated == 0
        assert self.tree.manifests() == before

    def check(self) -> None:
        """Every status against what is there, by the plainest of rules; every image ever recorded is still named."""
        library = self.library()
        found: dict[tuple[str, str], str | None] = {}
        for row in library.status().actors:
            manifest = library.manifest(row.actor.name)
            for entry in manifest.entries:
                found[row.actor.name, entry.filename] = entry.status and entry.status.value
            for entry in manifest.missing:
                found[row.actor.name, entry.filename] = "missing"
        self.ever |= set(self.local) | set(self.remote)
        assert found == {image: self.oracle(image) for image in self.ever}

    def oracle(self, image: tuple[str, str]) -> str:
        here, there = self.local.get(image), self.remote.get(image)
        if here is None:
            return "missing" if there is None else "s3_only"
        if there is None:
            return "local_only"
        return "synced" if here == there else "out_of_sync"

    @invariant()
    def manifests_are_whole(self) -> None:
        self.library().status()


def test_any_history_of_edits_ends_in_true_statuses(ministack_server: Server) -> None:
    World.server = ministack_server
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        World, settings=settings(max_examples=15, stateful_step_count=12, suppress_health_check=checks)
    )


SIDES = st.dictionaries(
    st.tuples(st.sampled_from(ACTORS), st.sampled_from(NAMES)), st.sampled_from(CONTENTS), max_size=15
)


@settings(max_examples=60)
@given(local=SIDES, remote=SIDES)
def test_any_two_sides_are_told_apart(
    local: dict[tuple[str, str], bytes], remote: dict[tuple[str, str], bytes]
) -> None:
    """Many actors whose names sort oddly among keys, and two that share an id, in one listing."""
    with tempfile.TemporaryDirectory(prefix="callsheet-sides-") as folder:
        tree = Tree(Path(folder))
        for actor in ACTORS:
            tree.folder(actor)
        for image, content in local.items():
            tree.image(*image, content or b"\0")
        for image, content in remote.items():
            tree.object(*image, content or b"\0")
        library = tree.library()
        library.adopt("0001_b-c")
        library.adopt("0001_b.c", own=True)
        assert library.sync().problems == ()
        found = {
            (actor, entry.filename): entry.status and entry.status.value
            for actor in ACTORS
            for entry in library.manifest(actor).entries
        }
        wanted = {}
        for image in set(local) | set(remote):
            both = image in local and image in remote
            same = "synced" if local.get(image) == remote.get(image) else "out_of_sync"
            wanted[image] = same if both else "local_only" if image in local else "s3_only"
        assert found == wanted
        assert all(urls_of(library.manifest(actor)) for actor, _ in remote)


@pytest.fixture
def bucket(ministack_server: Server) -> str:
    return ministack_server.make_bucket(f"flips-{uuid.uuid4().hex[:12]}")


@pytest.mark.parametrize("settled", [True, False])
def test_one_flipped_byte_is_seen_on_either_side(
    ministack_server: Server, bucket: str, tmp_path: Path, settled: bool
) -> None:
    """With the size unchanged; and, for a file that has just been written, with its mtime unchanged too."""
    tree = Tree(tmp_path, S3Remote(REGION, endpoint_url=ministack_server.endpoint), replace(Layout(), bucket=bucket))
    mtime_s = SETTLED_S if settled else time.time()
    path = tree.image("0000_a", "0000_a_1.png", b"content", mtime_s=mtime_s)
    tree.object("0000_a", "0000_a_1.png", b"content")
    library = open_library(tmp_path, remote=tree.remote, environ={"CALLSHEET_BUCKET": bucket})
    library.sync()
    assert tree.statuses("0000") == {"0000_a_1.png": "synced"}
    path.write_bytes(b"c0ntent")
    os.utime(path, (mtime_s, mtime_s) if not settled else (mtime_s + 1, mtime_s + 1))
    library.sync()
    assert tree.statuses("0000") == {"0000_a_1.png": "out_of_sync"}
    tree.object("0000_a", "0000_a_1.png", b"c0ntent")
    library.sync()
    assert tree.statuses("0000") == {"0000_a_1.png": "synced"}
    tree.object("0000_a", "0000_a_1.png", b"C0ntent")
    library.sync()
    assert tree.statuses("0000") == {"0000_a_1.png": "out_of_sync"}
