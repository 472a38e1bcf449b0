"""What a verb does to an actor's images, from their entries alone; and how what was done is taken back.

Rules of this module: pure. It rests on what was just seen and recorded; whether that still holds when an action is carried out
is for the action's own expectations to say. Nothing here decides a status.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

from callsheet import layout, reconcile
from callsheet.action import Action, Curation, Mark, Op, PastRun, Step, Trashed, Verb, Version
from callsheet.layout import Layout
from callsheet.model import Change, Entry, Evidence, Location, Manifest, Problem, Status

Planned = Action | Problem

_DEEDS = {
    Op.UPLOAD: "an upload",
    Op.DOWNLOAD: "a download",
    Op.EVICT: "an eviction",
    Op.TRASH_LOCAL: "a removal",
    Op.TRASH_S3: "a removal",
    Op.RESTORE_LOCAL: "a restoring",
    Op.RESTORE_S3: "a restoring",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which images a verb is for: those named in `only` (all, if it is empty), or only those marked `good`.

    `prefer` settles what is out of sync, whichever side changed: `local`, `s3`, or empty for the side that changed.
    """

    only: frozenset[str] = frozenset()
    good: bool = False
    prefer: str = ""

    def takes(self, entry: Entry) -> bool:
        return (not self.only or entry.filename in self.only) and (not self.good or bool(entry.good))


@dataclass(frozen=True, slots=True)
class Subject:
    """What a plan for one actor rests on. `damaged` says of local images that cannot be decoded what is wrong with them."""

    actor: str
    manifest: Manifest
    where: Layout
    damaged: Mapping[str, str] = field(default_factory=dict)

    def place(self, entry: Entry) -> Location:
        """The image's place in S3: where its URL points, else where an upload puts it."""
        located = self.where.locate(entry.s3_url) if entry.s3_url else None
        return located or self.where.location(self.actor, entry.filename)


def planned(verb: Verb, subject: Subject, choice: Choice) -> Iterator[Planned]:
    """The actions of `push`, `pull`, `repair`, `evict` or `rm` for one actor, in the order of its manifest, and what is refused."""
    rule = {Verb.PUSH: _push, Verb.PULL: _pull, Verb.REPAIR: _repair, Verb.EVICT: _evict, Verb.RM: _rm}[verb]
    for entry in subject.manifest.entries:
        if choice.takes(entry) and layout.is_image(entry.filename):
            yield from rule(entry, subject, choice)


def local_may_win(manifest: Manifest, choice: Choice) -> list[str]:
    """The images that a repair may upload over an object: those whose local file should be looked into first."""
    return [
        entry.filename
        for entry in manifest.entries
        if choice.takes(entry)
        and entry.expected_md5 is None
        and choice.prefer != "s3"
        and (choice.prefer == "local" or reconcile.change_of(entry) is Change.LOCAL)
        and entry.status is Status.OUT_OF_SYNC
    ]


def taken_back(
    run: PastRun, manifests: Mapping[str, Manifest], where: Layout, unseen: Container[str] = ()
) -> Iterator[Planned]:
    """The actions that take a run back, the last of its steps first; steps that were not done, or were taken back already, need none.

    `manifests` is what was just seen of each actor that the run was about; of those in `unseen`, S3 was not.
    """
    known = _by_name(manifests)
    for step in reversed(run.done):
        entry = known.get(step.action.actor, {}).get(step.action.filename)
        if step.action.actor in unseen:
            yield _unseen(step.action.actor, step.action.filename)
            continue
        if not step.action.op.here and entry and entry.s3_url and where.locate(entry.s3_url) != step.action.location:
            yield _changed_since(step.action, "in S3")
            continue
        yield from _inverse(step, run.id, _here(entry), _there(entry, step.action.location, where))


def marks_taken_back(run: PastRun, manifests: Mapping[str, Manifest]) -> Iterator[Mark | Problem]:
    """The marks that take a run's marks back, the last first; none for those that a killed run did not come to make."""
    known = _by_name(manifests)
    for mark in reversed(run.marks):
        entry = known.get(mark.actor, {}).get(mark.filename)
        now = entry and Curation(entry.good, entry.prompt)
        if now == mark.before and run.ended is None:
            continue
        if now != mark.after:
            message = "its mark or prompt has changed since that run, so it was left as it is"
            yield Problem(mark.actor, mark.filename, "changed_since", message)
        else:
            yield replace(mark, before=mark.after, after=mark.before)


def restored(run: PastRun, only: frozenset[str]) -> Iterator[Action]:
    """The actions that put back what a run moved into the trash, where nothing has taken its place; `only` names images."""
    for step in run.done:
        action, outcome = step.action, step.known
        if action.replaced is None or action.op is Op.EVICT or (only and action.filename not in only):
            continue
        kept = (outcome.kept if outcome else None) or action.replaced
        op = Op.RESTORE_LOCAL if action.op.here else Op.RESTORE_S3
        reason = f"from the trash of {run.id}"
        trashed = Trashed(run.id, kept)
        yield Action(op, action.actor, action.filename, action.location, None, None, trashed, action.base, reason)


def _push(entry: Entry, subject: Subject, _: Choice) -> Iterator[Planned]:
    if entry.status is not Status.LOCAL_ONLY:
        return
    if entry.expected_md5 is not None:
        yield _corrupt(entry, subject, "it was not pushed")
        return
    location = subject.where.location(subject.actor, entry.filename)
    yield _action(Op.UPLOAD, entry, subject, location, local=_here(entry), reason="it is only here")


def _pull(entry: Entry, subject: Subject, _: Choice) -> Iterator[Planned]:
    if entry.status is not Status.S3_ONLY:
        return
    if entry.s3 is None:
        yield _unseen(subject.actor, entry.filename)
        return
    yield _action(Op.DOWNLOAD, entry, subject, subject.place(entry), s3=_in_s3(entry), reason="it is only in S3")


def _repair(entry: Entry, subject: Subject, choice: Choice) -> Iterator[Planned]:
    if entry.status is not Status.OUT_OF_SYNC:
        return
    if entry.s3 is None:
        yield _unseen(subject.actor, entry.filename)
        return
    winner, reason = _winner(entry, subject.damaged.get(entry.filename, ""), choice.prefer)
    if not winner:
        yield Problem(subject.actor, entry.filename, "conflict", reason)
        return
    op = Op.UPLOAD if winner == "local" else Op.DOWNLOAD
    yield _action(op, entry, subject, subject.place(entry), local=_here(entry), s3=_in_s3(entry), reason=reason)


def _winner(entry: Entry, damage: str, prefer: str) -> tuple[str, str]:
    """Which side of an image that is out of sync wins, and why; no side, and what to do, if that is not for us to say.

    | local file        | changed since both agreed | `--prefer` | wins  |
    |-------------------|---------------------------|------------|-------|
    | any               | any                       | `s3`       | S3    |
    | corrupt           | any                       | none       | S3    |
    | damaged, corrupt  | any                       | `local`    | none  |
    | sound             | any                       | `local`    | local |
    | sound             | local                     | none       | local |
    | damaged           | local                     | none       | S3    |
    | not corrupt       | S3                        | none       | S3    |
    | not corrupt       | both, or not known        | none       | none  |
    """
    change = reconcile.change_of(entry)
    flaw = "its bytes changed unnoticed" if entry.expected_md5 else damage
    if prefer == "s3":
        return "s3", "S3 is preferred"
    if prefer == "local" and flaw:
        return "", f"the local image is damaged ({flaw}), so it replaces nothing; take the one in S3: --prefer s3"
    if prefer == "local":
        return "local", "this disk is preferred"
    if entry.expected_md5 or (change is Change.LOCAL and flaw):
        return "s3", f"the local image is damaged: {flaw}"
    if change in (Change.LOCAL, Change.S3):
        return ("local", "it changed here") if change is Change.LOCAL else ("s3", "it changed in S3")
    told = "both sides changed" if change is Change.BOTH else "which side changed is not known"
    return "", f"{told}, so neither was replaced; look at both, then repair it with --prefer local or --prefer s3"


def _evict(entry: Entry, subject: Subject, _: Choice) -> Iterator[Planned]:
    if entry.status is not Status.SYNCED:
        return
    if entry.s3 is None or entry.evidence is Evidence.RECORDED:
        message = "its object in S3 was not compared with the file, so the file stays; sync without --no-download first"
        yield Problem(subject.actor, entry.filename, "not_proven", message)
        return
    reason = "S3 holds the same content"
    yield _action(Op.EVICT, entry, subject, subject.place(entry), local=_here(entry), s3=_in_s3(entry), reason=reason)


def _rm(entry: Entry, subject: Subject, _: Choice) -> Iterator[Planned]:
    if entry.recorded_remote and entry.s3 is None:
        yield _unseen(subject.actor, entry.filename)
        return
    location = subject.place(entry)
    if entry.recorded_remote:
        yield _action(Op.TRASH_S3, entry, subject, location, s3=_in_s3(entry), reason="it is to be removed")
    if entry.recorded_local:
        yield _action(Op.TRASH_LOCAL, entry, subject, location, local=_here(entry), reason="it is to be removed")


def _inverse(step: Step, run: str, here: Version | None, there: Version | None) -> Iterator[Planned]:
    """What takes one step back, given what both sides hold now."""
    action, outcome = step.action, step.known
    now = here if action.op.here else there
    if _same(now, action.replaced):
        return  # it never happened, or was taken back already
    placed = (outcome.placed if outcome else None) or action.placed
    torn = outcome is None and now is None and action.op.here  # what it replaces was put away, and nothing in its place
    if not torn and not _same(now, placed):
        yield _changed_since(action, "here" if action.op.here else "in S3")
        return
    if action.op is Op.EVICT and there is not None and not _same(there, action.s3):
        yield _changed_since(action, "in S3")
        return
    sides = {"local": now} if action.op.here else {"s3": now}
    if action.op is Op.EVICT:
        op, sides, trashed = Op.DOWNLOAD, {"local": None, "s3": there or action.s3}, None
    elif action.replaced is None:
        op, trashed = (Op.TRASH_LOCAL if action.op.here else Op.TRASH_S3), None
    else:
        op = Op.RESTORE_LOCAL if action.op.here else Op.RESTORE_S3
        trashed = Trashed(run, (outcome.kept if outcome else None) or action.replaced)
    reason = f"takes back {_DEEDS[action.op]}"
    yield Action(
        op, action.actor, action.filename, action.location, trashed=trashed, base=action.base, reason=reason, **sides
    )


def _by_name(manifests: Mapping[str, Manifest]) -> dict[str, dict[str, Entry]]:
    """Each actor's entries by filename."""
    return {name: {entry.filename: entry for entry in manifest.entries} for name, manifest in manifests.items()}


def _same(now: Version | None, then: Version | None) -> bool:
    """Whether a side holds the content that it held then. ETags tell versions; a plain one is the MD5, too."""
    if now is None or then is None:
        return now is then
    told = {now.md5, now.etag} & {then.md5, then.etag} - {None}
    return now.size_bytes == then.size_bytes and bool(told)


def _action(
    op: Op,
    entry: Entry,
    subject: Subject,
    location: Location,
    *,
    local: Version | None = None,
    s3: Version | None = None,
    reason: str,
) -> Action:
    return Action(op, subject.actor, entry.filename, location, local, s3, base=entry.synced_md5, reason=reason)


def _here(entry: Entry | None) -> Version | None:
    if entry is None or not entry.recorded_local or entry.md5_hash is None or entry.size_bytes is None:
        return None
    return Version(entry.size_bytes, entry.md5_hash)


def _in_s3(entry: Entry) -> Version | None:
    return None if entry.s3 is None else Version(entry.s3.size_bytes, entry.s3.md5, entry.s3.etag)


def _there(entry: Entry | None, location: Location, where: Layout) -> Version | None:
    """What is at the place that an action was about."""
    if entry is None or entry.s3_url is None or where.locate(entry.s3_url) != location:
        return None
    return _in_s3(entry)


def _corrupt(entry: Entry, subject: Subject, consequence: str) -> Problem:
    message = f"corrupt: its bytes changed while its size and time did not; {consequence}"
    return Problem(subject.actor, entry.filename, "corrupt", message)


def _changed_since(action: Action, side: str) -> Problem:
    message = f"it has changed {side} since that run, so it was left as it is"
    return Problem(action.actor, action.filename, "changed_since", message)


def _unseen(actor: str, filename: str) -> Problem:
    message = "its object in S3 was not seen in this run, so it was left as it is; sync, then try again"
    return Problem(actor, filename, "not_seen", message)
