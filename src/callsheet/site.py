"""Where a run's actions are carried out, and what they all do there: look once more, put away, put back.

Rules of this module: what is taken away is hashed where nobody else reaches it, and goes back if it is not what was meant.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import lru_cache

from callsheet import files, hashing, local, system
from callsheet.action import Action, Version
from callsheet.elsewhere import Place, beacon, opened, place
from callsheet.errors import ChangingFile, LocalError, PlanError
from callsheet.layout import Layout, printable
from callsheet.meter import Meter
from callsheet.remote import Remote

AGAIN = "Sync, then try again"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a run's actions are carried out. `run_id` names its trash on both sides. Pickled, it is small; each process that it comes to
    holds its own transfers to the meter's rate."""

    root: str
    where: Layout
    remote: Remote
    run_id: str
    meter: Meter
    rooms: deque[mmap.mmap] = field(default_factory=deque, repr=False, compare=False)
    """Memory that nobody uses at the moment, for the next who moves images through it."""

    def __reduce__(self) -> tuple[Callable[[Place, int | None], Site], tuple[Place, int | None]]:
        at = place(self.run_id, self.root, self.where, self.remote, self.remote.url)
        return _on_worker, (at, self.meter.limit_bytes_s)

    def beacon(self) -> AbstractContextManager[None]:
        return beacon(self.root, self.where, self.run_id)

    def path(self, action: Action) -> str:
        return os.path.join(self.root, self.where.image(action.actor, action.filename))

    def trash(self, action: Action, run_id: str) -> str:
        return os.path.join(self.root, self.where.trash(run_id, self.where.image(action.actor, action.filename)))

    @property
    def trash_dir(self) -> str:
        return os.path.join(self.root, self.where.trash_dir)

    def actor_folder(self, action: Action) -> str:
        return os.path.join(self.root, self.where.folder(action.actor))


@lru_cache(maxsize=1)
def _on_worker(at: Place, limit_bytes_s: int | None) -> Site:
    """One for all jobs of a process: they share its meter."""
    remote = opened(at).remote
    if remote is None:
        raise AssertionError("a site has a store")
    return Site(at.root, at.where, remote, at.run_id, Meter(limit_bytes_s))


def check_place(site: Site, action: Action) -> None:
    if site.where.trashed_in_s3(action.location):
        raise PlanError(f"{action.location} is in the trash: no image's place")


def take(site: Site, action: Action, version: Version) -> Version:
    """Move the image's file into the trash of this disk, if it is `version`: what was moved is hashed, and goes back if it is not."""
    path, aside = site.path(action), site.trash(action, site.run_id)
    local.check_inside(os.path.dirname(path), site.actor_folder(action))
    if system.islink(path):
        raise LocalError(f"{printable(path)} is a symlink", hint="Put a copy in its place, then sync.")
    files.move(path, aside)
    try:
        check_md5(aside, version, f"{printable(path)} changed since it was looked at")
    except LocalError:
        files.move(aside, path)
        raise
    return version


def put_back(site: Site, action: Action) -> None:
    """After all, nothing takes the place of the file that was moved into the trash. If something else did, it stays there."""
    with suppress(LocalError):
        files.move(site.trash(action, site.run_id), site.path(action))


def check_md5(path: str, version: Version, otherwise: str) -> None:
    hashed = hashing.hash_files([path])[0]
    if isinstance(hashed, LocalError):
        raise hashed
    if hashed.md5 != version.md5:
        raise ChangingFile(otherwise, hint=AGAIN)


def side(version: Version | None) -> Version:
    if version is None:
        raise AssertionError("the op has no such side")
    return version
