"""Looking at this disk: what lies in an actor's folder, and in a file.

Rules of this module: it speaks of paths and bytes, not of statuses. Every `OSError` ends here, as a `LocalError`
that names the path or as a fault of a scan. Symlinks that leave the actor's folder are not followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from callsheet import layout, system
from callsheet.errors import LocalError, TreeError

TEMPORARY = ".callsheet-"
"""What the names of our temporary files start with: no scan takes them for images."""

_IN_THE_WAY = "Check that the folder can be written to, that nothing else has its name, then run again."
_YEAR_1_NS = -62_135_596_800 * 1_000_000_000
_YEAR_10000_NS = 253_402_300_800 * 1_000_000_000


class Found(NamedTuple):
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


class Stamp(NamedTuple):
    """A state of a file or folder. Two equal ones are one state, if that was not changed in the instant in which it was looked at."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


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
        return any(name.startswith(TEMPORARY) for name in self.others)


Looked = bytes | Scan
"""A look at a folder: its inventory, see `system.inventory`, or a scan where that does not tell all: of a folder with symlinks in it, or that
could not be read. What equal ones mean is equal."""


def actor_folders(path: str) -> tuple[tuple[str, ...], dict[str, bool]]:
    """The names of the folders in `path`, sorted, hidden ones left out; and, of the symlinks in it, by path, whether each leads to a
    folder: that can change without a trace in `path`. `TreeError` if it cannot be read."""
    try:
        with system.scandir(path) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            links = {entry.path: leads_to_folder(entry.path) for entry in shown if entry.is_symlink()}
            names = [entry.name for entry in shown if links.get(entry.path) or _is_folder(entry)]
            return tuple(sorted(names)), links
    except FileNotFoundError as error:
        hint = "Run from the project's root, or name it: callsheet --root DIR; is the disk mounted?"
        raise TreeError(f"The actors folder {path} is not there", hint=hint) from error
    except OSError as error:
        hint = "Make it a readable folder, then run again."
        raise TreeError(f"The actors folder {path} cannot be read: {error.strerror}", hint=hint) from error


def scan(actor_folder: str, training_dir: str) -> Scan:
    """The images directly in `training_dir`. Sub-folders, hidden files and other files are not images."""
    return scan_of(look(actor_folder, training_dir))


def look(actor_folder: str, training_dir: str) -> Looked:
    """All that is in `training_dir`, for `scan_of` to say what it is: whether anything has changed can be told without that."""
    try:
        try:
            inventory = system.inventory(training_dir, follows=False)
        except OSError:
            if not system.islink(training_dir):
                raise
            if not _inside(training_dir, actor_folder):
                return _unreadable("it is a symlink that leaves the actor's folder", training_dir)
            inventory = system.inventory(training_dir)
    except FileNotFoundError:
        if any(system.islink(path) and not system.exists(path) for path in (training_dir, actor_folder)):
            return _unreadable("it is reached by a symlink to nothing", training_dir)
        return b""
    except OSError as error:
        return _unreadable(error.strerror or str(error), training_dir)
    linked = b"/%s/" % system.Kind.LINK.encode() in inventory
    return _sorted_out(system.items(inventory), training_dir, actor_folder) if linked else inventory


def scan_of(looked: Looked) -> Scan:
    """The scan that a look comes to."""
    return looked if isinstance(looked, Scan) else _sorted_out(system.items(looked), "", "")


def has_other(looked: Looked, name: str) -> bool:
    """Whether a file that is no image has this name, which is in lower case, in any letter case."""
    return name in looked.others if isinstance(looked, Scan) else b"\0%s/" % name.encode() in looked.lower()


def regular_files(folder: str) -> list[str]:
    """The names of a folder's regular files; no symlinks, and none of a folder that is one or cannot be read."""
    try:
        return [
            item.name for item in system.items(system.inventory(folder, follows=False)) if item.kind is system.Kind.FILE
        ]
    except OSError:
        return []


def image_named(folder: str, stem: str, suffixes: Iterable[str], *, within: str) -> str | None:
    """The name of the first regular file in `folder` that is `stem` and one of `suffixes`, in any letter case, in their order.

    None if there is none, or it lies, by a symlink, outside the folder `within`.
    """
    try:
        names = {name.lower(): name for name in sorted(system.listdir(folder), reverse=True) if name.startswith(stem)}
    except OSError:
        return None
    for suffix in suffixes:
        name = names.get(stem.lower() + suffix)
        if name is not None and system.isfile(path := os.path.join(folder, name)) and _inside(path, within):
            return name
    return None


def read_bytes(path: str, *, within: str = "") -> bytes | None:
    """The whole file, None if it is not there. See `read_stamped` for errors."""
    found = read_stamped(path, within=within)
    return None if found is None else found[0]


def read_stamped(path: str, *, within: str = "") -> tuple[bytes, Stamp] | None:
    """The whole file, and the stamp that it had when it was opened; None if it is not there.

    `LocalError` if it cannot be read, is not a regular file, or is a symlink that leaves the folder `within`.
    """
    try:
        if within and system.islink(path) and not _inside(path, within):
            raise LocalError(f"{path} is a symlink that leaves the actor's folder", hint="Put a copy in its place.")
        content, opened = system.read_file(path)
        if not stat.S_ISREG(opened.mode):
            raise _no_file(path)
        return content, Stamp(*opened[1:])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as error:
        raise _no_file(path) from error
    except OSError as error:
        raise failed("read", path, error) from error


def read_each(paths: Sequence[str]) -> list[bytes | LocalError | None]:
    """What `read_bytes` tells of each of a few files, an error in its place; in one go, for as long as they can be read."""
    return [_told(path) if raw is None else raw for path, raw in zip(paths, system.read_files(paths), strict=True)]


def _told(path: str) -> bytes | LocalError | None:
    try:
        return read_bytes(path)
    except LocalError as error:
        return error


def stamp(path: str) -> Stamp | None:
    """What tells whether a file, or a folder's names, have changed; None if it is not there, or cannot be looked at."""
    try:
        return _stamp(system.stat(path))
    except OSError:
        return None


def open_inside(path: str, within: str) -> BinaryIO | None:
    """A regular file, opened to be read; None if there is none at `path` that lies, symlinks followed, inside the folder `within`.

    What was opened is what was checked, whatever becomes of the path meanwhile. `LocalError` if it cannot be opened.
    """
    try:
        file = system.open_file(path, "rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise failed("read", path, error) from error
    if _is_inside(file, path, within):
        return file
    file.close()
    return None


def mtime_ns(path: str) -> int | None:
    """A file's modification time; None if it is not there. `LocalError` if it cannot be looked at."""
    try:
        return system.lstat(path).st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed("look at", path, error) from error


def check_inside(folder: str, within: str) -> None:
    """`LocalError` if a symlink leads `folder`, which need not be there, out of the folder `within`."""
    plain = os.path.dirname(folder) == within and not system.islink(folder)
    if not plain and not _inside(folder, within):
        raise LocalError(f"{folder} is a symlink that leaves {within}", hint="Put a folder in its place.")


def files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Path, relative to `folder`, and size of every file below it; none if it is not there."""
    for path, folders, names in system.walk(folder):
        folders.sort()
        for name in sorted(names):
            with contextlib.suppress(FileNotFoundError):
                full = os.path.join(path, name)
                yield os.path.relpath(full, folder), system.lstat(full).st_size


def names_in(folder: str) -> list[str]:
    """The names in a folder, sorted; none if it is not there."""
    try:
        return sorted(system.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("read", folder, error) from error


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _no_file(path: str) -> LocalError:
    return LocalError(f"{path} is not a regular file", hint="Move it away, then run again.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder itself, or cannot be looked at."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return True


def leads_to_folder(link: str) -> bool:
    """Also one that cannot be looked into: a link to a disk that is not mounted is no deleted actor."""
    try:
        return stat.S_ISDIR(system.stat(link).st_mode)
    except OSError:
        return True


def _sorted_out(items: list[system.Item], training_dir: str, actor_folder: str) -> Scan:
    found: list[Found] = []
    unknown: list[str] = []
    others: list[str] = []
    faults: list[Fault] = []
    for item in items:
        if not layout.is_image(item.name):
            others.append(item.name.lower())
            continue
        seen = _examined(item, training_dir, actor_folder)
        if isinstance(seen, Found):
            found.append(seen)
        elif isinstance(seen, Fault):
            faults.append(seen)
            unknown.append(item.name)
    return Scan(tuple(found), frozenset(unknown), frozenset(others), tuple(faults))


def _examined(item: system.Item, training_dir: str, actor_folder: str) -> Found | Fault | None:
    """What is under an image's name; None for a folder, or if it was deleted since it was listed."""
    name, kind, size_bytes, mtime_ns = item
    error = size_bytes if kind is system.Kind.UNSEEN else 0
    if fault := layout.name_fault(name):
        return Fault(name, "bad_name", f"the name {fault}, so it cannot be recorded; rename the file")
    if error == errno.ENOENT or kind is system.Kind.FOLDER:
        return None
    if kind is system.Kind.LINK:
        path = os.path.join(training_dir, name)
        try:
            if not _inside(path, actor_folder):
                message = "the symlink leaves the actor's folder and is not followed; copy the file here"
                return Fault(name, "symlink", message)
            status = system.stat(path)
        except OSError as failure:
            error = failure.errno or errno.EIO
        else:
            kind, size_bytes, mtime_ns = system.kind_of(status.st_mode), status.st_size, status.st_mtime_ns
    if error:
        return Fault(name, "unreadable", f"it cannot be looked at ({os.strerror(error)}); mend that, then sync")
    if kind is not system.Kind.FILE:
        return Fault(name, "not_a_file", "it is named like an image but is no regular file; move it away")
    if not _YEAR_1_NS < mtime_ns < _YEAR_10000_NS:
        message = "its modification time is beyond what can be recorded; set it with `touch`, then sync"
        return Fault(name, "bad_time", message)
    return Found(name, size_bytes, mtime_ns)


def _is_inside(file: BinaryIO, path: str, folder: str) -> bool:
    """Whether an open file is regular, and the one at `path` inside `folder`."""
    status, real = system.fstat(file.fileno()), system.realpath(path)
    try:
        return stat.S_ISREG(status.st_mode) and _inside(real, folder) and os.path.samestat(system.lstat(real), status)
    except OSError:  # it was replaced just now
        return False


def _inside(path: str, folder: str) -> bool:
    real = system.realpath(folder)
    return os.path.commonpath((system.realpath(path), real)) == real


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
        errno.ENOENT: "It is not there any more: sync, then try again.",
        errno.ENOTDIR: _IN_THE_WAY,
        errno.EEXIST: _IN_THE_WAY,
        errno.ENAMETOOLONG: "Give the actor's folder a shorter name.",
    }
    message = f"Cannot {deed} {layout.printable(path)}: {error.strerror or error}"
    return LocalError(message, hint=hints.get(error.errno, "Mend that, then run again."))
