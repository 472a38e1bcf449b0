"""What all jobs of one run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from callsheet import system
from callsheet.layout import Layout
from callsheet.memo import Memos
from callsheet.model import Actor, HashedFile, Location, Manifest
from callsheet.remote import Remote
from callsheet.store import Store
from callsheet.survey import Surveyor

if TYPE_CHECKING:
    from callsheet.ahead import HashAhead
    from callsheet.elsewhere import Place

Stop = Callable[[], bool]
"""Asked now and then: whether to begin nothing more. What is under way is finished."""


def never() -> bool:
    """The `Stop` that lets a run go on to its end."""
    return False


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`offline`: do not look at S3. `verify`: hash every file again. `download`: read an object whose content nothing else
    tells. `dry_run`: write nothing. `accept_loss`: record even mass disappearance."""

    offline: bool = False
    verify: bool = False
    download: bool = True
    dry_run: bool = False
    accept_loss: bool = False


MayWait = Callable[[Actor, Manifest, Sequence[HashedFile]], bool]
"""Asked with an actor's manifest as it would be recorded, and the files that were hashed for it: whether recording may wait, for the actor
is acted on at once, and then looked at again. Called by many threads."""


@dataclass(frozen=True, slots=True)
class Run:
    """What all jobs of one run share. `remote` is None if the run does not look at S3; `shows`: whoever began it wants to see
    manifests; `again`: a job may have been run before, to any point, by a worker that was lost.

    `hashed` are files of actors, by name and path, that were hashed a moment ago: good as long as they have that size and mtime, which was
    not recent then. `removed` is what this run, or one that was killed, is known to have taken away from actors, by name (filename, from
    this disk): that is no surprise. What is learnt of an actor is recorded unless `may_wait` says that it may wait. Hashes and removals go to each actor's job with its task: pickled, a run is small, and without them.
    """

    id: str
    root: str
    where: Layout
    store: Store
    memos: Memos
    surveyor: Surveyor
    remote: Remote | None
    url_for: Callable[[Location], str]
    options: SyncOptions
    started: datetime
    shows: bool = False
    again: bool = False
    ahead: HashAhead | None = None
    hashed: Mapping[str, Mapping[str, HashedFile]] = field(default_factory=dict)
    may_wait: MayWait | None = None
    removed: Mapping[str, Set[tuple[str, bool]]] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[Place, SyncOptions, datetime, bool]]:
        from callsheet.elsewhere import place

        at = place(self.id, self.root, self.where, self.remote, self.url_for)
        return _on_worker, (at, self.options, self.started, self.shows)

    def beacon(self) -> AbstractContextManager[None]:
        from callsheet.elsewhere import beacon

        return beacon(self.root, self.where, self.id)


def _on_worker(at: Place, options: SyncOptions, started: datetime, shows: bool) -> Run:
    from callsheet.elsewhere import opened

    shared = opened(at)
    return Run(
        at.run_id,
        at.root,
        at.where,
        shared.store,
        Memos(at.root, at.where),
        Surveyor(at.root, at.where, shared.store),
        shared.remote,
        shared.url_for,
        options,
        started,
        shows,
        again=True,
    )


def new_run_id(now: datetime) -> str:
    """A name for a run that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{system.urandom(2).hex()}"
