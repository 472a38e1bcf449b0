"""Bodies that are moved without Python arrive whole or are told to be cut, exactly as those that pass through Python."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet import system
from callsheet.errors import BadDigest, LocalError
from callsheet.model import Location
from callsheet.remote import bulk
from callsheet.remote.bodies import Straight
from callsheet.remote.reply import receive
from callsheet.remote.transport import Again, Lost, Stream
from faults import without_extension

try:
    from callsheet import _bulk
except ImportError:
    WAYS = ["through Python"]
else:
    WAYS = ["straight", "through Python"]

PLACE = Location("bucket", "folder/a.jpg")
needs_extension = pytest.mark.skipif("straight" not in WAYS, reason="the extension was not built")
both_ways = pytest.mark.parametrize("way", WAYS)
however = pytest.mark.parametrize("how", ["into", "blocks"])


@contextmanager
def going(way: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if way == "through Python":
            without_extension(patch)
        yield


@contextmanager
def connected(theirs_do: Callable[[socket.socket], object], timeout_s: float = 10) -> Iterator[socket.socket]:
    """A connection whose other side does that, and then ends it."""
    theirs, ours = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(BrokenPipeError, ConnectionResetError):
            theirs_do(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        ours.settimeout(timeout_s)
        yield ours
    thread.join()


class _Connection:
    """All that a stream wants of one that is not to be kept."""

    def close(self) -> None:
        pass


class _Route:
    def keep(self, connection: object) -> None:
        pass


def come(sock: socket.socket, memory: bytearray, how: str = "into", at_once: int = 1 << 20) -> Iterator[int]:
    """The body of an answer comes into memory; how much, each time."""
    stream = Stream(receive(sock, "GET", last=False), _Connection(), _Route())  # type: ignore[arg-type]
    if how == "into":
        yield from stream.into(memoryview(memory), at_once)
        return
    filled = 0
    for block in stream.blocks(at_once):
        memory[filled : filled + len(block)] = block
        filled += len(block)
        yield len(block)


def head(size_bytes: int, version: str = "1.1") -> bytes:
    return f"HTTP/{version} 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode()


def in_pieces(raw: bytes, sizes: list[int]) -> Callable[[socket.socket], None]:
    def send(sock: socket.socket) -> None:
        start = 0
        for size in [*sizes, len(raw)]:
            sock.sendall(raw[start : start + size])
            start += size

    return send


# --- Down ---------------------------------------------------------------------------------------------------------------------------


@both_ways
@settings(max_examples=60, deadline=None)
@given(
    size_bytes=st.one_of(st.integers(0, 3000), st.integers(126_000, 135_000), st.just(400_000)),
    pieces=st.lists(st.integers(1, 70_000), max_size=6),
    room_bytes=st.integers(0, 10),
    at_once=st.sampled_from([1000, 1 << 17, 1 << 20]),
)
@however
def test_a_body_arrives_as_it_was_sent_however_it_is_cut(
    way: str, how: str, size_bytes: int, pieces: list[int], room_bytes: int, at_once: int
) -> None:
    body = os.urandom(size_bytes)
    memory = bytearray(size_bytes + room_bytes)
    with going(way), connected(in_pieces(head(size_bytes) + body + b"next", pieces)) as sock:
        counts = list(come(sock, memory, how, at_once))
    assert bytes(memory) == body + bytes(room_bytes), "and nothing after it"
    assert sum(counts) == size_bytes
    assert all(0 < count <= at_once for count in counts)


@both_ways
def test_what_there_is_no_room_for_is_told(way: str) -> None:
    memory = bytearray(5)
    with going(way), connected(lambda theirs: theirs.sendall(head(10) + b"helloworld")) as sock:
        assert sum(come(sock, memory)) > 5
    assert memory == b"hello"


@both_ways
@however
@pytest.mark.parametrize("come_bytes", [0, 1, 5000, 300_000])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_what_came_before_a_connection_broke_is_there_and_told(
    way: str, how: str, come_bytes: int, version: str
) -> None:
    body = os.urandom(400_000)
    memory = bytearray(len(body))
    told: list[int] = []
    with going(way), connected(lambda theirs: theirs.sendall(head(len(body), version) + body[:come_bytes])) as sock:
        with pytest.raises(Lost) as caught:
            told.extend(come(sock, memory, how))
        assert memory[:come_bytes] == body[:come_bytes]
    assert caught.value.again is Again.YES
    assert sum(told) == come_bytes


@both_ways
@however
def test_a_connection_that_is_reset_in_the_middle_is_told_as_lost(way: str, how: str) -> None:
    def reset(theirs: socket.socket) -> None:
        theirs.sendall(head(400_000) + bytes(300_000))
        linger = struct.pack("ii", 1, 0)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    server = socket.create_server(("127.0.0.1", 0))
    with going(way), server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            thread = threading.Thread(target=reset, args=(theirs,))
            thread.start()
            got = come(ours, bytearray(400_000), how, 100_000)
            first = next(got)
            thread.join()
        with pytest.raises(Lost) as caught:
            list(got)
    assert first
    assert caught.value.again is Again.YES


@both_ways
@however
def test_a_store_that_stops_sending_is_not_waited_for_longer_than_was_said(way: str, how: str) -> None:
    done = threading.Event()
    told: list[int] = []

    def stall(theirs: socket.socket) -> None:
        theirs.sendall(head(1000) + b"a" * 10)
        done.wait(20)

    started_s = time.monotonic()
    with going(way), connected(stall, timeout_s=0.3) as sock:
        with pytest.raises(Lost, match="no answer in time") as caught:
            told.extend(come(sock, bytearray(1000), how))
        done.set()
    assert sum(told) == 10
    assert caught.value.again is Again.IF_ALIVE
    assert 0.2 < time.monotonic() - started_s < 10


@both_ways
def test_a_store_that_is_slow_but_alive_is_waited_for(way: str) -> None:
    def trickle(theirs: socket.socket) -> None:
        theirs.sendall(head(6))
        for byte in b"abcdef":
            time.sleep(0.2)
            theirs.sendall(bytes([byte]))

    memory = bytearray(6)
    with going(way), connected(trickle, timeout_s=0.8) as sock:
        assert sum(come(sock, memory)) == 6
    assert memory == b"abcdef"


def test_nothing_goes_past_tls() -> None:
    class Wrapped(socket.socket):
        """As TLS through TLS is: another thing with a descriptor."""

    theirs, ours = socket.socketpair()
    with theirs, ours, Wrapped() as wrapped:
        assert not bulk.receives(wrapped)
        assert not bulk.sends(wrapped)
        with ssl.create_default_context().wrap_socket(
            ours, server_hostname="a", do_handshake_on_connect=False
        ) as secret:
            assert not bulk.receives(secret)
            assert not bulk.sends(secret)


# --- Up -----------------------------------------------------------------------------------------------------------------------------


def all_of(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def sent_through(sock: socket.socket, body: Straight) -> None:
    """As `transport` does."""
    if bulk.sends(sock):
        body.send(sock)
    else:
        for piece in body:
            sock.sendall(piece)


def straight(file: BinaryIO, size_bytes: int, counts: list[int] | None = None) -> Straight:
    return Straight(file, size_bytes, (counts if counts is not None else []).append, PLACE)


@both_ways
@pytest.mark.parametrize("size_bytes", [0, 1, 4096, 327_680, 5_000_001])
def test_a_file_is_sent_whole_to_whoever_reads_slowly(way: str, size_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(os.urandom(size_bytes))
    got: list[bytes] = []
    counts: list[int] = []
    with going(way), path.open("rb", buffering=0) as file, connected(lambda theirs: got.append(all_of(theirs))) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent_through(sock, straight(file, size_bytes, counts))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert got == [path.read_bytes()]
    assert sum(counts) == (size_bytes if way == "straight" else 0)


@both_ways
def test_a_file_that_ends_before_it_was_said_to_is_told(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1000))
    with (
        going(way),
        path.open("rb", buffering=0) as file,
        connected(lambda theirs: all_of(theirs)) as sock,
        pytest.raises(BadDigest, match="ended 234 bytes early"),
    ):
        sent_through(sock, straight(file, 1234))


@both_ways
def test_a_file_that_cannot_be_read_is_told_as_such(way: str, tmp_path: Path) -> None:
    with (
        going(way),
        (tmp_path / "a.jpg").open("xb", buffering=0) as file,  # not open for reading
        connected(lambda theirs: all_of(theirs)) as sock,
        pytest.raises((LocalError, OSError)) as caught,
    ):
        sent_through(sock, straight(file, 10))
    assert not isinstance(caught.value, ConnectionError)


@both_ways
def test_a_store_that_hangs_up_while_it_is_sent_a_file_is_told_as_such(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(5_000_000))
    with (
        going(way),
        path.open("rb", buffering=0) as file,
        connected(lambda theirs: theirs.recv(1)) as sock,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        sent_through(sock, straight(file, 5_000_000))


@both_ways
def test_a_store_that_stops_reading_is_not_waited_for_longer_than_was_said(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(5_000_000))
    done = threading.Event()
    with (
        going(way),
        path.open("rb", buffering=0) as file,
        connected(lambda theirs: done.wait(20), timeout_s=0.3) as sock,
    ):
        with pytest.raises(TimeoutError, match="timed out"):
            sent_through(sock, straight(file, 5_000_000))
        done.set()


@needs_extension
def test_a_file_system_that_cannot_send_straight_is_read_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bulk, "_send", lambda *_: (0, 0, errno.EINVAL))
    path = tmp_path / "a.jpg"
    path.write_bytes(b"hello")
    got: list[bytes] = []
    with path.open("rb", buffering=0) as file, connected(lambda theirs: got.append(all_of(theirs))) as sock:
        sent_through(sock, straight(file, 5))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert got == [b"hello"]


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


# --- The extension ------------------------------------------------------------------------------------------------------------------


@needs_extension
@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_is_heard_while_a_body_is_waited_for(raises: bool) -> None:
    done = threading.Event()
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)
        done.set()
        if raises:
            raise KeyboardInterrupt

    def stall(theirs: socket.socket) -> None:
        theirs.sendall(head(10) + b"hello")
        done.wait(20)
        theirs.sendall(b"world")

    previous = signal.signal(signal.SIGUSR1, hear)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    timer.start()
    try:
        memory = bytearray(10)
        with connected(stall) as sock:
            if raises:
                with pytest.raises(KeyboardInterrupt):
                    list(come(sock, memory))
            else:
                assert sum(come(sock, memory)) == 10
                assert memory == b"helloworld"
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
    assert heard == [signal.SIGUSR1]


@needs_extension
def test_the_extension_refuses_what_makes_no_sense() -> None:
    with pytest.raises(TypeError):
        _bulk.receive("a", bytearray(1), 1000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.receive(0, b"bytes", 1000)  # type: ignore[arg-type]  # cannot be written to
    with pytest.raises(TypeError):
        _bulk.write_durably(((1, memoryview(b""), 0, 0),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.write_durably([(1, memoryview(b""))])  # type: ignore[list-item]
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
    assert _bulk.receive(-1, bytearray(10), 1000) == (0, errno.EBADF)
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
