"""Bodies from sockets into memory, and from files to sockets, each in one go and without the GIL.

The C extension `_bulk` does it; an install without it, or a connection with TLS, passes bytes through Python. Rules of this module:
it speaks of descriptors and of `OSError`, and says what was moved even if not all was.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_receive: Callable[[int, memoryview, int], tuple[int, int]] | None = None
_send: Callable[[int, int, int, int], tuple[int, int, int]] | None = None
with suppress(ImportError):  # it is not there where no C compiler was
    from callsheet import _bulk

    _receive = _bulk.receive
    _send = getattr(_bulk, "send", None)  # Linux has it

_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Moved:
    """What went over, and what ended it early, if it was an error of one side; less than asked for and no error: the giving side ended."""

    size_bytes: int
    socket_error: OSError | None = None
    file_error: OSError | None = None


def receives(sock: socket.socket) -> bool:
    """Whether `receive` can take bytes from it: there is nothing between its descriptor and them, as TLS is."""
    return _receive is not None and type(sock) is socket.socket


def receive(sock: socket.socket, buffer: memoryview) -> Moved:
    """Fill a buffer with what comes from the socket. `receives` has said that it can. The socket's timeout is for each wait."""
    if _receive is None:
        raise AssertionError("receives() said no")
    return _told(*_receive(sock.fileno(), buffer, _timeout_ms(sock)), 0)


def sends(sock: socket.socket) -> bool:
    """Whether `send` can give bytes to it: as `receives`."""
    return _send is not None and type(sock) is socket.socket


def send(sock: socket.socket, file: int, size_bytes: int) -> Moved | None:
    """Send the next `size_bytes` bytes of a file; `sends` has said that it can. None, with nothing sent, if this file cannot be sent so."""
    if _send is None:
        raise AssertionError("sends() said no")
    sent_bytes, socket_error, file_error = _send(sock.fileno(), file, size_bytes, _timeout_ms(sock))
    return None if file_error in _CANNOT and not sent_bytes else _told(sent_bytes, socket_error, file_error)


def _told(size_bytes: int, socket_error: int, file_error: int) -> Moved:
    late = socket_error == errno.ETIMEDOUT  # in the words of Python's own sockets
    return Moved(size_bytes, TimeoutError("timed out") if late else _error(socket_error), _error(file_error))


def _error(code: int) -> OSError | None:
    return OSError(code, os.strerror(code)) if code else None


def _timeout_ms(sock: socket.socket) -> int:
    timeout_s = sock.gettimeout()
    return -1 if timeout_s is None else max(1, round(timeout_s * 1000))
