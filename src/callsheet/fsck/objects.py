"""Reading objects of S3 to their end: here, or on the workers of a cluster, which need no tree for that."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from callsheet.cluster import Cluster
from callsheet.elsewhere import Afar, reached
from callsheet.errors import RemoteError, WorkerLost
from callsheet.model import Location, RemoteObject
from callsheet.remote import Remote

_TOGETHER = 16
"""As many objects are one job of a worker."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to be read: the version with this ETag, or, if that is empty, whichever is there."""

    location: Location
    etag: str


@dataclass(frozen=True, slots=True)
class Content:
    """What was read of an object: its description, MD5 and size in bytes."""

    described: RemoteObject
    md5: str
    size_bytes: int


ReadObjects = Callable[[Sequence[Wanted]], Iterator[Content | RemoteError | WorkerLost]]
"""The content of each object, in their order, or why it could not be read."""


def read_object(remote: Remote, wanted: Wanted) -> Content:
    """Read an object to its end. Raises what `Remote.read` and its blocks do."""
    reading = remote.read(wanted.location, if_match=wanted.etag or remote.head(wanted.location).etag)
    made, size_bytes = hashlib.md5(usedforsecurity=False), 0
    for block in reading.blocks:
        made.update(block)
        size_bytes += len(block)
    return Content(reading.described, made.hexdigest(), size_bytes)


def read_here(remote: Remote, wanted: Sequence[Wanted]) -> Iterator[Content | RemoteError]:
    """As `ReadObjects`."""
    for one in wanted:
        try:
            yield read_object(remote, one)
        except RemoteError as error:
            yield error


def read_afar(cluster: Cluster, at: Afar, wanted: Sequence[Wanted]) -> Iterator[Content | RemoteError | WorkerLost]:
    """As `ReadObjects`, on the workers. `ClusterError` if the cluster is lost, or a worker would ask another store."""
    batches = deque(wanted[start : start + _TOGETHER] for start in range(0, len(wanted), _TOGETHER))
    under_way: deque[tuple[Sequence[Wanted], Future[list[Content | RemoteError]]]] = deque()
    while batches or under_way:
        while batches and len(under_way) < cluster.at_once:
            batch = batches.popleft()
            under_way.append((batch, cluster.submit(_on_worker, at, tuple(batch))))
        batch, job = under_way.popleft()
        try:
            yield from job.result()
        except WorkerLost as error:
            if len(batch) == 1:
                yield error
            else:  # each for itself, to find the one that it was
                for one in batch:
                    yield from read_afar(cluster, at, [one])


def _on_worker(at: Afar, wanted: Sequence[Wanted]) -> list[Content | RemoteError]:
    return list(read_here(reached(at), wanted))
