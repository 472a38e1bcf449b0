"""What is moved over a connection without Python arrives whole or is told to be cut, exactly as what passes through Python."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import BadDigest, LocalError
from callsheet.model import Location
from callsheet.remote import transport, wire
from callsheet.remote.bodies import Straight
from callsheet.remote.contract import Source
from callsheet.remote.reply import NO_MEMORY, Reply, receive
from callsheet.remote.transport import Again, Lost, Stream
from faults import WAYS, both_ways, going, needs_extension

with suppress(ImportError):
    from callsheet import _wire

PLACE = Location("bucket", "folder/a.jpg")
however = pytest.mark.parametrize("how", ["into", "blocks"])


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
    reply = receive(sock, "GET", last=False, into=memoryview(memory))
    stream = Stream(reply, _Connection(), _Route())  # type: ignore[arg-type]
    if how == "into":
        yield from stream.fill(at_once)
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
            time.sleep(0.6)
            theirs.sendall(bytes([byte]))

    memory = bytearray(6)
    with going(way), connected(trickle, timeout_s=2) as sock:
        assert sum(come(sock, memory)) == 6
    assert memory == b"abcdef"


def test_nothing_goes_past_tls() -> None:
    class Wrapped(socket.socket):
        """As TLS through TLS is: another thing with a descriptor."""

    theirs, ours = socket.socketpair()
    with theirs, ours, Wrapped() as wrapped:
        assert not wire.is_plain(wrapped)
        assert not wire.sends(wrapped)
        with ssl.create_default_context().wrap_socket(
            ours, server_hostname="a", do_handshake_on_connect=False
        ) as secret:
            assert not wire.is_plain(secret)
            assert not wire.sends(secret)


# --- Up -----------------------------------------------------------------------------------------------------------------------------


def all_of(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def sent_through(sock: socket.socket, body: Straight) -> None:
    """As `transport` does."""
    with body:
        if wire.sends(sock):
            body.send(sock)
        else:
            for piece in body:
                sock.sendall(piece)


def asked_with(sock: socket.socket, body: Straight) -> None:
    ask(sock, body=body)


def straight(path: Path, size_bytes: int, counts: list[int] | None = None, mode: str = "rb") -> Straight:
    """A file that is to be sent; to whom it is not sent straight, opened in that mode."""
    sent = (counts if counts is not None else []).append
    return Straight(Source(size_bytes, lambda: path.open(mode, buffering=0), str(path), sent), PLACE)  # type: ignore[arg-type, return-value]


@both_ways
@pytest.mark.parametrize("size_bytes", [0, 1, 4096, 327_680, 5_000_001])
def test_a_file_is_sent_whole_to_whoever_reads_slowly(way: str, size_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(os.urandom(size_bytes))
    got: list[bytes] = []
    counts: list[int] = []
    with going(way), connected(lambda theirs: got.append(all_of(theirs))) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sent_through(sock, straight(path, size_bytes, counts))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert got == [path.read_bytes()]
    assert sum(counts) == (size_bytes if way == "straight" else 0)


@pytest.mark.parametrize("go", [sent_through, asked_with], ids=["after its request", "with it"])
@both_ways
def test_a_file_that_ends_before_it_was_said_to_is_told(
    way: str, go: Callable[[socket.socket, Straight], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1000))
    with (
        going(way),
        connected(lambda theirs: all_of(theirs)) as sock,
        pytest.raises(BadDigest, match="ended 234 bytes early"),
    ):
        go(sock, straight(path, 1234))


@pytest.mark.parametrize("go", [sent_through, asked_with], ids=["after its request", "with it"])
@both_ways
def test_a_file_that_cannot_be_read_is_told_as_such(
    way: str, go: Callable[[socket.socket, Straight], object], tmp_path: Path
) -> None:
    with (
        going(way),
        connected(lambda theirs: all_of(theirs)) as sock,
        pytest.raises(LocalError, match="Cannot read"),
    ):
        go(sock, straight(tmp_path / "a.jpg", 10, mode="xb"))  # not open for reading


@both_ways
def test_a_store_that_hangs_up_while_it_is_sent_a_file_is_told_as_such(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(5_000_000))
    with (
        going(way),
        connected(lambda theirs: theirs.recv(1)) as sock,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        sent_through(sock, straight(path, 5_000_000))


@both_ways
def test_a_store_that_stops_reading_is_not_waited_for_longer_than_was_said(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(5_000_000))
    done = threading.Event()
    with (
        going(way),
        connected(lambda theirs: done.wait(20), timeout_s=0.3) as sock,
    ):
        with pytest.raises(TimeoutError, match="timed out"):
            sent_through(sock, straight(path, 5_000_000))
        done.set()


@needs_extension
def test_a_file_system_that_cannot_send_straight_is_read_instead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wire, "_send", lambda *_: (0, 0, errno.EINVAL))
    path = tmp_path / "a.jpg"
    path.write_bytes(b"hello")
    got: list[bytes] = []
    with connected(lambda theirs: got.append(all_of(theirs))) as sock:
        sent_through(sock, straight(path, 5))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert got == [b"hello"]


# --- A request and its answer -----------------------------------------------------------------------------------------------------


REQUEST = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n"
OBJECT = os.urandom(100_000)
ANSWERS = {
    "an object": (head(len(OBJECT)) + OBJECT, True),
    "a part of one": (head(len(OBJECT)).replace(b"200 OK", b"206 Partial Content") + OBJECT, True),
    "other letters": (b"HTTP/1.1 200 OK\r\nETag: a\r\ncontent-LENGTH:\t100000 \r\n\r\n" + OBJECT, True),
    "the last one": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n" + OBJECT, True),
    "a folded line": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nA: b\r\n c\r\n\r\n" + OBJECT, True),
    "less than there is room for": (head(9) + OBJECT[:9], False),
    "more than there is room for": (head(len(OBJECT) + 1) + OBJECT + b"!", False),
    "more than was announced": (head(len(OBJECT)) + OBJECT + b"!", None),
    "a refusal of that size": (head(len(OBJECT)).replace(b"200 OK", b"403 Forbidden") + OBJECT, False),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 100000\r\n\r\n" + OBJECT[:9], False),
    "the same length twice": (head(len(OBJECT))[:-2] + b"Content-Length: 100000\r\n\r\n" + OBJECT, False),
    "no length": (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + OBJECT, False),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: 1e5\r\n\r\n" + OBJECT, False),
    "a length of nothing": (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n" + OBJECT, False),
    "a length without end": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"1" * 30 + b"\r\n\r\n" + OBJECT, False),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + OBJECT + b"\r\n0\r\n\r\n",
        False,
    ),
    "line feeds alone": (head(len(OBJECT)).replace(b"\r\n", b"\n") + OBJECT, False),
    "an old version": (head(len(OBJECT), "1.0") + OBJECT, False),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    "long lines": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40_000 + b"\r\nContent-Length: 100000\r\n\r\n" + OBJECT, False),
    "cut short": (head(len(OBJECT)) + OBJECT[:-1], True),
    "cut short in its lines": (b"HTTP/1.1 200 OK\r\nContent-Le", False),
    "no answer": (b"", False),
}  # fmt: skip
"""What comes, and whether it goes into memory at once: None if that depends on what comes at a time."""


def ask(sock: socket.socket, into: memoryview = NO_MEMORY, body: Straight | None = None, wait_s: float = 10) -> Reply:
    with body or nullcontext():
        return transport._answered(sock, "PUT" if body else "GET", REQUEST, body, into, wait_s)


def answering(raw: bytes, sizes: list[int], asked: list[bytes]) -> Callable[[socket.socket], None]:
    """Take the request, and give that answer, in pieces."""

    def serve(sock: socket.socket) -> None:
        asked.append(sock.recv(len(REQUEST), socket.MSG_WAITALL))
        in_pieces(raw, sizes)(sock)

    return serve


def understood(reply: Reply) -> tuple[object, ...]:
    """All that there is to an answer, or the kind of error that it is."""
    told: list[object] = [reply.status, dict(reply.headers)]
    body = b""
    try:
        while block := reply.read(30_000):
            body += block
    except (http.client.HTTPException, OSError) as error:
        told.append(type(error))
    return (*told, body, reply.leaves_usable)


@pytest.mark.parametrize(
    "sizes", [[], [1] * 70, [17, 30, 4000], [50_000]], ids=["at once", "bytes", "pieces", "halves"]
)
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_the_same_however_it_is_received(answer: str, sizes: list[int]) -> None:
    raw, _ = ANSWERS[answer]
    told = list[tuple[object, ...]]()
    for way in [*WAYS, "no memory"]:
        asked: list[bytes] = []
        memory = NO_MEMORY if way == "no memory" else memoryview(bytearray(len(OBJECT)))
        with going(way), connected(answering(raw, sizes, asked)) as sock:
            try:
                reply = ask(sock, memory)
            except http.client.HTTPException as error:
                told.append((type(error),))
            else:
                told.append(understood(reply))
                reply.close()
        assert asked == [REQUEST]
    assert told.count(told[-1]) == len(told)


@needs_extension
@pytest.mark.parametrize("answer", ANSWERS)
def test_into_memory_goes_an_object_of_that_size_and_nothing_else(answer: str) -> None:
    raw, goes = ANSWERS[answer]
    for at_once in (True, False):
        memory = memoryview(bytearray(len(OBJECT)))
        with connected(answering(raw, [] if at_once else [20] * 6, [])) as sock, suppress(http.client.HTTPException):
            ask(sock, memory).close()
        if goes is not None:
            come = len(OBJECT) - (answer == "cut short")
            assert memory == (OBJECT[:come] if goes else b"").ljust(len(OBJECT), b"\0")


@both_ways
@settings(max_examples=60, deadline=None)
@given(
    size_bytes=st.one_of(st.integers(0, 3000), st.integers(16_000, 17_000), st.just(400_000)),
    pieces=st.lists(st.integers(1, 70_000), max_size=6),
    at_once=st.sampled_from([1000, 1 << 17, 1 << 20]),
)
def test_an_object_fills_the_memory_for_it(way: str, size_bytes: int, pieces: list[int], at_once: int) -> None:
    body = os.urandom(size_bytes)
    memory = bytearray(size_bytes)
    with going(way), connected(answering(head(size_bytes) + body, pieces, [])) as sock:
        stream = Stream(ask(sock, memoryview(memory)), _Connection(), _Route())  # type: ignore[arg-type]
        counts = list(stream.fill(at_once))
    assert memory == body
    assert sum(counts) == size_bytes
    assert all(0 < count <= at_once for count in counts)


@both_ways
def test_what_came_into_memory_before_the_connection_broke_is_told(way: str) -> None:
    memory, told = bytearray(len(OBJECT)), list[int]()
    with going(way), connected(answering(head(len(OBJECT)) + OBJECT[:60_000], [], [])) as sock:
        stream = Stream(ask(sock, memoryview(memory)), _Connection(), _Route())  # type: ignore[arg-type]
        with pytest.raises(Lost) as caught:
            told.extend(stream.fill(25_000))
    assert caught.value.again is Again.YES
    assert sum(told) == 60_000
    assert memory[:60_000] == OBJECT[:60_000]


@both_ways
@pytest.mark.parametrize("come_bytes", [0, 10, 30_000])
def test_an_answer_is_not_waited_for_longer_than_was_said(way: str, come_bytes: int) -> None:
    done = threading.Event()

    def stall(theirs: socket.socket) -> None:
        theirs.sendall((head(len(OBJECT)) + OBJECT)[:come_bytes])
        done.wait(20)

    started_s = time.monotonic()
    with going(way), connected(stall) as sock:
        with pytest.raises(TimeoutError, match="timed out"):
            [*iter(partial(ask(sock, memoryview(bytearray(len(OBJECT))), wait_s=0.3).fill, 1 << 20), 0)]
        done.set()
    assert 0.2 < time.monotonic() - started_s < 10


@both_ways
@pytest.mark.parametrize("size_bytes", [1, 4096, 327_680, 1 << 20, (1 << 20) + 1])
def test_a_file_goes_with_its_request(way: str, size_bytes: int, tmp_path: Path) -> None:
    path, got, counts = tmp_path / "a.jpg", list[bytes](), list[int]()
    path.write_bytes(os.urandom(size_bytes))

    def take(theirs: socket.socket) -> None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        got.append(theirs.recv(len(REQUEST) + size_bytes, socket.MSG_WAITALL))
        theirs.sendall(head(0))

    with going(way), connected(take) as sock:
        reply = ask(sock, body=straight(path, size_bytes, counts))
        assert (reply.status, reply.leaves_usable) == (200, True)
    assert got == [REQUEST + path.read_bytes()]
    assert sum(counts) == (size_bytes if way == "straight" else 0)


@both_ways
def test_who_refuses_a_file_before_it_is_whole_is_heard(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1 << 20))

    def refuse(theirs: socket.socket) -> None:
        theirs.recv(len(REQUEST))
        theirs.sendall(head(0).replace(b"200 OK", b"403 Forbidden"))
        theirs.shutdown(socket.SHUT_RD)

    with going(way), connected(refuse) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        reply = ask(sock, body=straight(path, 1 << 20))
        assert (reply.status, reply.leaves_usable) == (403, False)


@both_ways
def test_a_store_that_does_not_take_a_request_is_not_waited_for_longer_than_was_said(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.3)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1 << 20))
    done = threading.Event()
    with going(way), connected(lambda _: done.wait(20)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(TimeoutError, match="timed out"):
            ask(sock, body=straight(path, 1 << 20))
        done.set()


@needs_extension
@pytest.mark.parametrize("begun", [True, False])
def test_a_file_that_cannot_be_sent_with_its_request_is_read_after_it(
    begun: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`begun`: that was found out when the request had gone; or before, and by now the file is what was said."""

    def cannot(sock: int, request: bytes, *_: object) -> tuple[int, int, int, int, int, int, int]:
        return os.write(sock, request) if begun else 0, 0, 0, 0, 0, 0, errno.EINVAL

    monkeypatch.setattr(wire, "_exchange", cannot)
    path, got = tmp_path / "a.jpg", list[bytes]()
    path.write_bytes(b"hello")

    def take(theirs: socket.socket) -> None:
        got.append(theirs.recv(len(REQUEST) + 5, socket.MSG_WAITALL))
        theirs.sendall(head(0))

    with connected(take) as sock:
        assert ask(sock, body=straight(path, 5)).status == 200
    assert got == [REQUEST + b"hello"]


def nothing(path: Path) -> None:
    pass


def larger(path: Path) -> None:
    path.write_bytes(b"hello!")


OTHERS: dict[str, Callable[[Path], object]] = {
    "gone": nothing, "larger": larger, "a folder": Path.mkdir, "a FIFO": os.mkfifo
}  # fmt: skip


@needs_extension
@pytest.mark.parametrize("other", OTHERS)
def test_a_request_is_not_begun_with_a_file_that_is_not_what_was_said(other: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    OTHERS[other](path)
    theirs, ours = socket.socketpair()
    with theirs, ours, closed_after(path):
        ours.settimeout(10)
        memory = memoryview(bytearray(10))
        done = wire.exchange(ours, REQUEST, str(path), 5, memory, send_timeout_s=10, receive_timeout_s=10)
        assert (done.request_bytes, done.file_bytes, done.refused, done.socket_error) == (0, 0, False, None)
        assert done.file_error is not None
        assert done.file_error.errno == (errno.ENOENT if other == "gone" else errno.EINVAL)
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""


@needs_extension
def test_a_file_that_is_cut_while_it_goes_with_its_request_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1 << 20))

    def cut(theirs: socket.socket) -> None:
        theirs.recv(len(REQUEST), socket.MSG_WAITALL)
        os.truncate(path, 10)
        all_of(theirs)

    with connected(cut) as sock, closed_after(path):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(BadDigest, match="bytes early"):
            ask(sock, body=straight(path, 1 << 20))


@contextmanager
def closed_after(path: Path) -> Iterator[None]:
    """Who opens the file meanwhile closes it."""
    yield
    opened = set[str]()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # another thread's, just closed, or the listing's own
            opened.add(os.readlink(f"/proc/self/fd/{number}"))
    assert str(path) not in opened


@both_ways
def test_a_connection_on_which_anything_has_come_is_not_quiet(way: str) -> None:
    theirs, ours = socket.socketpair()
    with going(way), theirs, ours:
        ours.settimeout(10)
        assert wire.is_quiet(ours)
        theirs.sendall(b"!")
        assert not wire.is_quiet(ours)
        ours.recv(1)
        assert wire.is_quiet(ours)
        theirs.close()
        assert not wire.is_quiet(ours)


# --- The extension ------------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def interrupted(raises: bool, at_once: bool) -> Iterator[threading.Event]:
    """A signal comes in a moment, once; its handler tells, and raises or not.

    Not `at_once`: it interrupts no call of the system, as if it had come just before one.
    """
    heard, times = threading.Event(), list[int]()

    def hear(number: int, _: object) -> None:
        times.append(number)
        heard.set()
        if raises:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, hear)

    def send() -> None:
        thread = threading.main_thread() if at_once else threading.current_thread()
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)

    timer = threading.Timer(0.3, send)
    timer.start()
    try:
        yield heard
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
    assert times == [signal.SIGUSR1]


@needs_extension
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_is_heard_while_a_body_is_waited_for(raises: bool, at_once: bool) -> None:
    def serve(theirs: socket.socket, heard: threading.Event) -> None:
        theirs.sendall(head(10) + b"hello")
        assert heard.wait(5)
        theirs.sendall(b"world")

    memory = bytearray(10)
    with interrupted(raises, at_once) as heard, connected(lambda theirs: serve(theirs, heard)) as sock:
        if raises:
            with pytest.raises(KeyboardInterrupt):
                list(come(sock, memory))
        else:
            assert sum(come(sock, memory)) == 10
            assert memory == b"helloworld"


@needs_extension
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_is_heard_while_an_answer_is_waited_for(raises: bool, at_once: bool) -> None:
    def serve(theirs: socket.socket, heard: threading.Event) -> None:
        theirs.recv(len(REQUEST), socket.MSG_WAITALL)
        assert heard.wait(5)
        theirs.sendall(head(len(OBJECT)) + OBJECT)

    memory = memoryview(bytearray(len(OBJECT)))
    with interrupted(raises, at_once) as heard, connected(lambda theirs: serve(theirs, heard)) as sock:
        if raises:
            with pytest.raises(KeyboardInterrupt):
                ask(sock, memory)
        else:
            assert ask(sock, memory).status == 200
            assert memory == OBJECT


@needs_extension
@pytest.mark.parametrize("raises", [True, False])
def test_ctrl_c_is_heard_while_a_file_is_taken_slowly(raises: bool, tmp_path: Path) -> None:
    path, got = tmp_path / "a.jpg", list[bytes]()
    path.write_bytes(os.urandom(1 << 20))

    def serve(theirs: socket.socket, heard: threading.Event) -> None:
        assert heard.wait(5)
        got.append(theirs.recv(len(REQUEST) + (1 << 20), socket.MSG_WAITALL))
        theirs.sendall(head(0))

    with interrupted(raises, at_once=True) as heard, connected(lambda theirs: serve(theirs, heard)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with closed_after(path):
            if raises:
                with pytest.raises(KeyboardInterrupt):
                    ask(sock, body=straight(path, 1 << 20))
            else:
                assert ask(sock, body=straight(path, 1 << 20)).status == 200
        sock.shutdown(socket.SHUT_WR)
    whole = REQUEST + path.read_bytes()
    assert whole.startswith(got[0])
    assert raises or got[0] == whole


@needs_extension
def test_the_wire_refuses_what_makes_no_sense() -> None:
    with pytest.raises(TypeError):
        _wire.receive("a", bytearray(1), 1000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _wire.receive(0, b"bytes", 1000)  # type: ignore[arg-type]  # cannot be written to
    with pytest.raises(TypeError):
        _wire.exchange(0, b"", "", 0, b"bytes", bytearray(), 1000, 1000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _wire.exchange(0, b"", "", 0, bytearray(), b"bytes", 1000, 1000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _wire.quiet("a")  # type: ignore[arg-type]
    for number in (-1, 1 << 32):
        with pytest.raises(ValueError, match="no descriptor"):
            _wire.quiet(number)
    assert _wire.receive(-1, bytearray(10), 1000) == (0, errno.EBADF)
    for request in (b"a", b""):
        told = _wire.exchange(-1, request, "", 0, bytearray(10), bytearray(), 1000, 1000)
        assert told == (0, 0, 0, 0, 0, errno.EBADF, 0)
    with pytest.raises(ValueError, match="null"):
        _wire.exchange(-1, b"a", "a\0b", 1, bytearray(10), bytearray(), 1000, 1000)
