"""New files, many at a time: written under names that nobody uses, made durable, and only then given those that they are for.

Rules of this module: a file that has its name is whole, and no name is taken from a file that has it. Every `OSError` ends here, as a
`LocalError` that names the path. One file that fails does not keep the others of its batch from being made.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callsheet import folders, system
from callsheet.errors import LocalError
from callsheet.local import TEMPORARY, check_inside, failed

_RANDOM_BYTES = 4
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(slots=True)
class Draft:
    """A new file that is for `target`. Whoever began it publishes or abandons it; `descriptor`, to write to it by, is None then."""

    target: str
    temporary: str
    descriptor: int | None

    @property
    def open_descriptor(self) -> int:
        if self.descriptor is None:
            raise AssertionError("a draft that is published or abandoned is closed")
        return self.descriptor


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is still to be written to a new file, at its end, and its modification time."""

    draft: Draft
    data: memoryview
    mtime_ns: int


def temporary_name(folder: str) -> str:
    """A path in a folder that nobody else uses."""
    return _temporary_names([folder])[0]


def begin(places: Sequence[tuple[str, str]], *, make_folders: bool) -> list[Draft | LocalError | None]:
    """New files for each (target, folder that it must be inside), or why they cannot be made.

    Missing folders are made, durably; or else None says that the target's is not there.
    """
    homes = [(os.path.dirname(target), within) for target, within in places]
    outside = _outside(set(homes))
    begun = iter(
        _begun([target for (target, _), home in zip(places, homes, strict=True) if home not in outside], make_folders)
    )
    return [outside[home] if home in outside else next(begun) for home in homes]


def write(draft: Draft, block: bytes | bytearray) -> None:
    """Write at the end of a new file; it is not durable yet."""
    try:
        system.write_all(draft.open_descriptor, block)
    except OSError as error:
        raise failed("write", draft.target, error) from error


def write_durably(fresh: Sequence[Fresh]) -> list[LocalError | None]:
    """Write and flush new files, many at little more than the cost of one. What went wrong with each, None if nothing did."""
    told = system.write_durably([(one.draft.open_descriptor, one.data, one.mtime_ns) for one in fresh])
    return [_failed(one.draft.target, error) for one, error in zip(fresh, told, strict=True)]


def publish(drafts: Sequence[Draft]) -> list[LocalError | None]:
    """Give new files their names, if nothing has these, and close them. What went wrong with each, None if nothing did.

    The names survive a crash once the folders are flushed, see `folders.flush`.
    """
    files = [(draft.open_descriptor, draft.temporary, draft.target) for draft in drafts]
    for draft in drafts:  # whatever comes between, nobody closes what may be closed already, and another's by now
        draft.descriptor = None
    told = []
    for draft, (descriptor, *_), unlinked in zip(drafts, files, system.publish(files), strict=True):
        error = unlinked
        if unlinked is not None and unlinked.errno in _NO_LINKS:
            error = _renamed(draft, descriptor)
        if error is not None:
            draft.descriptor = descriptor
        told.append(_failed(draft.target, error))
    return told


def publish_one(draft: Draft) -> None:
    """As `publish`; raises what went wrong."""
    (error,) = publish([draft])
    if error is not None:
        raise error


def abandon(draft: Draft) -> None:
    """Close and remove a new file that has not got its name. What cannot be removed is swept some day."""
    descriptor, draft.descriptor = draft.descriptor, None
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        system.unlink(draft.temporary)
    with contextlib.suppress(OSError):
        system.close(descriptor)


@contextlib.contextmanager
def new_file(target: str, *, within: str) -> Iterator[int]:
    """A new file, to be written and flushed by its descriptor: it is published when the block ends, and abandoned if that raises."""
    (draft,) = begin([(target, within)], make_folders=True)
    if not isinstance(draft, Draft):
        raise draft or AssertionError("a folder that is missing is made")
    try:
        yield draft.open_descriptor
        publish_one(draft)
    except OSError as error:
        raise failed("write", target, error) from error
    finally:
        abandon(draft)


def linked(path: str, target: str) -> bool:
    """Give a file a second name, if nothing has that. False where there are no links: then it was renamed, after a look."""
    try:
        system.link(path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename(path, target)
        return False
    return True


def _rename(path: str, target: str) -> None:
    if system.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    system.rename(path, target)


def _temporary_names(homes: Sequence[str]) -> list[str]:
    chance = system.urandom(_RANDOM_BYTES * len(homes)).hex()
    width = 2 * _RANDOM_BYTES
    return [
        os.path.join(home, f"{TEMPORARY}{chance[start : start + width]}.tmp")
        for home, start in zip(homes, range(0, len(chance), width), strict=True)
    ]


def _outside(folders_: set[tuple[str, str]]) -> dict[tuple[str, str], LocalError]:
    """Why those that a symlink leads out of where they must be cannot be used."""
    told = {}
    for folder, within in folders_:
        try:
            check_inside(folder, within)
        except LocalError as error:
            told[folder, within] = error
    return told


def _begun(targets: Sequence[str], make_folders: bool) -> list[Draft | LocalError | None]:
    names = _temporary_names([os.path.dirname(target) for target in targets])
    created = folders.create_inside(names) if make_folders else system.create(names)
    begun: list[Draft | LocalError | None] = []
    for target, name, one in zip(targets, names, created, strict=True):
        if isinstance(one, FileNotFoundError) and not make_folders:
            begun.append(None)
        elif isinstance(one, OSError):
            begun.append(_failure(target, one))
        else:
            begun.append(Draft(target, name, one))
    return begun


def _renamed(draft: Draft, descriptor: int) -> OSError | None:
    """Give a new file its name where there are no links, and close it. What went wrong, None if nothing did."""
    try:
        _rename(draft.temporary, draft.target)
    except OSError as error:
        return error
    with contextlib.suppress(OSError):  # it is durable, and has its name
        system.close(descriptor)
    return None


def _failed(target: str, error: OSError | None) -> LocalError | None:
    return None if error is None else _failure(target, error)


def _failure(target: str, error: OSError) -> LocalError:
    told = failed("write", target, error)
    told.__cause__ = error
    return told
