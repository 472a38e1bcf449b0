"""Bodies that go between a socket and a file without Python arrive whole or are told to be cut, exactly as those that pass through Python."""

from __future__ import annotations

import errno
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
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


def poured(sock: socket.socket, file: BinaryIO, most_bytes: int = 1 << 20) -> Iterator[int]:
    stream = Stream(receive(sock, "GET", last=False), _Connection(), _Route())  # type: ignore[arg-type]
    return stream.pour(file.fileno(), most_bytes)


def written(file: BinaryIO) -> bytes:
    return os.pread(file.fileno(), 1 << 24, 0)


def head(size_bytes: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode()


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
    most_bytes=st.sampled_from([1000, 1 << 17, 1 << 20]),
)
def test_a_body_arrives_as_it_was_sent_however_it_is_cut(
    way: str, size_bytes: int, pieces: list[int], most_bytes: int
) -> None:
    body = os.urandom(size_bytes)
    with (
        going(way),
        TemporaryFile() as file,
        connected(in_pieces(head(size_bytes) + body + b"next", pieces)) as sock,
    ):
        counts = list(poured(sock, file, most_bytes))
        assert written(file) == body
        assert sum(counts) == size_bytes
        assert all(0 < count <= most_bytes for count in counts)


@both_ways
@pytest.mark.parametrize("come_bytes", [0, 1, 5000, 300_000])
def test_what_came_before_a_connection_broke_is_in_the_file_and_told(way: str, come_bytes: int) -> None:
    body = os.urandom(400_000)
    told: list[int] = []
    with (
        going(way),
        TemporaryFile() as file,
        connected(lambda theirs: theirs.sendall(head(len(body)) + body[:come_bytes])) as sock,
    ):
        with pytest.raises(Lost) as caught:
            told.extend(poured(sock, file))
        assert written(file) == body[:come_bytes]
    assert caught.value.again is Again.YES
    assert sum(told) == come_bytes


@both_ways
def test_a_store_that_stops_sending_is_not_waited_for_longer_than_was_said(way: str) -> None:
    done = threading.Event()

    def stall(theirs: socket.socket) -> None:
        theirs.sendall(head(1000) + b"a" * 10)
        done.wait(20)

    started_s = time.monotonic()
    with going(way), TemporaryFile() as file, connected(stall, timeout_s=0.3) as sock:
        with pytest.raises(Lost, match="no answer in time") as caught:
            list(poured(sock, file))
        done.set()
    assert caught.value.again is Again.IF_ALIVE
    assert 0.2 < time.monotonic() - started_s < 10


@both_ways
def test_a_store_that_is_slow_but_alive_is_waited_for(way: str) -> None:
    def trickle(theirs: socket.socket) -> None:
        theirs.sendall(head(6))
        for byte in b"abcdef":
            time.sleep(0.2)
            theirs.sendall(bytes([byte]))

    with going(way), TemporaryFile() as file, connected(trickle, timeout_s=0.8) as sock:
        assert sum(poured(sock, file)) == 6
        assert written(file) == b"abcdef"


@both_ways
def test_a_full_disk_is_not_taken_for_a_broken_connection(way: str) -> None:
    raw = head(300_000) + bytes(300_000)
    with (
        going(way),
        open("/dev/full", "wb", buffering=0) as full,
        connected(lambda theirs: theirs.sendall(raw)) as sock,
        pytest.raises(OSError, match="No space left") as caught,
    ):
        list(poured(sock, full))
    assert caught.value.errno == errno.ENOSPC


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


@both_ways
def test_each_file_that_cannot_be_flushed_is_told_and_the_others_are(way: str, tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as a, (tmp_path / "b").open("wb") as b, going(way):
        reader, writer = os.pipe()  # which no disk holds
        os.close(reader)
        told = system.fsync_all([a.fileno(), writer, b.fileno()])
        os.close(writer)
        assert told[0] is told[2] is None
        assert told[1] is not None
        assert told[1].errno == errno.EINVAL
        assert system.fsync_all([]) == []


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
        with TemporaryFile() as file, connected(stall) as sock:
            if raises:
                with pytest.raises(KeyboardInterrupt):
                    list(poured(sock, file))
            else:
                assert sum(poured(sock, file)) == 10
                assert written(file) == b"helloworld"
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
    assert heard == [signal.SIGUSR1]


@needs_extension
def test_the_extension_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="more was begun"):
        _bulk.receive(0, 0, b"hello", 4, 1000)
    with pytest.raises(ValueError, match="more was begun"):
        _bulk.receive(0, 0, bytes(1 << 20), 1 << 21, 1000)
    with pytest.raises(ValueError, match="more was begun"):
        _bulk.receive(0, 0, b"", -1, 1000)
    with pytest.raises(TypeError):
        _bulk.receive("a", 0, b"", 1, 1000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _bulk.flush((1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no descriptor"):
        _bulk.flush([-1])
    assert _bulk.receive(-1, -1, b"", 10, 1000) == (0, errno.EBADF, 0)
