"""Looking again at what a plan touches, and recording it: at an actor as soon as nothing is left to be done to it.

Transfers wait for the store and the disk most of the time; so those actors that a long push or pull is done with are looked at meanwhile. After any
other plan, all are looked at in the end. Rules of this module: an actor is looked at when all of its actions have ended and its folder is
durable, and once; nobody who carries out the plan waits for a look.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from queue import SimpleQueue
from threading import Event
from types import TracebackType

from callsheet.action import Action, Op, Outcome, Plan, Verb
from callsheet.cluster import Cluster
from callsheet.execute import make_durable
from callsheet.listing import listing_order
from callsheet.model import Actor, HashedFile, Manifest, Problem, Status
from callsheet.report import Progress, Report, distinct
from callsheet.run import Run
from callsheet.site import Site
from callsheet.sync import OnProgress, run_sync_among

_LOTS = 8
_FEWEST = 64
_MOST = 512
"""There are about so many lots, of at least and at most so many actors; each costs a listing."""

_TOLD_EVERY_S = 0.1


class Relook:
    """The look at what a plan touches. In its context, the thread that carries out the plan calls `ended` with each outcome; then `secure`, and
    at last `report`.

    `unrecorded` are actors of which something was seen before that is not recorded yet, with the files that were hashed then: see `Run.hashed`.
    """

    def __init__(
        self, run: Run, site: Site, plan: Plan, unrecorded: Mapping[str, Mapping[str, HashedFile]], executor: Executor
    ) -> None:
        self._site = site
        self._executor = executor
        self._hashed = {actor: dict(files) for actor, files in unrecorded.items()}
        self._removed: dict[str, set[tuple[str, bool]]] = {}
        self._run = replace(run, hashed=self._hashed, removed=self._removed)
        self._moved: set[tuple[str, str]] = set()
        self._left = Counter(action.actor for action in plan.actions)
        self._order = sorted(self._left, key=listing_order)
        self._looked_at = 0
        self._finished = 0
        self._early = (
            plan.verb in (Verb.PUSH, Verb.PULL)
            and len(self._order) >= 2 * _FEWEST
            and not isinstance(executor, Cluster)
        )
        self._lot = min(max(len(self._order) // _LOTS, _FEWEST), _MOST)
        self._waiting: dict[str, list[Outcome]] = {actor: [] for actor in unrecorded}
        self._lots: SimpleQueue[frozenset[str]] = SimpleQueue()
        self._unsafe: list[Problem] = []
        self._apart: list[Problem] = []
        self._progress: Progress | None = None
        self._given_up = Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="callsheet-relook")
        self._looking: Future[Report] | None = None

    def __enter__(self) -> Relook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._given_up.set()
            self._lots.put(frozenset())
        self._pool.shutdown(wait=not isinstance(error, KeyboardInterrupt))  # which does not wait for a slow network

    def ended(self, outcome: Outcome) -> None:
        """An action has come to this."""
        action = outcome.action
        self._waiting.setdefault(action.actor, []).append(outcome)
        self._left[action.actor] -= 1
        if outcome.problem is None:
            self._note(action, outcome)
        if self._early:
            self._look_ahead()

    def secure(self) -> list[Problem]:
        """Make durable all that was done. Returns what could not be."""
        self._hand_over([*self._waiting])
        self._lots.put(frozenset())
        return self._unsafe

    def report(self, on_progress: OnProgress) -> Report:
        """What all actors that were touched, or were not recorded, are seen to be now. Raises what `run_sync` does."""
        if self._looking is None:
            report = self._look(on_progress)
        else:
            while not wait([self._looking], _TOLD_EVERY_S).done:
                if self._progress is not None:
                    on_progress(self._progress)
            report = self._looking.result()
        return replace(report, problems=distinct((*report.problems, *self._apart)))

    def _note(self, action: Action, outcome: Outcome) -> None:
        """What the look at its actor is to know of what was done."""
        key, placed = action.filename, outcome.placed
        if action.op in (Op.UPLOAD, Op.DOWNLOAD):
            self._moved.add((action.actor, key))
        if action.op.removes:
            self._removed.setdefault(action.actor, set()).add((key, action.op.here))
        if outcome.mtime_ns is not None and placed is not None and placed.md5 is not None:
            path = os.path.join(self._run.root, self._run.where.image(action.actor, key))
            file = HashedFile(path, placed.size_bytes, outcome.mtime_ns, placed.md5)
            self._hashed.setdefault(action.actor, {})[path] = file

    def _look_ahead(self) -> None:
        """Have the next lot looked at if all is done to it: actors that follow one another in a listing."""
        while self._finished < len(self._order) and not self._left[self._order[self._finished]]:
            self._finished += 1
        if self._finished - self._looked_at >= self._lot:
            self._hand_over(self._order[self._looked_at : self._finished])
            self._looked_at = self._finished
            if self._looking is None:
                self._looking = self._pool.submit(self._look, self._note_progress)

    def _hand_over(self, actors: list[str]) -> None:
        outcomes = [outcome for actor in actors for outcome in self._waiting.pop(actor)]
        self._unsafe += make_durable(self._site, outcomes)
        if actors:
            self._lots.put(frozenset(actors))

    def _look(self, on_progress: OnProgress) -> Report:
        return run_sync_among(
            self._run,
            self._handed_over(),
            len(self._order),
            self._executor,
            on_progress,
            on_look=self._see,
            stop=self._given_up.is_set,
        )

    def _handed_over(self) -> Iterator[frozenset[str]]:
        while lot := self._lots.get():
            yield lot

    def _note_progress(self, progress: Progress) -> None:
        self._progress = progress

    def _see(self, actor: Actor, manifest: Manifest, listed: bool) -> None:
        for entry in manifest.entries:
            if listed and entry.status is Status.OUT_OF_SYNC and (actor.name, entry.filename) in self._moved:
                message = (
                    "it was transferred, but both sides differ: one has changed meanwhile; look at both, then repair it"
                )
                self._apart.append(Problem(actor.name, entry.filename, "changing", message))
