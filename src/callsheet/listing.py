"""Listings of the default prefix, cut into ranges that are listed at once, and into the actors' folders: what there is to look at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice, pairwise
from typing import TypeVar

from callsheet import layout, system
from callsheet.errors import RemoteError
from callsheet.findings import not_seen
from callsheet.layout import Layout
from callsheet.model import Actor, HashedFile, Listing, Problem, RemoteObject
from callsheet.remote import Remote
from callsheet.run import Run, Stop
from callsheet.survey import Survey, only_in_s3

_T = TypeVar("_T")
_AHEAD = 16
_LISTINGS = 8
_FEW = 16
"""So many actors are listed one by one; for more, the range of keys that they are in."""

_AFTER_SLASH = chr(ord("/") + 1)
_ACTORS = 500
"""With fewer actors for each, more listings at once cost more requests than they save time."""


@dataclass(frozen=True, slots=True)
class Task:
    """One actor to be looked at. `listing` is its default folder in S3; None: the job lists it, if S3 is looked at.

    `hashed` are its files of `Run.hashed`; `removed` its images of `Run.removed`. What is seen is seen after `started`; None: after the run began.
    """

    actor: Actor
    listing: Listing | None = None
    hashed: Mapping[str, HashedFile] = field(default_factory=dict)
    removed: Set[tuple[str, bool]] = frozenset()
    started: datetime | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the actors, in the listing's order, and the range of keys that is theirs: from `after` to `before`, empty at either end."""

    actors: tuple[Actor, ...]
    after: str
    before: str


def parts(where: Layout, actors: Sequence[Actor], *, only: bool = False) -> list[Part]:
    """All keys in a few ranges, each with its share of `actors`, which are in the listing's order.

    No two folders whose names begin with the same number and an underscore are in different ranges. With `only`, the keys before those of the
    first actor and after those of the last are in none.
    """
    count = max(1, min(_LISTINGS, len(actors) // _ACTORS))
    starts = [_start(actors[number * len(actors) // count]) for number in range(1, count)]
    orders = [listing_order(actor.name) for actor in actors]
    cuts = [0, *(bisect_left(orders, start.encode()) for start in starts), len(actors)]
    prefix = where.key_prefix()
    after = before = ""
    if only and actors:
        after, before = f"{prefix}{actors[0].name}/", f"{prefix}{actors[-1].name}{_AFTER_SLASH}"
    keys = [after, *(f"{prefix}{start}" for start in starts), before]
    return [
        Part(tuple(actors[first:last]), after, before)
        for (first, last), (after, before) in zip(pairwise(cuts), pairwise(keys), strict=True)
    ]


def _start(actor: Actor) -> str:
    """What a range begins with that begins with an actor, and with all that share its number."""
    shared = f"{actor.id}_"
    return shared if actor.name.startswith(shared) else f"{actor.name}/"


def together(streams: Sequence[Iterator[_T]]) -> Iterator[_T]:
    """What all streams yield, in any order; each is advanced on a thread of its own, a little ahead of what is asked for."""
    if len(streams) == 1:
        yield from streams[0]
        return
    pool = ThreadPoolExecutor(len(streams), thread_name_prefix="callsheet-list")
    try:
        advancing = {pool.submit(_advanced, stream): stream for stream in streams}
        while advancing:
            for future in wait(advancing, return_when=FIRST_COMPLETED).done:
                stream, found = advancing.pop(future), future.result()
                if found:
                    advancing[pool.submit(_advanced, stream)] = stream
                yield from found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _advanced(stream: Iterator[_T]) -> list[_T]:
    """What comes next, nothing at the end."""
    return list(islice(stream, _AHEAD))


def tasks_among(run: Run, names: Collection[str], problems: list[Problem], halt: Stop) -> Iterator[Task]:
    """The actors with these folder names, those that are in S3 only included, in the listing's order: a few to be listed one by one, more with
    their share of a listing. All of that is seen from now on. What is wrong with them is added to `problems`."""
    now = system.now()
    chosen = run.surveyor.survey().among(names)
    problems.extend(chosen.problems)
    actors = sorted(chosen.actors, key=lambda actor: listing_order(actor.name))
    if run.remote is None or len(actors) <= _FEW:
        tasks: Iterable[Task] = map(Task, actors)
    else:
        tasks = tasks_listed(run.where, run.remote, actors, None, problems, halt)
    return (replace(task, started=now) for task in tasks)


def tasks_listed(
    where: Layout,
    remote: Remote,
    actors: Sequence[Actor],
    everyone: Survey | None,
    problems: list[Problem],
    halt: Stop,
) -> Iterator[Task]:
    """These actors, which are in the listing's order, each with its share of a listing of all keys, and who else is found there, see `tasks_of`;
    without `everyone`, nobody else, of the keys from the first actor's to the last one's."""
    ranges = parts(where, actors, only=everyone is None)
    return together([tasks_of(part, where, remote, everyone, problems, halt) for part in ranges])


class Folders:
    """One listing of a part of the prefix, cut into the actors' folders: pairs of name and listing, in the order of the keys.

    When it has ended, `error` says why it did so early, if it did; the folder in which it broke off is not complete.
    """

    def __init__(self, where: Layout, remote: Remote, part: Part) -> None:
        self._where = where
        self._remote = remote
        self._part = part
        self.error: RemoteError | None = None

    def __iter__(self) -> Iterator[tuple[str, Listing]]:
        prefix = self._where.key_prefix()
        current: str | None = None
        folder = ""
        objects: dict[str, RemoteObject] = {}
        try:
            for item in self._remote.list(self._where.bucket, prefix, after=self._part.after, before=self._part.before):
                key = item.location.key
                if current is None or not key.startswith(folder):
                    name, slash, _ = key[len(prefix) :].partition("/")
                    if not slash:
                        continue
                    if current is not None:
                        yield current, Listing(objects, complete=True)
                    current, folder, objects = name, f"{prefix}{name}/", {}
                filename = key[len(folder) :]
                if filename and "/" not in filename:
                    objects[filename] = item
        except RemoteError as error:
            self.error = error
        if current is not None:
            yield current, Listing(objects, complete=self.error is None)


def tasks_of(
    part: Part,
    where: Layout,
    remote: Remote,
    everyone: Survey | None,
    problems: list[Problem],
    halt: Stop,
) -> Iterator[Task]:
    """Each actor of a part with its share of the listing of that part: a merge of two sorted streams.

    Folders that exist in S3 only come too, unless `everyone` is None. What went wrong is added to `problems`. It ends where `halt` says
    so: what was not listed then is in no task.
    """
    waiting = list(reversed(part.actors))
    strangers: dict[str, Listing] = {}
    folders = Folders(where, remote, part)
    for name, listing in folders:
        if halt():
            return
        while waiting and listing_order(waiting[-1].name) < listing_order(name):
            yield Task(waiting.pop(), Listing({}, complete=True))
        if waiting and waiting[-1].name == name:
            yield Task(waiting.pop(), listing)
        elif everyone and layout.has_actor_form(name) and any(map(layout.is_image, listing.objects)):
            if any(layout.actor_id(other) != layout.actor_id(name) for other in strangers):
                yield from _of_strangers(strangers, everyone, problems)
                strangers = {}
            strangers[name] = listing
    if folders.error is not None:
        problems.append(not_seen(where.bucket, folders.error))
    while waiting:
        yield Task(waiting.pop(), Listing({}, complete=folders.error is None))
    if everyone:
        yield from _of_strangers(strangers, everyone, problems)


def _of_strangers(strangers: dict[str, Listing], everyone: Survey, problems: list[Problem]) -> Iterator[Task]:
    """Folders that exist in S3 only: all that begin with one number, which follow one another in a listing."""
    actors, told = only_in_s3(strangers, everyone)
    problems.extend(told)
    for actor in actors:
        yield Task(actor, strangers[actor.name])


def listing_order(name: str) -> bytes:
    """Where a folder comes in a listing, which is sorted by the bytes of whole keys: `a-b/` before `a/`."""
    return f"{name}/".encode()


def list_actor(where: Layout, remote: Remote, actor: Actor) -> tuple[Listing, RemoteError | None]:
    """One actor's folder, listed for itself, and why that broke off, if it did."""
    prefix = where.key_prefix(actor.name)
    objects: dict[str, RemoteObject] = {}
    try:
        for item in remote.list(where.bucket, prefix):
            if "/" not in (filename := item.location.key[len(prefix) :]):
                objects[filename] = item
    except RemoteError as error:
        return Listing(objects, complete=False), error
    return Listing(objects, complete=True), None
