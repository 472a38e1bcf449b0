"""The machine, as far as callsheet asks anything of it: files, the clock, chance. All that is below the shells goes through here.

Each function does what the one of that name in `os`, `os.path`, `shutil`, `time` or `random` does, and raises what that raises, unless its
docstring says more. What is seldom asked for is imported then. Callers write `system.replace(…)`: whoever puts other functions in this module's place has put them in the place
of the machine.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISREG
from typing import Any, Literal, NamedTuple, cast, overload

_write_in_c: Callable[[list[tuple[int, memoryview, int, int]]], list[int]] | None = None
_fsync_in_c: Callable[[list[int]], list[int]] | None = None
_create_in_c: Callable[[list[str]], list[int]] | None = None
_publish_in_c: Callable[[list[tuple[int, str, str]]], list[int]] | None = None
_read_in_c: Callable[[str], tuple[bytes, int, int, int, int, int, int, int, int]] | None = None
_read_each_in_c: Callable[[list[str]], list[bytes | None]] | None = None
_inventory_in_c: Callable[[str, bool], bytes] | None = None
with suppress(ImportError):  # it is not there where no C compiler was
    from callsheet._bulk import create as _create_in_c
    from callsheet._bulk import fsync as _fsync_in_c
    from callsheet._bulk import inventory as _inventory_in_c
    from callsheet._bulk import publish as _publish_in_c
    from callsheet._bulk import read as _read_in_c
    from callsheet._bulk import read_each as _read_each_in_c
    from callsheet._bulk import write_durably as _write_in_c


class Kind(StrEnum):
    """What is under a name, a symlink as what it is itself. `UNSEEN` cannot be looked at."""

    FILE = "f"
    FOLDER = "d"
    LINK = "l"
    OTHER = "o"
    UNSEEN = "e"


_KINDS = {kind.value: kind for kind in Kind}


class Item(NamedTuple):
    """What is in a folder, as `os.lstat` tells it. The size of what is `UNSEEN` is an errno."""

    name: str
    kind: Kind
    size_bytes: int
    mtime_ns: int


class Opened(NamedTuple):
    """What a file was when it was opened, as `os.fstat` tells it."""

    mode: int
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def open(path: str, flags: int, mode: int = 0o777) -> int:  # noqa: A001
    """A descriptor that child processes do not inherit."""
    return os.open(path, flags | os.O_CLOEXEC, mode)


@overload
def open_file(path: str, mode: Literal["rb"]) -> io.BufferedReader: ...
@overload
def open_file(path: str, mode: Literal["rb"], *, buffering: Literal[0]) -> io.FileIO: ...
@overload
def open_file(path: str, mode: Literal["xb"]) -> io.BufferedWriter: ...
def open_file(
    path: str, mode: Literal["rb", "xb"], *, buffering: Literal[-1, 0] = -1
) -> io.FileIO | io.BufferedReader | io.BufferedWriter:
    """A binary file; `mode` is `rb`, or `xb` for a new one. Opening a FIFO does not wait for its writer."""
    opener = _without_waiting if mode == "rb" else None
    file = builtins.open(path, mode, buffering=buffering, opener=opener)  # noqa: SIM115  the caller closes it
    return cast("io.FileIO | io.BufferedReader | io.BufferedWriter", file)


def read_file(path: str) -> tuple[bytes, Opened]:
    """All that is in a file, and what that was when it was opened; nothing of what is no regular file. A FIFO is not waited for."""
    if _read_in_c is None:
        with open_file(path, "rb", buffering=0) as file:
            status = fstat(file.fileno())
            content = file.readall() if S_ISREG(status.st_mode) else b""
        return content, Opened(
            status.st_mode, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )
    content, mode, device, inode, size_bytes, mtime_s, mtime_ns, ctime_s, ctime_ns = _read_in_c(path)
    return content, Opened(mode, device, inode, size_bytes, mtime_s * 10**9 + mtime_ns, ctime_s * 10**9 + ctime_ns)


def read_files(paths: Sequence[str]) -> list[bytes | None]:
    """All that is in each of a few files, in one go: see `inventory`. None for what is no regular file, or cannot be read."""
    return [_content(path) for path in paths] if _read_each_in_c is None else _read_each_in_c(list(paths))


def _content(path: str) -> bytes | None:
    try:
        content, opened = read_file(path)
    except OSError:
        return None
    return content if S_ISREG(opened.mode) else None


def create(paths: Sequence[str]) -> list[int | OSError]:
    """New files, open for writing: a descriptor of each, which child processes do not inherit, or why it cannot be made."""
    if _create_in_c is None:
        return [_created(path) for path in paths]
    return [
        number if number >= 0 else OSError(-number, os.strerror(-number), path)
        for path, number in zip(paths, _create_in_c(list(paths)), strict=True)
    ]


def _created(path: str) -> int | OSError:
    try:
        return open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        return error


def publish(files: Sequence[tuple[int, str, str]]) -> list[OSError | None]:
    """Give each (descriptor, path, target) of some new files the name `target`, if nothing has that; take the one that it had away, and close
    it. Returns why a file has not got its name, None if it has: that file is as it was."""
    if _publish_in_c is None:
        return [_error_of(_publish, *file) for file in files]
    return _told(_publish_in_c(list(files)))


def _publish(descriptor: int, path: str, target: str) -> None:
    link(path, target)
    with suppress(OSError):  # it has its name; the other does no harm
        unlink(path)
    with suppress(OSError):
        close(descriptor)


def close(descriptor: int) -> None:
    os.close(descriptor)


def write(descriptor: int, data: memoryview) -> int:
    return os.write(descriptor, data)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data`: a single write may take less."""
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += write(descriptor, view[written:])


def fsync(descriptor: int) -> None:
    os.fsync(descriptor)


def fsync_all(descriptors: Sequence[int]) -> list[OSError | None]:
    """Make files and folders durable, at little more than the cost of one. What went wrong with each, None if nothing did."""
    if _fsync_in_c is None:
        return [_error_of(fsync, descriptor) for descriptor in descriptors]
    return _told(_fsync_in_c(list(descriptors)))


def write_durably(files: Sequence[tuple[int, memoryview, int]]) -> list[OSError | None]:
    """Write (descriptor, data, mtime in ns) for each of some new files: the data from where it stands, which is its end then, and its
    modification time; and make all of them durable, at little more than the cost of one. What went wrong with each, None if nothing did.

    Large data that begins at a page of memory goes past the page cache where that can be.
    """
    if _write_in_c is None:
        return [_error_of(_write_durably, *file) for file in files]
    return _told(_write_in_c([(descriptor, data, *divmod(mtime_ns, 10**9)) for descriptor, data, mtime_ns in files]))


def _told(errnos: list[int]) -> list[OSError | None]:
    return [OSError(number, os.strerror(number)) if number else None for number in errnos]


def _error_of(deed: Callable[..., None], *arguments: Any) -> OSError | None:
    try:
        deed(*arguments)
    except OSError as error:
        return error
    return None


def _write_durably(descriptor: int, data: memoryview, mtime_ns: int) -> None:
    write_all(descriptor, data)
    utime(descriptor, ns=(mtime_ns, mtime_ns))
    fsync(descriptor)
    if fstat(descriptor).st_size != os.lseek(descriptor, 0, os.SEEK_CUR):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def fchmod(descriptor: int, mode: int) -> None:
    os.fchmod(descriptor, mode)


def utime(where: str | int, *, ns: tuple[int, int]) -> None:
    os.utime(where, ns=ns)


def flock(descriptor: int, operation: int) -> None:
    """As `fcntl.flock`: the lock belongs to the open file, and goes when that is closed or its process ends."""
    fcntl.flock(descriptor, operation)


def fstat(descriptor: int) -> os.stat_result:
    return os.fstat(descriptor)


def stat(path: str) -> os.stat_result:
    return os.stat(path)


def lstat(path: str) -> os.stat_result:
    return os.lstat(path)


def link(path: str, target: str) -> None:
    """A second name for the file, or for the symlink, at `path`."""
    os.link(path, target, follow_symlinks=False)


def rename(path: str, target: str) -> None:
    os.rename(path, target)


def replace(path: str, target: str) -> None:
    os.replace(path, target)


def unlink(path: str) -> None:
    os.unlink(path)


def rmdir(path: str) -> None:
    os.rmdir(path)


def mkdir(path: str) -> None:
    os.mkdir(path)


def makedirs(path: str) -> None:
    """Those that are there already are no error."""
    os.makedirs(path, exist_ok=True)


def rmtree(path: str) -> None:
    import shutil

    shutil.rmtree(path)


def listdir(path: str) -> list[str]:
    return os.listdir(path)


def inventory(path: str, *, follows: bool = True) -> bytes:
    """All that is in a folder, by name, in one piece, which `items` takes apart: two equal ones tell the same.

    In one go: to look at each item by itself, threads would wait for each other. `NotADirectoryError`, or one with ELOOP, for a symlink, unless
    it `follows` them.
    """
    if _inventory_in_c is not None:
        return _inventory_in_c(path, follows)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW))
    try:
        with os.scandir(descriptor) as entries:
            return inventory_of(_item(entry) for entry in entries)
    finally:
        os.close(descriptor)


def inventory_of(seen: Iterable[Item]) -> bytes:
    """The inventory of a folder with these items."""
    rows = (
        (os.fsencode(item.name), f"{item.kind}/{item.size_bytes}/{item.mtime_ns // 10**9}/{item.mtime_ns % 10**9}")
        for item in seen
    )
    return b"".join(b"\0%s/%s" % (name, told.encode()) for name, told in sorted(rows))


def items(inventory: bytes) -> list[Item]:
    """What an inventory tells, in the order of the names."""
    rows = (row.split("/") for row in os.fsdecode(inventory).split("\0")[1:])
    return sorted([Item(name, _KINDS[kind], int(size), int(s) * 10**9 + int(ns)) for name, kind, size, s, ns in rows])


def _item(entry: os.DirEntry[str]) -> Item:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Item(entry.name, Kind.UNSEEN, error.errno or errno.EIO, 0)
    return Item(entry.name, kind_of(status.st_mode), status.st_size, status.st_mtime_ns)


def kind_of(mode: int) -> Kind:
    """What `os.lstat` tells with this mode."""
    return {S_IFREG: Kind.FILE, S_IFDIR: Kind.FOLDER, S_IFLNK: Kind.LINK}.get(S_IFMT(mode), Kind.OTHER)


def scandir(path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    return os.scandir(path)


def walk(path: str) -> Iterator[tuple[str, list[str], list[str]]]:
    return os.walk(path)


def exists(path: str) -> bool:
    return os.path.exists(path)


def lexists(path: str) -> bool:
    return os.path.lexists(path)


def isfile(path: str) -> bool:
    return os.path.isfile(path)


def isdir(path: str) -> bool:
    return os.path.isdir(path)


def islink(path: str) -> bool:
    return os.path.islink(path)


def realpath(path: str) -> str:
    return os.path.realpath(path)


def now() -> datetime:
    """In UTC, and aware of it."""
    return datetime.now(UTC)


def time_ns() -> int:
    return time.time_ns()


def monotonic() -> float:
    return time.monotonic()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def urandom(size_bytes: int) -> bytes:
    return os.urandom(size_bytes)


def uniform(low: float, high: float) -> float:
    """For pauses, not for secrets."""
    import random

    return random.uniform(low, high)  # noqa: S311


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
