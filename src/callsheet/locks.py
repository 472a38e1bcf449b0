"""Locks that threads and processes of this host hold against each other, and lose when they end.

Rules of this module: a lock is an open file, see docs/decisions/0007-own-lock.md. Every `OSError` ends here, as a `LocalError` that names the path.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from callsheet import folders, system
from callsheet.errors import LocalError
from callsheet.local import failed

_POLL_S = 0.01


@contextlib.contextmanager
def locked(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock file `path` against all other threads and processes of this host. It is made if need be, and stays.

    `LocalError` if it cannot be had, or others held it for `timeout_s`.
    """
    deadline = system.monotonic() + timeout_s
    try:
        while (descriptor := _try_lock(path)) is None:
            if system.monotonic() > deadline:
                hint = "Another run holds it; wait for that to end, then run again."
                raise LocalError(f"{path} was locked for {timeout_s:.0f} s", hint=hint)
            system.sleep(_POLL_S)
    except OSError as error:
        raise failed("lock", path, error) from error
    try:
        yield
    finally:
        unlock(descriptor)


def unlock(descriptor: int) -> None:
    """Close a descriptor, and release the lock that it holds: closing would not do if a child process had inherited it."""
    with contextlib.suppress(OSError):  # a network drive that fails here lets go of it when it is closed
        system.flock(descriptor, fcntl.LOCK_UN)
    system.close(descriptor)


def is_locked(path: str) -> bool:
    """Whether another thread or process of this host holds the lock of a file: one that was killed does not. False if there is no file."""
    try:
        descriptor = system.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return not _locks(descriptor, fcntl.LOCK_SH)
        finally:
            system.close(descriptor)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failed("lock", path, error) from error


def _try_lock(path: str) -> int | None:
    """A descriptor that holds the lock until it is closed; None if somebody else holds it.

    Threads exclude each other too: the lock belongs to the open file, not to the process.
    """
    descriptor = folders.open_inside(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
    ours = False
    try:
        # Of a file that was deleted meanwhile, others do not know.
        ours = _locks(descriptor, fcntl.LOCK_EX) and system.fstat(descriptor).st_nlink > 0
    finally:
        if not ours:
            system.close(descriptor)
    return descriptor if ours else None


def _locks(descriptor: int, kind: int) -> bool:
    """Whether a lock could be had at once."""
    try:
        system.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True
