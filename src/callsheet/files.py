"""Changing the files of this disk so that nothing is torn or lost: whole files, exclusive names, moves.

Rules of this module: it speaks of paths and bytes. Every `OSError` ends here, as a `LocalError` that names the path, unless a docstring
says otherwise. No name is taken from a file that has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from datetime import datetime

from callsheet import drafts, folders, layout, locks, system
from callsheet.errors import ChangingFile
from callsheet.local import TEMPORARY, failed

ASIDE = ".callsheet_aside-"
"""What a file is called between two names of its own: unlike a temporary one, it may hold bytes that are nowhere else."""

_COPY_BYTES = 1 << 20
_STALE_S = 3600.0


def write_atomically(path: str, data: bytes, *, flush_folder: bool = True) -> None:
    """Put `data` at `path` so that a reader at any instant, after any crash, sees all of the old or all of the new.

    That it is the new is certain once the folder is flushed, here or by the caller. A symlink at `path` stays one: what it points to is replaced. The old file's permissions are kept.
    """
    target = system.realpath(path) if system.islink(path) else os.path.abspath(path)
    folder = os.path.dirname(target)
    temporary = drafts.temporary_name(folder)
    try:
        descriptor = folders.open_inside(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                with contextlib.suppress(FileNotFoundError):
                    system.fchmod(descriptor, stat.S_IMODE(system.stat(target).st_mode))
                system.write_all(descriptor, data)
                system.fsync(descriptor)
            finally:
                system.close(descriptor)
            system.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                system.unlink(temporary)
            raise
        if flush_folder:
            folders.flush_names(folder)
    except OSError as error:
        raise failed("write", path, error) from error


def create_durably(path: str, lines: Iterable[bytes]) -> int:
    """Make a new file that holds `lines` and survives a crash. Returns a descriptor to write more at its end.

    The file is locked, see `locks`, before it holds anything, and until the caller gives the descriptor to `locks.unlock`.
    """
    try:
        descriptor = folders.open_inside(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            system.flock(descriptor, fcntl.LOCK_EX)
            waiting = bytearray()
            for line in lines:
                waiting += line
                if len(waiting) > _COPY_BYTES:
                    system.write_all(descriptor, waiting)
                    waiting.clear()
            system.write_all(descriptor, waiting)
            system.fsync(descriptor)
            folders.settle(os.path.dirname(path))
            folders.flush_names(os.path.dirname(path))
        except BaseException:
            locks.unlock(descriptor)
            raise
    except OSError as error:
        raise failed("write", path, error) from error
    return descriptor


def move(path: str, target: str) -> None:
    """Move a file durably to a name that nothing has yet. The target's folder is made; it may be on another file system.

    `ChangingFile` if it changes or is replaced meanwhile: then what is new stays where it is. If it cannot be moved, it has no
    second name afterwards.
    """
    try:
        _moved(path, target)
        with contextlib.suppress(FileNotFoundError):  # removed by another thread, for it was empty then
            folders.flush_names(os.path.dirname(path))
    except OSError as error:
        raise failed("move", f"{path} to {target}", error) from error


def delete(path: str) -> None:
    """Remove a file for good. One that is not there is no error."""
    try:
        system.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("delete", path, error) from error


def sweep_temporaries(folder: str, now: datetime) -> None:
    """Remove what writers that were killed left behind: our temporary files that nobody touched in the last hour."""
    for name in left_behind(folder, TEMPORARY, now):
        with contextlib.suppress(OSError):
            system.unlink(os.path.join(folder, name))


def left_behind(folder: str, start: str, now: datetime) -> list[str]:
    """The names in a folder that begin with `start`, of files that nobody touched in the last hour; none if it cannot be read."""
    names = []
    with contextlib.suppress(OSError), system.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(start):
                continue
            with contextlib.suppress(OSError):
                # Not its mtime: a download's is that of its object.
                if entry.stat(follow_symlinks=False).st_ctime < now.timestamp() - _STALE_S:
                    names.append(entry.name)
    return sorted(names)


def touch(path: str, mtime_ns: int) -> None:
    """Give a file this mtime; one that is not there is made, empty. `LocalError` if it cannot be."""
    try:
        descriptor = folders.open_inside(path, os.O_WRONLY | os.O_CREAT)
        try:
            system.utime(descriptor, ns=(mtime_ns, mtime_ns))
        finally:
            system.close(descriptor)
    except OSError as error:
        raise failed("touch", path, error) from error


def jot(path: str, data: bytes) -> None:
    """Put these bytes in place of a file's, for readers who can do without: they may find it empty, or torn. `LocalError` if that fails."""
    try:
        descriptor = folders.open_inside(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            system.write_all(descriptor, data)
        finally:
            system.close(descriptor)
    except OSError as error:
        raise failed("write", path, error) from error


def _moved(path: str, target: str) -> None:
    """Move, once more if the target's folder was removed as soon as it was made: another thread found it empty."""
    for attempt in range(1, folders.ATTEMPTS + 1):
        try:
            folders.make(os.path.dirname(target))
            try:
                _rename_exclusively(path, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                copied = _copy_exclusively(path, target)
                _secure(os.path.dirname(target))
                _give_up(path, target, copied=copied)
        except FileNotFoundError:
            if attempt == folders.ATTEMPTS or system.lexists(target) or not system.lexists(path):
                raise
        else:
            return


def _rename_exclusively(path: str, target: str) -> None:
    """Rename, but never over something. The old name goes only when the new one survives a crash."""
    linked = drafts.linked(path, target)
    try:
        _secure(os.path.dirname(target))
    except OSError:
        if linked:
            system.unlink(target)
        raise
    if linked:
        _give_up(path, target)


def _secure(folder: str) -> None:
    """Make all that a folder holds survive a crash, though another thread found it empty, and others made it anew."""
    folders.flush_names(folder)
    folders.settle(folder)


def _give_up(path: str, target: str, *, copied: os.stat_result | None = None) -> None:
    """Remove the first name of a file that is at `target` now, too, linked or `copied`: but not what took its place meanwhile.

    The name is taken away before it is looked at what it names: between a look and a deletion somebody could save there.
    """
    # No temporary file that a later run may sweep away: what is in it may have been saved a moment ago.
    aside = os.path.join(os.path.dirname(path), f"{ASIDE}{system.urandom(4).hex()}")
    try:
        system.rename(path, aside)
    except FileNotFoundError:
        if copied is None and system.lstat(target).st_nlink > 1:  # another run moved it, too: what it has is enough
            system.unlink(target)
            raise
        return
    except OSError:
        if system.lexists(path):  # else it was renamed, and said to have failed: network drives do that
            system.unlink(target)
            raise
    now = system.lstat(aside)
    if not os.path.samestat(now, copied or system.lstat(target)) or (copied and _version(now) != _version(copied)):
        try:
            _rename_exclusively(aside, path)
        except FileExistsError:  # saved once more, over what was taken away here
            system.unlink(aside)
        raise ChangingFile(f"{layout.printable(path)} changed while it was moved", hint="Sync, then try again.")
    with contextlib.suppress(OSError):  # it has been moved: a hidden second name does no harm
        system.unlink(aside)


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _copy_exclusively(path: str, target: str) -> os.stat_result:
    """Copy to another file system, with the modification time; the target is whole and durable, or not there.

    Returns what was copied.
    """
    with system.open_file(path, "rb") as source, drafts.new_file(target, within=os.sep) as copy:
        status = system.fstat(source.fileno())
        while block := source.read(_COPY_BYTES):
            system.write_all(copy, block)
        system.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
        system.fsync(copy)
    return status
