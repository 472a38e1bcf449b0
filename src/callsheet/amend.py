"""Changing what manifests say beside what was seen: marks, who removed an image, and what both sides last agreed on.

Rules of this module: under each manifest's lock, on top of what it says at that moment; no status is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from callsheet import system
from callsheet.action import Curation, Mark, Op, Outcome, Plan, Verb
from callsheet.errors import UnknownImage
from callsheet.journal import Journal
from callsheet.layout import printable
from callsheet.model import Actor, Entry, Manifest, Problem
from callsheet.result import Curated
from callsheet.run import Run
from callsheet.survey import claim

Amendment = Callable[[Entry], Entry]
Check = Callable[[Entry], None]
"""Called with an image's entry as it is under the manifest's lock; raises if it must not be changed."""


def amend(run: Run, wanted: Mapping[str, Mapping[str, Amendment]]) -> None:
    """Apply `wanted[actor][filename]` to the entries that are there, missing ones included."""
    if not wanted:
        return
    for actor in run.surveyor.survey().among(wanted).actors:
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


def curate(run: Run, journal: Journal, actor: Actor, changes: Mapping[str, Curation], check: Check) -> Curated:
    """Change the marks and prompts of an actor's images: all of them or, if anything raises, none.

    The journal is durable before the manifest is written: a mark whose run was killed can be taken back, for an undo touches only what
    is as the mark left it. `UnknownImage` if the manifest does not record one of the images.
    """
    marks: list[Mark] = []

    def change(manifest: Manifest) -> Manifest:
        claim(manifest, actor)
        named = [entry for entry in manifest.entries if entry.filename in changes]
        if unknown := changes.keys() - {entry.filename for entry in named}:
            raise _unknown(actor, unknown)
        for entry in named:
            check(entry)
        made = {mark.filename: mark for mark in _marks(actor, named, changes)}
        marks[:] = made.values()
        return replace(manifest, entries=tuple(_curated(entry, made.get(entry.filename)) for entry in manifest.entries))

    if run.options.dry_run:
        manifest = change(run.store.load(actor.stem) or Manifest(None))
        return Curated("", _named(manifest, changes))
    with ExitStack() as until_recorded:
        recorders = []

        def begin() -> None:
            if marks:
                plan = Plan(Verb.MARK, (), marks=tuple(marks))
                recorders.append(until_recorded.enter_context(journal.begin(run.id, plan, run.started)))

        manifest, _ = run.store.update(actor, change, run.started, before_save=begin)
        run.store.flush()
        for recorder in recorders:
            recorder.end(system.now())
    return Curated(run.id if marks else "", _named(manifest, changes))


def _marks(actor: Actor, entries: Iterable[Entry], changes: Mapping[str, Curation]) -> list[Mark]:
    """What `changes` changes. An empty prompt stays on record, so that a legacy file's is not taken over again."""
    marks = []
    for entry in entries:
        before, wanted = Curation(entry.good, entry.prompt), changes[entry.filename]
        good = before.good if wanted.good is None else wanted.good
        prompt = wanted.prompt if wanted.prompt or (wanted.prompt == "" and before.prompt) else before.prompt
        if (after := Curation(good, prompt)) != before:
            marks.append(Mark(actor.name, entry.filename, before, after))
    return marks


def _curated(entry: Entry, made: Mark | None) -> Entry:
    return entry if made is None else replace(entry, good=made.after.good, prompt=made.after.prompt)


def _named(manifest: Manifest, changes: Mapping[str, Curation]) -> tuple[Entry, ...]:
    return tuple(entry for entry in manifest.entries if entry.filename in changes)


def _unknown(actor: Actor, names: Iterable[str]) -> UnknownImage:
    shown = ", ".join(sorted(map(printable, names)))
    return UnknownImage(f"{actor.name} has no image {shown}", hint="A sync records new images.")


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
