"""Answers of every form are understood as `http.client` does, and a connection is kept only if no byte of an answer can be left on it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callsheet.remote.reply import Reply, _Usual, receive

_USUAL = {
    "whole": ("GET", b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nhello'),
    "no reason, no blank": ("GET", b"HTTP/1.1 206\r\nx-amz-meta-a:b \t\r\ncontent-length: 5\r\n\r\nhello"),
    "empty": ("PUT", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "head": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "refusal": ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nServer: \xe9\r\n\r\ngone"),
    "a name twice": ("GET", b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\na: 2\r\n\r\nhi"),
    "the last one": ("GET", b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi"),
    "line ends in the body": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\r\n\r\n\n\n\r\n"),
}
_UNUSUAL = {
    "chunks": ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    "chunks with a length": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nlo\r\n0\r\n\r\n",
    ),
    "interim": ("PUT", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    "no content": ("DELETE", b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"),
    "not modified": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    "until the end": ("GET", b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhello"),
    "old": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    "folded": ("GET", b"HTTP/1.1 200 OK\r\nx: y\r\n z\r\nContent-Length: 2\r\n\r\nhi"),
    "bare line feeds": ("GET", b"HTTP/1.1 200 OK\nContent-Length: 9\n\nhi\r\n\r\nyou"),
    "a head without a length": ("HEAD", b"HTTP/1.1 404 Not Found\r\nx: y\r\n\r\n"),
    "two lengths": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
}  # fmt: skip
_BROKEN = {
    "nothing": b"",
    "half a status": b"HTTP/1.1 20",
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    "short chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
}
_KEPT = {"the last one", "until the end", "old"}


@contextmanager
def _sent(raw: bytes, piece_bytes: int) -> Iterator[socket.socket]:
    """A connection on which `raw` comes in pieces, and then its end."""
    theirs, ours = socket.socketpair()

    def send() -> None:
        with theirs:
            for start in range(0, len(raw), piece_bytes):
                theirs.sendall(raw[start : start + piece_bytes])

    thread = threading.Thread(target=send)
    thread.start()
    with ours:
        ours.settimeout(10)
        yield ours
        thread.join()


def _read(reply: Reply, most_bytes: int) -> bytes:
    return b"".join(iter(lambda: reply.read(most_bytes), b""))


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096])
@pytest.mark.parametrize("name", [*_USUAL, *_UNUSUAL])
def test_an_answer_is_understood_as_the_standard_library_does(name: str, piece_bytes: int) -> None:
    method, raw = (_USUAL | _UNUSUAL)[name]
    with _sent(raw, 4096) as sock:
        known = http.client.HTTPResponse(sock, method=method)
        known.begin()
        body = known.read()
    with _sent(raw, piece_bytes) as sock:
        reply = receive(sock, method, last=False)
        assert isinstance(reply, _Usual) == (name in _USUAL)
        assert (reply.status, reply.headers) == (
            known.status,
            {key.lower(): value.strip() for key, value in known.getheaders()},
        )
        assert _read(reply, 3) == body
        assert reply.leaves_usable == (name not in _KEPT)
        reply.close()
        known.close()


@pytest.mark.parametrize("name", _BROKEN)
def test_an_answer_that_is_cut_short_is_an_error(name: str) -> None:
    with _sent(_BROKEN[name], 3) as sock, pytest.raises(http.client.HTTPException):
        _read(receive(sock, "GET", last=False), 4096)


def test_what_comes_before_an_answer_ends_early_is_not_lost() -> None:
    with _sent(_BROKEN["short"], 4096) as sock:
        assert receive(sock, "GET", last=False).read(4096) == b"hel"


@pytest.mark.parametrize(
    ("raw", "last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", False),
        (_USUAL["whole"][1], True),
        (_UNUSUAL["chunks"][1], True),
    ],
    ids=["surplus bytes", "the request was refused", "the request was refused, in chunks"],
)
def test_a_connection_that_may_hold_something_else_is_not_used_again(raw: bytes, last: bool) -> None:
    with _sent(raw, 4096) as sock:
        reply = receive(sock, "GET", last=last)
        _read(reply, 4096)
        assert not reply.leaves_usable
        reply.close()


def test_an_answer_that_was_not_read_leaves_no_usable_connection() -> None:
    with _sent(_USUAL["whole"][1], 4096) as sock:
        assert not receive(sock, "GET", last=False).leaves_usable
