"""The journal and the trash: whether every run that was begun came to its end, and whether what was put away is still there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from callsheet import layout, local
from callsheet.action import Action, Op, PastRun, Version
from callsheet.checkup import Code, Finding
from callsheet.errors import CallsheetError, LocalError, NoSuchObject, RemoteError
from callsheet.fsck.objects import Wanted, read_object
from callsheet.fsck.reading import promised_md5, spoilt, trashed, unchecked
from callsheet.fsck.scope import Scope
from callsheet.journal import Journal
from callsheet.model import Location, RemoteObject
from callsheet.remote import Remote

Image = tuple[str, str]


class Removal(NamedTuple):
    """Something that a run took out of the trash of another: the run that put it there, the image, and whether it lay on this disk."""

    run_id: str
    image: Image
    here: bool


@dataclass(slots=True)
class Past:
    """The check of all runs of a tree, the newest first: what a run put away, a later one may have put back.

    `in_s3` is what lies in the trash of S3: by run, the place that each object came from, and the object. None if nobody looked: then what
    the journals tell of it is believed.
    """

    scope: Scope
    journal: Journal
    in_s3: Mapping[str, Mapping[str, RemoteObject]] | None = None
    runs: int = 0
    read_bytes: int = 0
    _put_back: set[Removal] = field(default_factory=set)
    _taken_back: set[str] = field(default_factory=set)
    _held: set[str] = field(default_factory=set)
    _missing: list[tuple[str, Finding]] = field(default_factory=list)

    def check(self) -> Iterator[Finding]:
        """Every run's journal, with what its heap in the trash must hold; then the heaps that no journal tells of. `LocalError` if one of the two
        folders cannot be read."""
        known = self.journal.runs()
        yield from self._strays(known)
        for run_id in reversed(known):
            self.runs += 1
            yield from self._of_run(run_id, latest=run_id == known[-1])
        yield from self._without_journal(frozenset(known))
        yield from (finding for content, finding in self._missing if content not in self._held)

    def busy(self) -> frozenset[str]:
        """The actors that runs which are under way at this moment are about."""
        names: set[str] = set()
        for run_id in self.journal.runs():
            if self.journal.is_under_way(run_id) and (past := self._read(run_id)) is not None:
                names.update(step.action.actor for step in past.steps)
                names.update(mark.actor for mark in past.marks)
        return frozenset(names)

    def _read(self, run_id: str) -> PastRun | None:
        """None if its first line is not whole yet."""
        path = self.scope.where.journal(run_id)
        return self.journal.read(run_id) if b"\n" in (local.read_bytes(self.scope.path(path)) or b"") else None

    def _of_run(self, run_id: str, *, latest: bool) -> Iterator[Finding]:
        path = self.scope.where.journal(run_id)
        try:
            under_way = self.journal.is_under_way(run_id)
            torn = not (local.read_bytes(self.scope.path(path)) or b"").endswith(b"\n")
            past = self._read(run_id)
        except CallsheetError as error:
            code = Code.UNREADABLE if isinstance(error, LocalError) else Code.JOURNAL
            repair = "mend that, or move the file away: then the run cannot be taken back any more"
            yield Finding(code, "", path, str(error), repair)
            return
        if under_way:
            yield Finding(Code.UNDER_WAY, "", run_id, "this run is still going on", "wait for it, then check again")
        elif torn:
            message = "its last line was cut short when the run was killed"
            yield Finding(Code.TORN_JOURNAL, "", path, message, "nothing: that line is passed over")
        if past is not None:
            if not under_way:
                yield from self._unfinished(past, latest=latest)
            yield from self._kept(past)
            self._remember(past)

    def _unfinished(self, past: PastRun, *, latest: bool) -> Iterator[Finding]:
        if past.ended is not None or past.id in self._taken_back:
            return
        unknown = [step.action for step in past.steps if step.outcome is None]
        heap = self.scope.heaps.get(past.id, {})
        aside = [action for action in unknown if action.op.here and _place(self.scope, action) in heap]
        if not latest and not aside:
            return  # other runs have gone on from there since
        message = f"this {past.verb} did not come to its end"
        if unknown:
            message += f": of {len(unknown)} of its {len(past.steps)} steps it is not known whether they were done"
        if aside:
            message += f"; images of them in its trash: {len(aside)}"
        repair = f"callsheet undo {past.id} takes it back; or run the same command again, then callsheet trash list {past.id}"
        yield Finding(Code.UNFINISHED, "", past.id, message, repair)

    def _remember(self, past: PastRun) -> None:
        """What this run took out of the trash, and which run it took back: the older ones come later."""
        for step in past.done:
            action = step.action
            if action.op in (Op.RESTORE_LOCAL, Op.RESTORE_S3) and action.trashed is not None:
                removal = Removal(action.trashed.run_id, (action.actor, action.filename), action.op.here)
                self._put_back.add(removal)
        if past.undoes and past.id not in self._taken_back and past.ended and all(step.known for step in past.steps):
            self._taken_back.add(past.undoes)

    def _kept(self, past: PastRun) -> Iterator[Finding]:
        """Whether what the run replaced or removed is still what was put away."""
        expected: dict[str, str] = {}
        heap = self.scope.heaps.get(past.id, {})
        for step in past.steps:
            kept, action = step.outcome.kept if step.outcome else None, step.action
            if kept is None:
                continue
            if not action.op.here:
                yield from self._kept_in_s3(past.id, action, kept)
                continue
            place = _place(self.scope, action)
            path = self.scope.where.trash(past.id, place)
            if place not in heap:
                if heap and not self._is_there_now(path):
                    self._miss(past.id, action, kept, path)
            elif heap[place] != kept.size_bytes:
                yield spoilt(path, f"{heap[place]} bytes, not {kept.size_bytes}")
            else:
                self._held.add(_content(kept))
                expected[path] = kept.md5 or ""
        if self.scope.read_local:
            paths = (self.scope.where.trash(past.id, place) for place in heap)
            yield from self._read_trash((path, expected.get(path, "")) for path in paths)

    def _kept_in_s3(self, run_id: str, action: Action, kept: Version) -> Iterator[Finding]:
        place = self.scope.where.s3_trash(run_id, action.location)
        if self.in_s3 is None:
            self._held.add(_content(kept))
            return
        heap = self.in_s3.get(run_id, {})
        held = heap.get(str(action.location))
        if held is None:
            if heap and not self._is_in_s3_now(place):
                self._miss(run_id, action, kept, str(place))
        elif held.size_bytes != kept.size_bytes or (kept.etag and held.etag != kept.etag):
            yield spoilt(str(place), f"ETag {held.etag}, not {kept.etag}")
        else:
            self._held.add(_content(kept))
            if self.scope.run.remote is not None:
                yield from self._read_object(held, place, kept.md5, self.scope.run.remote)

    def _read_object(self, held: RemoteObject, place: Location, md5: str | None, remote: Remote) -> Iterator[Finding]:
        """`md5` is what it was put there with, None if that was not known then."""
        try:
            content = read_object(remote, Wanted(place, held.etag))
        except RemoteError as error:
            yield unchecked(error, place.bucket, filename=str(place))
            return
        self.read_bytes += content.size_bytes
        wanted = md5 or promised_md5(content.described)
        if wanted not in (None, content.md5):
            yield spoilt(str(place), f"MD5 {content.md5}, not {wanted}")

    def _is_there_now(self, path: str) -> bool:
        """Whether a run that was under way when the trash was listed has put it there since; True if that cannot be told."""
        folder, _, name = path.rpartition("/")
        try:
            return name in local.names_in(self.scope.path(folder))
        except LocalError as error:
            self._missing.append(
                (path, Finding(Code.UNREADABLE, "", folder, str(error), "mend that, then check again"))
            )
            return True

    def _is_in_s3_now(self, place: Location) -> bool:
        """As `_is_there_now`."""
        try:
            return self.scope.run.remote is None or bool(self.scope.run.remote.head(place))
        except NoSuchObject:
            return False
        except RemoteError as error:
            self._missing.append((str(place), unchecked(error, place.bucket, filename=str(place))))
            return True

    def _miss(self, run_id: str, action: Action, kept: Version, path: str) -> None:
        """Something is not where it was put away, though the trash of the run was not emptied. That is well if it was put back, or its bytes are
        elsewhere: in the trash of another run, too, which is known once all have been looked at."""
        put_back = Removal(run_id, (action.actor, action.filename), action.op.here) in self._put_back
        if put_back or self._is_somewhere(action, kept):
            return
        message = "what this run put away is not in its trash any more, and nowhere else, while the rest of it is there"
        repair = f"look for it in a backup (MD5 {kept.md5}, {kept.size_bytes} bytes)"
        self._missing.append((_content(kept), Finding(Code.TRASH_LOST, action.actor, path, message, repair)))

    def _is_somewhere(self, action: Action, kept: Version) -> bool:
        """Whether the manifest records the bytes, or the file in the image's place has their size: a look at that is for a sync."""
        stamp = local.stamp(self.scope.path(self.scope.where.image(action.actor, action.filename)))
        if stamp is not None and stamp.size_bytes == kept.size_bytes:
            return True
        actor = self.scope.run.surveyor.survey().named(action.actor)
        try:
            manifest = self.scope.run.store.load(actor.stem) if actor else None
        except CallsheetError:  # told where the actor is checked
            return False
        entries = manifest.entries if manifest else ()
        return any(kept.md5 in (entry.md5_hash, entry.s3 and entry.s3.md5) for entry in entries if kept.md5)

    def _read_trash(self, expected: Iterable[tuple[str, str]]) -> Iterator[Finding]:
        for finding, size_bytes in trashed(self.scope, expected):
            self.read_bytes += size_bytes
            if finding is not None:
                yield finding

    def _without_journal(self, known: frozenset[str]) -> Iterator[Finding]:
        """Heaps of runs that no journal tells of. A sync has none: what it puts away is what it has taken over."""
        for run_id, heap in self.scope.heaps.items():
            if run_id in known:
                continue
            others = [path for path in heap if path.rpartition("/")[2] != layout.RESPONSE]
            if others:
                first = min(others)
                message = f"the trash holds files of a run that no journal tells of: {len(others)} (first: {first})"
                repair = f"move back by hand what is still wanted, then callsheet trash empty {run_id}"
                yield Finding(Code.NO_JOURNAL, "", run_id, message, repair)
            if self.scope.read_local:
                yield from self._read_trash((self.scope.where.trash(run_id, path), "") for path in heap)
        for run_id in (self.in_s3 or {}).keys() - known:
            message = "the trash of S3 holds objects of a run that no journal here tells of: another tree's"
            repair = f"leave it to that tree, or callsheet trash empty {run_id}"
            yield Finding(Code.NOT_OURS, "", run_id, message, repair)

    def _strays(self, known: list[str]) -> Iterator[Finding]:
        where = self.scope.where
        journals = {f"{run_id}{layout.JOURNAL_SUFFIX}" for run_id in known}
        for folder, expected in ((where.journal_dir, journals), (where.trash_dir, None)):
            for name in local.names_in(self.scope.path(folder)):
                if not (name in expected if expected is not None else layout.is_run_id(name)):
                    yield stray(f"{folder}/{name}")


def trash_in_s3(scope: Scope) -> tuple[dict[str, dict[str, RemoteObject]] | None, list[Finding]]:
    """The trash of S3, as `Past` has it, and why it could not be listed, if so."""
    found: dict[str, dict[str, RemoteObject]] = {}
    if scope.run.remote is None:
        return None, []
    try:
        for item in scope.run.remote.list(scope.where.bucket, scope.where.s3_trash_prefix):
            if origin := scope.where.trashed_in_s3(item.location):
                found.setdefault(origin[0], {})[str(origin[1])] = item
    except RemoteError as error:
        return None, [unchecked(error, scope.where.bucket)]
    return found, []


def stray(path: str) -> Finding:
    """That something lies in our folders that is not ours."""
    return Finding(Code.STRAY, "", path, "nothing of ours has such a name here", "delete it, if nobody needs it")


def _place(scope: Scope, action: Action) -> str:
    return scope.where.image(action.actor, action.filename)


def _content(version: Version) -> str:
    """What tells one content from another, as far as the journal knows it."""
    return version.md5 or version.etag or ""
