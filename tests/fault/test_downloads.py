"""An image comes through memory, or through a file where there is no room for it: it is the same image, or is refused, either way."""

from __future__ import annotations

import errno
import mmap
import uuid
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from callsheet import download, etag
from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote.contract import Reading
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
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
