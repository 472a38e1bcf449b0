"""Things that go wrong at one exact moment of a run: the process dies, a disk or a store fails, somebody else edits."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import pytest

from callsheet import system
from callsheet.errors import Unreachable
from callsheet.model import Location, RemoteObject
from callsheet.remote import Remote
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from faults import without_extension

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Crash(BaseException):
    """The process is dead: from here on nothing of what it does has an effect, its own cleaning up included."""


@dataclass(frozen=True)
class Trouble:
    """What happens at the `at`th effect of a run, before it or `after` it: `crash`, `fault` (it fails, or its answer is lost) or `edit`.

    It comes while a plan is carried out, or, if it is `early`, from when the run begins to look. Only effects whose name starts with `of` count.
    """

    kind: str
    at: int
    after: bool
    early: bool = False
    of: str = ""


class Gate:
    """Every effect on a disk or a store passes here, in one thread or in many."""

    def __init__(self) -> None:
        self._trouble: Trouble | None = None
        self._edit: Callable[[], None] = lambda: None
        self._passed = 0
        self._dead = False
        self._waiting = False
        self.struck = ""

    @contextmanager
    def armed(self, trouble: Trouble | None, edit: Callable[[], None] = lambda: None) -> Iterator[None]:
        """`struck` tells afterwards at which effect the trouble came; empty if it did not. Trouble that is not early waits for `proceed`."""
        self._trouble, self._edit, self._passed, self._dead, self.struck = trouble, edit, 0, False, ""
        self._waiting = trouble is not None and not trouble.early
        try:
            yield
        finally:
            self._trouble, self._dead = None, False

    def proceed(self) -> None:
        """The plan is made, and about to be carried out."""
        if self._waiting:
            self._waiting, self._passed = False, 0

    def effect(
        self, name: str, do: Callable[[], _T], failure: Callable[[], Exception], torn: Callable[[], object]
    ) -> _T:
        """Do something that others can see. `failure` is how it fails; `torn` is how far it gets in a crash that comes in its midst."""
        if self._dead:
            raise Crash
        trouble = self._trouble
        self._passed += trouble is not None and name.startswith(trouble.of)
        if trouble is None or self._waiting or self._passed != trouble.at:
            return do()
        self._trouble = None
        self.struck = f"{trouble.kind} {'after' if trouble.after else 'before'} {name}"
        done = do() if trouble.after else None
        if trouble.kind != "edit":
            _closed(done)
        if trouble.kind == "crash":
            if not trouble.after:
                torn()
            self._dead = True
            raise Crash
        if trouble.kind == "fault":
            raise failure()
        self._edit()
        return done if trouble.after else do()  # type: ignore[return-value]


class Troubled:
    """A store behind a gate."""

    def __init__(self, remote: Remote, gate: Gate) -> None:
        self._remote = remote
        self._gate = gate

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        yield from self._through("list", lambda: self._remote.list(bucket, prefix, after=after, before=before))

    def head(self, location: Location) -> RemoteObject:
        return self._through(f"look at {location}", lambda: self._remote.head(location))

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        reading = self._through(f"read {location}", lambda: self._remote.read(location, if_match=if_match, into=into))

        def blocks() -> Generator[bytes]:
            for block in reading.blocks:
                yield self._through(f"a block of {location}", lambda block=block: block)  # type: ignore[misc]

        return Reading(reading.described, blocks())

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        return self._through(f"put {location}", lambda: self._remote.put(location, body, md5=md5, replaces=replaces))

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        return self._through(
            f"copy {source} to {target}",
            lambda: self._remote.copy(source, target, if_match=if_match, replaces=replaces),
        )

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        self._through(f"delete {location}", lambda: self._remote.delete(location, if_match=if_match))

    def notes(self) -> tuple[str, ...]:
        return self._remote.notes()

    def url(self, location: Location) -> str:
        return self._remote.url(location)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        return self._remote.presigned(location, expires_s=expires_s, content_type=content_type)

    def origin(self, bucket: str) -> str | None:
        return self._remote.origin(bucket)

    def _through(self, name: str, do: Callable[[], _T]) -> _T:
        return self._gate.effect(name, do, _unreachable, lambda: None)


class Disk:
    """The functions of `callsheet.system` that change a disk, behind a gate. Nothing is flushed: whether it would survive a power cut is not what is asked."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._real = {
            name: getattr(system, name)
            for name in ("link", "rename", "replace", "unlink", "open", "write", "open_file")
        }

    def link(self, path: str, target: str) -> None:
        self._through(f"link {_end(path)} to {_end(target)}", lambda: self._real["link"](path, target))

    def rename(self, path: str, target: str) -> None:
        self._through(f"rename {_end(path)} to {_end(target)}", lambda: self._real["rename"](path, target))

    def replace(self, path: str, target: str) -> None:
        self._through(f"replace {_end(target)}", lambda: self._real["replace"](path, target))

    def unlink(self, path: str) -> None:
        self._through(f"unlink {_end(path)}", lambda: self._real["unlink"](path))

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        opened: Callable[[], int] = partial(self._real["open"], path, flags, mode)
        return self._through(f"create {_end(path)}", opened) if flags & os.O_CREAT else opened()

    def open_file(self, path: str, mode: str, **how: Any) -> Any:
        opened: Callable[[], Any] = partial(self._real["open_file"], path, mode, **how)
        return self._through(f"create {_end(path)}", opened) if "x" in mode else opened()

    def write(self, descriptor: int, data: memoryview) -> int:
        write: Callable[[int, memoryview], int] = self._real["write"]
        half = data[: len(data) // 2]
        return self._through("write", lambda: write(descriptor, data), torn=lambda: write(descriptor, half))

    def fsync(self, descriptor: int) -> None:
        pass

    def fsync_all(self, descriptors: Sequence[int]) -> list[OSError | None]:
        return [None for _ in descriptors]

    def _through(self, name: str, do: Callable[[], _T], torn: Callable[[], object] = lambda: None) -> _T:
        return self._gate.effect(name, do, _broken, torn)


def install(gate: Gate, patch: pytest.MonkeyPatch) -> None:
    """Put the gate before all that `callsheet` writes to disk."""
    without_extension(patch)
    disk = Disk(gate)
    for name in ("link", "rename", "replace", "unlink", "open", "open_file", "write", "fsync", "fsync_all"):
        patch.setattr(system, name, getattr(disk, name))


class Inline(Executor):
    """Does each job at once: the same history takes the same course every time."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _closed(done: object) -> None:
    """What was opened by an effect that nobody learns of."""
    if isinstance(done, io.IOBase):
        done.close()


def _unreachable() -> Exception:
    return Unreachable("The store did not answer", status=503)


def _broken() -> Exception:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def _end(path: str) -> str:
    return "/".join(path.split("/")[-3:])
