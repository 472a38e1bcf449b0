"""Machines, processes on them, and one seeded scheduler that decides at every input and output who goes on, and when something breaks.

Processes are greenlets: each runs until it asks something of its machine or of the store, and there the next may be chosen. Time passes only
there, too. So the same seed gives the same trace.
"""

from __future__ import annotations

import errno
import io
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

import greenlet  # type: ignore[import-untyped]
import pytest

from callsheet import folders, hashing, pictures, sync, system
from callsheet.errors import RemoteError, Unreachable
from simulator.cloud import Cloud
from simulator.disk import FOLDER, DirEntry, Disk, Inode, Status, failure

START_NS = 1_760_000_000_000_000_000
_TICK_NS = 1_700_000
_UNTIL_SWITCH = 9
"""So many calls go by, on average, before another process has its turn."""


WRITES = frozenset(
    ("create", "write", "fsync", "utime", "link", "rename", "unlink", "mkdir", "rmdir", "put", "copy", "delete")
)


class Killed(BaseException):
    """The process is dead: nothing of what it does has an effect any more, its own cleaning up included."""


class Breach(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Strike:
    """What goes wrong at the `at`th call of a process that it can happen to, before that has its effect or `after`. Of calls that only look,
    none are counted if `writes`.

    `fail`: the call fails. `full`: the disk is full. `down`: this call and all later ones to that side fail. `late`: a request to the
    store that fails is carried out some time later; `twice`: one that succeeds is carried out once more later. `kill`: the process dies.
    `cut`: the machine loses its power.
    """

    kind: str
    at: int
    after: bool = False
    writes: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {'after' if self.after else 'at'} {'write' if self.writes else 'call'} {self.at}"

    def counts(self, side: str, deed: str) -> bool:
        """Whether it can happen to a call."""
        if self.kind in ("late", "twice"):
            return side == "store" and deed in ("put", "copy", "delete")
        if self.kind == "full":
            return side == "disk" and deed in ("write", "create", "link", "mkdir")
        return side != "clock" and (deed in WRITES or not self.writes)


@dataclass(eq=False)
class Machine:
    """A disk, and the folder of the project on it."""

    name: str
    disk: Disk = field(default_factory=Disk)
    root: str = "/p"


@dataclass(eq=False)
class Process:
    """Something that runs on a machine. What a `user` does is not ours to keep."""

    name: str
    machine: Machine
    job: Callable[[], object]
    strike: Strike | None = None
    user: bool = False
    calls: int = 0
    struck: str = ""
    dead: bool = False
    down: str = ""
    began: int = 0
    result: Any = None
    error: Exception | None = None
    settled: set[str] = field(default_factory=set)
    greenlet: Any = None


class Engine:
    """The scheduler, and what `callsheet.system` is while it runs. `watch` is told of every effect."""

    def __init__(self, seed: int, cloud: Cloud, *, grain_ns: int = 1, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.cloud = cloud
        self.watch: Watch = Watch()
        self.trace: list[str] | None = [] if trace else None
        self.now_ns = START_NS
        self._grain_ns = grain_ns
        self.serial = 0
        self.current: Process | None = None
        self.late: list[tuple[int, Process | None, Callable[[], object]]] = []
        self._running: list[Process] = []
        self.breach: Breach | None = None
        self._next_switch = 0
        self._main: Any = None

    # Running.

    def run(self, *processes: Process) -> None:
        """Let them take turns until all have ended. Raises what none of them should have raised."""
        self._main = greenlet.getcurrent()
        self._running = list(processes)
        for process in processes:
            process.began = self.serial
            process.greenlet = greenlet.greenlet(self._body, parent=self._main)
        self._next_switch = self.serial + self._pause() if len(processes) > 1 else 1 << 60
        try:
            while self._running:
                process = self.rng.choice(self._running) if len(self._running) > 1 else self._running[0]
                self._resume(process)
                if self.breach is not None:
                    raise self.breach
                if process.greenlet.dead:
                    self._running.remove(process)
                    process.machine.disk.close_all_of(process)
        finally:
            self.current = None
            for process in self._running:
                process.dead = True
                process.greenlet.throw(greenlet.GreenletExit)
            self._running = []
        while self.late:
            self._unheard(*self.late.pop(0)[1:])
        if self.breach is not None:
            raise self.breach

    def _resume(self, process: Process) -> None:
        self.current, folders._settled = process, process.settled
        process.greenlet.switch(process)

    def say(self, words: str) -> None:
        if self.trace is not None:
            who = self.current.name if self.current else "-"
            self.trace.append(f"    {who}: {words}")

    @staticmethod
    def _body(process: Process) -> None:
        try:
            process.result = process.job()
        except Killed:
            process.dead = True
        except Exception as error:
            process.error = error

    def pass_time(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)

    @property
    def disk_ns(self) -> int:
        """The time, as coarse as disks tell it."""
        return self.now_ns - self.now_ns % self._grain_ns

    def _pause(self) -> int:
        return 1 + int(self.rng.expovariate(1 / _UNTIL_SWITCH))

    def _switch(self) -> None:
        process = self.current
        self._next_switch = self.serial + self._pause()
        self._main.switch()
        if process is not None and process.dead:
            raise Killed

    # Every call.

    def call(self, deed: str, what: str, *, side: str = "disk") -> Callable[[], None] | None:
        """Something is about to be asked of the machine, or of the store. Returns what is to be called once it has had its effect."""
        self.serial += 1
        self.now_ns += _TICK_NS
        process = self.current
        if process is None:
            return None
        if process.dead:
            raise Killed
        process.machine.disk.moment_ns = self.disk_ns
        if self.serial >= self._next_switch:
            self._switch()
            process.machine.disk.moment_ns = self.disk_ns
        if self.late and self.late[0][0] <= self.serial:
            self._unheard(*self.late.pop(0)[1:])
        if self.trace is not None:
            self.say(f"{deed} {what}")
        if process.down == side:
            raise broken(side, what)
        strike = process.strike
        if strike is not None and not process.struck and strike.counts(side, deed):
            process.calls += 1
            if process.calls < strike.at:
                return None
            process.struck = f"{strike.kind} {'after' if strike.after else 'before'} {deed}"
            self.say(f"*** {strike.kind} {'after' if strike.after else 'before'} this ***")
            if strike.kind in ("late", "twice"):
                return None  # the client sees to it
            if not strike.after:
                self._strike(process, strike.kind, side, what)
            return lambda: self._strike(process, strike.kind, side, what)
        return None

    def break_promise(self, told: str) -> NoReturn:
        """Whatever the process makes of this error, the run fails with it."""
        self.breach = self.breach or Breach(told)
        raise self.breach

    def _strike(self, process: Process, kind: str, side: str, what: str) -> None:
        machine = process.machine
        if kind == "kill":
            process.dead = True
            raise Killed
        if kind == "cut":
            self.cut_power(machine)
            raise Killed
        if kind == "down":
            process.down = side
        raise failure(errno.ENOSPC, what) if kind == "full" else broken(side, what)

    def cut_power(self, machine: Machine) -> None:
        before = self.watch.before_cut(machine)
        for process in self._running:
            if process.machine is machine:
                process.dead = True
        machine.disk.cut_power(self.rng)
        self.watch.after_cut(machine, before)

    def postpone(self, effect: Callable[[], object]) -> None:
        """A request of the current process is to arrive later."""
        self.late.append((self.serial + self.rng.randint(1, 60), self.current, effect))
        self.late.sort(key=lambda one: one[0])

    def _unheard(self, sender: Process | None, effect: Callable[[], object]) -> None:
        """A request whose client has given up on it: nobody hears what becomes of it."""
        self.say("(a request from before arrives)")
        process, self.current = self.current, sender
        try:
            effect()
        except RemoteError:
            return
        finally:
            self.current = process


class Watch:
    """Is told of what happens. This one does not care."""

    def lost_file(self, process: Process | None, path: str, content: bytes) -> None:
        """What was under a name is not any more; it may be under others."""

    def lost_object(self, process: Process | None, what: str, body: bytes) -> None:
        """An object was replaced or deleted for good."""

    def renamed(self, process: Process | None, machine: Machine, path: str, old: bytes | None) -> None:
        """A file has got this name, in one step, in place of one that held `old`."""

    def unnamed(self, process: Process | None, machine: Machine, path: str) -> None:
        """A name has gone."""

    def touched(self, process: Process | None, what: object) -> None:
        """A name on a disk, or an object, is another one now."""

    def before_cut(self, machine: Machine) -> object:
        """The power is about to be cut."""

    def after_cut(self, machine: Machine, before: Any) -> None:
        """It was."""


def broken(side: str, what: str) -> Exception:
    return Unreachable("The store did not answer", status=503) if side == "store" else failure(errno.EIO, what)


class File(io.RawIOBase):
    """An open file of the simulated disk."""

    def __init__(self, engine: Engine, machine: Machine, path: str, descriptor: int) -> None:
        super().__init__()
        self.name = path
        self._engine = engine
        self._disk = machine.disk
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._engine.call("read", self.name)
        opened = self._disk.at(self._descriptor)
        piece = opened.inode.data[opened.position : opened.position + len(buffer)]
        buffer[: len(piece)] = piece
        opened.position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        self._engine.call("read", self.name)
        opened = self._disk.at(self._descriptor)
        piece = bytes(opened.inode.data[opened.position :])
        opened.position += len(piece)
        return piece

    def write(self, data: Any) -> int:
        return _written(self._engine, self._disk, self._descriptor, data, self.name)

    def seek(self, offset: int, whence: int = 0) -> int:
        opened = self._disk.at(self._descriptor)
        start = {0: 0, 1: opened.position, 2: len(opened.inode.data)}[whence]
        opened.position = start + offset
        return opened.position

    def tell(self) -> int:
        return self._disk.at(self._descriptor).position

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._disk.close(self._descriptor)


def _written(engine: Engine, disk: Disk, descriptor: int, data: Any, what: str) -> int:
    process = engine.current
    try:
        after = engine.call("write", what)
    except Killed:
        if process is not None and process.struck.endswith("before write") and descriptor in disk.opened:
            disk.write(descriptor, bytes(data)[: engine.rng.randint(0, len(data))])  # how far it came
        raise
    wrote = disk.write(descriptor, bytes(data))
    if after is not None:
        after()
    return wrote


class System:
    """What `callsheet.system` is, for the process that is running: each function as there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def _machine(self) -> Machine:
        process = self._engine.current
        if process is None:
            raise AssertionError("nobody runs")
        return process.machine

    @property
    def _disk(self) -> Disk:
        return self._machine.disk

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        creates = bool(flags & os.O_CREAT)
        after = self._engine.call("create" if creates else "open", path)
        disk = self._disk
        inode = disk.get(path)
        if inode is not None and creates and flags & os.O_EXCL:
            raise failure(errno.EEXIST, path)
        if inode is None and creates:
            inode = disk.create(path)
        elif inode is not None and flags & os.O_TRUNC:
            inode.data.clear()
        descriptor = disk.open(inode or disk.find(path), self._engine.current, append=bool(flags & os.O_APPEND))
        if after is not None:
            after()
        return descriptor

    def open_file(self, path: str, mode: str, *, buffering: int = -1) -> File:
        after = self._engine.call("create" if mode == "xb" else "open", path)
        disk = self._disk
        inode = disk.create(path) if mode == "xb" else disk.find(path)
        if inode.is_folder:
            raise failure(errno.EISDIR, path)
        file = File(self._engine, self._machine, path, disk.open(inode, self._engine.current))
        if after is not None:
            after()
        return file

    def read_file(self, path: str) -> tuple[bytes, system.Opened]:
        with self.open_file(path, "rb") as file:
            status = self.fstat(file.fileno())
            content = file.readall()
        return content, system.Opened(
            status.st_mode, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def read_files(self, paths: Sequence[str]) -> list[bytes | None]:
        return [self._content(path) for path in paths]

    def _content(self, path: str) -> bytes | None:
        try:
            return self.read_file(path)[0]
        except OSError:
            return None

    def close(self, descriptor: int) -> None:
        self._disk.close(descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        return _written(self._engine, self._disk, descriptor, data, f"descriptor {descriptor}")

    def fsync(self, descriptor: int) -> None:
        after = self._engine.call("fsync", f"descriptor {descriptor}")
        self._disk.fsync(self._disk.at(descriptor).inode)
        if after is not None:
            after()

    def fsync_all(self, descriptors: Sequence[int]) -> list[OSError | None]:
        return [self._error_of(self.fsync, descriptor) for descriptor in descriptors]

    def write_durably(self, files: Sequence[tuple[int, memoryview, int]]) -> list[OSError | None]:
        """All are written and dated before the first is flushed."""
        told = [self._error_of(self._write_dated, *file) for file in files]
        return [
            self._error_of(self.fsync, descriptor) if error is None else error
            for (descriptor, _, _), error in zip(files, told, strict=True)
        ]

    def _write_dated(self, descriptor: int, data: memoryview, mtime_ns: int) -> None:
        while data:
            data = data[self.write(descriptor, data) :]
        self.utime(descriptor, ns=(mtime_ns, mtime_ns))

    @staticmethod
    def _error_of(deed: Callable[..., None], *arguments: Any) -> OSError | None:
        try:
            deed(*arguments)
        except OSError as error:
            return error
        return None

    def create(self, paths: Sequence[str]) -> list[int | OSError]:
        return [self._created(path) for path in paths]

    def _created(self, path: str) -> int | OSError:
        try:
            return self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            return error

    def publish(self, files: Sequence[tuple[int, str, str]]) -> list[OSError | None]:
        return [self._error_of(self._publish, *file) for file in files]

    def _publish(self, descriptor: int, path: str, target: str) -> None:
        self.link(path, target)
        with suppress(OSError):
            self.unlink(path)
        self.close(descriptor)

    def fchmod(self, descriptor: int, mode: int) -> None:
        self._engine.call("fchmod", f"descriptor {descriptor}")

    def utime(self, where: str | int, *, ns: tuple[int, int]) -> None:
        after = self._engine.call("utime", str(where))
        inode = self._disk.at(where).inode if isinstance(where, int) else self._disk.find(where)
        inode.mtime_ns, inode.ctime_ns = ns[1], self._engine.disk_ns
        if after is not None:
            after()

    def flock(self, descriptor: int, operation: int) -> None:
        self._engine.call("flock", f"descriptor {descriptor}")
        while not self._disk.lock(descriptor, operation):
            if operation & 4:  # LOCK_NB
                raise failure(errno.EAGAIN)
            self.sleep(0.01)

    def fstat(self, descriptor: int) -> Status:
        self._engine.call("fstat", f"descriptor {descriptor}")
        return Status(self._disk.at(descriptor).inode)

    def stat(self, path: str) -> Status:
        self._engine.call("stat", path)
        return Status(self._disk.find(path))

    lstat = stat

    def link(self, path: str, target: str) -> None:
        after = self._engine.call("link", f"{path} to {target}")
        self._disk.link(path, target)
        self._named(target, None)
        if after is not None:
            after()

    def rename(self, path: str, target: str) -> None:
        after = self._engine.call("rename", f"{path} to {target}")
        there = self._disk.get(target)
        old = None if there is None else bytes(there.data)
        self._disk.rename(path, target)
        watch, process = self._engine.watch, self._engine.current
        if there is not None:
            watch.lost_file(process, target, bytes(there.data))
        watch.touched(process, (self._machine.name, path))
        watch.unnamed(process, self._machine, path)
        self._named(target, old)
        if after is not None:
            after()

    replace = rename

    def unlink(self, path: str) -> None:
        after = self._engine.call("unlink", path)
        watch, process = self._engine.watch, self._engine.current
        inode = self._disk.find(path)
        self._disk.unlink(path)
        watch.lost_file(process, path, bytes(inode.data))
        watch.touched(process, (self._machine.name, path))
        watch.unnamed(process, self._machine, path)
        if after is not None:
            after()

    def rmdir(self, path: str) -> None:
        after = self._engine.call("rmdir", path)
        self._disk.rmdir(path)
        if after is not None:
            after()

    def mkdir(self, path: str) -> None:
        after = self._engine.call("mkdir", path)
        self._disk.create(path, FOLDER)
        if after is not None:
            after()

    def makedirs(self, path: str) -> None:
        after = self._engine.call("mkdir", path) if self._disk.get(path) is None else None
        self._disk.makedirs(path)
        if after is not None:
            after()

    def rmtree(self, path: str) -> None:
        self._disk.folder(path)
        for file, _ in list(self._disk.files(path)):
            self.unlink(file)
        for folder in sorted(self._folders(path), key=len, reverse=True):
            self.rmdir(folder)

    def listdir(self, path: str) -> list[str]:
        self._engine.call("list", path)
        return list(self._disk.folder(path).names)

    def inventory(self, path: str, *, follows: bool = True) -> bytes:
        self._engine.call("list", path)
        seen = [(name, Status(inode)) for name, inode in self._disk.folder(path).names.items()]
        return system.inventory_of(
            system.Item(name, system.kind_of(status.st_mode), status.st_size, status.st_mtime_ns)
            for name, status in seen
        )

    @contextmanager
    def scandir(self, path: str) -> Iterator[Iterator[Any]]:
        self._engine.call("list", path)
        folder = self._disk.folder(path)
        yield iter([DirEntry(path, name, inode) for name, inode in folder.names.items()])

    def walk(self, path: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder in sorted(self._folders(path)):
            try:
                self._engine.call("list", folder)
                names = self._disk.folder(folder).names
            except OSError:
                continue
            yield (
                folder,
                [name for name, inode in names.items() if inode.is_folder],
                [name for name, inode in names.items() if not inode.is_folder],
            )

    def exists(self, path: str) -> bool:
        return self._seen(path) is not None

    lexists = exists

    def isfile(self, path: str) -> bool:
        found = self._seen(path)
        return found is not None and not found.is_folder

    def isdir(self, path: str) -> bool:
        found = self._seen(path)
        return found is not None and found.is_folder

    def _seen(self, path: str) -> Inode | None:
        """What is there; None also if the look at it fails."""
        try:
            self._engine.call("stat", path)
        except OSError:
            return None
        return self._disk.get(path)

    def islink(self, path: str) -> bool:
        return False

    def realpath(self, path: str) -> str:
        return path

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._engine.now_ns // 1000 / 1e6, UTC)

    def time_ns(self) -> int:
        return self._engine.now_ns

    def monotonic(self) -> float:
        return (self._engine.now_ns - START_NS) / 1e9

    def sleep(self, seconds: float) -> None:
        self._engine.pass_time(seconds)
        self._engine.call("sleep", f"{seconds} s", side="clock")

    def urandom(self, size_bytes: int) -> bytes:
        return self._engine.rng.randbytes(size_bytes)

    def uniform(self, low: float, high: float) -> float:
        return self._engine.rng.uniform(low, high)

    def _named(self, path: str, old: bytes | None) -> None:
        watch, process = self._engine.watch, self._engine.current
        watch.touched(process, (self._machine.name, path))
        watch.renamed(process, self._machine, path, old)

    def _folders(self, path: str) -> list[str]:
        found, waiting = [], [path] if self._disk.get(path) else []
        while waiting:
            at = waiting.pop()
            found.append(at)
            waiting += [f"{at}/{name}" for name, child in self._disk.folder(at).names.items() if child.is_folder]
        return found


class _NothingAhead:
    """In place of the thread that hashes ahead: what was not hashed ahead is hashed when it is asked for."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> _NothingAhead:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, _: object) -> dict[str, Any]:
        return {}


@contextmanager
def installed(engine: Engine) -> Iterator[System]:
    """While in this context, all that is below the shells runs on simulated machines: no server may run in this process, whose threads
    would take part."""
    beating = {"callsheet-index", "callsheet-poll", "callsheet-watch"} & {
        thread.name for thread in threading.enumerate()
    }
    assert not beating, f"a server runs in this process: {beating}"
    machine, heard = System(engine), sys.unraisablehook

    def unheard(told: sys.UnraisableHookArgs) -> None:
        """A generator that is thrown away with a dead process cannot clean up."""
        if not isinstance(told.exc_value, Killed):
            heard(told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", unheard)
        for name in dir(System):
            if not name.startswith("_"):
                patch.setattr(system, name, getattr(machine, name))
        patch.setattr(hashing, "_hash_once", hashing._hash_with_hashlib)
        patch.setattr(sync, "HashAhead", _NothingAhead)
        patch.setattr(folders, "_settled", set())
        patch.setattr(pictures, "flaw", lambda path, filename: "")
        yield machine
