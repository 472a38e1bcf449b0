"""What all jobs of one run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from callsheet import system
from callsheet.ahead import HashAhead
from callsheet.layout import Layout
from callsheet.model import Actor, HashedFile, Location, Manifest
from callsheet.remote import Remote
from callsheet.store import Store
from callsheet.survey import Surveyor

Stop = Callable[[], bool]
"""Asked now and then: whether to begin nothing more. What is under way is finished."""


def never() -> bool:
    """The `Stop` that lets a run go on to its end."""
    return False


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`offline`: do not look at S3. `verify`: hash every file again. `download`: read an object whose content nothing else
    tells. `dry_run`: write nothing. `accept_loss`: record even mass disappearance. `removed`: what this run, or
    one that was killed, is known to have taken away (actor, filename, from this disk): that is no surprise."""

    offline: bool = False
    verify: bool = False
    download: bool = True
    dry_run: bool = False
    accept_loss: bool = False
    removed: frozenset[tuple[str, str, bool]] = frozenset()


MayWait = Callable[[Actor, Manifest, Sequence[HashedFile]], bool]
"""Asked with an actor's manifest as it would be recorded, and the files that were hashed for it: whether recording may wait, for the actor
is acted on at once, and then looked at again. Called by many threads."""


@dataclass(frozen=True, slots=True)
class Run:
    """What all jobs of one run share. `remote` is None if the run does not look at S3.

    `hashed` are files of actors, by name and path, that were hashed a moment ago: good as long as they have that size and mtime, which was
    not recent then. What is learnt of an actor is recorded unless `may_wait` says that it may wait.
    """

    id: str
    root: str
    where: Layout
    store: Store
    surveyor: Surveyor
    remote: Remote | None
    url_for: Callable[[Location], str]
    options: SyncOptions
    started: datetime
    ahead: HashAhead | None = None
    hashed: Mapping[str, Mapping[str, HashedFile]] = field(default_factory=dict)
    may_wait: MayWait | None = None


def new_run_id(now: datetime) -> str:
    """A name for a run that sorts by time."""
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{system.urandom(2).hex()}"
