"""What networks and stores do to transfers, between callsheet and real S3 servers: named, the rest done, no byte lost."""

from __future__ import annotations

from functools import partial

import pytest

from behind import Faulty
from kept import carried_out, named, picture, settled
from proxy import (
    Way,
    cut,
    dropped,
    dropped_after,
    flipped,
    just_after,
    refused,
    refused_after,
    sent_flipped,
    sent_flipped_unchecked,
)
from scene import ANNA, BAD, BERT, GOOD, KINDS, done, place, run, verb_of

NEW = picture("somebody else's")
VICTIM = f"{ANNA}/{BAD}"

pytestmark = pytest.mark.usefixtures("pauses")

# --- Answers in the middle of a run -------------------------------------------------------------------------------------------------

MAIN = {
    "push": "put",
    "pull": "get",
    "repair from S3": "get",
    "repair S3": "put",
    "evict": "head",
    "rm": "delete",
}
"""The request that does what a verb is for."""

REFUSALS: dict[str, tuple[int, str, str, str]] = {
    "precondition failed": (412, "PreconditionFailed", "object_changed", "Sync again"),
    "conflict": (409, "ConditionalRequestConflict", "object_changed", "Sync again"),
    "operation aborted": (409, "OperationAborted", "unreachable", "Repeat later"),
    "denied": (403, "AccessDenied", "access_denied", "s3:PutObject"),
    "denied without a word": (403, "", "access_denied", "s3:PutObject"),
    "archived": (403, "InvalidObjectState", "access_denied", "Glacier"),
    "failing": (500, "InternalError", "unreachable", "Repeat later"),
    "bad gateway": (502, "", "unreachable", "Repeat later"),
    "a stranger's answer": (418, "Teapot", "remote", ""),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        *((kind, case) for kind in ("push", "pull") for case in REFUSALS),
        *((kind, case) for kind in KINDS if kind not in ("push", "pull") for case in ("conflict", "denied", "failing")),
    ],
)
def test_a_refusal_in_the_middle_of_a_run_is_named_and_the_rest_is_done(faulty: Faulty, kind: str, case: str) -> None:
    status, code, told, hint = REFUSALS[case]
    witness = faulty.scene(kind)
    proposal = faulty.tree.library().plan(verb_of(kind), [ANNA, BERT])
    fault = faulty.proxy.fault(MAIN[kind], VICTIM, refused(status, code), times=99)
    result = faulty.tree.library().apply(proposal)
    assert fault.met
    if kind == "evict" and not code and status == 403:
        hint = ""
    expected = {"remote"} if case == "a stranger's answer" else {told}
    if MAIN[kind] == "head":  # whose answers have no code
        expected |= {"remote", "access_denied", "unreachable", "object_changed"}
        hint = ""
    found = [problem for problem in result.report.problems if problem.filename]
    assert [(problem.actor, problem.filename) for problem in found] == [(ANNA, BAD)], result.report.problems
    assert found[0].code in expected
    assert hint in found[0].message
    faulty.proxy.heal()
    faulty.tree.library().sync()
    done(faulty.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    faulty.finishes(kind, witness)


@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_an_object_that_is_not_found_in_the_middle_of_a_run_is_named(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    faulty.proxy.fault("get", VICTIM, refused(404, "NoSuchKey"), times=99)
    result = run(faulty.tree, kind)
    named(result, ANNA, BAD, "no_such_object")
    done(faulty.tree, kind, (ANNA, BAD))
    faulty.finishes(kind, witness)


ENDS = {
    "an expired token": (400, "ExpiredToken", "no_credentials", "Log in again"),
    "a bucket that is gone": (404, "NoSuchBucket", "no_such_bucket", "Check the bucket's name"),
}


@pytest.mark.parametrize("case", ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_all_of_s3_in_the_middle_of_a_run_is_named_for_all_that_is_left(
    faulty: Faulty, kind: str, case: str
) -> None:
    status, code, told, hint = ENDS[case]
    witness = faulty.scene(kind)
    (faulty.tree.root / "callsheet.toml").write_text(
        (faulty.tree.root / "callsheet.toml").read_text() + "transfers = 1\n"
    )
    proposal = faulty.tree.library().plan(verb_of(kind), [ANNA, BERT])
    before = {actor: faulty.tree.statuses(actor[:4]) for actor in (ANNA, BERT)}
    armed: list[bool] = []
    faulty.proxy.fault(MAIN[kind], f"{ANNA}/{GOOD}", just_after(lambda: armed.append(True)))
    everything = "list head get put copy delete"
    faulty.proxy.fault(
        everything,
        "",
        lambda seen, forward: refused(status, code)(seen, forward) if armed else forward(seen),
        times=999,
    )
    result = faulty.tree.library().apply(proposal)
    assert armed
    failed = [outcome.problem for outcome in result.outcomes if outcome.problem]
    assert {(problem.actor, problem.filename) for problem in failed} >= {(BERT, BAD), (BERT, GOOD)}
    assert {problem.code for problem in failed} == {told}
    assert all(hint in problem.message for problem in failed)
    assert len({problem.message for problem in failed}) == 1, "all who meet it tell the same"
    assert (ANNA, BAD) not in {(problem.actor, problem.filename) for problem in failed}
    assert faulty.tree.statuses("0002") == before[BERT], "what is recorded stands"
    witness.nothing_lost()
    if kind == "rm":  # an image that is half removed
        faulty.proxy.heal()
        faulty.tree.library().sync()
    faulty.finishes(kind, witness)


@pytest.mark.parametrize("way", [refused(403, "AccessDenied"), refused(500, "InternalError"), dropped])
@pytest.mark.parametrize("kind", ["repair S3", "rm"])
def test_without_a_copy_in_the_trash_nothing_is_replaced_or_removed_in_s3(faulty: Faulty, kind: str, way: Way) -> None:
    witness, before = faulty.scene(kind), faulty.body()
    fault = faulty.proxy.fault("copy", VICTIM, way, times=99)
    result = run(faulty.tree, kind)
    assert fault.met
    assert (ANNA, BAD) in {(problem.actor, problem.filename) for problem in result.report.problems}
    assert faulty.body() == before
    assert place(faulty.tree).exists()
    assert not [
        request for request in faulty.proxy.requests if request.endswith(VICTIM) and request[:3] in ("put", "del")
    ]
    done(faulty.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    faulty.finishes(kind, witness)


# --- Passing failures are survived ---------------------------------------------------------------------------------------------


PASSING: dict[str, Way] = {
    "a 503": refused(503, "ServiceUnavailable"),
    "a conflict": refused(409, "ConditionalRequestConflict"),
    "a lost request": dropped,
    "a lost answer": dropped_after,
    "a 500 after the effect": refused_after(500, "InternalError"),
}


# What a server says to a request that it has carried out already differs; what the proxy answers in its place does not.
@pytest.mark.parametrize(
    ("anywhere", "case"),
    [*(("ministack", case) for case in PASSING), ("rclone", "a lost answer"), ("rclone", "a 500 after the effect")],
    indirect=["anywhere"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_may_fail_once(anywhere: Faulty, kind: str, case: str) -> None:
    witness = anywhere.scene(kind)
    reads = ("list", "head", "get") if case != "a conflict" else ()
    for what in (*reads, "put", "copy", "delete"):
        anywhere.proxy.fault(what, VICTIM, PASSING[case])
        anywhere.proxy.fault(what, f"{ANNA}/", PASSING[case])  # as a listing's prefix
    result = run(anywhere.tree, kind)
    assert not result.report.problems, result.report.problems
    done(anywhere.tree, kind)
    anywhere.proxy.heal()
    settled(anywhere.tree)
    witness.nothing_lost()
    if kind in ("repair from S3", "repair S3", "rm"):
        undone = anywhere.tree.library().apply(anywhere.tree.library().plan_undo())
        assert not undone.report.problems, undone.report.problems
        witness.nothing_lost()


@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_of_slow_downs_is_survived(faulty: Faulty, kind: str, pauses: list[float]) -> None:
    witness = faulty.scene(kind)
    for what, times in (("list", 4), ("head", 3), ("get", 4), ("put", 4), ("copy", 4), ("delete", 4)):
        faulty.proxy.fault(what, BAD, refused(503, "SlowDown"), times=times)
    result = run(faulty.tree, kind)
    assert not result.report.problems, result.report.problems
    assert pauses
    done(faulty.tree, kind)
    settled(faulty.tree)
    witness.nothing_lost()


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *((kind, refused_after(500, "InternalError")) for kind in ("push", "repair S3", "rm")),
        *((kind, dropped_after) for kind in ("push", "repair S3")),
    ],
)
def test_a_write_whose_every_answer_is_lost_is_told_as_failed_and_loses_nothing(
    faulty: Faulty, kind: str, way: Way
) -> None:
    witness = faulty.scene(kind)
    faulty.proxy.fault(MAIN[kind], VICTIM, way, times=99)
    result = run(faulty.tree, kind)
    assert {(problem.actor, problem.filename) for problem in result.report.problems} <= {(ANNA, BAD), ("", "")}
    done(faulty.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    faulty.finishes(kind, witness)


# --- Bytes that are lost or flipped on the way ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("bodies")
@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_a_body_that_is_cut_short_is_fetched_to_its_end(anywhere: Faulty, kind: str) -> None:
    witness = anywhere.scene(kind)
    fault = anywhere.proxy.fault("get", VICTIM, cut, times=2)
    result = run(anywhere.tree, kind)
    assert not result.report.problems
    assert fault.met == 2
    done(anywhere.tree, kind)
    settled(anywhere.tree)
    witness.nothing_lost()


@pytest.mark.usefixtures("bodies")
@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_a_body_that_is_always_cut_short_is_refused(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    held = place(faulty.tree).read_bytes() if place(faulty.tree).exists() else None
    faulty.proxy.fault("get", VICTIM, cut, times=99)
    result = run(faulty.tree, kind)
    named(result, ANNA, BAD, "unreachable")
    assert (place(faulty.tree).read_bytes() if place(faulty.tree).exists() else None) == held
    done(faulty.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    faulty.finishes(kind, witness)


@pytest.mark.usefixtures("bodies")
@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_flipped_bytes_are_fetched_again(anywhere: Faulty, kind: str) -> None:
    witness = anywhere.scene(kind)
    fault = anywhere.proxy.fault("get", VICTIM, flipped)
    result = run(anywhere.tree, kind)
    assert not result.report.problems
    assert fault.met == 1
    done(anywhere.tree, kind)
    settled(anywhere.tree)
    witness.nothing_lost()


@pytest.mark.usefixtures("bodies")
@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_bytes_that_are_always_flipped_are_refused_and_the_file_is_untouched(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    held = place(faulty.tree).read_bytes() if place(faulty.tree).exists() else None
    faulty.proxy.fault("get", VICTIM, flipped, times=99)
    result = run(faulty.tree, kind)
    named(result, ANNA, BAD, "bad_digest", "Try again")
    assert (place(faulty.tree).read_bytes() if place(faulty.tree).exists() else None) == held
    done(faulty.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    faulty.finishes(kind, witness)


@pytest.mark.usefixtures("bodies")
@pytest.mark.parametrize("kind", ["push", "repair S3"])
def test_bytes_that_are_flipped_on_the_way_up_are_refused_by_the_server(anywhere: Faulty, kind: str) -> None:
    witness = anywhere.scene(kind)
    anywhere.proxy.fault("put", VICTIM, sent_flipped, times=99)
    result = run(anywhere.tree, kind)
    named(result, ANNA, BAD, "bad_digest")
    done(anywhere.tree, kind, (ANNA, BAD))
    witness.nothing_lost()
    anywhere.finishes(kind, witness)


@pytest.mark.parametrize("kind", ["push", "repair S3"])
def test_a_server_that_checks_nothing_is_found_out_by_its_etag(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    faulty.proxy.fault("put", VICTIM, sent_flipped_unchecked, times=99)
    result = run(faulty.tree, kind)
    named(result, ANNA, BAD, "bad_digest", "Push it again")
    assert faulty.tree.statuses("0001")[BAD] == "out_of_sync"
    done(faulty.tree, kind, (ANNA, BAD))
    settled(faulty.tree)
    witness.nothing_lost()
    faulty.proxy.heal()
    again = carried_out(faulty.tree.library(), "repair", prefer="local")
    assert not again.report.problems
    done(faulty.tree, kind)
    settled(faulty.tree)
    witness.nothing_lost()


@pytest.mark.parametrize("part_mib", [5, 5.5])
def test_flipped_bytes_of_an_object_without_an_md5_are_found_out(faulty: Faulty, part_mib: float) -> None:
    """One cut in a usual way, whose ETag tells, and one cut in a way of its own, which nothing tells of."""
    content = picture("in parts", 6 << 20)
    faulty.put_in_parts(content, int(part_mib * (1 << 20)))
    witness = faulty.witness()
    faulty.proxy.fault("get", VICTIM, flipped)
    result = carried_out(faulty.tree.library(), "pull")
    assert not result.report.problems
    assert faulty.tree.statuses("0001") == {BAD: "synced"}
    assert place(faulty.tree).read_bytes() == content
    settled(faulty.tree)
    witness.nothing_lost()


def test_bytes_that_are_never_the_same_twice_are_refused(faulty: Faulty) -> None:
    faulty.put_in_parts(picture("in parts", 6 << 20), 11 << 19)
    witness = faulty.witness()
    for number in range(4):
        faulty.proxy.fault("get", VICTIM, partial(flipped, at=number + 1), after=0)
    result = carried_out(faulty.tree.library(), "pull")
    named(result, ANNA, BAD, "bad_digest", "Try again")
    assert not place(faulty.tree).exists()
    witness.nothing_lost()
    faulty.proxy.heal()
    assert not carried_out(faulty.tree.library(), "pull").report.problems
    settled(faulty.tree)


def test_a_damaged_image_in_s3_replaces_no_sound_one(faulty: Faulty) -> None:
    faulty.scene("repair from S3")
    held, torn = place(faulty.tree).read_bytes(), NEW[:40]
    faulty.direct.object(ANNA, BAD, torn)
    witness = faulty.witness()
    result = run(faulty.tree, "repair from S3")
    named(result, ANNA, BAD, "damaged", "--prefer local")
    assert place(faulty.tree).read_bytes() == held
    assert faulty.body() == torn
    done(faulty.tree, "repair from S3", (ANNA, BAD))
    settled(faulty.tree)
    witness.nothing_lost()
