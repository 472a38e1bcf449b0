"""Requests and their answers over plain sockets, bodies from files and into memory, each in one go and without the GIL.

The C extension `_wire` does it; an install without it, or a connection with TLS, passes bytes through Python. Rules of this module:
it speaks of sockets, files and `OSError`, and says what was moved even if not all was.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_receive: Callable[[int, memoryview, int], tuple[int, int]] | None = None
_send: Callable[[int, int, int, int], tuple[int, int, int]] | None = None
_exchange: (
    Callable[
        [int, bytes, str, int, bytearray, memoryview, int, int],
        tuple[int, int, int, int, int, int, int],
    ]
    | None
) = None
_quiet: Callable[[int], bool] | None = None
with suppress(ImportError):  # it is not there where no C compiler was
    from callsheet import _wire

    _receive, _exchange, _quiet = _wire.receive, _wire.exchange, _wire.quiet
    _send = getattr(_wire, "send", None)  # Linux has it

_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_ANSWER_BYTES = 1 << 14
"""What is received at once until the lines of an answer are complete."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What went over, and what ended it early, if it was an error of one side; less than asked for and no error: the giving side ended."""

    size_bytes: int
    socket_error: OSError | None = None
    file_error: OSError | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What an exchange came to: so many bytes of the request and of its file went; `answer` came, and `filled_bytes` of its body, which are in
    the memory for that.

    If the other side `refused`, it took no more of the request, and may have said why. Fewer bytes of the file than there are, and no error: it
    ended. Then, and after a `file_error`, no answer was waited for.
    """

    request_bytes: int
    file_bytes: int
    answer: bytearray
    filled_bytes: int
    refused: bool
    socket_error: OSError | None
    file_error: OSError | None


def is_plain(sock: socket.socket) -> bool:
    """Whether `receive` and `exchange` can use it: there is nothing between its descriptor and the bytes, as TLS is."""
    return _receive is not None and type(sock) is socket.socket


def receive(sock: socket.socket, buffer: memoryview) -> Moved:
    """Fill a buffer with what comes from the socket. `is_plain` has said that it can. The socket's timeout is for each wait."""
    if _receive is None:
        raise AssertionError("is_plain() said no")
    return _told(*_receive(sock.fileno(), buffer, _timeout_ms(sock)), 0)


def sends(sock: socket.socket) -> bool:
    """Whether `send`, or `exchange` with a file, can give bytes to it: as `is_plain`."""
    return _send is not None and type(sock) is socket.socket


def send(sock: socket.socket, file: int, size_bytes: int) -> Moved | None:
    """Send the next `size_bytes` bytes of a file; `sends` has said that it can. None, with nothing sent, if this file cannot be sent so."""
    if _send is None:
        raise AssertionError("sends() said no")
    sent_bytes, socket_error, file_error = _send(sock.fileno(), file, size_bytes, _timeout_ms(sock))
    return None if file_error in _CANNOT and not sent_bytes else _told(sent_bytes, socket_error, file_error)


def exchange(
    sock: socket.socket,
    request: bytes,
    path: str,
    file_bytes: int,
    body: memoryview,
    *,
    send_timeout_s: float,
    receive_timeout_s: float,
) -> Exchanged:
    """Send a request, and the file at `path` unless that is empty, if it is one of `file_bytes`, and receive the answer; `is_plain` has said that
    it can, and for a file, `sends`. If it is an object of as many bytes as `body` has room for, they come into that; nothing else does. Each timeout
    is for each wait.
    """
    if _exchange is None:
        raise AssertionError("is_plain() said no")
    answer = bytearray(_ANSWER_BYTES)
    request_bytes, sent_bytes, answer_bytes, filled_bytes, refused, socket_error, file_error = _exchange(
        sock.fileno(),
        request,
        path,
        file_bytes,
        answer,
        body,
        _ms(send_timeout_s),
        _ms(receive_timeout_s),
    )
    del answer[answer_bytes:]
    return Exchanged(
        request_bytes,
        sent_bytes,
        answer,
        filled_bytes,
        bool(refused),
        _socket_error(socket_error),
        _error(file_error),
    )


def is_quiet(sock: socket.socket) -> bool:
    """Whether nothing has come on a socket: neither a byte nor its end."""
    if _quiet is not None:
        return _quiet(sock.fileno())
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return not waiting.poll(0)


def _told(size_bytes: int, socket_error: int, file_error: int) -> Moved:
    return Moved(size_bytes, _socket_error(socket_error), _error(file_error))


def _socket_error(code: int) -> OSError | None:
    late = code == errno.ETIMEDOUT  # in the words of Python's own sockets
    return TimeoutError("timed out") if late else _error(code)


def _error(code: int) -> OSError | None:
    return OSError(code, os.strerror(code)) if code else None


def _timeout_ms(sock: socket.socket) -> int:
    timeout_s = sock.gettimeout()
    return -1 if timeout_s is None else _ms(timeout_s)


def _ms(timeout_s: float) -> int:
    return max(1, round(timeout_s * 1000))
