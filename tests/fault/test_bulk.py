"""Files that are made, written, flushed, read and looked at by the extension are so as by Python."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from callsheet import system
from faults import both_ways, going, needs_extension, without_extension

with suppress(ImportError):
    from callsheet import _bulk


# --- To disk ------------------------------------------------------------------------------------------------------------------------


def _mapped(content: bytes) -> memoryview:
    """The content from a page on, where it may go past the page cache."""
    room = mmap.mmap(-1, max(len(content), 1))
    room[: len(content)] = content
    return memoryview(room)[: len(content)]


SIZES = [0, 1, 4096, 131_071, 131_072, 131_073, 327_680, 1_000_003]
MOMENTS_NS = [0, -1, -1_999_999_999, 1_760_000_000_123_456_789, 10_413_792_000_000_000_001]  # the last in 2300


@both_ways
@pytest.mark.parametrize("place", [None, "/dev/shm"])
def test_new_files_hold_what_they_are_given_and_when(way: str, place: str | None, tmp_path: Path) -> None:
    with going(way), TemporaryDirectory(dir=place or tmp_path) as folder, ExitStack() as stack:
        names = [f"{folder}/{size}" for size in SIZES]
        opened = [stack.enter_context(open(name, "xb", buffering=0)) for name in names]
        contents = [os.urandom(size) for size in SIZES]
        moments_ns = [MOMENTS_NS[number % len(MOMENTS_NS)] for number in range(len(SIZES))]
        given = [_mapped(content) for content in contents]
        files = [*zip([file.fileno() for file in opened], given, moments_ns, strict=True)]
        assert system.write_durably(files) == [None] * len(SIZES)
        assert [Path(name).read_bytes() for name in names] == contents
        assert [os.stat(name).st_mtime_ns for name in names] == moments_ns


def _in_page_cache(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [bytearray(4096)], 0, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


@needs_extension
def test_large_files_go_past_the_page_cache(tmp_path: Path) -> None:
    content = _mapped(bytes(1 << 20))
    try:
        plain = os.open(tmp_path / "plain", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        os.write(plain, content)
        os.close(plain)
        possible = not _in_page_cache(tmp_path / "plain")
    except OSError:
        possible = False
    if not possible:
        pytest.skip("this file system has no way past the page cache")
    for name, data in (("large", content), ("odd", content[:-1]), ("small", content[:4096])):
        with (tmp_path / name).open("xb", buffering=0) as file:
            assert system.write_durably([(file.fileno(), data, 0)]) == [None]
    assert [_in_page_cache(tmp_path / name) for name in ("large", "odd", "small")] == [False, False, True]


def test_a_disk_that_takes_a_little_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = system.write
    content = os.urandom(10_000)
    without_extension(monkeypatch)
    monkeypatch.setattr(system, "write", lambda descriptor, data: write(descriptor, data[:999]))
    with (tmp_path / "a").open("xb", buffering=0) as file:
        assert system.write_durably([(file.fileno(), memoryview(content), 0)]) == [None]
    assert (tmp_path / "a").read_bytes() == content


@both_ways
def test_a_file_that_does_not_end_where_it_should_is_told(way: str, tmp_path: Path) -> None:
    with going(way), (tmp_path / "a").open("xb", buffering=0) as file:
        file.write(bytes(20))
        file.seek(10)
        told = system.write_durably([(file.fileno(), memoryview(bytes(5)), 0)])
    assert [error.errno for error in told if error is not None] == [errno.EIO]


@both_ways
def test_what_a_file_holds_already_stays(way: str, tmp_path: Path) -> None:
    """Neither where it stands, nor where the data is in memory, is at a page."""
    content = os.urandom(400_000)
    with going(way), (tmp_path / "a").open("xb", buffering=0) as file:
        file.write(b"before")
        assert system.write_durably([(file.fileno(), _mapped(b"x" + content)[1:], 7)]) == [None]
        assert system.write_durably([(file.fileno(), _mapped(content), 7)]) == [None]
    assert (tmp_path / "a").read_bytes() == b"before" + content + content


@both_ways
def test_each_file_that_cannot_be_written_is_told_and_the_others_are(way: str, tmp_path: Path) -> None:
    data = _mapped(os.urandom(400_000))
    with ExitStack() as stack:
        stack.enter_context(going(way))
        files = [stack.enter_context((tmp_path / name).open("xb", buffering=0)) for name in "ab"]
        full = stack.enter_context(open("/dev/full", "wb", buffering=0))
        reader, writer = os.pipe()  # which no disk holds
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        descriptors = [files[0].fileno(), full.fileno(), writer, files[1].fileno()]
        told = system.write_durably([(number, data if number != writer else data[:1], 5) for number in descriptors])
        assert told[0] is told[3] is None
        assert [error.errno for error in told if error is not None] == [errno.ENOSPC, errno.EINVAL]
        assert system.write_durably([]) == []
    assert {(tmp_path / name).read_bytes() for name in "ab"} == {bytes(data)}


@both_ways
def test_files_and_folders_are_flushed_and_each_that_cannot_be_is_told(way: str, tmp_path: Path) -> None:
    """More than are flushed at a time."""
    with ExitStack() as stack:
        stack.enter_context(going(way))
        descriptors = []
        for number in range(40):
            (tmp_path / str(number)).mkdir()
            descriptors.append(os.open(tmp_path / str(number), os.O_RDONLY))
            stack.callback(os.close, descriptors[-1])
        reader, writer = os.pipe()  # which no disk holds
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        told = system.fsync_all([*descriptors[:17], writer, *descriptors[17:], reader])
        assert [error and error.errno for error in told] == [None] * 17 + [errno.EINVAL] + [None] * 23 + [errno.EINVAL]
        assert system.fsync_all([]) == []
        assert system.fsync_all(descriptors[:1]) == [None]


@both_ways
def test_new_files_are_made_where_nothing_is(way: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("nowhere")
    wanted = [str(tmp_path / name) for name in ("a", "there", "link", "b", "missing/c")]
    with going(way):
        a, there, link, b, missing = system.create(wanted)
        assert system.create([]) == []
    assert isinstance(there, FileExistsError)
    assert isinstance(link, FileExistsError)
    assert isinstance(missing, FileNotFoundError)
    assert missing.filename == wanted[-1]
    for number, name in ((a, "a"), (b, "b")):
        assert isinstance(number, int)
        assert not os.get_inheritable(number)
        os.write(number, name.encode())
        os.close(number)
        assert (tmp_path / name).read_text() == name
    assert (tmp_path / "there").read_bytes() == b"kept"


@both_ways
def test_new_files_get_their_names_but_never_one_that_is_taken(way: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"kept")
    wanted = ["a", "taken", "missing/c", "b"]
    drafts = [(tmp_path / f"{number}.tmp").open("xb", buffering=0) for number in range(len(wanted))]
    with ExitStack() as stack:
        stack.enter_context(going(way))
        told = system.publish(
            [(file.fileno(), str(file.name), str(tmp_path / name)) for file, name in zip(drafts, wanted, strict=True)]
        )
        assert system.publish([]) == []
        assert [error and error.errno for error in told] == [None, errno.EEXIST, errno.ENOENT, None]
        for file, error in zip(drafts, told, strict=True):
            if error is None:
                with pytest.raises(OSError, match="Bad file"):
                    file.close()
            else:
                file.write(b"open still")
                file.close()
    assert (tmp_path / "taken").read_bytes() == b"kept"
    assert sorted(os.listdir(tmp_path)) == ["1.tmp", "2.tmp", "a", "b", "taken"]


# --- Looks --------------------------------------------------------------------------------------------------------------------------


@both_ways
def test_all_that_is_in_a_folder_is_told_as_lstat_does(way: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path / "to nothing").symlink_to("nowhere")
    (tmp_path / "to it").symlink_to("a.png")
    os.mkfifo(tmp_path / "fifo")
    os.close(os.open(os.fsencode(tmp_path) + b"/no text \xff", os.O_CREAT))
    for number, moment_ns in enumerate(MOMENTS_NS):
        (tmp_path / f"at {number}").touch()
        os.utime(tmp_path / f"at {number}", ns=(moment_ns, moment_ns))
    for number in range(5_000):
        (tmp_path / f"{number}").touch()
    names = sorted(os.listdir(os.fsencode(tmp_path)))
    told = [(os.fsdecode(name), os.lstat(os.fsencode(tmp_path) + b"/" + name)) for name in names]
    seen = [system.Item(name, system.kind_of(one.st_mode), one.st_size, one.st_mtime_ns) for name, one in told]
    assert {item.kind for item in seen} == {"f", "d", "l", "o"}
    with going(way):
        inventory = system.inventory(str(tmp_path))
    assert inventory == system.inventory_of(seen)
    assert system.items(inventory) == sorted(seen)


@both_ways
def test_the_inventory_of_a_folder_changes_with_all_that_is_told_of_an_image(way: str, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"picture")
    with going(way):
        inventories = [system.inventory(str(tmp_path))]
        image.chmod(0o600)
        assert system.inventory(str(tmp_path)) == inventories[0]
        for change in (
            lambda: os.utime(image, ns=(5, 5)),
            lambda: os.truncate(image, 3),
            lambda: os.utime(image, ns=(5, 5)),
            lambda: image.rename(tmp_path / "b.png"),
            lambda: os.symlink("b.png", image),
        ):
            change()
            inventories.append(system.inventory(str(tmp_path)))
    assert len(set(inventories)) == len(inventories)


@both_ways
def test_of_an_empty_folder_nothing_is_told(way: str, tmp_path: Path) -> None:
    with going(way):
        assert system.inventory(str(tmp_path)) == b""
    assert system.items(b"") == []


def test_what_cannot_be_looked_at_is_told_with_the_reason() -> None:
    item = system.Item("a.png", system.Kind.UNSEEN, errno.EACCES, 0)
    assert system.items(system.inventory_of([item])) == [item]


@both_ways
def test_a_folder_that_cannot_be_read_is_told(way: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    with going(way):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            system.inventory(str(tmp_path / "nowhere"))
        with pytest.raises(NotADirectoryError, match="file"):
            system.inventory(str(tmp_path / "file"))
        with pytest.raises(ValueError, match="null"):
            system.inventory("a\0b")
        assert system.inventory(str(tmp_path / "link")) == system.inventory(str(tmp_path))
        with pytest.raises(OSError, match="link"):
            system.inventory(str(tmp_path / "link"), follows=False)


@both_ways
def test_files_are_read_in_one_go_but_for_those_that_cannot_be(way: str, tmp_path: Path) -> None:
    contents = [b"", b"a", os.urandom(1_000_003)]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to it").symlink_to("1")
    with going(way):
        names = ["0", "nowhere", "1", "fifo", ".", "2", "to it"]
        assert system.read_files([str(tmp_path / name) for name in names]) == [
            b"", None, b"a", None, None, contents[2], b"a",
        ]  # fmt: skip
        assert system.read_files([]) == []
        with pytest.raises(ValueError, match="null"):
            system.read_files(["a\0b"])


@both_ways
@pytest.mark.parametrize("size_bytes", [0, 1, 4096, 1_000_003])
def test_a_file_is_read_with_what_it_was(way: str, size_bytes: int, tmp_path: Path) -> None:
    content, path = os.urandom(size_bytes), tmp_path / "a"
    path.write_bytes(content)
    os.utime(path, ns=(-1, -1))
    status = path.stat()
    with going(way):
        assert system.read_file(str(path)) == (
            content,
            (status.st_mode, status.st_dev, status.st_ino, size_bytes, -1, status.st_ctime_ns),
        )


@both_ways
def test_of_what_is_no_regular_file_nothing_is_read_nor_waited_for(way: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with going(way):
        content, opened = system.read_file(str(tmp_path / "fifo"))
        assert (content, stat.S_ISFIFO(opened.mode)) == (b"", True)
        with pytest.raises(FileNotFoundError, match="nowhere"):
            system.read_file(str(tmp_path / "nowhere"))


@needs_extension
def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    """As those of the kernel do, and one that grows."""
    with open("/proc/self/limits", "rb") as file:
        assert system.read_file("/proc/self/limits")[0] == file.read()


# --- The extension ------------------------------------------------------------------------------------------------------------------------------------


@needs_extension
def test_the_extension_refuses_what_makes_no_sense() -> None:
    with pytest.raises(TypeError):
        _bulk.write_durably(((1, memoryview(b""), 0, 0),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.write_durably([(1, memoryview(b""))])  # type: ignore[list-item]
    for wrong in (("a",), [b"a", 1], [1]):
        with pytest.raises(TypeError):
            _bulk.create(wrong)  # type: ignore[arg-type]
    for unsound in ((), [(1, "a")], [(1, "a", 2)], [("a", "a", "b")]):
        with pytest.raises(TypeError):
            _bulk.publish(unsound)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null"):
        _bulk.create(["a\0b"])
    with pytest.raises(TypeError):
        _bulk.fsync((1,))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.fsync(["a"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        _bulk.read_each(("a",))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.read_each(["a", 1])  # type: ignore[list-item]
    for number in (1 << 32, 1 << 80):
        with pytest.raises(OverflowError):
            _bulk.fsync([number])
    nowhere = [(-1, memoryview(b""), 0, 0), (-1, memoryview(b"a"), 0, 0)]
    assert _bulk.write_durably(nowhere) == [errno.EBADF, errno.EBADF]
    assert _bulk.fsync([-1]) == [errno.EBADF]


@needs_extension
def test_where_no_thread_can_be_started_all_is_flushed_one_by_one(tmp_path: Path) -> None:
    code = """
import os, resource, sys
from callsheet import _bulk
descriptors = [os.open(sys.argv[1], os.O_RDONLY)] * 40
with open("/proc/self/statm") as file:
    used_bytes = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used_bytes, used_bytes))
assert _bulk.fsync(descriptors) == [0] * 40
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
