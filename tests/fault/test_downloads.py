"""An image comes through memory, or through a file where there is no room for it: it is the same image, or is refused, either way."""

from __future__ import annotations

import errno
import mmap
import os
import uuid
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from callsheet import download, drafts, etag, pictures
from callsheet.action import Action, Version
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.model import Location
from callsheet.remote.contract import Reading
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from callsheet.site import Site, take
from factory import USER_BUCKET, Tree, md5_of
from kept import Witness, carried_out, named, picture, settled
from scene import ANNA, BAD, GOOD
from servers import REGION, Server

SIZES = (0, 1, 4095, 4096, 4097, 131_072, 200_001, 1 << 20, 5, 300_000)

rooms = pytest.mark.parametrize("room_bytes", [1, 3 * 4096, 256 * 1024, download._ROOM_BYTES])


class Changing(MemoryRemote):
    """A store in memory that sends something else than it holds, so many times."""

    def __init__(self, times: int, change: Callable[[bytes], bytes]) -> None:
        super().__init__([Layout().bucket, USER_BUCKET])
        self.times = times
        self.change = change
        self.reads = 0
        """How many blocks were."""

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        reading = super().read(location, if_match=if_match, into=into)
        reading = replace(reading, blocks=self._counted(reading.blocks))
        if not location.key.endswith(BAD) or not self.times:
            return reading
        self.times -= 1
        changed = self.change(b"".join(reading.blocks))

        def blocks() -> Generator[bytes]:
            yield changed

        return replace(reading, blocks=blocks())

    def _counted(self, blocks: Generator[bytes | bytearray]) -> Generator[bytes | bytearray]:
        for block in blocks:
            self.reads += 1
            yield block


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def sent_by(tree: Tree, name: str, content: bytes) -> None:
    tree.folder(ANNA)
    tree.object(ANNA, name, content)


@rooms
@pytest.mark.parametrize("limit_bytes_s", [None, 100_000_000])
def test_images_of_any_size_arrive(
    tree: Tree, ministack_server: Server, monkeypatch: pytest.MonkeyPatch, room_bytes: int, limit_bytes_s: int | None
) -> None:
    monkeypatch.setattr(download, "_ROOM_BYTES", room_bytes)
    bucket = ministack_server.make_bucket(f"downloads-{uuid.uuid4().hex[:12]}")
    tree = Tree(tree.root, S3Remote(REGION, endpoint_url=ministack_server.endpoint), Layout(bucket=bucket))
    (tree.root / "callsheet.toml").write_text(f'bucket = "{bucket}"\n')
    contents = {f"{number:03}.png": picture(str(number), size) for number, size in enumerate(SIZES * 8)}
    contents["empty.png"] = b""
    for name, content in contents.items():
        if content:
            sent_by(tree, name, content)
        else:
            tree.remote.put(tree.where.location(ANNA, name), b"", md5="d41d8cd98f00b204e9800998ecf8427e")
    library = tree.library()
    done = library.apply(library.plan("pull", record_later=True), limit_bytes_s=limit_bytes_s)
    assert not done.report.problems, done.report.problems
    assert {path.name: path.read_bytes() for path in tree.folder(ANNA).iterdir()} == contents
    assert set(tree.statuses(ANNA[:4]).values()) == {"synced"}
    settled(tree)


@rooms
@pytest.mark.parametrize("times", [1, 2, 3])
def test_bytes_that_were_flipped_on_the_way_are_never_an_image(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, room_bytes: int, times: int
) -> None:
    monkeypatch.setattr(download, "_ROOM_BYTES", room_bytes)
    tree.remote = store = Changing(0, flipped)
    for name in (BAD, GOOD):
        sent_by(tree, name, picture(name, 9000))
    witness = Witness(tree)
    store.times = times
    result = carried_out(tree.library(), "pull")
    store.times = 0
    assert (tree.folder(ANNA) / GOOD).read_bytes() == picture(GOOD, 9000)
    if times < 3:
        assert not result.report.problems
        assert (tree.folder(ANNA) / BAD).read_bytes() == picture(BAD, 9000)
    else:
        named(result, ANNA, BAD, "bad_digest", "other bytes", "Try again")
        assert not (tree.folder(ANNA) / BAD).exists()
    witness.nothing_lost()


@rooms
@pytest.mark.parametrize(
    "change", [lambda content: content + b"more", lambda content: content[:-4]], ids=["more", "less"]
)
def test_another_size_than_was_announced_is_refused(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, room_bytes: int, change: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(download, "_ROOM_BYTES", room_bytes)
    tree.remote = store = Changing(0, change)
    for name in (BAD, GOOD):
        sent_by(tree, name, picture(name, 9000))
    store.times = 3
    result = carried_out(tree.library(), "pull")
    assert {problem.filename for problem in result.report.problems} == {BAD}
    assert not (tree.folder(ANNA) / BAD).exists()
    assert (tree.folder(ANNA) / GOOD).read_bytes() == picture(GOOD, 9000)


def test_without_memory_images_come_through_files(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> object:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", none)
    sent_by(tree, GOOD, picture(GOOD, 200_000))
    assert not carried_out(tree.library(), "pull").report.problems
    assert (tree.folder(ANNA) / GOOD).read_bytes() == picture(GOOD, 200_000)


def test_an_object_of_the_far_future_gets_its_time(tree: Tree) -> None:
    """More nanoseconds than fit into 64 bits."""
    content, moment = picture(GOOD), datetime(2300, 1, 1, tzinfo=UTC)
    assert isinstance(tree.remote, MemoryRemote)
    tree.folder(ANNA)
    where = tree.where.location(ANNA, GOOD)
    tree.remote.store(where, content, etag=md5_of(content), etag_is_md5=True, last_modified=moment)
    assert not carried_out(tree.library(), "pull").report.problems
    assert (tree.folder(ANNA) / GOOD).stat().st_mtime == moment.timestamp()


def test_a_folder_that_cannot_be_written_to_costs_no_transfer(tree: Tree) -> None:
    tree.remote = store = Changing(0, flipped)
    sent_by(tree, BAD, picture(BAD))
    proposal = tree.library().plan("pull")
    folder = tree.folder(ANNA)
    folder.rmdir()
    folder.write_bytes(b"in the way")
    store.reads = 0
    assert [problem.filename for problem in tree.library().apply(proposal).report.problems if problem.filename]
    assert store.reads == 0


def test_for_what_is_gone_no_folder_is_made(tree: Tree) -> None:
    sent_by(tree, BAD, picture(BAD))
    proposal = tree.library().plan("pull")
    tree.remote.delete(tree.where.location(ANNA, BAD))
    folder = tree.folder(ANNA)
    folder.rmdir()
    result = tree.library().apply(proposal)
    named(result, ANNA, BAD, "no_such_object", "no such object", "")
    assert not folder.exists()


@rooms
@pytest.mark.parametrize("part_bytes", [5 << 20, 5_000_000])
def test_an_etag_in_parts_is_told_wherever_the_image_is(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, room_bytes: int, part_bytes: int
) -> None:
    """Of no usual size, they prove nothing; what comes twice alike is taken."""
    monkeypatch.setattr(download, "_ROOM_BYTES", room_bytes)
    content, store = picture("parts", 11 << 20), Changing(1, flipped)
    tree.remote = store
    tree.folder(ANNA)
    parts = [content[start : start + part_bytes] for start in range(0, len(content), part_bytes)]
    tag = etag.multipart_etag([bytes.fromhex(md5_of(part)) for part in parts])
    store.store(tree.where.location(ANNA, BAD), content, etag=tag, etag_is_md5=False)
    result = carried_out(tree.library(), "pull")
    assert not result.report.problems, result.report.problems
    assert (tree.folder(ANNA) / BAD).read_bytes() == content
    assert store.times == 0, "what was flipped was not taken"


# --- A batch ------------------------------------------------------------------------------------------------------------------------

NAMES = [f"{number:02}.png" for number in range(40)]


def one_after_another(tree: Tree) -> Library:
    """One thread moves all images, ten at a time."""
    return open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_TRANSFERS": "1"})


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def apart(tree: Tree) -> Witness:
    """Images on both sides, but different."""
    for name in NAMES:
        tree.both(ANNA, name, picture(f"{name} here"))
    tree.library().sync()
    for name in NAMES:
        tree.object(ANNA, name, picture(f"{name} in S3"))
    tree.library().sync()
    return Witness(tree)


def test_an_image_that_is_replaced_is_away_no_longer_than_must_be(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    witness, taken = apart(tree), list[str]()

    def taking(site: Site, action: Action, version: Version) -> Version:
        assert sorted(path.name for path in tree.folder(ANNA).iterdir() if path.suffix == ".png") == NAMES
        taken.append(action.filename)
        return take(site, action, version)

    monkeypatch.setattr(download, "take", taking)
    assert not carried_out(one_after_another(tree), "repair", prefer="s3").report.problems
    assert sorted(taken) == NAMES
    assert [(tree.folder(ANNA) / name).read_bytes() for name in NAMES] == [picture(f"{name} in S3") for name in NAMES]
    witness.nothing_lost()


@pytest.mark.parametrize("at", ["flaw", "take", "publish"])
def test_what_nobody_expected_leaves_all_images_in_their_places(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    witness, before = apart(tree), open_files()
    library = one_after_another(tree)
    plan = library.plan("repair", prefer="s3")
    room: object = {"flaw": pictures, "take": download, "publish": drafts}[at]
    real, calls = getattr(room, at), count(1)

    def failing(*arguments: object) -> object:
        if next(calls) == 8:
            raise MemoryError(at)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(room, at, failing)
        with pytest.raises(MemoryError):
            library.apply(plan)
    assert sorted(path.name for path in tree.folder(ANNA).iterdir()) == NAMES
    assert open_files() == before
    witness.nothing_lost()


def test_what_nobody_expected_leaves_no_file_open_and_none_behind(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        sent_by(tree, name, picture(name))
    library, before = one_after_another(tree), open_files()
    plan, read, calls = library.plan("pull"), MemoryRemote.read, count(1)

    def failing(*arguments: Any, **named: Any) -> Reading:
        if next(calls) == 3:
            raise MemoryError
        return read(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryRemote, "read", failing)
        with pytest.raises(MemoryError):
            library.apply(plan)
    assert list(tree.folder(ANNA).iterdir()) == []
    assert open_files() == before
