"""Folders of this disk: made, made durable, removed when they are empty.

Rules of this module: it knows which folders are durable, so whatever makes or removes folders is here. A function raises what the system
raises, unless its docstring says more.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from callsheet import system
from callsheet.errors import LocalError
from callsheet.local import failed

ATTEMPTS = 10
"""How often something is tried that another thread may undo meanwhile, which finds a folder empty and removes it."""

_MOST_OPEN = 64
_MOST_SETTLED = 100_000
_settled: set[str] = set()
"""Folders of which this process knows that their names, and those of all above them, survive a crash."""


def make(path: str) -> None:
    """Make a folder if it is not there, and those above it, durably. Another thread may remove any of them while it is empty."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _make(path)
            settle(path)
        except (FileNotFoundError, FileExistsError):
            if attempt == ATTEMPTS:
                raise
        else:
            return


def open_inside(path: str, flags: int) -> int:
    """A descriptor of a file; the folder that it is in is made, durably, if need be."""
    return _inside(path, lambda: system.open(path, flags, 0o666))


def create_inside(paths: Sequence[str]) -> list[int | OSError]:
    """As `system.create`; the folders that the files are in are made, durably, if need be."""
    created = system.create(paths)
    missing = [path for path, one in zip(paths, created, strict=True) if isinstance(one, FileNotFoundError)]
    if not missing:
        return created
    real = {folder: system.realpath(folder) for folder in {os.path.dirname(path) for path in missing}}
    homes = {path: real[os.path.dirname(path)] for path in missing}
    failures = _make_all(homes.values())
    ready = [path for path, home in homes.items() if home not in failures]
    once_more: dict[str, int | OSError] = dict(zip(ready, system.create(ready), strict=True))
    return [
        _though_removed(path, failures.get(homes[path]) or once_more[path]) if path in homes else one
        for path, one in zip(paths, created, strict=True)
    ]


def flush_names(path: str) -> None:
    """Make the names in a folder survive a crash, if its own does."""
    descriptor = system.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        system.fsync(descriptor)
    finally:
        system.close(descriptor)


def settle(path: str) -> None:
    """Make the names of a folder and of all above it survive a crash: whoever made them may not have come as far."""
    new = _unsettled(path)
    error = _of_names(new, _flushed(os.path.dirname(folder) for folder in reversed(new)))
    if error is not None:
        raise error
    _note(new)


def flush(paths: Iterable[str]) -> dict[str, LocalError]:
    """Make the names in folders survive a crash, and the folders themselves; many at little more than the cost of one.

    Returns what could not be, by folder. One that is not there has nothing to lose.
    """
    unsettled = {path: _unsettled(path) for path in paths}
    above = (os.path.dirname(folder) for new in unsettled.values() for folder in new)
    failures = _flushed([*unsettled, *above])
    told = {}
    for path, new in unsettled.items():
        error = failures.get(path) or _of_names(new, failures)
        if error is None:
            _note(new)
        elif isinstance(error, FileNotFoundError):
            _settled.discard(path)
        else:
            told[path] = failed("flush", path, error)
            told[path].__cause__ = error
    return told


def remove_empty(path: str, top: str) -> None:
    """Remove a folder and those above it, up to but without `top`, as far as they are empty."""
    while path.startswith(top + os.sep):
        try:
            system.rmdir(path)
        except OSError:
            return
        _settled.discard(path)
        path = os.path.dirname(path)


def delete(path: str) -> None:
    """Remove a folder and all below it for good. One that is not there is no error; `LocalError` if it cannot be."""
    try:
        system.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("delete", path, error) from error
    finally:
        _settled.clear()


def _though_removed(path: str, created: int | OSError) -> int | OSError:
    """A new file, though another thread has removed its folder, which it found empty, or made it at the same time."""
    if not isinstance(created, FileNotFoundError | FileExistsError):
        return created
    try:
        return open_inside(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError as error:
        return error


def _make_all(paths: Iterable[str]) -> dict[str, OSError]:
    """Make folders, and those above them, durably, many at little more than the cost of one. Returns what went wrong with those with which
    something did."""
    failures: dict[str, OSError] = {}
    unsettled: dict[str, list[str]] = {}
    for path in sorted(set(paths)):
        _settled.discard(path)
        try:
            _make(path)
        except OSError as error:
            failures[path] = error
        else:
            unsettled[path] = _unsettled(path)
    told = _flushed(os.path.dirname(folder) for new in unsettled.values() for folder in reversed(new))
    for path, new in unsettled.items():
        unflushed = _of_names(new, told)
        if unflushed is None:
            _note(new)
        else:
            failures[path] = unflushed
    return failures


def _inside(path: str, opened: Callable[[], int]) -> int:
    """A file in a folder that is made if it is not there; again, if another thread finds that empty and removes it."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return opened()
        except FileNotFoundError:
            if attempt == ATTEMPTS:
                raise
            folder = system.realpath(os.path.dirname(path))
            _settled.discard(folder)
            make(folder)
    raise AssertionError("the last attempt returns or raises")


def _make(path: str) -> None:
    """What is new has no durable name yet, not even where there was a folder before, which somebody removed."""
    try:
        system.mkdir(path)
    except FileNotFoundError:
        above = os.path.dirname(path)
        if not above:
            raise
        _make(above)
        system.mkdir(path)
    except OSError:
        if not system.isdir(path):
            raise
        return
    _settled.discard(path)


def _unsettled(path: str) -> list[str]:
    """A folder and those above it whose names may not survive a crash, from below."""
    new = []
    while path not in _settled and (above := os.path.dirname(path)) != path:
        new.append(path)
        path = above
    return new


def _note(new: Iterable[str]) -> None:
    if len(_settled) > _MOST_SETTLED:
        _settled.clear()
    _settled.update(new)


def _flushed(paths: Iterable[str]) -> dict[str, OSError]:
    """Flush the names in folders. Returns what went wrong with those with which something did."""
    failures: dict[str, OSError] = {}
    waiting = list(dict.fromkeys(paths))
    while waiting:
        opened: dict[str, int] = {}
        try:
            failures |= _opened(waiting, opened)
            told = system.fsync_all([*opened.values()])
            failures |= {path: error for path, error in zip(opened, told, strict=True) if error is not None}
        finally:
            failures |= _closed(opened)
    return failures


def _opened(waiting: list[str], opened: dict[str, int]) -> dict[str, OSError]:
    """Open the first of the folders that wait, which then wait no more: as many as can be open at a time. Returns why others could not be."""
    failures = {}
    taken = 0
    for path in waiting[:_MOST_OPEN]:
        try:
            opened[path] = system.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if opened and error.errno in (errno.EMFILE, errno.ENFILE):
                break
            failures[path] = error
        taken += 1
    del waiting[:taken]
    return failures


def _closed(opened: Mapping[str, int]) -> dict[str, OSError]:
    """Close them all. Returns what went wrong with those with which something did."""
    failures = {}
    for path, descriptor in opened.items():
        try:
            system.close(descriptor)
        except OSError as error:
            failures[path] = error
    return failures


def _of_names(new: Iterable[str], failures: Mapping[str, OSError]) -> OSError | None:
    """Why the name of one of these folders may not survive. One in a folder that we may not read has not been made by us."""
    told = (failures.get(os.path.dirname(folder)) for folder in new)
    return next((error for error in told if error is not None and not isinstance(error, PermissionError)), None)
