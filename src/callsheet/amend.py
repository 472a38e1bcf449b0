"""Changing what manifests say beside what was seen: marks, who removed an image, and what both sides last agreed on.

Rules of this module: under each manifest's lock, on top of what it says at that moment; no status is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from callsheet.action import Curation, Mark, Op, Outcome
from callsheet.model import Entry, Manifest, Problem
from callsheet.run import Run
from callsheet.survey import survey

Amendment = Callable[[Entry], Entry]


def amend(run: Run, wanted: Mapping[str, Mapping[str, Amendment]]) -> None:
    """Apply `wanted[actor][filename]` to the entries that are there, missing ones included."""
    if not wanted:
        return
    for actor in survey(run.root, run.where, run.store).among(wanted).actors:
        run.store.update(actor, partial(_amended, wanted[actor.name]), run.started)
    run.store.flush()


def agree_again(run: Run, outcomes: Sequence[Outcome]) -> None:
    """After an undo, what both sides last agreed on is again what it was before the run that was taken back."""
    wanted: dict[str, dict[str, Amendment]] = {}
    for outcome in outcomes:
        if outcome.problem is None:
            based = partial(_based, outcome.action.base)
            wanted.setdefault(outcome.action.actor, {})[outcome.action.filename] = based
    amend(run, wanted)


def remove(run: Run, outcomes: Sequence[Outcome]) -> None:
    """The images whose removal was finished say so: if they are on neither side now, they are not missing."""
    failed = {(o.action.actor, o.action.filename) for o in outcomes if o.problem is not None}
    wanted: dict[str, dict[str, Amendment]] = {}
    for outcome in outcomes:
        actor, filename = outcome.action.actor, outcome.action.filename
        if outcome.action.op in (Op.TRASH_LOCAL, Op.TRASH_S3) and (actor, filename) not in failed:
            wanted.setdefault(actor, {})[filename] = partial(_removed, run.id)
    amend(run, wanted)


def mark(run: Run, marks: Sequence[Mark]) -> tuple[Problem, ...]:
    """Make the marks that still find what they expect; the problems of the others."""
    wanted: dict[str, dict[str, Amendment]] = {}
    made: set[tuple[str, str]] = set()
    for one in marks:
        wanted.setdefault(one.actor, {})[one.filename] = partial(_marked, one, made)
    amend(run, wanted)
    message = "its mark or prompt has changed meanwhile, so it was left as it is"
    left = (one for one in marks if (one.actor, one.filename) not in made)
    return tuple(Problem(one.actor, one.filename, "changed_since", message) for one in left)


def _amended(amendments: Mapping[str, Amendment], manifest: Manifest) -> Manifest:
    def amended(entry: Entry) -> Entry:
        amendment = amendments.get(entry.filename)
        return entry if amendment is None else amendment(entry)

    return replace(
        manifest, entries=tuple(map(amended, manifest.entries)), missing=tuple(map(amended, manifest.missing))
    )


def _based(base: str | None, entry: Entry) -> Entry:
    return replace(entry, synced_md5=base)


def _removed(run_id: str, entry: Entry) -> Entry:
    return replace(entry, removed_by=run_id)


def _marked(one: Mark, made: set[tuple[str, str]], entry: Entry) -> Entry:
    if Curation(entry.good, entry.prompt) != one.before:
        return entry
    made.add((one.actor, one.filename))
    return replace(entry, good=one.after.good, prompt=one.after.prompt)
