"""What a run did can be taken back, whatever it was: on a model of both sides and their trash, by a world that shares no code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import layout
from callsheet.action import Action, Curation, Mark, Op, Outcome, PastRun, Step, Trashed, Verb, Version
from callsheet.layout import Layout
from callsheet.model import Entry, Evidence, Manifest, Problem, S3Record, Status
from callsheet.plan import Choice, Subject, marks_taken_back, planned, restored, taken_back

WHERE = Layout()
ACTOR = "0000_x"
NAME = "0000_x_1.png"
PLACE = WHERE.location(ACTOR, NAME)
RUN = "20251017T163000.000Z-ab12"
THEN = datetime(2025, 10, 17, 16, 30, tzinfo=UTC)
OLD, NEW, THIRD = "a" * 32, "b" * 32, "c" * 32
FAILED = Problem(ACTOR, NAME, "object_changed", "it failed")


def here(md5: str) -> Version:
    return Version(10, md5)


def there(md5: str) -> Version:
    return Version(10, md5, f"etag-{md5[0]}")


@dataclass(frozen=True)
class Did:
    """An action, what its side held before it and after it, and the op that takes it back."""

    action: Action
    before: Version | None
    after: Version | None
    inverse: Op

    @property
    def here(self) -> bool:
        return self.inverse in (Op.DOWNLOAD, Op.TRASH_LOCAL, Op.RESTORE_LOCAL)


def act(op: Op, local: Version | None = None, s3: Version | None = None, trashed: Version | None = None) -> Action:
    return Action(op, ACTOR, NAME, PLACE, local, s3, Trashed("some-run", trashed) if trashed else None, base=THIRD)


DID = {
    "upload": Did(act(Op.UPLOAD, here(NEW)), None, there(NEW), Op.TRASH_S3),
    "upload over": Did(act(Op.UPLOAD, here(NEW), there(OLD)), there(OLD), there(NEW), Op.RESTORE_S3),
    "download": Did(act(Op.DOWNLOAD, None, there(NEW)), None, here(NEW), Op.TRASH_LOCAL),
    "download over": Did(act(Op.DOWNLOAD, here(OLD), there(NEW)), here(OLD), here(NEW), Op.RESTORE_LOCAL),
    "evict": Did(act(Op.EVICT, here(OLD), there(OLD)), here(OLD), None, Op.DOWNLOAD),
    "trash here": Did(act(Op.TRASH_LOCAL, here(OLD)), here(OLD), None, Op.RESTORE_LOCAL),
    "trash in S3": Did(act(Op.TRASH_S3, None, there(OLD)), there(OLD), None, Op.RESTORE_S3),
    "restore here": Did(act(Op.RESTORE_LOCAL, trashed=here(NEW)), None, here(NEW), Op.TRASH_LOCAL),
    "restore here over": Did(act(Op.RESTORE_LOCAL, here(OLD), None, here(NEW)), here(OLD), here(NEW), Op.RESTORE_LOCAL),
    "restore in S3": Did(act(Op.RESTORE_S3, trashed=there(NEW)), None, there(NEW), Op.TRASH_S3),
    "restore in S3 over": Did(
        act(Op.RESTORE_S3, None, there(OLD), there(NEW)), there(OLD), there(NEW), Op.RESTORE_S3
    ),
}  # fmt: skip
OUTCOMES = ["known", "unknown"]


def past(*steps: Step, ended: bool = True, verb: Verb = Verb.PUSH) -> PastRun:
    return PastRun(RUN, verb, THEN, steps, THEN + timedelta(minutes=1) if ended else None)


def step(did: Did, outcome: str) -> Step:
    """As the journal tells it. What was put there, and kept, may have got another ETag than was expected."""
    placed = did.after if outcome == "known" else None
    kept = did.before if did.inverse in (Op.RESTORE_LOCAL, Op.RESTORE_S3) else None
    return Step(did.action, None if outcome == "unknown" else Outcome(did.action, None, placed, kept))


def entry(local: Version | None, s3: Version | None, name: str = NAME) -> Entry | None:
    """What a look records of an image that is so on both sides."""
    if local is None and s3 is None:
        return None
    status = Status.LOCAL_ONLY if s3 is None else Status.S3_ONLY
    if local is not None and s3 is not None:
        status = Status.SYNCED if local.md5 == s3.md5 else Status.OUT_OF_SYNC
    record = S3Record(s3.etag or "", s3.size_bytes, THEN, s3.md5) if s3 else None
    url = layout.s3_url(WHERE.location(ACTOR, name), WHERE.region) if s3 else None
    shown = local or s3
    assert shown
    md5 = local.md5 if local else None
    path = WHERE.image(ACTOR, name)
    found = Entry(name, path, shown.size_bytes, 1.0, md5, url, status, evidence=Evidence.MD5, s3=record)
    return replace(found, synced_md5=md5 if status is Status.SYNCED else None)


def look(*entries: Entry | None) -> Mapping[str, Manifest]:
    return {ACTOR: Manifest(ACTOR, tuple(found for found in entries if found))}


def now(did: Did, side: Version | None, *, other: Version | None = None) -> Mapping[str, Manifest]:
    """What is seen when the side that the action changed holds `side`."""
    if did.action.op is Op.EVICT and other is None:
        other = there(OLD)
    return look(entry(side, other) if did.here else entry(other, side))


def undone(run: PastRun, seen: Mapping[str, Manifest]) -> list[Action | Problem]:
    return list(taken_back(run, seen, WHERE))


def left_alone(found: list[Action | Problem]) -> bool:
    return [told.code for told in found if isinstance(told, Problem)] == ["changed_since"] and len(found) == 1


@pytest.mark.parametrize(("name", "outcome"), list(product(DID, OUTCOMES)))
def test_what_was_done_is_taken_back_by_its_inverse(name: str, outcome: str) -> None:
    did = DID[name]
    (inverse,) = undone(past(step(did, outcome), ended=outcome == "known"), now(did, did.after))
    assert isinstance(inverse, Action)
    assert inverse.op is did.inverse
    assert (inverse.actor, inverse.filename, inverse.location, inverse.base) == (ACTOR, NAME, PLACE, THIRD)
    if did.action.op is Op.EVICT:
        assert (inverse.local, inverse.s3, inverse.trashed) == (None, there(OLD), None)
    else:
        changed, other = (inverse.local, inverse.s3) if did.here else (inverse.s3, inverse.local)
        assert (changed, other) == (did.after, None)
        assert inverse.trashed == (Trashed(RUN, did.before) if did.before else None)


@pytest.mark.parametrize("name", DID)
def test_what_a_killed_run_had_not_begun_is_left_alone(name: str) -> None:
    did = DID[name]
    assert undone(past(step(did, "unknown"), ended=False), now(did, did.before)) == []


@pytest.mark.parametrize(("name", "seen"), list(product(DID, ["before", "after", "third", "nothing"])))
def test_what_a_run_that_ended_has_no_outcome_of_was_not_done(name: str, seen: str) -> None:
    did = DID[name]
    side = {"before": did.before, "after": did.after, "third": here(THIRD), "nothing": None}[seen]
    assert undone(past(step(did, "unknown")), now(did, side)) == []


@pytest.mark.parametrize(("name", "ended"), list(product(DID, [True, False])))
def test_a_step_that_failed_needs_no_taking_back(name: str, ended: bool) -> None:
    did = DID[name]
    run = past(Step(did.action, Outcome(did.action, FAILED)), ended=ended)
    assert undone(run, now(did, did.after)) == []
    assert not run.changed


@pytest.mark.parametrize(("name", "outcome"), list(product(DID, OUTCOMES)))
def test_what_has_changed_since_is_told_and_left_alone(name: str, outcome: str) -> None:
    did = DID[name]
    third = here(THIRD) if did.here else there(THIRD)
    assert left_alone(undone(past(step(did, outcome), ended=outcome == "known"), now(did, third)))


@pytest.mark.parametrize("name", DID)
def test_what_somebody_has_put_back_already_needs_nothing(name: str) -> None:
    did = DID[name]
    assert list(undone(past(step(did, "known")), now(did, did.before))) == []


@pytest.mark.parametrize("name", ["download over", "restore here over"])
def test_a_file_that_was_put_away_with_nothing_in_its_place_comes_back(name: str) -> None:
    """The run was killed between the two: the image lies in the trash, and nothing where it was."""
    did = DID[name]
    (inverse,) = undone(past(step(did, "unknown"), ended=False), now(did, None, other=there(THIRD)))
    assert isinstance(inverse, Action)
    assert (inverse.op, inverse.local, inverse.trashed) == (Op.RESTORE_LOCAL, None, Trashed(RUN, here(OLD)))


def test_what_vanished_after_a_run_that_ended_has_changed_since() -> None:
    for name in ("download over", "restore here over", "upload over", "restore in S3 over"):
        did = DID[name]
        assert left_alone(
            undone(past(step(did, "known")), now(did, None, other=there(THIRD) if did.here else here(THIRD)))
        )


def test_an_evicted_image_is_not_fetched_as_another_version() -> None:
    did = DID["evict"]
    assert left_alone(undone(past(step(did, "known")), now(did, None, other=there(THIRD))))


def test_an_object_at_another_place_is_not_the_one_that_was_uploaded() -> None:
    did = DID["upload"]
    found = entry(here(NEW), there(NEW))
    assert found
    elsewhere = replace(found, s3_url="https://storyboard-user-files.s3.us-west-1.amazonaws.com/9f/0000_x_1.png")
    assert left_alone(undone(past(step(did, "known")), look(elsewhere)))


@pytest.mark.parametrize(
    ("placed", "seen", "same"),
    [
        (Version(10, NEW, "x-2"), Version(10, None, "x-2"), True),
        (Version(10, NEW, NEW), Version(10, NEW, "kms"), True),
        (Version(10, NEW, "x-2"), Version(10, None, NEW), True),
        (Version(10, NEW, "x-2"), Version(10, None, "y-2"), False),
        (Version(10, None, "x-2"), Version(10, None, "y-2"), False),
        (Version(10, NEW, "x-2"), Version(11, None, "x-2"), False),
    ],
)
def test_an_object_is_known_again_by_its_etag_or_its_md5(placed: Version, seen: Version, same: bool) -> None:
    did = DID["upload"]
    run = past(Step(did.action, Outcome(did.action, placed=placed)))
    assert left_alone(undone(run, now(did, seen))) is not same


def test_the_last_step_is_taken_back_first() -> None:
    names = [f"{number}.png" for number in range(4)]
    steps = [
        Step(action, Outcome(action, placed=there(NEW)))
        for action in (replace(DID["upload"].action, filename=name, location=WHERE.location(ACTOR, name)) for name in names)
    ]  # fmt: skip
    seen = look(*(entry(here(NEW), there(NEW), name) for name in names))
    assert [found.filename for found in undone(past(*steps), seen)] == names[::-1]


def test_the_content_that_the_trash_really_got_is_what_comes_back() -> None:
    """A copy in S3 can have another ETag than its original, a multipart one say."""
    did = DID["trash in S3"]
    kept = Version(10, OLD, "copy-etag")
    (inverse,) = undone(past(Step(did.action, Outcome(did.action, kept=kept))), now(did, None))
    assert isinstance(inverse, Action)
    assert inverse.trashed == Trashed(RUN, kept)


@pytest.mark.parametrize(("name", "outcome"), list(product(DID, OUTCOMES)))
def test_the_trash_gives_back_what_it_got_where_nothing_has_taken_its_place(name: str, outcome: str) -> None:
    did = DID[name]
    found = list(restored(past(step(did, outcome), ended=outcome == "known"), frozenset()))
    if did.before is None or did.action.op is Op.EVICT:
        assert found == []
        return
    (action,) = found
    assert action.op is (Op.RESTORE_LOCAL if did.here else Op.RESTORE_S3)
    assert (action.local, action.s3, action.trashed) == (None, None, Trashed(RUN, did.before))
    assert RUN in action.reason


def test_the_trash_gives_back_only_what_is_asked_for_and_was_put_there() -> None:
    names = [f"{number}.png" for number in range(3)]
    actions = [replace(DID["trash here"].action, filename=name) for name in names]
    problem = Outcome(actions[1], FAILED)
    steps = [Step(actions[0], Outcome(actions[0])), Step(actions[1], problem), Step(actions[2], None)]
    assert [action.filename for action in restored(past(*steps), frozenset())] == names[:1]
    assert [action.filename for action in restored(past(*steps, ended=False), frozenset())] == [names[0], names[2]]
    assert list(restored(past(*steps, ended=False), frozenset({"1.png"}))) == []
    assert [action.filename for action in restored(past(*steps, ended=False), frozenset({"2.png"}))] == ["2.png"]


@pytest.mark.parametrize(
    ("outcome", "ended", "changed"),
    [("known", True, True), ("known", False, True), ("unknown", False, True), ("unknown", True, False)],
)
def test_a_run_changed_something_if_a_step_of_it_was_done_or_may_have_been(
    outcome: str, ended: bool, changed: bool
) -> None:
    assert past(step(DID["upload"], outcome), ended=ended).changed is changed
    assert not past(ended=ended).changed


@pytest.mark.parametrize(
    ("recorded", "back"),
    [
        (Curation(True, "a face"), True),
        (Curation(None, "a face"), False),
        (Curation(True, "mine"), False),
        (None, False),
    ],
)
def test_a_mark_is_taken_back_if_it_is_still_so(recorded: Curation | None, back: bool) -> None:
    mark = Mark(ACTOR, NAME, Curation(None, ""), Curation(True, "a face"))
    found = entry(here(OLD), None)
    assert found
    seen = look(replace(found, good=recorded.good, prompt=recorded.prompt) if recorded else None)
    (told,) = marks_taken_back(PastRun(RUN, Verb.MARK, THEN, ended=THEN, marks=(mark,)), seen)
    if back:
        assert told == Mark(ACTOR, NAME, mark.after, mark.before)
    else:
        assert isinstance(told, Problem)
        assert told.code == "changed_since"


@pytest.mark.parametrize("ended", [None, THEN])
def test_a_mark_that_a_killed_run_did_not_make_is_not_taken_back(ended: datetime | None) -> None:
    mark = Mark(ACTOR, NAME, Curation(None, None), Curation(True, "a face"))
    found = entry(here(OLD), None)
    assert found
    told = list(marks_taken_back(PastRun(RUN, Verb.MARK, THEN, ended=ended, marks=(mark,)), look(found)))
    assert len(told) == (1 if ended else 0)


Sides = dict[str, Version]


@dataclass
class World:
    """Both sides and their trash, as plain dictionaries; it does what an action says, if all is as the action expects."""

    local: Sides = field(default_factory=dict)
    s3: Sides = field(default_factory=dict)
    trash: dict[tuple[str, str, bool], Version] = field(default_factory=dict)

    def state(self) -> tuple[Sides, Sides]:
        return dict(self.local), dict(self.s3)

    def carry_out(self, run: str, actions: Iterable[Action], *, killed_after: int | None = None) -> tuple[Step, ...]:
        """Does the first `killed_after` actions; the journal has the outcomes of all but the last of them."""
        steps = []
        for number, action in enumerate(actions):
            if killed_after is not None and number >= killed_after:
                steps.append(Step(action, None))
                continue
            outcome = self._do(run, action)
            steps.append(Step(action, None if number + 1 == killed_after else outcome))
        return tuple(steps)

    def _do(self, run: str, action: Action) -> Outcome:
        name, is_here = action.filename, action.op.here
        side = self.local if is_here else self.s3
        assert side.get(name) == action.replaced, "an undo expects what is not there"
        kept = None
        if action.replaced is not None and action.op is not Op.EVICT:
            kept = self.trash[run, name, is_here] = side[name]
        if action.op.removes:
            del side[name]
        elif action.trashed is not None:
            assert self.trash.pop((action.trashed.run_id, name, is_here)) == action.trashed.version
            side[name] = action.trashed.version
        else:
            source = (self.s3 if is_here else self.local)[name]
            assert (action.s3 if is_here else action.local) == source
            side[name] = here(source.md5 or "") if is_here else there(source.md5 or "")
        return Outcome(action, placed=side.get(name), kept=kept)

    def manifest(self) -> Manifest:
        names = sorted({*self.local, *self.s3})
        entries = (entry(self.local.get(name), self.s3.get(name), name) for name in names)
        return Manifest(ACTOR, tuple(found for found in entries if found))


CONTENTS = st.sampled_from([None, OLD, NEW])
WORLDS = st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=5)
PLANNED = st.sampled_from([Verb.PUSH, Verb.PULL, Verb.REPAIR, Verb.EVICT, Verb.RM])


def _world(contents: list[tuple[str | None, str | None]]) -> World:
    names = [f"{number}.png" for number in range(len(contents))]
    local = {name: here(md5) for name, (md5, _) in zip(names, contents, strict=True) if md5}
    return World(local, {name: there(md5) for name, (_, md5) in zip(names, contents, strict=True) if md5})


def _verb(world: World, verb: Verb, prefer: str) -> list[Action]:
    subject = Subject(ACTOR, world.manifest(), WHERE)
    return [found for found in planned(verb, subject, Choice(prefer=prefer)) if isinstance(found, Action)]


def _undo(world: World, run: PastRun) -> list[Action]:
    found = list(taken_back(run, {ACTOR: world.manifest()}, WHERE))
    assert not [told for told in found if isinstance(told, Problem)]
    return [action for action in found if isinstance(action, Action)]


@given(contents=WORLDS, verb=PLANNED, prefer=st.sampled_from(["local", "s3"]))
def test_an_undo_brings_both_sides_back_and_its_undo_brings_the_run_back(
    contents: list[tuple[str | None, str | None]], verb: Verb, prefer: str
) -> None:
    world = _world(contents)
    before = world.state()
    run = PastRun("run-1", verb, THEN, world.carry_out("run-1", _verb(world, verb, prefer)), THEN)
    after = world.state()
    back = PastRun("run-2", Verb.UNDO, THEN, world.carry_out("run-2", _undo(world, run)), THEN, "run-1")
    assert world.state() == before
    again = PastRun("run-3", Verb.UNDO, THEN, world.carry_out("run-3", _undo(world, back)), THEN, "run-2")
    assert world.state() == after
    world.carry_out("run-4", _undo(world, again))
    assert world.state() == before


@given(contents=WORLDS, verb=PLANNED, prefer=st.sampled_from(["local", "s3"]), done=st.integers(0, 6))
def test_a_run_that_was_killed_anywhere_is_taken_back(
    contents: list[tuple[str | None, str | None]], verb: Verb, prefer: str, done: int
) -> None:
    world = _world(contents)
    before = world.state()
    steps = world.carry_out("run-1", _verb(world, verb, prefer), killed_after=done)
    world.carry_out("run-2", _undo(world, PastRun("run-1", verb, THEN, steps, None)))
    assert world.state() == before
