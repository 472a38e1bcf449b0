"""A file system in memory that tells what is seen from what would survive a power cut.

What is seen is as on any POSIX system. What survives: bytes of a file up to its last fsync, and of what was added since any prefix; names
up to the last fsync of their folder, and of the changes since any subset, each whole (a rename is one change). So a file whose folder was
never flushed may be gone, and one that was renamed may have its old name, its new one, but never neither. Symlinks there are none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

FOLDER, FILE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644
_DEVICE = 1


class Inode:
    """A file or a folder. `synced` and `kept` are what survives of its bytes, or of the names in it."""

    __slots__ = ("ctime_ns", "data", "kept", "links", "locks", "mode", "mtime_ns", "names", "number", "synced")

    def __init__(self, number: int, mode: int, moment_ns: int) -> None:
        self.number = number
        self.mode = mode
        self.mtime_ns = self.ctime_ns = moment_ns
        self.links = 0
        self.data = bytearray()
        self.synced = b""
        self.names: dict[str, Inode] = {}
        self.kept: dict[str, Inode] = {}
        self.locks: dict[int, int] = {}

    @property
    def is_folder(self) -> bool:
        return self.mode == FOLDER


class Status:
    """What `os.stat_result` tells, as far as it is asked."""

    __slots__ = ("st_ctime", "st_ctime_ns", "st_dev", "st_ino", "st_mode", "st_mtime_ns", "st_nlink", "st_size")

    def __init__(self, inode: Inode) -> None:
        self.st_mode = inode.mode
        self.st_ino = inode.number
        self.st_dev = _DEVICE
        self.st_nlink = inode.links
        self.st_size = len(inode.data)
        self.st_mtime_ns = inode.mtime_ns
        self.st_ctime_ns = inode.ctime_ns
        self.st_ctime = inode.ctime_ns / 1e9


class DirEntry:
    """As `os.DirEntry`."""

    __slots__ = ("_inode", "name", "path")

    def __init__(self, folder: str, name: str, inode: Inode) -> None:
        self.name = name
        self.path = f"{folder}/{name}"
        self._inode = inode

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._inode.is_folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return not self._inode.is_folder

    def is_symlink(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> Status:
        return Status(self._inode)


@dataclass(slots=True)
class Opened:
    """An open file. `owner` is the process."""

    inode: Inode
    owner: object
    append: bool = False
    position: int = 0


@dataclass(slots=True)
class _Change:
    """Names that change at once: in which folder, which name, to what it leads now (None: to nothing). `dropped` are the numbers of what had
    one of these names and has none of them now."""

    edits: tuple[tuple[Inode, str, Inode | None], ...]
    dropped: set[int]


def failure(number: int, path: str = "") -> OSError:
    return OSError(number, os.strerror(number), path)


@dataclass
class Disk:
    """All of it. Paths are absolute and plain. Errors are those of `os`."""

    moment_ns: int = 0
    """The time that changes are given; whoever owns the disk sets it."""

    opened: dict[int, Opened] = field(default_factory=dict)
    _pending: list[_Change] = field(default_factory=list)
    _numbers: int = 1
    _descriptors: int = 100

    def __post_init__(self) -> None:
        self.root = Inode(0, FOLDER, 0)
        self.root.links = 1

    # Looking.

    def find(self, path: str) -> Inode:
        """`FileNotFoundError`, `NotADirectoryError`."""
        inode = self.get(path)
        if inode is None:
            raise failure(errno.ENOTDIR if self._leads_through_a_file(path) else errno.ENOENT, path)
        return inode

    def get(self, path: str) -> Inode | None:
        """None if it is not there."""
        inode = self.root
        try:
            for name in path.split("/"):
                if name:
                    inode = inode.names[name]  # a file has none
        except KeyError:
            return None
        return inode

    def _leads_through_a_file(self, path: str) -> bool:
        above = path.rpartition("/")[0]
        return bool(above) and (
            self._leads_through_a_file(above) if (at := self.get(above)) is None else not at.is_folder
        )

    def folder(self, path: str) -> Inode:
        inode = self.find(path)
        if not inode.is_folder:
            raise failure(errno.ENOTDIR, path)
        return inode

    def files(self, path: str = "") -> Iterator[tuple[str, Inode]]:
        """Every file at or below `path`."""
        top = self.get(path)
        waiting = [] if top is None else [(path, top)]
        while waiting:
            at, inode = waiting.pop()
            if inode.is_folder:
                waiting += [(f"{at}/{name}", child) for name, child in inode.names.items()]
            else:
                yield at, inode

    def surviving_files(self) -> Iterator[bytes]:
        """What a power cut at this moment would surely leave of all files: not those of which it may also leave that they were deleted."""
        changing = {(folder.number, name) for change in self._pending for folder, name, _ in change.edits}
        dropped = {number for change in self._pending for number in change.dropped}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            for name, child in folder.kept.items():
                if child.number in dropped and (folder.number, name) in changing:
                    continue
                if child.is_folder:
                    waiting.append(child)
                else:
                    yield child.synced

    def surviving(self, path: str) -> bytes | None:
        """What a power cut at this moment would surely leave of a file; None if not even the name."""
        inode = self.root
        for name in path.split("/")[1:]:
            found = inode.kept.get(name)
            if found is None:
                return None
            inode = found
        return inode.synced

    # Changing names.

    def change(self, *edits: tuple[Inode, str, Inode | None]) -> None:
        """Change names at once."""
        dropped: set[int] = set()
        for folder, name, inode in edits:
            before = folder.names.pop(name, None)
            if before is not None:
                dropped.add(before.number)
                before.links -= 1
                before.ctime_ns = self.moment_ns
            if inode is not None:
                folder.names[name] = inode
                inode.links += 1
                inode.ctime_ns = self.moment_ns
            folder.mtime_ns = folder.ctime_ns = self.moment_ns
        dropped.difference_update(inode.number for _, _, inode in edits if inode is not None)
        self._pending.append(_Change(edits, dropped))

    def parent(self, path: str) -> tuple[Inode, str]:
        above, _, name = path.rpartition("/")
        return self.folder(above), name

    def create(self, path: str, mode: int = FILE) -> Inode:
        folder, name = self.parent(path)
        if name in folder.names:
            raise failure(errno.EEXIST, path)
        inode = Inode(self._numbers, mode, self.moment_ns)
        self._numbers += 1
        self.change((folder, name, inode))
        return inode

    def makedirs(self, path: str) -> None:
        at = ""
        for name in path.split("/")[1:]:
            at = f"{at}/{name}"
            found = self.get(at)
            if found is None:
                self.create(at, FOLDER)
            elif not found.is_folder:
                raise failure(errno.EEXIST, at)

    def link(self, path: str, target: str) -> None:
        inode = self.find(path)
        folder, name = self.parent(target)
        if name in folder.names:
            raise failure(errno.EEXIST, target)
        self.change((folder, name, inode))

    def rename(self, path: str, target: str) -> None:
        """Over what is there, if that is a file."""
        source, old = self.parent(path)
        inode = self.find(path)
        folder, name = self.parent(target)
        there = folder.names.get(name)
        if there is inode:
            return
        if there is not None and there.is_folder:
            raise failure(errno.EISDIR, target)
        self.change((source, old, None), (folder, name, inode))

    def unlink(self, path: str) -> None:
        folder, name = self.parent(path)
        if self.find(path).is_folder:
            raise failure(errno.EISDIR, path)
        self.change((folder, name, None))

    def rmdir(self, path: str) -> None:
        folder, name = self.parent(path)
        if self.folder(path).names:
            raise failure(errno.ENOTEMPTY, path)
        self.change((folder, name, None))

    # Open files.

    def open(self, inode: Inode, owner: object, *, append: bool = False) -> int:
        self._descriptors += 1
        self.opened[self._descriptors] = Opened(inode, owner, append)
        return self._descriptors

    def close(self, descriptor: int) -> None:
        opened = self.opened.pop(descriptor, None)
        if opened is not None:
            opened.inode.locks.pop(descriptor, None)

    def close_all_of(self, owner: object) -> None:
        """The process has ended: so have its locks."""
        for descriptor in [number for number, opened in self.opened.items() if opened.owner is owner]:
            self.close(descriptor)

    def at(self, descriptor: int) -> Opened:
        opened = self.opened.get(descriptor)
        if opened is None:
            raise failure(errno.EBADF)
        return opened

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        opened = self.at(descriptor)
        inode = opened.inode
        start = len(inode.data) if opened.append else opened.position
        inode.data[start : start + len(data)] = data
        opened.position = start + len(data)
        inode.mtime_ns = inode.ctime_ns = self.moment_ns
        return len(data)

    def lock(self, descriptor: int, operation: int) -> bool:
        """As `flock` that does not wait: whether it was had."""
        locks = self.at(descriptor).inode.locks
        if operation & fcntl.LOCK_UN:
            locks.pop(descriptor, None)
            return True
        shared = bool(operation & fcntl.LOCK_SH)
        others = [kind for number, kind in locks.items() if number != descriptor]
        if others and not (shared and all(kind & fcntl.LOCK_SH for kind in others)):
            return False
        locks[descriptor] = operation
        return True

    # What survives.

    def fsync(self, inode: Inode) -> None:
        """A file's bytes, or the names in a folder, with what they need to make sense."""
        if not inode.is_folder:
            inode.synced = bytes(inode.data)
            return
        touched, now, later = {inode.number}, list[_Change](), list[_Change]()
        for change in reversed(self._pending):
            if any(folder.number in touched for folder, _, _ in change.edits):
                touched.update(folder.number for folder, _, _ in change.edits)
                now.append(change)
            else:
                later.append(change)
        for change in reversed(now):
            _keep(change)
        self._pending = later[::-1]

    def settle(self) -> None:
        """As if everything had been flushed."""
        for change in self._pending:
            _keep(change)
        self._pending.clear()
        for _, inode in self.files():
            inode.synced = bytes(inode.data)

    def cut_power(self, rng: random.Random) -> None:
        """What was not flushed is there or not, as chance will have it. No file is open any more."""
        for change in _some(self._pending, rng):
            _keep(change)
        self._pending.clear()
        self.opened.clear()
        waiting, seen = [self.root], set[int]()
        while waiting:
            inode = waiting.pop()
            inode.links = 0
            if inode.number in seen:
                continue
            seen.add(inode.number)
            inode.locks.clear()
            if inode.is_folder:
                inode.names = dict(inode.kept)
                waiting += inode.names.values()
            elif inode.data != inode.synced:
                added = inode.data.startswith(inode.synced)
                most = rng.randint(len(inode.synced), len(inode.data)) if added else len(inode.synced)
                inode.data = bytearray((inode.data if added else inode.synced)[:most])
                inode.synced = bytes(inode.data)
        self.root.links = 1
        waiting = [self.root]
        while waiting:
            for child in waiting.pop().names.values():
                child.links += 1
                if child.is_folder:
                    waiting.append(child)


def _some(changes: list[_Change], rng: random.Random) -> list[_Change]:
    """None, all, all but one, one alone, or any."""
    alone = rng.choice(changes) if changes else None
    how = rng.randrange(5)
    odds = (0.0, 1.0, 1.0, 0.0, 0.5)[how]
    return [change for change in changes if (rng.random() < odds) != (how in (2, 3) and change is alone)]


def _keep(change: _Change) -> None:
    for folder, name, inode in change.edits:
        if inode is None:
            folder.kept.pop(name, None)
        else:
            folder.kept[name] = inode
