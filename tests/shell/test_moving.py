"""The verbs that move images, as people and programs meet them: what they say, what they do, what they refuse, and the way back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import callsheet
from callsheet.errors import UnknownImage, UnknownRun, UsageError
from callsheet.library import Library
from callsheet.settings import open_library
from command import Ran, environment
from factory import SETTLED_S, md5_of
from stage import ANNA, BERT, LATER_S, Here, Stage, empty_stage, on_terminal, picture

RULE = "=" * 80
TO_APPLY = "--plan-out"
Sides = tuple[dict[str, bytes], dict[str, bytes]]


@dataclass(frozen=True)
class Told:
    """A command, what it prints (RUN stands for the run's id), what it does not do, and what is then different."""

    arguments: str
    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    s3: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        return 1 if self.problems else 0


BOTH = (
    f"{ANNA}/both.png: both sides changed, so neither was replaced; look at both, then repair it with --prefer local or --prefer s3",
)
BACK = "↩️  Take it back: callsheet undo RUN"
TOLD = {
    "push": Told(
        "push",
        ("⬆️  PUSH", RULE, "✅ 2 images uploaded (680 B)", "📸 Now: 4 synced, 1 in S3 only, 3 out of sync", BACK),
        s3=("mine.png", "bert.png"),
    ),
    "pull": Told(
        "pull",
        ("⬇️  PULL", RULE, "✅ 1 image downloaded (340 B)", "📸 Now: 3 synced, 2 local only, 3 out of sync", BACK),
        local=("theirs.png",),
    ),
    "repair": Told(
        "repair --yes",
        (
            "🔧 REPAIR",
            RULE,
            "✅ 1 image uploaded (340 B)",
            "✅ 1 image downloaded (340 B)",
            "📸 Now: 4 synced, 2 local only, 1 in S3 only, 1 out of sync",
            BACK,
        ),
        problems=BOTH,
        local=("replaced.png",),
        s3=("edited.png",),
    ),
    "evict": Told(
        "evict --yes",
        (
            "🧹 EVICT",
            RULE,
            "✅ 2 images deleted here; S3 holds the same bytes (680 B)",
            "📸 Now: 2 local only, 3 in S3 only, 3 out of sync",
            BACK,
        ),
        local=("same_1.png", "same_2.png"),
    ),
    "rm": Told(
        "rm 0 --yes --only mine.png --only same_1.png --only theirs.png",
        (
            "🗑️  REMOVE",
            RULE,
            "✅ 2 images moved to the trash here (680 B)",
            "✅ 2 images moved to the trash in S3 (680 B)",
            "📸 Now: 1 synced, 3 out of sync",
            BACK,
        ),
        local=("mine.png", "same_1.png"),
        s3=("same_1.png", "theirs.png"),
    ),
}
DRY = {
    "push": (
        "⬆️  PUSH: 2 images, 680 B to transfer (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/mine.png     340 B  upload: it is only here",
        "  0001_bert/bert.png     340 B  upload: it is only here",
    ),
    "pull": (
        "⬇️  PULL: 1 image, 340 B to transfer (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/theirs.png     340 B  download: it is only in S3",
    ),
    "repair": (
        "🔧 REPAIR: 2 images, 680 B to transfer (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/edited.png       340 B  upload, replacing what is there: it changed here",
        "  0000_anna/replaced.png     340 B  download, replacing what is there: it changed in S3",
    ),
    "evict": (
        "🧹 EVICT: 2 images, 680 B to be freed here (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/same_1.png     340 B  delete here: S3 holds the same content",
        "  0000_anna/same_2.png     340 B  delete here: S3 holds the same content",
    ),
    "rm": (
        "🗑️  REMOVE: 3 images (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/mine.png       340 B  to the trash here: it is to be removed",
        "  0000_anna/same_1.png     340 B  to the trash in S3: it is to be removed",
        "  0000_anna/same_1.png     340 B  to the trash here: it is to be removed",
        "  0000_anna/theirs.png     340 B  to the trash in S3: it is to be removed",
    ),
}
VERBS = list(TOLD)


def changed(before: Sides, after: Sides) -> tuple[set[str], set[str]]:
    """The names of the images whose content is another, or that came or went, on each side."""
    local, s3 = (
        {name.rpartition("/")[2] for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
        for was, now in zip(before, after, strict=True)
    )
    return local, s3


def with_run(ran: Ran) -> tuple[str, ...]:
    return tuple(re.sub(r"undo \d{8}T\d{6}\.\d{3}Z-[0-9a-f]{4}$", "undo RUN", line) for line in ran.out.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_does_what_it_says_and_an_undo_brings_all_back(here: Here, verb: str) -> None:
    told, before = TOLD[verb], here.sides()
    ran = here(*told.arguments.split())
    assert (ran.code, with_run(ran), tuple(ran.told)) == (told.code, told.lines, told.problems)
    assert changed(before, here.sides()) == (set(told.local), set(told.s3))
    manifests = here.tree.manifests()
    assert here("sync").code == 0
    assert here.tree.manifests() == manifests, "what is recorded is what is there"
    assert here("undo", "--yes").code == 0
    assert here.sides() == before
    assert "nothing to take back" in here("undo", "--yes").err


@pytest.mark.parametrize("verb", VERBS)
def test_the_json_document_says_what_was_done_to_what(here: Here, verb: str) -> None:
    told = TOLD[verb]
    ran = here(*told.arguments.split(), "--json")
    document = ran.document
    assert ran.code == told.code
    outcomes = document["outcomes"]
    assert {key: document[key] for key in ("verb", "dry_run", "interrupted", "failed", "notes")} == {
        "verb": verb, "dry_run": False, "interrupted": False, "failed": 0, "notes": [],
    }  # fmt: skip
    assert document["planned"] == document["done"] == len(outcomes) == len(told.local) + len(told.s3)
    assert document["refused"] == len(document["problems"]) == len(told.problems)
    assert document["bytes"] == (680 if verb in ("push", "repair") else 340 if verb == "pull" else 0)
    sides = {True: set[str](), False: set[str]()}
    for row in outcomes:
        assert row["outcome"] == "done"
        assert row["bytes"] == 340
        assert row["key"].endswith(f"/{row['actor']}/{row['filename']}")
        sides[row["op"] in ("download", "evict", "trash_local")].add(row["filename"])
    assert (sides[True], sides[False]) == (set(told.local), set(told.s3))
    status = here("status", *(["0"] if verb == "rm" else []), "--json").document
    counts = ("images", "synced", "local_only", "s3_only", "out_of_sync", "missing")
    assert {key: document[key] for key in counts} == {key: status[key] for key in counts}
    undone = here("undo", document["run"], "--yes", "--json").document
    assert (undone["done"], undone["planned"], undone["problems"]) == (len(outcomes), len(outcomes), [])


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_tells_the_plan_and_touches_nothing(here: Here, verb: str) -> None:
    told, before = TOLD[verb], here.everything()
    ran = here(*told.arguments.split(), "--dry-run")
    assert (ran.code, with_run(ran), tuple(ran.told)) == (told.code, DRY[verb], told.problems)
    document = here(*told.arguments.split(), "--dry-run", "--json").document
    assert here.everything() == before
    assert document["dry_run"] is True
    rows = [(row["op"], row["actor"], row["filename"]) for row in document["plan"]["actions"]]
    done = here(*told.arguments.split(), "--json").document["outcomes"]
    assert [(row["op"], row["actor"], row["filename"]) for row in done] == rows


def test_a_dry_run_of_what_was_never_synced_touches_nothing(tmp_path: Path) -> None:
    stage = empty_stage(tmp_path)
    stage.tree.image(ANNA, "a.png", picture(1))
    stage.tree.object(ANNA, "b.png", picture(2))
    before = stage.everything()
    for arguments in (("push",), ("pull",), ("evict",), ("repair",), ("rm", "0")):
        assert stage.process(*arguments, "--dry-run").code == 0
        assert stage.everything() == before
    assert stage.process("push", "--plan-out", str(tmp_path / "plan.json")).code == 0
    assert stage.everything() == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_plan_is_written_now_and_carried_out_later(here: Here, tmp_path: Path, verb: str) -> None:
    told, before, file = TOLD[verb], here.everything(), str(tmp_path / "plan.json")
    arguments = [word for word in told.arguments.split() if word != "--yes"]
    ran = here(*arguments, "--plan-out", file)
    assert ran.code == told.code
    assert ran.out.splitlines() == [*DRY[verb], f"📝 Plan written. Carry it out: callsheet apply {file}"]
    assert here.everything() == before
    look = here("apply", file, "--dry-run")
    assert tuple(look.out.splitlines()) == DRY[verb]
    assert here.everything() == before
    sides = here.sides()
    if verb in ("repair", "evict", "rm"):
        assert here("apply", file).code == 2
        assert here.everything() == before
    assert here("apply", file, "--yes").code == told.code
    assert changed(sides, here.sides()) == (set(told.local), set(told.s3))
    assert here("undo", "--yes").code == 0
    assert here.sides() == sides


@pytest.mark.parametrize("verb", VERBS)
def test_a_plan_that_was_carried_out_already_changes_nothing_more(here: Here, tmp_path: Path, verb: str) -> None:
    file = str(tmp_path / "plan.json")
    here(*TOLD[verb].arguments.split(), "--plan-out", file)
    assert here("apply", file, "--yes").code == TOLD[verb].code
    before = here.sides()
    ran = here("apply", file, "--yes", "--json")
    if verb == "push":  # these very bytes are there
        assert ran.document["failed"] == 0
    else:
        assert ran.code == 1
        assert ran.document["done"] == 0
        assert len(ran.problems) >= 1
        assert {problem["filename"] for problem in ran.problems} >= {*TOLD[verb].local, *TOLD[verb].s3}
    assert here.sides() == before


def _edit(stage: Stage) -> None:
    for name in ("mine.png", "same_1.png", "edited.png", "replaced.png", "theirs.png"):
        stage.tree.image(ANNA, name, picture(99), mtime_s=LATER_S + 60)
    stage.tree.image(BERT, "bert.png", picture(99), mtime_s=LATER_S + 60)


def _replace(stage: Stage) -> None:
    for name in ("mine.png", "same_1.png", "edited.png", "replaced.png", "theirs.png"):
        stage.tree.object(ANNA, name, picture(99))


def _delete(stage: Stage) -> None:
    for name in ("mine.png", "same_1.png", "edited.png", "replaced.png"):
        (stage.tree.folder(ANNA) / name).unlink()


@pytest.mark.parametrize("meanwhile", [_edit, _replace, _delete])
@pytest.mark.parametrize("verb", VERBS)
def test_what_has_changed_since_the_plan_was_made_is_told_and_not_lost(
    here: Here, tmp_path: Path, verb: str, meanwhile: Callable[[Stage], None]
) -> None:
    file = str(tmp_path / "plan.json")
    here(*TOLD[verb].arguments.split(), "--plan-out", file)
    meanwhile(here)
    before = here.sides()
    ran = here("apply", file, "--yes", "--json")
    for was, now in zip(before, here.sides(), strict=True):
        lost = {content for name, content in was.items() if now.get(name) != content}
        kept = (
            {path.read_bytes() for path in here.tree.trash()}
            | set(here.sides()[0].values())
            | set(here.sides()[1].values())
        )
        kept |= {path.read_bytes() for path in (here.buckets / here.tree.where.bucket).rglob("*.png")}
        assert lost <= kept
    new = picture(99)
    if meanwhile is not _delete:
        assert {name for side in before for name, content in side.items() if content == new} == {
            name for side in here.sides() for name, content in side.items() if content == new
        }
    assert all(problem["filename"] for problem in ran.problems)


@pytest.mark.parametrize(
    ("arguments", "local", "s3"),
    [
        ("push 0", "", "mine.png"),
        ("push 1", "", "bert.png"),
        (f"push {ANNA} {BERT}", "", "mine.png bert.png"),
        ("push --actor 0 --actor 1", "", "mine.png bert.png"),
        ("push 0 --actor 1", "", "mine.png bert.png"),
        ("push --good", "", "mine.png"),
        ("push 1 --good", "", ""),
        ("push --only bert.png", "", "bert.png"),
        ("push --only bert.png --only mine.png", "", "mine.png bert.png"),
        ("push --only bert.png --good", "", ""),
        ("pull --good", "", ""),
        ("pull --actor data/actors/0000_anna/", "theirs.png", ""),
        ("repair -y --only both.png --prefer local", "", "both.png"),
        ("repair -y --only both.png --prefer s3", "both.png", ""),
        ("repair -y --only edited.png", "", "edited.png"),
        ("repair -y --prefer local", "", "both.png edited.png replaced.png"),
        ("repair -y --prefer s3 --actor 0", "both.png edited.png replaced.png", ""),
        ("evict -y --only same_2.png", "same_2.png", ""),
        ("evict -y 1", "", ""),
        ("rm -y 1", "bert.png", ""),
        ("rm -y --actor 1", "bert.png", ""),
        ("rm -y 0 --good", "mine.png", ""),
    ],
)
def test_only_what_was_named_is_moved(here: Here, arguments: str, local: str, s3: str) -> None:
    before = here.sides()
    ran = here(*arguments.split())
    assert ran.code == 0, ran
    assert changed(before, here.sides()) == (set(local.split()), set(s3.split()))
    if not local and not s3:
        assert f"Nothing to {arguments.split()[0]}" in ran.out
        assert "undo" not in ran.out


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ("rm", "rm is for named actors only", "callsheet rm ACTOR"),
        ("rm --yes", "rm is for named actors only", "callsheet rm ACTOR"),
        ("rm --only mine.png --yes", "rm is for named actors only", "callsheet rm ACTOR"),
        ("push 77", "There is no actor '77'", "callsheet status"),
        ("push --actor 77 0", "There is no actor '77'", "callsheet status"),
        ("push --only nope.png", "There is no image nope.png", "callsheet status ACTOR"),
        ("push --only mine.png --only nope.png --only none.png", "There is no image none.png, nope.png", "callsheet status"),
        ("push 1 --only mine.png", "There is no image mine.png", "callsheet status"),
        ("evict --yes --only \x1b[2J.png", "There is no image \\x1b[2J.png", "callsheet status"),
        ("undo", "There is nothing to take back", "No run has changed anything"),
        ("undo 20251017T163000.000Z-ab12", "The journal tells of no run 20251017T163000.000Z-ab12", "data/.callsheet/runs"),
        ("undo ../../x", "is no run's id", ""),
        ("trash restore 20251017T163000.000Z-ab12", "The journal tells of no run", "data/.callsheet/runs"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_told_with_what_to_do(here: Here, arguments: str, said: str, hint: str) -> None:
    before = here.sides()
    ran = here(*arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err.splitlines()[0]
    assert hint in ran.err.partition("\n")[2]
    document = here(*arguments.split(), "--json").document
    assert said in document["message"]
    assert here.sides() == before


@pytest.mark.parametrize(
    "arguments",
    [
        "push --bwlimit 0", "push --bwlimit -1", "push --bwlimit 10X", "push --bwlimit 1MB", "push --bwlimit ''", "push --bwlimit 1e6",
        f"push --bwlimit {'9' * 400}", "push --bwlimit 0.0001", "push --bwlimit ٣M", "pull --prefer local", "repair --prefer both",
        "push --yes", "evict --prefer s3", "undo --only mine.png", "apply", "apply /nowhere/plan.json", "apply /", "trash", "trash empty --older-than -1",
        "trash empty --older-than week", "push --plan-out /", "trash restore",
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused_with_nothing_moved(here: Here, arguments: str) -> None:
    before = here.everything()
    ran = here(*(word.strip("'") for word in arguments.split()))
    assert ran.code == 2
    assert ran.out == ""
    assert "Error: " in ran.err or "Usage: " in ran.err
    assert here.everything() == before


@pytest.mark.parametrize("verb", ["repair", "evict", "rm"])
def test_nothing_is_removed_or_replaced_unasked_where_nobody_can_answer(here: Here, verb: str) -> None:
    arguments = [word for word in TOLD[verb].arguments.split() if word != "--yes"]
    before = here.everything()
    ran = here(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"callsheet: {verb} removes or replaces images, and nobody is there to be asked\n"
        "  Look with --dry-run, then give --yes.\n"
    )
    assert here(*arguments, "--json").document["error"] == "usage"
    assert here.everything() == before
    assert here(*arguments, "--yes").code == TOLD[verb].code
    undo = here("undo")
    assert undo.code == (2 if verb == "repair" else 0)  # what brings back what is gone replaces nothing
    assert ("--dry-run" in undo.err) is (verb == "repair")


def test_a_closed_stdin_is_nobody_to_be_asked(stage: Stage) -> None:
    before = stage.sides()
    command = f"exec {sys.executable} -m callsheet --root {stage.root} evict <&-"
    ran = subprocess.run(
        ["bash", "-c", command], env=environment(stage.env), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "nobody is there to be asked" in ran.stderr
    assert stage.sides() == before


def test_whoever_is_asked_sees_the_plan_and_says_no(stage: Stage) -> None:
    before = stage.sides()
    talk = on_terminal(stage, "evict", answer="n\n")
    assert talk.code == 130
    shown = [line.replace(" (DRY RUN: nothing was moved)", "") for line in DRY["evict"]]
    assert "\n".join([*shown, "Go on? [y/N]: n", "No image was touched."]) in talk.screen
    assert stage.sides() == before


@pytest.mark.parametrize("answer", ["\n", "\x04"])
def test_whoever_says_nothing_has_said_no(stage: Stage, answer: str) -> None:
    before = stage.sides()
    assert on_terminal(stage, "rm", "1", answer=answer).code == 130
    assert stage.sides() == before


def test_whoever_says_yes_gets_what_was_shown(stage: Stage) -> None:
    before = stage.sides()
    talk = on_terminal(stage, "rm", "1", answer="y\n")
    assert talk.code == 0
    assert "✅ 1 image moved to the trash here (340 B)" in talk.screen
    assert changed(before, stage.sides()) == ({"bert.png"}, set())


def test_an_answer_leaves_stdout_one_json_document(stage: Stage) -> None:
    talk = on_terminal(stage, "evict", "--json", answer="y\n", piped=True)
    assert talk.code == 0
    assert json.loads(talk.out)["done"] == 2
    assert "EVICT: 2 images" in talk.screen
    assert '"verb"' not in talk.screen


def test_bars_are_gone_when_the_report_is_printed(stage: Stage) -> None:
    """A report that is printed while bars are drawn is drawn over."""
    talk = on_terminal(stage, "push", answer="", until="PUSH")
    assert talk.code == 0
    assert talk.screen.rstrip().splitlines()[-5:-2] == ["⬆️  PUSH", RULE, "✅ 2 images uploaded (680 B)"]


def test_progress_for_programs_is_json_lines_beside_the_one_document(here: Here) -> None:
    for verb in VERBS:
        ran = here(*TOLD[verb].arguments.split(), "--json", "--progress", "json")
        assert ran.document["verb"] == verb
        lines = [json.loads(line) for line in ran.err.splitlines()]
        assert {line["phase"] for line in lines} == {"look", "move"}
        last = [line for line in lines if line["phase"] == "move"][-1]
        assert last["actions_done"] == last["actions_total"] == ran.document["planned"]
        assert last["bytes_done"] == last["bytes_total"] == ran.document["bytes"]
        assert last["failed"] == 0
        assert all(line["elapsed_s"] >= 0 for line in lines)


def test_without_progress_stderr_is_silent(here: Here) -> None:
    for arguments in ("push", "pull --progress none", "evict -y --progress auto"):
        assert here(*arguments.split()).err == ""


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_rate_is_really_held(tmp_path: Path, verb: str) -> None:
    stage = empty_stage(tmp_path)
    for number in range(4):
        content = os.urandom(256 * 1024)
        if verb == "push":
            stage.tree.image(ANNA, f"{number}.png", content)
        else:
            stage.tree.object(ANNA, f"{number}.png", content)
    stage.tree.library().sync()
    quick = stage.process(verb, "--dry-run")
    slow = stage.process(verb, "--bwlimit", "1M")
    assert slow.code == 0
    assert slow.seconds > 0.7
    assert slow.seconds - quick.seconds < 5
    assert len(stage.images()) == len(stage.objects()) if verb == "push" else 4


def test_an_undo_is_a_run_and_can_be_taken_back(here: Here) -> None:
    before = here.sides()
    run = here("push", "--json").document["run"]
    after = here.sides()
    undo = here("undo", "--yes", "--json").document
    assert undo["verb"] == "undo"
    assert here.sides() == before
    again = here("undo", undo["run"], "--yes", "--json").document
    assert here.sides() == after
    assert here("undo", "--yes").code == 0, "the run stands again, so it can be taken back again"
    assert here.sides() == before
    assert len({run, undo["run"], again["run"]}) == 3


def test_a_plain_undo_takes_back_one_run_after_the_other(here: Here) -> None:
    states = [here.sides()]
    for arguments in ("push", "pull", "evict -y"):
        here(*arguments.split())
        states.append(here.sides())
    for state in reversed(states[:-1]):
        assert here("undo", "--yes").code == 0
        assert here.sides() == state
    assert here("undo").code == 2


def test_an_undo_leaves_what_has_changed_since_and_does_the_rest(here: Here) -> None:
    here("pull")
    here("push")
    here.tree.object(ANNA, "mine.png", picture(50))
    ran = here("undo", "--yes")
    assert ran.code == 1
    assert ran.told == [f"{ANNA}/mine.png: it has changed in S3 since that run, so it was left as it is"]
    objects = here.objects()
    assert objects[f"{ANNA}/mine.png"] == picture(50)
    assert f"{BERT}/bert.png" not in objects


def test_a_dry_undo_touches_nothing(here: Here) -> None:
    run = here("repair", "--yes", "--json").document["run"]
    before = here.everything()
    ran = here("undo", "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"↩️  UNDO of {run}: 2 images (DRY RUN: nothing was moved)",
        RULE,
        "  0000_anna/replaced.png     340 B  restore here, replacing what is there: takes back a download",
        "  0000_anna/edited.png       340 B  restore in S3, replacing what is there: takes back an upload",
    ]
    assert here.everything() == before


def test_an_image_that_cannot_be_decoded_replaces_nothing(here: Here) -> None:
    here.tree.image(ANNA, "edited.png", picture(20)[:100], mtime_s=LATER_S + 60)
    before = here.sides()
    ran = here("repair", "--yes", "--only", "edited.png", "--prefer", "local")
    assert ran.code == 1
    assert "the local image is damaged" in ran.told[0]
    assert here.sides() == before
    assert here("repair", "--yes", "--only", "edited.png").code == 0
    assert here.images()[f"{ANNA}/edited.png"] == picture(2)


def test_a_hostile_plan_is_refused_or_shown_as_text(here: Here, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    here("push", "--plan-out", str(file))
    document = json.loads(file.read_bytes())
    before = here.everything()
    for change in ({"actor": "../../etc"}, {"filename": "../x.png"}, {"filename": "a\x1b[2J.png"}, {"op": "format"}):
        hostile = {**document, "actions": [{**document["actions"][0], **change}]}
        file.write_text(json.dumps(hostile))
        ran = here("apply", str(file), "--yes")
        assert ran.code == 2
        assert f"{file}: actions[0]" in ran.err
    for name in ("reason", "code", "message"):
        refusal = {"actor": ANNA, "filename": "a.png", "code": "conflict", "message": "x", name: "\x1b]0;owned\x07"}
        row = {**document["actions"][0], "reason": "\x1b]0;owned\x07"}
        file.write_text(json.dumps({**document, "actions": [row], "refusals": [refusal]}))
        here("apply", str(file), "--dry-run")  # which would not print what a terminal takes for more than text
        here("apply", str(file), "--dry-run", "--json")
    assert here.everything() == before


@pytest.mark.parametrize(("size", "code"), [(2**63 - 1, 1), (2**63, 2), (10**40, 2), (-1, 2), (0, 1)])
def test_a_size_that_makes_no_sense_does_no_harm(here: Here, tmp_path: Path, size: int, code: int) -> None:
    file = tmp_path / "plan.json"
    here("push", "--plan-out", str(file))
    document = json.loads(file.read_bytes())
    for row in document["actions"]:
        row["local"]["size_bytes"] = size
    file.write_text(json.dumps(document))
    before = here.sides()
    assert here("apply", str(file), "--dry-run").code == (0 if code == 1 else 2)
    ran = here("apply", str(file))
    assert ran.code == code
    assert ("size_bytes is no size" in ran.err) is (code == 2)
    assert here.sides() == before


def test_what_arrives_has_the_time_of_its_object(here: Here) -> None:
    assert here("pull").code == 0
    location = here.tree.where.location(ANNA, "theirs.png")
    modified = here.tree.remote.head(location).last_modified.timestamp()
    assert (here.tree.folder(ANNA) / "theirs.png").stat().st_mtime == modified


@pytest.fixture
def library(stage: Stage) -> Library:
    return open_library(stage.root, remote=stage.env["CALLSHEET_REMOTE"], environ={})


def test_a_program_plans_looks_and_applies(stage: Stage, library: Library) -> None:
    before = stage.everything()
    proposal = library.plan("push", dry_run=True)
    assert stage.everything() == before
    assert [action.filename for action in proposal.plan.actions] == ["mine.png", "bert.png"]
    assert (proposal.plan.destructive, proposal.plan.refusals) == (False, ())
    moved: list[Any] = []
    result = library.apply(proposal, on_moved=moved.append)
    assert (len(result.done), result.report.counts.synced, result.interrupted) == (2, 4, False)
    assert moved[-1].actions_done == moved[-1].actions_total == 2
    assert library.apply(library.plan("push").plan).run_id == ""


def test_a_program_takes_back_restores_and_empties(stage: Stage, library: Library) -> None:
    before = stage.sides()
    removed = library.apply(library.plan("rm", ["0"], only=["mine.png", "same_1.png"]))
    assert [heap.run_id for heap in library.trash().heaps] == [removed.run_id]
    restored = library.apply(library.plan_restore(removed.run_id, only=["mine.png"]))
    assert [outcome.action.filename for outcome in restored.done] == ["mine.png"]
    undo = library.plan_undo(removed.run_id)
    assert {action.filename for action in undo.plan.actions} == {"same_1.png"}  # the other one is back already
    assert undo.plan.refusals == ()
    library.apply(undo)
    assert stage.sides() == before
    library.apply(library.plan("rm", ["1"]))
    emptied = library.empty_trash()
    assert [len(heap.here) for heap in emptied.heaps] == [1]
    assert library.trash().heaps == ()


def test_a_program_is_told_what_it_got_wrong(stage: Stage, library: Library) -> None:
    before = stage.sides()
    wrong: list[tuple[type[Exception], Callable[[], object]]] = [
        (UsageError, lambda: library.plan("rm")),
        (UsageError, lambda: library.plan("undo")),
        (UsageError, lambda: library.plan("frobnicate")),
        (UsageError, lambda: library.plan("repair", prefer="mine")),
        (UnknownImage, lambda: library.plan("push", only=["nope.png"])),
        (UnknownRun, lambda: library.plan_undo()),
        (UnknownRun, lambda: library.plan_undo("20251017T163000.000Z-ab12")),
        (UnknownRun, lambda: library.plan_restore("20251017T163000.000Z-ab12")),
        (UnknownRun, lambda: library.trash("20251017T163000.000Z-ab12")),
        (UnknownRun, lambda: library.empty_trash(["20251017T163000.000Z-ab12"])),
    ]
    for kind, call in wrong:
        with pytest.raises(kind):
            call()
    assert stage.sides() == before


def test_a_program_stops_a_plan_between_two_images(stage: Stage, library: Library) -> None:
    one_by_one = callsheet.open_library(
        stage.root, remote=stage.env["CALLSHEET_REMOTE"], environ={"CALLSHEET_TRANSFERS": "1"}
    )
    result = one_by_one.apply(one_by_one.plan("push"), stop=lambda: True, limit_bytes_s=400)
    assert result.interrupted
    assert [outcome.action.filename for outcome in result.done] == ["mine.png"]
    assert [action.filename for action in library.plan("push").plan.actions] == ["bert.png"]
    assert library.apply(library.plan_undo(result.run_id)).report.problems == ()


def test_many_plans_can_be_applied_at_once_with_one_library(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    stage = empty_stage(tmp_path)
    for actor in range(6):
        for number in range(3):
            stage.tree.image(f"{actor:04}_x", f"{number}.png", picture(actor * 3 + number), mtime_s=SETTLED_S)
    library = stage.tree.library()
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda actor: library.apply(library.plan("push", [str(actor)])), range(6)))
    assert len({result.run_id for result in results}) == 6
    assert [len(result.done) for result in results] == [3] * 6
    assert {md5_of(content) for content in stage.objects().values()} == {md5_of(picture(n)) for n in range(18)}


def test_a_plan_can_be_written_under_a_plain_name(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = here("push", "--plan-out", "plan.json")
    assert ran.code == 0, ran.err
    assert (tmp_path / "plan.json").exists()
