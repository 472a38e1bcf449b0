"""Who is here: which folder, manifest and S3 prefix belong together, and which collide.

A manifest belongs to the folder that it names. A folder whose id is taken by a manifest that names another one, or
that shares its id with another folder while no manifest says whose it is, collides: it is told, and left as it is
until `adopt` settles it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

from callsheet import layout, local, system
from callsheet.errors import CallsheetError, Collision, UnknownActor
from callsheet.layout import Layout
from callsheet.model import Actor, Manifest, Problem
from callsheet.store import Store

_T = TypeVar("_T")
_RACY_NS = 2_000_000_000
"""What was looked at so soon after it changed may change again without its times showing it: clocks of file systems are coarse."""

Still = Callable[[], bool]
"""Whether all is as it was."""

_Named = tuple[str | None, Problem | None]
"""The folder that a manifest names, if it names one, or why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The actors that can be worked on, sorted by name, and why others cannot. `taken` are all ids that are spoken for."""

    actors: tuple[Actor, ...]
    problems: tuple[Problem, ...]
    folders: frozenset[str]
    taken: frozenset[str]
    _by_name: dict[str, Actor] = field(init=False, repr=False, compare=False)
    _by_number: dict[str, list[Actor]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {actor.name: actor for actor in self.actors})
        by_number: dict[str, list[Actor]] = {}
        for actor in self.actors:
            if (number := layout.number_of(actor.id)) is not None:
                by_number.setdefault(number, []).append(actor)
        object.__setattr__(self, "_by_number", by_number)

    def named(self, name: str) -> Actor | None:
        """The actor with this folder name."""
        return self._by_name.get(name)

    def matching(self, wanted: Iterable[str]) -> Survey:
        """Only the actors that the user named (`0`, `0000` or the full name), and the problems of those; all for none.

        `UnknownActor` for a name that nobody answers to, or an id that two answer to.
        """
        names = [name.rstrip("/").rpartition("/")[2] for name in wanted]
        if not names:
            return self
        chosen: dict[str, Actor] = {}
        problems: list[Problem] = []
        for name in names:
            actor, told = self._one(name)
            problems.extend(told)
            if actor is not None:
                chosen[actor.name] = actor
        actors = tuple(sorted(chosen.values(), key=_by_name))
        return Survey(actors, tuple(problems), self.folders, self.taken)

    def among(self, names: Iterable[str]) -> Survey:
        """Only the actors with these folder names, those that are in S3 only included, and their problems; none need be there."""
        chosen = frozenset(names)
        strangers, told = only_in_s3(sorted(chosen), self)
        problems = [problem for problem in self.problems if problem.actor in chosen]
        actors = [actor for name in chosen if (actor := self.named(name)) is not None]
        return replace(self, actors=tuple(sorted((*actors, *strangers), key=_by_name)), problems=(*problems, *told))

    def _one(self, wanted: str) -> tuple[Actor | None, list[Problem]]:
        exact, number = self.named(wanted), layout.number_of(wanted)
        answering = [exact] if exact else self._by_number.get(number, []) if number is not None else []
        if len(answering) > 1:
            names = ", ".join(actor.name for actor in answering)
            raise UnknownActor(f"{wanted!r} means more than one actor: {names}", hint="Give the full name.")
        if answering:
            return answering[0], []
        troubled = [told for told in self.problems if layout.answers_to(layout.shared_actor(told.actor), wanted)]
        if troubled:
            return None, troubled
        hint = "`callsheet status` lists the actors; one that is only in S3 is found by a sync of all."
        raise UnknownActor(f"There is no actor {layout.printable(wanted)[:100]!r}", hint=hint)


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class _Remembered(Generic[_T]):
    """What was read of a file or folder: read again only if that may have changed since."""

    def __init__(self, path: str, read: Callable[[], tuple[_T, Still]]) -> None:
        """`read` also gives what tells later whether all is as it was that the stamp of `path` does not show."""
        self._path = path
        self._read = read
        self._stamp: local.Stamp | None = None
        self._still: Still = _never
        self._value: _T | None = None

    def get(self) -> _T:
        """What is there now."""
        looked_ns, stamp = system.time_ns(), local.stamp(self._path)
        if self._value is not None and stamp is not None and stamp == self._stamp and self._still():
            return self._value
        self._stamp = None
        value, self._still = self._read()
        if self._value is None or value != self._value:
            self._value = value
        if stamp is not None and max(stamp.mtime_ns, stamp.ctime_ns) < looked_ns - _RACY_NS:
            self._stamp = stamp
        return self._value


class Surveyor:
    """Surveys one tree, and remembers: nothing is read or worked out again while what it rests on has not changed.

    Safe to use from many threads.
    """

    def __init__(self, root: str, where: Layout, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        folder = os.path.join(root, where.actors_dir)
        self._folders = _Remembered(folder, partial(_folders, folder))
        self._stems = _Remembered(store.folder, lambda: (store.stems(), _always))
        self._manifests: dict[str, _Remembered[_Named]] = {}
        self._basis: object = None
        self._survey: Survey | None = None

    def survey(self) -> Survey:
        """The actors' folders and the manifests as they are now. `TreeError` if one of the two folders cannot be read."""
        with self._lock:
            folders, stems = self._folders.get(), self._stems.get()
            named = {stem: manifest.get() for stem, manifest in self._manifests.items()}
            if self._survey is None or self._basis != (folders, stems, named):
                read: dict[str, _Named] = {}
                self._survey = _surveyed(folders, stems, lambda stem: read.setdefault(stem, self._names(stem)))
                self._manifests = {stem: self._manifests[stem] for stem in read}
                self._basis = folders, stems, read
            return self._survey

    def _names(self, stem: str) -> _Named:
        if stem not in self._manifests:
            self._manifests[stem] = _Remembered(self._store.path(stem), partial(_names, stem, self._store))
        return self._manifests[stem].get()


def _surveyed(found: tuple[str, ...], stems: frozenset[str], names: Callable[[str], _Named]) -> Survey:
    """The survey of these folders and manifests; `names` reads one of the latter."""
    problems = [_bad_folder(name) for name in found if layout.name_fault(name)]
    folders = [name for name in found if not layout.name_fault(name)]
    problems.extend(Problem(group[0], "", "twin_names", layout.twins_told(group)) for group in layout.twins(folders))
    own = {name for name in folders if name in stems and name != layout.actor_id(name)}
    actors = [layout.own_actor(name) for name in sorted(own)]
    sharing: dict[str, list[str]] = {}
    for name in folders:
        if name not in own:
            sharing.setdefault(layout.actor_id(name), []).append(name)
    for number, sharers in sharing.items():
        owner, told = _settle(number, sharers, number in stems, names)
        actors.extend(owner)
        problems.extend(told)
    folderless = sorted(stems - {actor.stem for actor in actors} - sharing.keys())
    owner, told = _without_folder(folderless, {actor.name for actor in actors}, names)
    actors.extend(owner)
    problems.extend(told)
    taken = frozenset(stems | {layout.actor_id(name) for name in folders})
    return Survey(tuple(sorted(actors, key=_by_name)), tuple(problems), frozenset(found), taken)


def claim(manifest: Manifest | None, actor: Actor) -> None:
    """`Collision` if the manifest names another folder than the actor's."""
    if manifest is not None and manifest.names not in (None, actor.name):
        raise Collision(_taken(actor, manifest.names or ""), hint=_adopt(actor.name))


def only_in_s3(names: Iterable[str], seen: Survey) -> tuple[list[Actor], list[Problem]]:
    """The actors among folders that exist in S3 only, and those that collide with an id that is taken."""
    candidates = [
        name for name in names if layout.has_actor_form(name) and not seen.named(name) and name not in seen.folders
    ]
    ids = Counter(map(layout.actor_id, candidates))
    actors, problems = [], []
    for name in candidates:
        number = layout.actor_id(name)
        if number in seen.taken or ids[number] > 1:
            message = f"it is in S3 only, and another actor has the id {number}. {_adopt(name)}"
            problems.append(Problem(name, "", Collision.code, message))
        else:
            actors.append(layout.shared_actor(name))
    return actors, problems


def _settle(
    number: str, names: list[str], has_manifest: bool, read: Callable[[str], _Named]
) -> tuple[list[Actor], list[Problem]]:
    """Whose the manifest of an id is, among the folders that share the id. A single one is left for `claim` to check."""
    if len(names) == 1:
        return [layout.shared_actor(names[0])], []
    named, problem = read(number) if has_manifest else (None, None)
    owner = [layout.shared_actor(name) for name in names if name == named]
    others = [name for name in names if name != named]
    if problem is not None:
        return [], [replace(problem, actor=name) for name in names]
    told = []
    for name in others:
        rivals = " and ".join(other for other in names if other != name)
        if owner:
            message = (
                f"{_taken(layout.shared_actor(name), named or '')}. Give this one its own: callsheet adopt --own {name}"
            )
        elif named:
            message = f"{_taken(layout.shared_actor(name), named)}. {_adopt(name)}"
        else:
            message = f"it shares its id {number} with {rivals}, and no manifest says whose it is. To make it this one's: callsheet adopt {name}"
        told.append(Problem(name, "", Collision.code, message))
    return owner, told


def _without_folder(
    stems: list[str], owned: set[str], read: Callable[[str], _Named]
) -> tuple[list[Actor], list[Problem]]:
    """The actors of manifests that no folder answers to: of those that name an actor of their own."""
    problems: list[Problem] = []
    naming: dict[str, list[str]] = {}
    for stem in stems:
        named, problem = read(stem)
        if problem is not None:
            problems.append(problem)
        elif named is None:
            message = "its manifest names no folder, and none has its id; set character_name in it, or move it away"
            problems.append(Problem(stem, "", "no_folder", message))
        else:
            naming.setdefault(named, []).append(stem)
    actors = []
    for named, claiming in naming.items():
        if named not in owned and len(claiming) == 1:
            actors.append(Actor(named, layout.actor_id(named), claiming[0]))
            continue
        message = f"this manifest names {named}, which has another one too; move one of the two away"
        problems.extend(Problem(stem, "", Collision.code, message) for stem in claiming)
    return actors, problems


def _folders(path: str) -> tuple[tuple[str, ...], Still]:
    names, links = local.actor_folders(path)
    return names, lambda: all(local.leads_to_folder(link) == was for link, was in links.items())


def _names(stem: str, store: Store) -> tuple[_Named, Still]:
    try:
        manifest = store.load(stem)
    except CallsheetError as error:
        return (None, Problem(stem, "", error.code, error.sentence)), _never
    return (manifest.names if manifest else None, None), _always


def _taken(actor: Actor, named: str) -> str:
    return f"its id {actor.id} belongs to a manifest that names the folder {named}, so it was left as it is"


def _adopt(name: str) -> str:
    return f"If it is the same actor under a new name: callsheet adopt {name}; if it is another: callsheet adopt --own {name}"


def _bad_folder(name: str) -> Problem:
    shown = layout.printable(name)
    return Problem(shown, "", "bad_name", f"the folder's name {layout.name_fault(name)}; rename it")


def _by_name(actor: Actor) -> str:
    return actor.name
