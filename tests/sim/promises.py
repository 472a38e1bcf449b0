"""What each verb promises of every image that it is for: it is done, or it is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.model import Location
from callsheet.result import Transfer
from sim.history import Step
from sim.world import Beliefs, Image, Row, World, located, status_of

_WANTED = {
    "push": ("local_only", {"synced"}),
    "pull": ("s3_only", {"synced"}),
    "repair": ("out_of_sync", {"synced"}),
    "repair_local": ("out_of_sync", {"synced"}),
    "repair_s3": ("out_of_sync", {"synced"}),
    "evict": ("synced", {"s3_only"}),
}
"""For images of which status a verb is, and what they are afterwards."""

_LEAVES_HERE = ("push", "repair_local")
_LEAVES_THERE = ("pull", "evict", "repair_s3")


@dataclass(frozen=True)
class Memory:
    """What was there, and what was recorded of it, before something was done. `changes`: which side of what is out of sync changed."""

    world: World
    rows: Mapping[Image, Row]
    changes: Mapping[Image, str]


def check_named(transfer: Transfer) -> None:
    """Whatever failed or was refused is among the problems."""
    told = _told(transfer)
    failed = {(outcome.action.actor, outcome.action.filename) for outcome in transfer.outcomes if outcome.problem}
    refused = {(problem.actor, problem.filename) for problem in transfer.plan.refusals}
    assert failed | refused <= told, f"not named: {(failed | refused) - told}"
    assert transfer.interrupted or len(transfer.outcomes) == len(transfer.plan.actions)


def check_done(step: Step, transfer: Transfer, memory: Memory, after: World, beliefs: Beliefs) -> None:
    """Of a run that nothing disturbed: each image that it was for is as promised, or named; all others are as they were."""
    before, told = memory.world, _told(transfer)
    if step.deed in _LEAVES_HERE:
        assert after.here == before.here, f"{step.deed} changed this disk"
    if step.deed in _LEAVES_THERE:
        assert after.there == before.there, f"{step.deed} changed S3"
    for image, row in memory.rows.items():
        place = located(row.url) if row.url else None
        if step.deed == "evict" and image in before.here and image not in after.here:
            held = after.there.get(place) if place else None
            assert held == before.here[image], f"{image} was evicted, but S3 has not its bytes"
        if not _chosen(step, image, row):
            _check_untouched(step, image, place, before, after)
        elif image not in told and len(row.urls) <= 1 and _sure(image, place, before, beliefs):
            _check_done(step, image, place, before, after)


def check_taken_back(
    transfer: Transfer, now: Memory, then: Memory, unsure: set[Image], *, named: bool, stale: bool
) -> None:
    """Both sides are as they were `then`; with `named`, or else that is told. If records were not `stale`, they are as they were, too."""
    here, there = now.world.here, now.world.there
    differing = {image for image in {*here, *then.world.here} if here.get(image) != then.world.here.get(image)}
    moved = {place for place in {*there, *then.world.there} if there.get(place) != then.world.there.get(place)}
    differing |= {(place.key.split("/")[-2], place.key.split("/")[-1]) for place in moved}
    excused = unsure | (_told(transfer) if named else set())
    assert differing <= excused, f"taken back, but different: {differing - excused}; {transfer.report.problems}"
    if named or stale:
        return
    for image in set(then.rows) - unsure:
        was, status = then.rows[image].status, now.rows[image].status
        assert status == was, f"{image} was {was}, and is {status} after it was taken back"
    for image, change in now.changes.items():
        known = then.changes.get(image)  # to know less is to refuse more
        assert image in unsure or known in (None, "unknown", "both") or change in (known, "unknown", "both"), (
            f"{known} of {image} is {change} after it was taken back"
        )


def _told(transfer: Transfer) -> set[Image]:
    return {(problem.actor, problem.filename) for problem in transfer.report.problems}


def _chosen(step: Step, image: Image, row: Row) -> bool:
    if step.deed == "rm" and image[0] != step.image[0]:
        return False
    if step.scope == "image":
        return image == step.image
    return image[0] == step.image[0] if step.scope == "actor" else step.scope != "good" or bool(row.good)


def _check_untouched(step: Step, image: Image, place: Location | None, before: World, after: World) -> None:
    if step.deed in _WANTED or step.deed == "rm":
        assert after.here.get(image) == before.here.get(image), f"{image} was not asked for, and changed here"
        assert place is None or after.there.get(place) == before.there.get(place), f"{image} changed in S3"


def _check_done(step: Step, image: Image, place: Location | None, before: World, after: World) -> None:
    put = [one for one in after.there if one.key.endswith("/".join(("", *image)))]  # where an upload has put it
    found = [there for there in ([place] if place else put) if there in after.there]
    was = status_of(before.here.get(image), before.there.get(place) if place else None)
    now = status_of(after.here.get(image), after.there[found[0]] if found else None)
    if step.deed == "rm":
        assert now == "missing", f"{image} was to be removed, is {now}, and is not named"
    elif step.deed in _WANTED and was == _WANTED[step.deed][0]:
        assert now in _WANTED[step.deed][1], f"{step.deed} left {image} {now}, and did not name it"


def _sure(image: Image, place: Location | None, world: World, beliefs: Beliefs) -> bool:
    """Whether nobody could be mistaken about what both sides hold."""
    here, there = world.here.get(image), world.there.get(place) if place else None
    return len(beliefs.of_file(image, here)) + len(beliefs.of_object(place, there)) == 2
