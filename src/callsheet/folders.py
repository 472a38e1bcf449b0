"""Folders of this disk: made, made durable, removed when they are empty.

Rules of this module: it knows which folders are durable, so whatever makes or removes folders is here. A function raises what the system
raises, unless its docstring says more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping

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
    """Make a folder if it is not there, and those above it; they survive a crash once they are flushed. Another thread may remove any of
    them while it is empty."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _make(path)
        except (FileNotFoundError, FileExistsError):
            if attempt == ATTEMPTS:
                raise
        else:
            return


def make_durably(path: str) -> None:
    """Make a folder as `make` does, so that it and those above it survive a crash."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            make(path)
            settle(path)
        except FileNotFoundError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


def open_inside(path: str, flags: int) -> int:
    """A descriptor of a file; the folder that it is in is made, durably, if need be."""
    try:
        return system.open(path, flags, 0o666)
    except FileNotFoundError:
        make_durably(system.realpath(os.path.dirname(path)))
        return system.open(path, flags, 0o666)


def sync(path: str) -> None:
    """Make what a folder holds durable, by name; of its own name that says nothing."""
    descriptor = system.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        system.fsync(descriptor)
    finally:
        system.close(descriptor)


def settle(path: str) -> None:
    """Make the names of a folder and of all above it survive a crash: whoever made them may not have come as far."""
    new = _unsettled(path)
    for folder in reversed(new):
        with contextlib.suppress(PermissionError):  # one that we may not read has not been made by us
            sync(os.path.dirname(folder))
    _note(new)


def flush(paths: Iterable[str]) -> dict[str, LocalError]:
    """Make what was renamed into folders durable, and the folders themselves; many at little more than the cost of one.

    Returns what could not be, by folder. One that is not there has nothing to lose.
    """
    unsettled = {path: _unsettled(path) for path in paths}
    above = (os.path.dirname(folder) for new in unsettled.values() for folder in new)
    failures = _synced(dict.fromkeys([*unsettled, *above]))
    told = {}
    for path, new in unsettled.items():
        error = failures.get(path) or _of_names(new, failures)
        if error is None:
            _note(new)
        elif not isinstance(error, FileNotFoundError):
            told[path] = failed("flush", path, error)
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
        _settled.clear()
    except FileNotFoundError:
        return
    except OSError as error:
        raise failed("delete", path, error) from error


def _make(path: str) -> None:
    """What is new has no durable name yet, not even where there was a folder before, which somebody removed."""
    try:
        system.mkdir(path)
    except FileNotFoundError:
        _make(os.path.dirname(path))
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


def _synced(paths: Iterable[str]) -> dict[str, OSError]:
    """What went wrong with those folders with which something did."""
    failures = {}
    waiting = list(paths)
    for start in range(0, len(waiting), _MOST_OPEN):
        opened: dict[str, int] = {}
        try:
            for path in waiting[start : start + _MOST_OPEN]:
                try:
                    opened[path] = system.open(path, os.O_RDONLY | os.O_DIRECTORY)
                except OSError as error:
                    failures[path] = error
            told = system.fsync_all(list(opened.values()))
            failures |= {path: error for path, error in zip(opened, told, strict=True) if error is not None}
        finally:
            for descriptor in opened.values():
                system.close(descriptor)
    return failures


def _of_names(new: Iterable[str], failures: Mapping[str, OSError]) -> OSError | None:
    """Why the name of one of these folders may not survive. One in a folder that we may not read has not been made by us."""
    told = (failures.get(os.path.dirname(folder)) for folder in new)
    return next((error for error in told if error is not None and not isinstance(error, PermissionError)), None)
