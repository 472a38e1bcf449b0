"""Plans and journals come back from their files as they were; what else a file may hold is a `PlanError` that says where."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import layout, planfile
from callsheet.action import Action, Curation, Mark, Op, Outcome, PastRun, Plan, Step, Trashed, Verb, Version
from callsheet.codec import dump_json
from callsheet.errors import PlanError
from callsheet.model import Location, Problem

FILE = "some/plan.json"
MD5 = "0123456789abcdef" * 2
RUN = "20251017T163000.000Z-ab12"
_T = TypeVar("_T")
THEN = datetime(2025, 10, 17, 16, 30, tzinfo=UTC)

md5s = st.text("0123456789abcdef", min_size=32, max_size=32)
etags = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
sizes = st.integers(0, (1 << 63) - 1)
files = st.builds(Version, sizes, md5s)
objects = st.builds(Version, sizes, st.none() | md5s, etags)
runs = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}", fullmatch=True)
names = st.text(min_size=1, max_size=30).filter(lambda text: not layout.name_fault(text) and not text.startswith("."))
images = st.builds(str.__add__, names, st.sampled_from(layout.IMAGE_SUFFIXES)).filter(
    lambda name: not layout.name_fault(name)
)
places = st.builds(Location, st.sampled_from(["story-boards-assets", "a.b.c"]), st.text(min_size=1, max_size=40))
NONE = st.none()
HOLDS = {
    Op.UPLOAD: (files, NONE | objects, NONE),
    Op.DOWNLOAD: (NONE | files, objects, NONE),
    Op.EVICT: (files, objects, NONE),
    Op.TRASH_LOCAL: (files, NONE, NONE),
    Op.TRASH_S3: (NONE, objects, NONE),
    Op.RESTORE_LOCAL: (NONE | files, NONE, st.builds(Trashed, runs, files)),
    Op.RESTORE_S3: (NONE, NONE | objects, st.builds(Trashed, runs, objects)),
}


def _of_op(op: Op) -> st.SearchStrategy[Action]:
    local, s3, trashed = HOLDS[op]
    return st.builds(Action, st.just(op), names, images, places, local, s3, trashed, NONE | md5s, st.text(max_size=20))


actions = st.sampled_from(list(Op)).flatmap(_of_op)
problems = st.builds(Problem, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.text(max_size=20))
curations = st.builds(Curation, st.none() | st.booleans(), st.none() | st.text(max_size=20))
marks = st.builds(Mark, names, images, curations, curations)
OPS = {
    Verb.PUSH: [Op.UPLOAD],
    Verb.PULL: [Op.DOWNLOAD],
    Verb.REPAIR: [Op.UPLOAD, Op.DOWNLOAD],
    Verb.EVICT: [Op.EVICT],
    Verb.RM: [Op.TRASH_LOCAL, Op.TRASH_S3],
    Verb.UNDO: [Op.DOWNLOAD, Op.TRASH_LOCAL, Op.TRASH_S3, Op.RESTORE_LOCAL, Op.RESTORE_S3],
    Verb.RESTORE: [Op.RESTORE_LOCAL, Op.RESTORE_S3],
}


def _of_verb(verb: Verb) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        st.just(verb),
        st.lists(st.sampled_from(OPS[verb]).flatmap(_of_op), max_size=4).map(tuple),
        st.lists(problems, max_size=2).map(tuple),
        st.just("") | runs,
        st.lists(marks, max_size=2 if verb is Verb.UNDO else 0).map(tuple),
    )


plans = st.sampled_from(list(OPS)).flatmap(_of_verb)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))


@st.composite
def steps(draw: st.DrawFn) -> Step:
    action = draw(actions)
    failed = st.builds(Problem, st.just(action.actor), st.just(action.filename), st.text(), st.text())
    done = st.builds(Outcome, st.just(action), NONE, NONE | objects, NONE | objects)
    return Step(action, draw(NONE | st.builds(Outcome, st.just(action), failed) | done))


past_runs = st.builds(
    PastRun,
    runs,
    st.sampled_from(list(Verb)),
    moments,
    st.lists(steps(), max_size=4).map(tuple),
    NONE | moments,
    st.just("") | runs,
)


def journal_of(past: PastRun) -> bytes:
    """The file of a run, as one that writes it line by line leaves it."""
    lines: list[dict[str, Any]] = [planfile.first_line(past.id, past.verb, past.started, past.undoes)]
    lines += ({"n": n, "action": planfile.action_as_dict(step.action)} for n, step in enumerate(past.steps))
    outcomes = ((n, step.outcome) for n, step in enumerate(past.steps) if step.outcome)
    lines += reversed([{"n": n, **planfile.outcome_as_dict(outcome)} for n, outcome in outcomes])
    lines += [{"ended": past.ended.isoformat()}] if past.ended else []
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _read_or_refused(reader: Callable[[bytes, str], _T], raw: bytes) -> _T | str:
    try:
        return reader(raw, FILE)
    except PlanError as error:
        return str(error)


@given(plan=plans)
def test_a_plan_comes_back_from_its_file_as_it_was(plan: Plan) -> None:
    assert planfile.read_plan(dump_json(planfile.plan_as_dict(plan)), FILE) == plan


@pytest.mark.parametrize("verb", OPS)
@pytest.mark.parametrize("op", Op)
def test_a_plan_holds_only_what_its_verb_does(verb: Verb, op: Op) -> None:
    version = Version(3, MD5, MD5)
    action = Action(op, "0000_x", "a.png", SENT.location, version, version, Trashed(RUN, version))
    read = _read_or_refused(planfile.read_plan, dump_json(planfile.plan_as_dict(Plan(verb, (action,)))))
    assert isinstance(read, Plan) is (op in OPS[verb])


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.UNDO])
def test_only_an_undo_takes_marks_back(verb: Verb) -> None:
    mark = Mark("0000_x", "a.png", Curation(None, None), Curation(True, None))
    read = _read_or_refused(planfile.read_plan, dump_json(planfile.plan_as_dict(Plan(verb, (), marks=(mark,)))))
    assert isinstance(read, str)


@given(past=past_runs)
def test_a_run_comes_back_from_its_journal_as_it_was(past: PastRun) -> None:
    assert planfile.read_journal(journal_of(past), FILE) == past


SENT = Action(
    Op.UPLOAD, "0000_å_ß", "画像 1.png", Location("story-boards-assets", "p/画像 1.png"), Version(3, MD5), base=MD5, reason="it is only here"
)  # fmt: skip
REPLACED = replace(SENT, op=Op.DOWNLOAD, s3=Version(4, None, "x-2"))
RESTORED = Action(
    Op.RESTORE_LOCAL, "0000_x", "a.png", SENT.location, trashed=Trashed(RUN, Version(3, MD5)), reason="takes back"
)
RUN_OF_THREE = PastRun(
    RUN,
    Verb.UNDO,
    THEN,
    (
        Step(SENT, Outcome(SENT, None, Version(3, MD5, MD5))),
        Step(REPLACED, Outcome(REPLACED, Problem("0000_å_ß", "画像 1.png", "local", "The disk is full"))),
        Step(RESTORED, None),
    ),
    THEN,
    "20251017T162900.000Z-cd34",
)


def test_a_journal_that_was_cut_anywhere_reads_as_its_beginning_or_as_none() -> None:
    whole = journal_of(RUN_OF_THREE)
    all_steps = [step.action for step in RUN_OF_THREE.steps]
    first_line_ends = whole.index(b"\n")
    for end in range(len(whole)):
        cut = whole[:end]
        if end < first_line_ends:
            with pytest.raises(PlanError, match=re.escape(FILE)):
                planfile.read_journal(cut, FILE)
            continue
        past = planfile.read_journal(cut, FILE)
        assert (past.id, past.verb, past.started, past.undoes) == (RUN, Verb.UNDO, THEN, RUN_OF_THREE.undoes)
        assert [step.action for step in past.steps] == all_steps[: len(past.steps)]
        for step, wanted in zip(past.steps, RUN_OF_THREE.steps, strict=False):
            assert step.outcome in (None, wanted.outcome)
        assert past.ended in (None, THEN) if end >= len(whole) - 1 else past.ended is None


@given(past=past_runs, share=st.floats(0, 1))
def test_any_journal_that_was_cut_is_read_or_refused(past: PastRun, share: float) -> None:
    whole = journal_of(past)
    read = _read_or_refused(planfile.read_journal, whole[: int(len(whole) * share)])
    if isinstance(read, str):
        assert FILE in read
    else:
        assert [step.action for step in read.steps] == [step.action for step in past.steps][: len(read.steps)]


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_plan_error(raw: bytes) -> None:
    for reader in (planfile.read_plan, planfile.read_journal):
        with pytest.raises(PlanError, match=re.escape(FILE)):
            reader(raw, FILE)


DOCUMENT = planfile.plan_as_dict(
    Plan(
        Verb.UNDO,
        (replace(SENT, op=Op.TRASH_LOCAL), REPLACED, RESTORED),
        (Problem("0000_x", "b.png", "conflict", "both sides changed"),),
        RUN,
        (Mark("0000_x", "a.png", Curation(None, None), Curation(True, "a face")),),
    )
)
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "../x", "/etc/x.png", "a\x00.png", "\x1b[2J.png", [], [[]], {}, {"a": {}},
]  # fmt: skip


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where every value of a document is."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _with(path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.deepcopy(DOCUMENT)
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize("path", list(_paths(DOCUMENT)), ids=lambda path: ".".join(map(str, path)) or "document")
def test_whatever_stands_anywhere_in_a_plan_is_read_or_refused_with_file_and_place(path: tuple[str | int, ...]) -> None:
    for junk in JUNK:
        plan = _read_or_refused(planfile.read_plan, json.dumps(_with(path, junk)).encode())
        if isinstance(plan, str):
            assert FILE in plan
            if path and path[0] in ("actions", "refusals", "marks") and len(path) > 1:
                assert f"{path[0]}[{path[1]}]" in plan, (path, junk)
            continue
        for name in [name for step in plan.actions for name in (step.actor, step.filename)]:
            assert not layout.name_fault(name)
        for name in [name for mark in plan.marks for name in (mark.actor, mark.filename)]:
            assert not layout.name_fault(name)
        for action in plan.actions:
            assert layout.is_image(action.filename)
            assert not action.actor.startswith(".")
            assert action.trashed is None or layout.is_run_id(action.trashed.run_id)
        assert plan.undoes == "" or layout.is_run_id(plan.undoes)


HOSTILE_NAMES = [
    "", ".", "..", "../0001_y", "a/b.png", "/etc/passwd.png", "..\\x.png", "a\nb.png", "a\x00.png", "\x1b]0;x\x07.png", "x" * 256 + ".png", "\x7f.png",
]  # fmt: skip
HOSTILE_RUNS = ["..", ".", "../x", "a/b", "", "/x", "-x", ".hidden", "a\n", "x" * 65, "a\x00", 7, None, "é"]


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, ".hidden.png", "notes.txt", "png"])
def test_no_filename_leads_anywhere_but_to_an_image(name: str) -> None:
    with pytest.raises(PlanError, match=re.escape(f"{FILE}: actions[0]")):
        planfile.read_plan(json.dumps(_with(("actions", 0, "filename"), name)).encode(), FILE)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, ".callsheet"])
def test_no_actor_leads_anywhere_but_to_an_actors_folder(name: str) -> None:
    with pytest.raises(PlanError, match=re.escape(f"{FILE}: actions[0]")):
        planfile.read_plan(json.dumps(_with(("actions", 0, "actor"), name)).encode(), FILE)


@pytest.mark.parametrize("run", HOSTILE_RUNS)
def test_no_run_leads_out_of_the_trash(run: Any) -> None:
    for path in (("actions", 2, "trashed", "run"), ("undoes",)):
        if path == ("undoes",) and not run:
            continue  # it undoes nothing
        with pytest.raises(PlanError, match="is no run's id"):
            planfile.read_plan(json.dumps(_with(path, run)).encode(), FILE)
    opening = {"callsheet_run": 1, "run": run, "verb": "push", "started": THEN.isoformat()}
    with pytest.raises(PlanError, match="is no run's id"):
        planfile.read_journal(json.dumps(opening).encode(), FILE)


@pytest.mark.parametrize(
    ("number", "lacking", "names_op"),
    [
        (0, "local", "trash_local"),
        (0, ("local", "md5"), "trash_local"),
        (1, "s3", "download"),
        (1, ("s3", "etag"), "download"),
        (1, ("local", "md5"), "download"),
        (2, "trashed", "restore_local"),
        (2, ("trashed", "md5"), "restore_local"),
    ],
)
def test_an_action_without_what_its_op_needs_is_refused(
    number: int, lacking: str | tuple[str, str], names_op: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    action: Any = document["actions"][number]
    if isinstance(lacking, tuple):
        del action[lacking[0]][lacking[1]]
    else:
        del action[lacking]
    with pytest.raises(PlanError, match=re.escape(f"{FILE}: actions[{number}]") + f".*{names_op}"):
        planfile.read_plan(json.dumps(document).encode(), FILE)


@pytest.mark.parametrize("version", [None, 0, 2, "1", [1]])
def test_a_file_of_another_version_is_not_guessed_at(version: Any) -> None:
    with pytest.raises(PlanError, match="no plan of this version"):
        planfile.read_plan(json.dumps({**DOCUMENT, "callsheet_plan": version}).encode(), FILE)
    opening = planfile.first_line(RUN, Verb.PUSH, THEN, "")
    with pytest.raises(PlanError, match="no journal of this version"):
        planfile.read_journal(json.dumps({**opening, "callsheet_run": version}).encode(), FILE)


OPENING = json.dumps(planfile.first_line(RUN, Verb.PUSH, THEN, ""))
STEP = json.dumps({"n": 0, "action": planfile.action_as_dict(SENT)})


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("",), f"{FILE}:1"),
        ((OPENING, "", STEP), f"{FILE}:2"),
        ((OPENING, STEP[:-1], '{"n": 0, "outcome": "done"}'), f"{FILE}:2"),
        ((OPENING, '{"n": 0, "outcome": "done"}'), f"{FILE}:2"),
        ((OPENING, STEP, '{"n": 1, "outcome": "done"}'), f"{FILE}:3"),
        ((OPENING, STEP, '{"n": true, "outcome": "done"}'), f"{FILE}:3.n"),
        ((OPENING, STEP, '{"n": 0, "outcome": "failed"}'), f"{FILE}:3.code"),
        ((OPENING, STEP, '{"n": 0, "outcome": "done", "placed": {"size_bytes": -1}}'), f"{FILE}:3.placed"),
        ((OPENING, '{"ended": 3}'), f"{FILE}:2"),
        ((OPENING, '{"ended": "2025-10-17T16:30:00"}'), f"{FILE}:2 has no time zone"),
        ((OPENING.replace("push", "frobnicate"),), f"{FILE}:1.verb"),
        ((OPENING.replace("2025-", "25-"),), f"{FILE}:1.started"),
        (("[]",), f"{FILE}:1"),
        ((OPENING, "7"), f"{FILE}:2"),
    ],
)
def test_a_journal_that_makes_no_sense_is_refused_with_file_and_line(lines: tuple[str, ...], place: str) -> None:
    with pytest.raises(PlanError, match=re.escape(place)):
        planfile.read_journal("".join(f"{line}\n" for line in lines).encode(), FILE)


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"{", b"\xff\xfe", b"null", b"[]", b'"x"', b"{}", b'{"a": 1, "a": 2}', b"[" * 5000]
)
def test_what_is_no_plan_is_refused_with_the_file(raw: bytes) -> None:
    for reader in (planfile.read_plan, planfile.read_journal):
        with pytest.raises(PlanError, match=re.escape(FILE)):
            reader(raw, FILE)
