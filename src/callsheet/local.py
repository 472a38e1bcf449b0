"""This disk: what lies in an actor's folder, writing so that a crash cannot tear, and the trash.

Rules of this module: it speaks of paths and bytes, not of statuses. Every `OSError` ends here, as a `LocalError`
that names the path or as a fault of a scan. Symlinks that leave the actor's folder are not followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import BinaryIO

from callsheet import layout
from callsheet.errors import ChangingFile, LocalError, TreeError

_TEMPORARY = ".callsheet-"
_LOCK_POLL_S = 0.01
_IN_THE_WAY = "Check that the folder can be written to, that nothing else has its name, then run again."
_COPY_BYTES = 1 << 20
_STALE_S = 3600.0
_ATTEMPTS = 10
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_YEAR_1_NS = -62_135_596_800 * 1_000_000_000
_YEAR_10000_NS = 253_402_300_800 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """An image file, not opened yet."""

    filename: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a folder that could not be looked at or must not be used. `filename` is empty for the folder itself."""

    filename: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Scan:
    """A folder's images. Absence follows only from a `complete` scan; the names of `unknown` are there but unusable.

    `others` are the names that are no image's, in lower case: not every file system tells cases apart.
    """

    found: tuple[Found, ...] = ()
    unknown: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    complete: bool = True

    @property
    def leftovers(self) -> bool:
        """Whether there are temporary files, of writers that are at work or were killed."""
        return any(name.startswith(_TEMPORARY) for name in self.others)


def actor_folders(path: str) -> list[str]:
    """The names of the folders in `path`, hidden ones left out. `TreeError` if it cannot be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry))
    except FileNotFoundError as error:
        hint = "Run from the project's root, or name it: callsheet --root DIR; is the disk mounted?"
        raise TreeError(f"The actors folder {path} is not there", hint=hint) from error
    except OSError as error:
        hint = "Make it a readable folder, then run again."
        raise TreeError(f"The actors folder {path} cannot be read: {error.strerror}", hint=hint) from error


def scan(actor_folder: str, training_dir: str) -> Scan:
    """The images directly in `training_dir`. Sub-folders, hidden files and other files are not images."""
    try:
        if os.path.islink(training_dir) and not _inside(training_dir, actor_folder):
            return _unreadable("it is a symlink that leaves the actor's folder", training_dir)
        with os.scandir(training_dir) as entries:
            return _sorted_out(list(entries), actor_folder)
    except FileNotFoundError:
        if any(os.path.islink(path) and not os.path.exists(path) for path in (training_dir, actor_folder)):
            return _unreadable("it is reached by a symlink to nothing", training_dir)
        return Scan()
    except OSError as error:
        return _unreadable(error.strerror or str(error), training_dir)


def regular_files(folder: str) -> list[str]:
    """The names of a folder's regular files; no symlinks, and none of a folder that is one or cannot be read."""
    try:
        if os.path.islink(folder):
            return []
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []


def read_bytes(path: str, *, within: str = "") -> bytes | None:
    """The whole file, None if it is not there.

    `LocalError` if it cannot be read, is not a regular file, or is a symlink that leaves the folder `within`.
    """
    try:
        if within and os.path.islink(path) and not _inside(path, within):
            raise LocalError(f"{path} is a symlink that leaves the actor's folder", hint="Put a copy in its place.")
        with open(path, "rb", opener=open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _no_file(path)
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as error:
        raise _no_file(path) from error
    except OSError as error:
        raise failed("read", path, error) from error


def write_atomically(path: str, data: bytes, *, flush_folder: bool = True) -> None:
    """Put `data` at `path` so that a reader at any instant, after any crash, sees all of the old or all of the new.

    That it is the new is certain once the folder is flushed, here or by the caller. A symlink at `path` stays one: what it points to is replaced. The old file's permissions are kept.
    """
    target = os.path.realpath(path) if os.path.islink(path) else path
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{_TEMPORARY}{os.urandom(4).hex()}.tmp")
    try:
        descriptor = _open_in_folder(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        if flush_folder:
            _flush(folder)
    except OSError as error:
        raise failed("write", path, error) from error


@contextlib.contextmanager
def locked(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock file `path` against all other threads and processes of this host. It is made if need be, and stays.

    `LocalError` if it cannot be had, or others held it for `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while (descriptor := _try_lock(path)) is None:
            if time.monotonic() > deadline:
                hint = "Another run holds it; wait for that to end, then run again."
                raise LocalError(f"{path} was locked for {timeout_s:.0f} s", hint=hint)
            time.sleep(_LOCK_POLL_S)
    except OSError as error:
        raise failed("lock", path, error) from error
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing would not do if a child process had inherited it
        os.close(descriptor)


def touch(path: str, mtime_ns: int) -> None:
    """Give a file this mtime; one that is not there is made, empty. `LocalError` if it cannot be."""
    try:
        descriptor = _open_in_folder(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failed("touch", path, error) from error


def flush_folder(path: str) -> None:
    """Make what was renamed into a folder durable. One that is not there has nothing to lose."""
    try:
        _flush(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("flush", path, error) from error


def move(path: str, target: str) -> None:
    """Move a file durably to a name that nothing has yet. The target's folder is made; it may be on another file system.

    `ChangingFile` if it changes or is replaced meanwhile: then what is new stays where it is. If it cannot be moved, it has no
    second name afterwards.
    """
    try:
        _moved(path, target)
        _flush(os.path.dirname(target))
        with contextlib.suppress(FileNotFoundError):  # removed by another thread, for it was empty then
            _flush(os.path.dirname(path))
    except OSError as error:
        raise failed(f"move to {target}", path, error) from error


@contextlib.contextmanager
def new_file(target: str, *, within: str) -> Iterator[BinaryIO]:
    """A file to be written, that is flushed and gets its name when the block ends; never if the block raises, or the name is taken.

    `LocalError` then, and if the target's folder is, by a symlink, not inside the folder `within`. Missing folders are made.
    """
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{_TEMPORARY}{secrets.token_hex(4)}.tmp")
    check_inside(folder, within)
    try:
        with _created(temporary) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                _rename_exclusively(temporary, target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
    except OSError as error:
        raise failed("write", target, error) from error


def stamp(file: BinaryIO, moment_ns: int) -> None:
    """Give a file its modification time, and make what it holds durable. Raises `OSError`."""
    file.flush()
    os.utime(file.fileno(), ns=(moment_ns, moment_ns))
    os.fsync(file.fileno())


def mtime_ns(path: str) -> int | None:
    """A file's modification time; None if it is not there, or cannot be looked at."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return None


def _created(path: str) -> BinaryIO:
    """A new file, open for writing, its folder made; again, if another thread finds that empty and removes it."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _make_folder(os.path.dirname(path))
            return open(path, "xb")
        except FileNotFoundError:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _make_folder(path: str) -> None:
    """Make a folder if it is not there, and those above it. Another thread may remove any of them while it is empty.

    `os.makedirs` then says that one is not there, or, of one that went between two looks, that something else is.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            os.makedirs(path, exist_ok=True)
        except (FileNotFoundError, FileExistsError):
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def check_inside(folder: str, within: str) -> None:
    """`LocalError` if a symlink leads `folder`, which need not be there, out of the folder `within`."""
    if not _inside(folder, within):
        raise LocalError(f"{folder} is a symlink that leaves {within}", hint="Put a folder in its place.")


def files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Path, relative to `folder`, and size of every file below it; none if it is not there."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            with contextlib.suppress(FileNotFoundError):
                full = os.path.join(path, name)
                yield os.path.relpath(full, folder), os.lstat(full).st_size


def delete_folder(path: str) -> None:
    """Remove a folder and all below it for good. One that is not there is no error."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("delete", path, error) from error


def delete(path: str) -> None:
    """Remove a file for good. One that is not there is no error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("delete", path, error) from error


def remove_empty_folders(folder: str, top: str) -> None:
    """Remove `folder` and those above it, up to but without `top`, as far as they are empty."""
    while folder.startswith(top + os.sep):
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)


def create_durably(path: str, data: bytes) -> int:
    """Make a new file that holds `data` and survives a crash. Returns a descriptor to write more at its end; the caller closes it."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
            _flush(os.path.dirname(path))
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise failed("write", path, error) from error
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`: a single write may take less. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def names_in(folder: str) -> list[str]:
    """The names in a folder, sorted; none if it is not there."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("read", folder, error) from error


def _moved(path: str, target: str) -> None:
    """Move, once more if the target's folder was removed as soon as it was made: another thread found it empty."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _make_folder(os.path.dirname(target))
            try:
                _rename_exclusively(path, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _give_up(path, target, copied=_copy_exclusively(path, target))
        except FileNotFoundError:
            if attempt == _ATTEMPTS or os.path.lexists(target) or not os.path.lexists(path):
                raise
        else:
            return


def _rename_exclusively(path: str, target: str) -> None:
    """Rename, but never over something: a link first, and where the file system has none, a look."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(path, target)
    else:
        _give_up(path, target)


def _give_up(path: str, target: str, *, copied: os.stat_result | None = None) -> None:
    """Remove the first name of a file that is at `target` now, too, linked or `copied`: but not what took its place meanwhile.

    The name is taken away before it is looked at what it names: between a look and a deletion somebody could save there.
    """
    aside = os.path.join(os.path.dirname(path), f"{_TEMPORARY}{secrets.token_hex(4)}.tmp")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    except OSError:
        if os.path.lexists(path):  # or the renaming was done, and said to have failed: network drives do that
            os.unlink(target)
        raise
    now = os.lstat(aside)
    if not os.path.samestat(now, copied or os.lstat(target)) or (copied and _version(now) != _version(copied)):
        try:
            _rename_exclusively(aside, path)
        except FileExistsError:  # saved once more, over what was taken away here
            os.unlink(aside)
        raise ChangingFile(f"{layout.printable(path)} changed while it was moved", hint="Sync, then try again.")
    os.unlink(aside)


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _copy_exclusively(path: str, target: str) -> os.stat_result:
    """Copy to another file system, with the modification time; the target is whole and durable, or not there.

    Returns what was copied.
    """
    with open(path, "rb", opener=open_without_waiting) as source, new_file(target, within=os.sep) as copy:
        status = os.fstat(source.fileno())
        shutil.copyfileobj(source, copy, _COPY_BYTES)
        copy.flush()
        os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return status


def _open_in_folder(path: str, flags: int) -> int:
    """A descriptor of a file; the folder that it is in is made if need be."""
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.realpath(os.path.dirname(path)), exist_ok=True)
        return os.open(path, flags | os.O_CLOEXEC, 0o666)


def _try_lock(path: str) -> int | None:
    """A descriptor that holds the lock until it is closed; None if somebody else holds it.

    Threads exclude each other too: the lock belongs to the open file, not to the process.
    """
    descriptor = _open_in_folder(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
    ours = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.fstat(descriptor).st_nlink > 0  # of a file that was deleted meanwhile, others do not know
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
    finally:
        if not ours:
            os.close(descriptor)
    return descriptor if ours else None


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: str, now: datetime) -> None:
    """Remove what writers that were killed left behind: our temporary files that nobody touched in the last hour."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                # Not its mtime: a download's is that of its object.
                touched_s = entry.stat(follow_symlinks=False).st_ctime
                if entry.name.startswith(_TEMPORARY) and touched_s < now.timestamp() - _STALE_S:
                    os.unlink(entry.path)


def open_without_waiting(path: str, flags: int) -> int:
    """An opener for `open`: opening a FIFO would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _no_file(path: str) -> LocalError:
    return LocalError(f"{path} is not a regular file", hint="Move it away, then run again.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Also one that cannot be looked into: a link to a disk that is not mounted is no deleted actor."""
    try:
        return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _sorted_out(entries: list[os.DirEntry[str]], actor_folder: str) -> Scan:
    found: list[Found] = []
    unknown: list[str] = []
    others: list[str] = []
    faults: list[Fault] = []
    for entry in sorted(entries, key=attrgetter("name")):
        if not layout.is_image(entry.name):
            others.append(entry.name.lower())
            continue
        seen = _examined(entry, actor_folder)
        if isinstance(seen, Found):
            found.append(seen)
        elif isinstance(seen, Fault):
            faults.append(seen)
            unknown.append(entry.name)
    return Scan(tuple(found), frozenset(unknown), frozenset(others), tuple(faults))


def _examined(entry: os.DirEntry[str], actor_folder: str) -> Found | Fault | None:
    """What is under an image's name; None for a folder, or if it was deleted since it was listed."""
    name = entry.name
    if fault := layout.name_fault(name):
        return Fault(name, "bad_name", f"the name {fault}, so it cannot be recorded; rename the file")
    try:
        if entry.is_dir(follow_symlinks=False):
            return None
        if entry.is_symlink() and not _inside(entry.path, actor_folder):
            message = "the symlink leaves the actor's folder and is not followed; copy the file here"
            return Fault(name, "symlink", message)
        status = entry.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and not entry.is_symlink():
            return None
        return Fault(name, "unreadable", f"it cannot be looked at ({error.strerror}); mend that, then sync")
    if not stat.S_ISREG(status.st_mode):
        return Fault(name, "not_a_file", "it is named like an image but is no regular file; move it away")
    if not _YEAR_1_NS < status.st_mtime_ns < _YEAR_10000_NS:
        message = "its modification time is beyond what can be recorded; set it with `touch`, then sync"
        return Fault(name, "bad_time", message)
    return Found(name, status.st_size, status.st_mtime_ns)


def _inside(path: str, folder: str) -> bool:
    real = os.path.realpath(folder)
    return os.path.commonpath((os.path.realpath(path), real)) == real


def _unreadable(reason: str, path: str) -> Scan:
    message = f"{path} cannot be read: {reason}; what is recorded of its images stands until it can"
    return Scan(faults=(Fault("", "unreadable", message),), complete=False)


def failed(deed: str, path: str, error: OSError) -> LocalError:
    """The error that says that `deed` could not be done to `path`, why, and what to do."""
    hints: dict[int | None, str] = {
        errno.EACCES: "Check the permissions, then run again.",
        errno.EPERM: "Check the permissions, then run again.",
        errno.EROFS: "The file system is read-only: mount it writable, then run again.",
        errno.ENOSPC: "The disk is full: make room, then run again.",
        errno.EDQUOT: "The quota is used up: make room, then run again.",
        errno.ENOTDIR: _IN_THE_WAY,
        errno.EEXIST: _IN_THE_WAY,
        errno.ENAMETOOLONG: "Give the actor's folder a shorter name.",
    }
    message = f"Cannot {deed} {layout.printable(path)}: {error.strerror or error}"
    return LocalError(message, hint=hints.get(error.errno, "Mend that, then run again."))
