"""What others do to objects and files while callsheet transfers them to or from real S3 servers: no byte is lost."""

from __future__ import annotations

import os

import pytest

from behind import Faulty
from callsheet.errors import NoSuchObject
from callsheet.model import Location
from callsheet.remote import multipart
from factory import SETTLED_S
from kept import carried_out, named, picture, settled
from proxy import (
    just_after,
    meanwhile,
    refused,
)
from scene import ANNA, BAD, BERT, GOOD, KINDS, done, place, run, scene, verb_of

NEW = picture("somebody else's")
VICTIM = f"{ANNA}/{BAD}"

pytestmark = pytest.mark.usefixtures("pauses")

# --- Objects that change meanwhile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pull", "repair from S3"])
def test_an_object_that_changes_between_the_look_and_the_download_is_not_taken_for_the_other(
    anywhere: Faulty, kind: str
) -> None:
    anywhere.scene(kind)
    held = place(anywhere.tree).read_bytes() if place(anywhere.tree).exists() else None
    anywhere.proxy.fault("get", VICTIM, meanwhile(lambda: anywhere.direct.object(ANNA, BAD, NEW)))
    result = run(anywhere.tree, kind)
    named(result, ANNA, BAD, "object_changed", "Sync again")
    assert (place(anywhere.tree).read_bytes() if place(anywhere.tree).exists() else None) == held
    done(anywhere.tree, kind, (ANNA, BAD))
    anywhere.finishes(kind, anywhere.witness())
    assert place(anywhere.tree).read_bytes() == NEW


@pytest.mark.parametrize("what", ["replaced", "deleted"])
@pytest.mark.parametrize("moment", ["copy", "put", "delete"])
def test_what_somebody_else_does_to_an_object_in_the_middle_is_not_undone(
    faulty: Faulty, moment: str, what: str
) -> None:
    kind = "rm" if moment == "delete" else "repair S3"
    witness = faulty.scene(kind)

    def meddle() -> None:
        if what == "replaced":
            faulty.direct.object(ANNA, BAD, NEW)
        else:
            faulty.direct.remote.delete(faulty.victim)

    fault = faulty.proxy.fault(moment, VICTIM, meanwhile(meddle))
    result = run(faulty.tree, kind)
    assert fault.met
    if moment == "delete" and what == "deleted":  # which is what was wanted
        assert not result.report.problems
        done(faulty.tree, kind)
        witness.nothing_lost()
        return
    named(result, ANNA, BAD, "no_such_object" if (moment, what) == ("copy", "deleted") else "object_changed")
    if what == "replaced":
        assert faulty.body() == NEW
    assert place(faulty.tree).exists()
    done(faulty.tree, kind, (ANNA, BAD))
    settled(faulty.tree)
    assert place(faulty.tree).read_bytes() in witness.everything()


def test_an_object_that_appears_in_the_middle_of_a_push_is_kept(faulty: Faulty) -> None:
    witness = faulty.scene("push")
    faulty.proxy.fault("put", VICTIM, meanwhile(lambda: faulty.direct.object(ANNA, BAD, NEW)))
    result = run(faulty.tree, "push")
    named(result, ANNA, BAD, "object_changed", "there is an object already")
    assert faulty.body() == NEW
    assert faulty.tree.statuses("0001")[BAD] == "out_of_sync"
    done(faulty.tree, "push", (ANNA, BAD))
    settled(faulty.tree)
    witness.nothing_lost(NEW)


def test_the_same_bytes_in_the_middle_of_a_push_are_a_success(anywhere: Faulty) -> None:
    witness = anywhere.scene("push")
    same = place(anywhere.tree).read_bytes()
    anywhere.proxy.fault("put", VICTIM, meanwhile(lambda: anywhere.direct.object(ANNA, BAD, same)))
    assert not run(anywhere.tree, "push").report.problems
    done(anywhere.tree, "push")
    settled(anywhere.tree)
    witness.nothing_lost()


@pytest.mark.parametrize("what", ["replaced", "deleted"])
@pytest.mark.parametrize("part_mib", [5, 5.5])
def test_an_eviction_whose_proof_took_long_looks_again(faulty: Faulty, part_mib: float, what: str) -> None:
    content = picture("in parts", 6 << 20)
    faulty.put_in_parts(content, int(part_mib * (1 << 20)))
    faulty.tree.image(ANNA, BAD, content)
    assert not faulty.tree.library().sync().problems
    proposal = faulty.tree.library().plan("evict", [ANNA])
    assert len(proposal.plan.actions) == 1

    def meddle() -> None:
        if what == "replaced":
            faulty.direct.object(ANNA, BAD, NEW)
        else:
            faulty.direct.remote.delete(faulty.victim)

    moment = "get" if part_mib == 5.5 else "head"  # the last request of the proof
    fault = faulty.proxy.fault(moment, VICTIM, just_after(meddle))
    result = faulty.tree.library().apply(proposal)
    assert fault.met
    named(result, ANNA, BAD, "object_changed" if what == "replaced" else "no_such_object")
    assert place(faulty.tree).read_bytes() == content
    assert faulty.tree.trash() == []
    settled(faulty.tree)


# --- Files that change meanwhile ------------------------------------------------------------------------------------------------

LARGE_BYTES = 9 << 20


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("how", ["saved", "grown", "truncated", "deleted"])
@pytest.mark.parametrize("kind", ["push", "repair S3"])
def test_a_file_that_changes_while_it_is_sent_replaces_nothing_with_half_of_it(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch, kind: str, how: str, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(multipart, "THRESHOLD_BYTES", 1 << 20)
        monkeypatch.setattr(multipart, "PART_BYTES", 5 << 20)
    faulty.scene(kind)
    path = place(faulty.tree)
    content = picture("large", LARGE_BYTES)
    faulty.tree.image(ANNA, BAD, content, mtime_s=SETTLED_S + 50)
    proposal = faulty.tree.library().plan(verb_of(kind), [ANNA, BERT])
    witness, before = faulty.witness(), faulty.body() if kind != "push" else None
    happened: list[bool] = []

    def meddle() -> None:
        happened.append(True)
        if how == "saved":
            with open(path, "r+b") as file:
                file.seek(LARGE_BYTES - 100)
                file.write(NEW)
        elif how == "grown":
            with open(path, "ab") as file:
                file.write(NEW)
        elif how == "truncated":
            os.truncate(path, LARGE_BYTES - 50)
        else:
            path.unlink()

    faulty.proxy.on_arrival("put", VICTIM, meddle)
    result = faulty.tree.library().apply(proposal)
    assert happened
    if how == "deleted" and not in_parts:  # what was open was sent to its end
        assert not result.report.problems
        assert faulty.body() == content
    elif how == "grown" and not in_parts:  # what was announced was sent
        named(result, ANNA, BAD, "changing", "both sides differ")
        assert faulty.body() == content
    else:
        told = [problem for problem in result.report.problems if problem.filename]
        assert [(problem.actor, problem.filename) for problem in told] == [(ANNA, BAD)]
        assert told[0].code in ("changing", "local")
        if before is None:
            with pytest.raises(NoSuchObject):
                faulty.direct.remote.head(faulty.victim)
        else:
            assert faulty.body() == before
    done(faulty.tree, kind, (ANNA, BAD))
    faulty.proxy.heal()
    settled(faulty.tree)
    if how == "deleted" and not in_parts:
        witness.nothing_lost()
    if before is not None:
        assert before in witness.everything()


def test_a_file_that_appears_in_the_middle_of_a_download_is_kept(faulty: Faulty) -> None:
    witness = faulty.scene("pull")
    faulty.proxy.fault("get", VICTIM, just_after(lambda: faulty.tree.image(ANNA, BAD, NEW)))
    result = run(faulty.tree, "pull")
    named(result, ANNA, BAD, "local", "File exists")
    assert place(faulty.tree).read_bytes() == NEW
    done(faulty.tree, "pull", (ANNA, BAD))
    settled(faulty.tree)
    witness.nothing_lost(NEW)


# --- Buckets of others ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["put", "copy", "put copy delete"])
@pytest.mark.parametrize("verb", ["repair", "rm"])
def test_a_bucket_of_others_that_may_not_be_written_to_is_named(faulty: Faulty, verb: str, what: str) -> None:
    if (verb, what) == ("rm", "put"):
        what = "delete"
    scene(faulty.tree, "repair S3" if verb == "repair" else "rm")
    name = "theirs.png"
    theirs = Location(faulty.other_bucket, f"custom/{ANNA}/{name}")
    url = faulty.direct.object(ANNA, name, picture("theirs"), at=theirs)
    faulty.tree.image(ANNA, name, picture("theirs"))
    faulty.tree.response(ANNA, [url])
    assert not faulty.tree.library().sync().problems
    if verb == "repair":
        faulty.tree.image(ANNA, name, picture("theirs, mended"), mtime_s=SETTLED_S + 50)
    witness = faulty.witness()
    fault = faulty.proxy.fault(what, name, refused(403, "AccessDenied"), times=99)
    result = carried_out(faulty.tree.library(), verb, ANNA, BERT)
    assert fault.met
    named(result, ANNA, name, "access_denied", "s3:PutObject")
    assert faulty.body(theirs) == picture("theirs")
    assert place(faulty.tree, ANNA, name).exists()
    done(faulty.tree, verb if verb == "rm" else "repair S3")
    witness.nothing_lost()
    faulty.proxy.heal()
    again = carried_out(faulty.tree.library(), verb, ANNA, BERT)
    assert not again.report.problems
    settled(faulty.tree)
    witness.nothing_lost()


# --- Afterwards ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_when_the_look_afterwards_fails_what_was_done_is_told_and_stands(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    proposal = faulty.tree.library().plan(verb_of(kind), [ANNA, BERT])
    faulty.proxy.fault("list", "", refused(500, "InternalError"), times=99)
    result = faulty.tree.library().apply(proposal)
    assert len(result.done) == len(proposal.plan.actions)
    assert {problem.code for problem in result.report.problems} == {"unreachable"}
    witness.nothing_lost()
    faulty.proxy.heal()
    assert not faulty.tree.library().sync().problems
    done(faulty.tree, kind)
    settled(faulty.tree)


@pytest.mark.parametrize("kind", ["push", "repair S3", "rm"])
def test_an_undo_that_fails_in_the_middle_can_be_repeated(faulty: Faulty, kind: str) -> None:
    witness = faulty.scene(kind)
    before = {actor: faulty.tree.statuses(actor[:4]) for actor in (ANNA, BERT)}
    result = run(faulty.tree, kind)
    witness = faulty.witness()
    fault = faulty.proxy.fault("copy", VICTIM, refused(403, "AccessDenied"), times=99)
    undone = faulty.tree.library().apply(faulty.tree.library().plan_undo())
    assert fault.met
    named(undone, ANNA, BAD, "access_denied")
    witness.nothing_lost()
    faulty.proxy.heal()
    again = faulty.tree.library().apply(faulty.tree.library().plan_undo(result.run_id))
    assert {problem.code for problem in again.report.problems} <= {"changed_since"}
    assert {actor: faulty.tree.statuses(actor[:4]) for actor in (ANNA, BERT)} == before
    settled(faulty.tree)
    witness.nothing_lost()


def test_a_trash_that_cannot_be_emptied_in_s3_is_named_and_can_be_emptied_later(faulty: Faulty) -> None:
    faulty.scene("rm")
    result = run(faulty.tree, "rm")
    faulty.proxy.fault("delete", VICTIM, refused(403, "AccessDenied"), times=99)
    library = faulty.tree.library()
    told = library.empty_trash()
    assert [(problem.filename, problem.code) for problem in told.problems] == [(result.run_id, "access_denied")]
    assert not told.heaps
    faulty.proxy.heal()
    assert [heap.run_id for heap in library.empty_trash().heaps] == [result.run_id]
    assert not library.trash().heaps


def test_images_that_share_an_object_do_not_lose_it_to_one_another(faulty: Faulty) -> None:
    url = faulty.direct.object(ANNA, BAD, picture("shared"))
    faulty.tree.write_manifest(
        "0001",
        {
            "character_name": ANNA,
            "training_data": [
                {
                    "filename": name,
                    "local_path": faulty.tree.where.image(ANNA, name),
                    "s3_url": url,
                    "status": "s3_only",
                }
                for name in (BAD, GOOD)
            ],
        },
    )
    faulty.tree.image(ANNA, BAD, picture("shared"))
    assert not faulty.tree.library().sync().problems
    assert faulty.tree.statuses("0001") == {BAD: "synced", GOOD: "s3_only"}
    witness = faulty.witness()
    result = carried_out(faulty.tree.library(), "rm", ANNA, only=[BAD])
    assert not result.report.problems
    witness.nothing_lost()
    settled(faulty.tree)
    assert not faulty.tree.library().apply(faulty.tree.library().plan_undo()).report.problems
    assert faulty.tree.statuses("0001") == {BAD: "synced", GOOD: "s3_only"}
    settled(faulty.tree)
    witness.nothing_lost()
