"""A run on a worker of a cluster: what its jobs share is opened there once in a process, and must be the same there as here.

Rules of this module: jobs on a worker find the tree by the path that it has here, and S3 by their own AWS environment. If either is
another one there, nothing is done: it would be recorded as gone. Jobs that are about S3 alone need no tree.
"""

from __future__ import annotations

import os
import pickle
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

from callsheet import files, folders, system
from callsheet.errors import ClusterError
from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote import Remote
from callsheet.store import Store

_RUNS = 4
"""Of so many runs a process keeps what they share."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's jobs are at work, as it is sent to a worker. `stores` are its pickled remote, if it has one, and `url_for`; `url` is
    one that this makes here."""

    run_id: str
    root: str
    where: Layout
    stores: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Afar:
    """The store of a run alone, as it is sent to a worker; as in `Place`."""

    run_id: str
    where: Layout
    stores: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What the jobs of a run share in one process."""

    store: Store
    remote: Remote | None
    url_for: Callable[[Location], str]


def place(run_id: str, root: str, where: Layout, remote: Remote | None, url_for: Callable[[Location], str]) -> Place:
    return Place(run_id, root, where, pickle.dumps((remote, url_for)), url_for(_anywhere(where)))


def afar(run_id: str, where: Layout, remote: Remote) -> Afar:
    return Afar(run_id, where, pickle.dumps((remote, remote.url)), remote.url(_anywhere(where)))


@lru_cache(maxsize=_RUNS)
def reached(at: Afar) -> Remote:
    """The store, on a worker. `ClusterError` if that would speak to another one."""
    remote, _ = _stores(at.stores, at.where, at.url)
    if remote is None:
        raise AssertionError("without a store, there is nothing to reach")
    return remote


@lru_cache(maxsize=_RUNS)
def opened(at: Place) -> Opened:
    """What the jobs of a run share, on a worker. `ClusterError` if that does not see the tree, or speaks to another store."""
    if not system.exists(_beacon(at.root, at.where, at.run_id)):
        hint = "Mount the tree there, at the same path: see docs/cluster.md."
        raise ClusterError(f"A worker on {platform.node()} does not see the tree at {at.root}", hint=hint)
    remote, url_for = _stores(at.stores, at.where, at.url)
    return Opened(Store(at.root, at.where, flushes=True), remote, url_for)


def _stores(pickled: bytes, where: Layout, url: str) -> tuple[Remote | None, Callable[[Location], str]]:
    """The remote and the maker of URLs, on a worker."""
    found: tuple[Remote | None, Callable[[Location], str]] = pickle.loads(pickled)  # noqa: S301  see `cluster`
    if (there := found[1](_anywhere(where))) != url:
        hint = "Give workers the same AWS_ENDPOINT_URL, or the same ~/.aws/config."
        raise ClusterError(
            f"A worker on {platform.node()} would find in S3 at {there} what is at {url} here", hint=hint
        )
    return found


@contextmanager
def beacon(root: str, where: Layout, run_id: str) -> Iterator[None]:
    """While in its context, workers can tell by a file that the tree which they see is this one."""
    path = _beacon(root, where, run_id)
    files.touch(path, system.time_ns())
    try:
        yield
    finally:
        with suppress(OSError):
            system.unlink(path)
        folders.remove_empty(os.path.dirname(path), root)


def _beacon(root: str, where: Layout, run_id: str) -> str:
    return os.path.join(root, where.beacon(run_id))


def _anywhere(where: Layout) -> Location:
    return Location(where.bucket, "a")
