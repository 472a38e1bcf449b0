"""Plays a history on a real tree, and holds `callsheet` to its promises after every step.

After whatever it did, each content that was on a side or in the trash before can still be found; each status is what the bytes say; marks
and URLs are kept; whatever was asked for and not done is named; and a run that is taken back leaves both sides as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from callsheet import planfile, reconcile
from callsheet.action import PastRun, Plan
from callsheet.errors import CallsheetError, UsageError
from callsheet.library import Library
from callsheet.remote import Remote
from callsheet.remote.memory import MemoryRemote
from callsheet.result import Proposal, Transfer
from callsheet.settings import open_library
from factory import USER_BUCKET, Tree, md5_of
from sim.history import ACTORS, CONTENTS, Step
from sim.people import People
from sim.promises import Memory, check_done, check_named, check_taken_back
from sim.trouble import Crash, Gate, Inline, Troubled, install
from sim.world import Beliefs, Image, Row, World, check_rows, located, read_rows, read_world

Propose = Callable[[Library], Proposal]

_PLANNED = ("push", "pull", "repair", "repair_local", "repair_s3", "evict", "rm")
_UNNOTICEABLE = ("upload", "upload_other", "vanish")
"""What nobody can notice of an object, if it comes between the proof that it holds a file's bytes and the deletion of the file."""

_UNTELLABLE = ("edit", *(f"fault after {deed}" for deed in ("create", "link", "rename", "replace", "unlink", "write")))
"""After what no undo can be exact: somebody else's edit, and a disk that did what it says to have failed to do."""


@dataclass
class Ran:
    """What one run of `callsheet` came to. `transfer` is None if it crashed, or was refused as a whole."""

    before: Memory
    plan: Plan | None = None
    transfer: Transfer | None = None
    id: str = ""
    struck: str = ""

    @property
    def crashed(self) -> bool:
        return self.struck.startswith("crash")


@dataclass
class Play:
    """One tree, its store, and everything that must be true of them. Jobs run on `executor`, or on threads."""

    tree: Tree
    executor: Executor | None = None
    gate: Gate = field(default_factory=Gate)
    beliefs: Beliefs = field(default_factory=Beliefs)
    marks: dict[Image, tuple[bool | None, str | None]] = field(default_factory=dict)
    urls: dict[Image, set[str]] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    taken_by_others: set[bytes] = field(default_factory=set)
    put_by_others: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store: Remote = self.tree.remote
        self.people = People(self.tree, self.store, self.beliefs)
        self.troubled = Troubled(self.store, self.gate)
        own = self.tree.where.bucket
        self.buckets = (own, USER_BUCKET) if isinstance(self.store, MemoryRemote) else (own,)
        for actor in ACTORS:
            self.tree.folder(actor)
        self.library = self._opened()

    def play(self, steps: Sequence[Step]) -> None:
        """`AssertionError`, or whatever should not have been raised, at the step that fails."""
        for step in steps:
            self.lines.append(f"{len(self.lines) + 1:3}. {step}")
            ask = getattr(self, f"_{step.deed}", None)
            if ask is None:
                self.people.do(step)
            else:
                ask(step)
        self._sync_and_check(verify=True)
        self._nothing_to_write()

    def world(self) -> World:
        return read_world(self.tree.root, self.tree.where, self.store, self.buckets)

    def rows(self) -> dict[Image, Row]:
        return read_rows(self.tree.root, self.tree.where)

    def _opened(self) -> Library:
        environ = {"CALLSHEET_BUCKET": self.tree.where.bucket, "CALLSHEET_REGION": self.tree.where.region}
        return open_library(self.tree.root, remote=self.troubled, environ=environ)

    def _told(self, words: str) -> None:
        self.lines[-1] += f"  [{words}]"

    # What is asked of callsheet.

    def _sync(self, step: Step) -> None:
        before = self.world()
        with self._in_trouble(step):
            self.gate.proceed()
            self.library.sync(accept_loss=True, executor=self.executor)
        self._check_survival(before)
        self._sync_and_check()
        if step.number % 3 == 0:
            self._nothing_to_write()

    def _verify(self, _: Step) -> None:
        self._sync_and_check(verify=True)

    def _mark(self, step: Step) -> None:
        good, prompt, known = bool(step.number % 2), f"prompt {step.number}", self.library.journal.runs()
        try:
            self.library.mark(step.image[0], step.image[1], good=good, prompt=prompt)
        except UsageError as error:
            self._told(error.code)
            return
        self.marks[step.image] = good, prompt
        self.runs.extend(run for run in self.library.journal.runs() if run not in known)

    def _push(self, step: Step) -> None:
        self._ask(step, self._proposed(step))

    _pull = _repair = _repair_local = _repair_s3 = _evict = _rm = _push

    def _plan(self, step: Step) -> None:
        try:
            plan = self._proposed(replace(step, deed=_PLANNED[step.number % len(_PLANNED)]))(self.library).plan
        except UsageError as error:
            self._told(error.code)
            return
        written = json.dumps(planfile.plan_as_dict(plan)).encode()
        assert planfile.read_plan(written, "plan.json") == plan
        self.plans.append(plan)
        self._told(f"{len(self.plans) - 1}: to {plan.verb}, {len(plan.actions)} actions")

    def _apply(self, step: Step) -> None:
        if self.plans:
            plan = self.plans[step.number % len(self.plans)]
            nothing = replace(self.library.status(), problems=(), actors=())
            self._ask(step, lambda _: Proposal(plan, nothing))

    def _undo(self, step: Step) -> None:
        self._ask(step, lambda library: library.plan_undo(executor=self.executor))

    def _undo_run(self, step: Step) -> None:
        if self.runs:
            run = self.runs[step.number % len(self.runs)]
            self._ask(step, lambda library: library.plan_undo(run, executor=self.executor))

    def _restore(self, step: Step) -> None:
        if self.runs:
            run = self.runs[step.number % len(self.runs)]
            self._ask(step, lambda library: library.plan_restore(run, executor=self.executor))

    def _empty(self, _: Step) -> None:
        before = self.world()
        gone = self.library.empty_trash()
        after = self.world()
        assert (after.here, after.there) == (before.here, before.there), "emptying the trash changed a side"
        self._told(f"{len(gone.heaps)} runs")

    def _proposed(self, step: Step) -> Propose:
        verb, _, prefer = step.deed.partition("_")
        wanted = () if step.scope in ("all", "good") and verb != "rm" else (step.image[0],)
        only = (step.image[1],) if step.scope == "image" else ()
        good = step.scope == "good"
        return lambda library: library.plan(verb, wanted, only=only, good=good, prefer=prefer, executor=self.executor)

    def _ask(self, step: Step, propose: Propose) -> None:
        """Run it, with what follows, and look what came of it."""
        ran = self._run(step, propose)
        if ran.crashed and step.then == "again":
            self._told("again")
            crashed, ran = ran, self._run(replace(step, trouble=None), propose)
            if step.deed == "undo" and crashed.id and self._unfinished(crashed.id):
                assert ran.plan is not None
                assert crashed.plan is not None
                assert ran.plan.undoes == crashed.plan.undoes, "an undo that was killed was not gone on with"
        if step.then in ("undo", "redo") and not ran.struck.startswith(_UNTELLABLE):
            self._take_back(step, ran)
        elif not ran.struck and ran.transfer is not None:
            check_done(step, ran.transfer, ran.before, self.world(), self.beliefs)
        self._sync_and_check()
        if step.number % 3 == 0:
            self._nothing_to_write()

    def _run(self, step: Step, propose: Propose) -> Ran:
        """Plan and apply, in trouble if that is what the step is for."""
        known = self.library.journal.runs()
        ran = Ran(Memory(self.world(), {}, {}))
        try:
            with self._in_trouble(step):
                proposal = propose(self.library)
                ran.before = replace(ran.before, rows=self.rows(), changes=self._changes())
                ran.plan = proposal.plan
                self.gate.proceed()
                ran.transfer = self.library.apply(proposal, executor=self.executor)
        except UsageError as error:
            self._told(error.code)
        ran.struck = self.gate.struck
        new = [run for run in self.library.journal.runs() if run not in known]
        self.runs.extend(new)
        ran.id = new[0] if new else ""
        if ran.transfer is not None:
            assert ran.transfer.run_id == ran.id
            self._told(f"{len(ran.transfer.done)} of {len(ran.transfer.plan.actions)} done")
            check_named(ran.transfer)
        self._check_survival(ran.before.world)
        self._settle_marks(ran)
        return ran

    def _settle_marks(self, ran: Ran) -> None:
        """An undo takes back the marks that it does not name; if something went wrong, it may have taken any back."""
        told = {(told.actor, told.filename) for told in ran.transfer.report.problems} if ran.transfer else set()
        rows = self.rows()
        for mark in ran.plan.marks if ran.plan else ():
            image, after = (mark.actor, mark.filename), (mark.after.good, mark.after.prompt)
            if (not ran.struck and image not in told) or (rows[image].good, rows[image].prompt) == after:
                self.marks[image] = after

    def _take_back(self, step: Step, ran: Ran) -> None:
        """Undo the run at once, and perhaps undo that. Both sides must be as they were; after a crash, what is not must be named."""
        past = self._past(ran.id)
        if past is None or not past.changed:
            now, then = self.world(), ran.before.world
            told = bool(
                ran.transfer and ran.transfer.report.problems
            )  # what failed half-way is in the trash, and named
            same = (now.here, now.there) == (then.here, then.there)
            assert same or told, "something was done, and neither the journal nor the report tells it"
            return
        after, run, stale = self._memory(), ran.id, step.deed == "apply"
        self._told("undo")
        if not past.undoes and not ran.struck:
            assert self.library.journal.latest_not_taken_back().id == run
        calm = replace(step, trouble=None)
        undone = self._run(calm, lambda library: library.plan_undo(run, executor=self.executor))
        assert undone.transfer is not None
        unsure = self._unsure(past, ran.before)
        check_taken_back(undone.transfer, self._memory(), ran.before, unsure, named=bool(ran.struck), stale=stale)
        if step.then == "redo" and not ran.struck and undone.id:
            self._told("redo")
            redone = self._run(calm, lambda library: library.plan_undo(undone.id, executor=self.executor))
            assert redone.transfer is not None
            check_taken_back(redone.transfer, self._memory(), after, unsure, named=False, stale=True)

    def _unsure(self, past: PastRun, before: Memory) -> set[Image]:
        """The images that an undo cannot be held to: rotten, lied about, in two places; or what was to be put in its place was there."""
        unsure = set(self.beliefs.rotten) | self.people.twofold
        unsure |= {image for image in before.rows if self.people.place(image) in self.beliefs.lies}
        for action in (step.action for step in past.done if step.action.replaced is None):
            image, before_it = (action.actor, action.filename), before.world
            if (image in before_it.here) if action.op.here else (action.location in before_it.there):
                unsure.add(image)
        return unsure

    def _memory(self) -> Memory:
        return Memory(self.world(), self.rows(), self._changes())

    def _past(self, run: str) -> PastRun | None:
        """None if it did not come as far as to be written down."""
        try:
            return self.library.journal.read(run) if run else None
        except UsageError:
            return None

    def _unfinished(self, run: str) -> bool:
        past = self._past(run)
        return past is None or any(step.outcome is None for step in past.steps)

    def _changes(self) -> dict[Image, str]:
        """Which side of each image that is out of sync changed since both agreed, as it is recorded."""
        changes: dict[Image, str] = {}
        for actor in {actor for actor, _ in self.rows()}:
            manifest = self.library.manifest(actor)
            changes.update({(actor, name): change.value for name, change in reconcile.changes(manifest).items()})
        return changes

    # What must be true.

    @contextmanager
    def _in_trouble(self, step: Step) -> Iterator[None]:
        """What is raised is the trouble's fault, if it came. Wrong usage is not."""
        try:
            with self.gate.armed(step.trouble, lambda: self._interfere(step)):
                yield
        except Crash:
            self.library = self._opened()
        except CallsheetError:
            if not self.gate.struck:
                raise
        if self.gate.struck:
            self._told(self.gate.struck)

    def _interfere(self, step: Step) -> None:
        """Somebody else edits. What they overwrite or delete is not ours to keep, and what they save is."""
        assert step.edit is not None
        if step.edit.deed in _UNNOTICEABLE and step.deed in ("evict", "apply"):
            return
        before = self.world()
        self.people.do(step.edit)
        after = self.world()
        self.put_by_others |= after.contents
        self.taken_by_others |= {held for image, held in before.here.items() if after.here.get(image) != held}
        self.taken_by_others |= {held for place, held in before.there.items() if after.there.get(place) != held}

    def _check_survival(self, before: World) -> None:
        lost = (before.contents | self.put_by_others) - self.taken_by_others - self.world().contents
        self.taken_by_others, self.put_by_others = set(), set()
        names = {content: name for name, content in CONTENTS.items()}
        assert not lost, f"lost for good: {[names.get(content, md5_of(content)) for content in lost]}"

    def _sync_and_check(self, *, verify: bool = False) -> None:
        before = self.world()
        report = self.library.sync(verify=verify, accept_loss=True, executor=self.executor)
        assert {problem.code for problem in report.problems} <= {"corrupt"}, report.problems
        if verify:
            self.beliefs.rotten.clear()
        after, rows = self.world(), self.rows()
        assert (after.here, after.there) == (before.here, before.there), "a sync changed a side"
        self._check_survival(before)
        for image, row in rows.items():
            self.urls.setdefault(image, set()).update(row.urls)
            assert self.urls[image] <= row.urls, f"{image} lost {self.urls[image] - row.urls}"
            assert (row.good, row.prompt) == self.marks.get(image, (None, None)), f"{image} lost its mark or prompt"
        images = {*self.urls, *after.here}
        places = {image: {self.people.place(image), *map(located, self.urls.get(image, ()))} for image in images}
        check_rows(rows, after, self.beliefs, places)

    def _nothing_to_write(self) -> None:
        before = self.tree.manifests()
        assert self.library.sync(accept_loss=True, executor=self.executor).manifests_updated == 0
        assert self.tree.manifests() == before


def played(root: Path, steps: Sequence[Step]) -> tuple[Play, Exception | None]:
    """Play a history on a new tree with a store in memory, in one thread."""
    with pytest.MonkeyPatch.context() as patch:
        play = Play(Tree(root), Inline())
        install(play.gate, patch)
        try:
            play.play(steps)
        except Exception as error:
            return play, error
        return play, None
