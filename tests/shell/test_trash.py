"""What runs have put away can be seen, put back where nothing has taken its place, and emptied: by name, by age, and never amid a run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callsheet.remote.directory import DirectoryRemote
from factory import Tree
from stage import ANNA, BERT, Here, Stage, on_terminal, picture

RULE = "=" * 80


def removed(here: Here, *names: str) -> str:
    """The id of a run that removed these images of Anna's from both sides."""
    only = [word for name in names for word in ("--only", name)]
    run = here("rm", "0", "--yes", "--json", *only).document["run"]
    assert isinstance(run, str)
    return run


def aged(here: Here, run: str, age: timedelta, *, ended: bool = True) -> str:
    """The run as if it had started that long ago; its new id."""
    started = datetime.now(UTC) - age
    new = f"{started:%Y%m%dT%H%M%S}.000Z-{run[-4:]}"
    where = here.tree.where
    journal = here.root / where.journal(run)
    first, *steps = journal.read_text().splitlines()
    opening = {**json.loads(first), "run": new, "started": started.isoformat()}
    kept = [line for line in steps if ended or "ended" not in json.loads(line)]
    (here.root / where.journal(new)).write_text("\n".join([json.dumps(opening), *kept]) + "\n")
    journal.unlink()
    for top in (here.root / where.trash_dir, here.buckets / where.bucket / where.prefix / ".trash%"):
        for suffix in ("", "%"):
            if (top / f"{run}{suffix}").is_dir():
                (top / f"{run}{suffix}").rename(top / f"{new}{suffix}")
    return new


def runs(here: Here) -> list[str]:
    return [row["run"] for row in here("trash", "list", "--json").document["runs"]]


def test_an_empty_trash_is_told(here: Here) -> None:
    assert here("trash", "list").out == "The trash is empty.\n"
    assert here("trash", "list", "--json").document == {"runs": [], "bytes": 0, "problems": []}
    assert here("trash", "empty", "--yes").out == "Nothing to delete.\n"
    assert here("trash", "empty").code == 0, "there is nothing to be asked"


def test_the_trash_is_told_by_run_and_one_run_by_file(here: Here) -> None:
    first = removed(here, "same_1.png", "mine.png")
    second = here("repair", "--yes", "--json").document["run"]
    assert here("trash", "list").out.splitlines() == [
        f"{first}  rm       2 files here, 1 file in S3, 1.0 kB",
        f"{second}  repair   1 file here, 1 file in S3, 680 B",
        "🗑️  2 runs, 1.7 kB in the trash",
    ]
    folder, key = f"data/actors/{ANNA}/training_data", f"s3://story-boards-assets/system_actors/training_data/{ANNA}"
    assert here("trash", "list", first).out.splitlines() == [
        f"{first}  rm       2 files here, 1 file in S3, 1.0 kB",
        f"     340 B  {folder}/mine.png",
        f"     340 B  {folder}/same_1.png",
        f"     340 B  {key}/same_1.png",
        "🗑️  1 run, 1.0 kB in the trash",
    ]
    document = here("trash", "list", second, "--json").document
    assert document == {
        "runs": [
            {
                "run": second,
                "verb": "repair",
                "here": [{"path": f"{folder}/replaced.png", "bytes": 340}],
                "in_s3": [{"key": f"{key}/edited.png", "bytes": 340}],
            }
        ],
        "bytes": 680,
        "problems": [],
    }


def test_what_a_sync_put_away_is_in_the_trash_and_can_be_emptied(here: Here) -> None:
    here.tree.response(BERT, [here.tree.object(BERT, "bert.png", picture(12))])
    assert here("sync").code == 0
    (heap,) = here("trash", "list", "--json").document["runs"]
    assert [row["path"] for row in heap["here"]] == [f"data/actors/{BERT}/training_data/response.json"]
    assert re.fullmatch(r"\S+  sync     1 file here, \d+ B", here("trash", "list").out.splitlines()[0])
    assert here("trash", "empty", "--yes", heap["run"]).code == 0
    assert runs(here) == []


@pytest.mark.parametrize("names", [(), ("same_1.png",), ("mine.png", "theirs.png")])
def test_what_was_removed_is_put_back_all_of_it_or_what_is_named(here: Here, names: tuple[str, ...]) -> None:
    before = here.sides()
    run = removed(here, "same_1.png", "mine.png", "theirs.png")
    gone = here.sides()
    only = [word for name in names for word in ("--only", name)]
    ran = here("trash", "restore", run, *only)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[:2] == ["♻️  RESTORE", RULE]
    for was, without, now in zip(before, gone, here.sides(), strict=True):
        back = {name for name in was if not names or name.rpartition("/")[2] in names}
        assert now == {name: content for name, content in was.items() if name in back or name in without}
    assert runs(here) == ([run] if names else [])


def test_a_dry_restore_tells_and_touches_nothing(here: Here) -> None:
    run = removed(here, "same_1.png")
    before = here.everything()
    ran = here("trash", "restore", run, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "♻️  RESTORE: 1 image (DRY RUN: nothing was moved)",
        RULE,
        f"  0000_anna/same_1.png     340 B  restore in S3: from the trash of {run}",
        f"  0000_anna/same_1.png     340 B  restore here: from the trash of {run}",
    ]
    assert here.everything() == before


def test_nothing_that_has_taken_an_images_place_is_replaced(here: Here) -> None:
    run = removed(here, "same_1.png", "mine.png")
    here.tree.both(ANNA, "same_1.png", picture(77))
    ran = here("trash", "restore", run)
    assert ran.code == 1
    assert {line.partition(":")[0] for line in ran.told} == {f"{ANNA}/same_1.png"}
    images, objects = here.sides()
    assert images[f"{ANNA}/same_1.png"] == objects[f"{ANNA}/same_1.png"] == picture(77)
    assert images[f"{ANNA}/mine.png"] == picture(10)
    kept = {path.read_bytes() for path in here.tree.trash()}
    assert kept == {picture(0)}, "what could not be put back stays where it is"


def test_a_restoring_is_a_run_and_can_be_taken_back(here: Here) -> None:
    run = removed(here, "same_1.png", "mine.png")
    gone = here.sides()
    here("trash", "restore", run)
    assert here("undo", "--yes").code == 0
    assert here.sides() == gone


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (
            ("list", "20251017T163000.000Z-ab12"),
            "There is nothing of 20251017T163000.000Z-ab12 in the trash",
            "trash list",
        ),
        (("list", "\x1b[2J"), "There is nothing of \\x1b[2J in the trash", "trash list"),
        (("empty", "--yes", "nope"), "There is nothing of nope in the trash", "trash list"),
        (("empty", "--yes", "nope", "none"), "There is nothing of none, nope in the trash", "trash list"),
        (("restore", "nope"), "The journal tells of no run nope", "data/.callsheet/runs"),
        (("restore", "../x"), "is no run's id", ""),
    ],
)
def test_a_run_that_there_is_not_is_told(here: Here, arguments: tuple[str, ...], said: str, hint: str) -> None:
    run = removed(here, "same_1.png")
    ran = here("trash", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert hint in ran.err
    if arguments[0] == "empty":
        assert here("trash", *arguments, run).code == 2
    assert runs(here) == [run]


def test_an_image_that_a_run_did_not_remove_is_told(here: Here) -> None:
    run = removed(here, "same_1.png")
    before = here.everything()
    ran = here("trash", "restore", run, "--only", "same_1.png", "--only", "bert.png")
    assert ran.code == 2
    assert "There is no image bert.png" in ran.err
    assert f"callsheet trash list {run}" in ran.err
    assert here.everything() == before


def test_the_trash_is_emptied_for_good_of_all_or_of_the_runs_that_are_named(here: Here) -> None:
    first, second, third = removed(here, "same_1.png"), removed(here, "same_2.png"), removed(here, "mine.png")
    ran = here("trash", "empty", second, "--yes")
    assert ran.out.splitlines() == [
        f"{second}  rm       1 file here, 1 file in S3, 680 B",
        "🗑️  1 run, 680 B deleted for good",
    ]
    assert runs(here) == [first, third]
    document = here("trash", "empty", "--yes", "--json").document
    assert [row["run"] for row in document["runs"]] == [first, third]
    assert document["bytes"] == 1020
    assert runs(here) == []
    assert here.tree.trash() == []
    assert not [*(here.buckets / here.tree.where.bucket).rglob("*trash*")]
    ran = here("undo", "--yes")
    assert ran.code == 1
    assert f"{ANNA}/mine.png" in ran.told[0]


def test_emptying_touches_nothing_but_the_trash(here: Here) -> None:
    removed(here, "same_1.png")
    before = here.sides()
    manifests = here.tree.manifests()
    assert here("trash", "empty", "--yes").code == 0
    assert (here.sides(), here.tree.manifests()) == (before, manifests)


def test_a_dry_emptying_deletes_nothing(here: Here) -> None:
    run = removed(here, "same_1.png")
    before = here.everything()
    ran = here("trash", "empty", "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "🗑️  1 run, 680 B would be deleted for good"
    assert here("trash", "empty", "--dry-run", "--json").document["runs"][0]["run"] == run
    assert here.everything() == before


def test_nothing_is_deleted_unasked(here: Here) -> None:
    removed(here, "same_1.png")
    before = here.everything()
    ran = here("trash", "empty")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("callsheet: trash empty deletes files for good, and nobody is there to be asked\n")
    assert here("trash", "empty", "--json").document["error"] == "usage"
    assert here.everything() == before


def test_whoever_is_asked_sees_what_would_be_deleted(here: Here, stage: Stage) -> None:
    run = removed(here, "same_1.png")
    before = here.everything()
    no = on_terminal(stage, "trash", "empty", answer="n\n")
    assert (no.code, here.everything()) == (130, before)
    assert run in no.screen
    assert "same_1.png" in no.screen
    assert "No image was touched." in no.screen
    assert on_terminal(stage, "trash", "empty", answer="y\n").code == 0
    assert runs(here) == []


@pytest.mark.parametrize(
    ("days", "left"), [("0", []), ("3", ["mine"]), ("7", ["same_2", "mine"]), ("30", ["same_1", "same_2", "mine"])]
)
def test_only_what_is_old_enough_goes(here: Here, days: str, left: list[str]) -> None:
    names = {
        aged(here, removed(here, "same_1.png"), timedelta(days=10)): "same_1",
        aged(here, removed(here, "same_2.png"), timedelta(days=5)): "same_2",
        removed(here, "mine.png"): "mine",
    }
    assert here("trash", "empty", "--yes", "--older-than", days).code == 0
    assert [names[run] for run in runs(here)] == left


def test_a_run_that_may_still_be_going_on_keeps_its_trash_for_a_day(here: Here) -> None:
    young = aged(here, removed(here, "same_1.png"), timedelta(hours=23), ended=False)
    old = aged(here, removed(here, "same_2.png"), timedelta(hours=25), ended=False)
    ran = here("trash", "empty", "--yes")
    assert ran.code == 1
    assert ran.told == [f"{young}: this run has not ended, so its trash stays for a day"]
    assert old in ran.out
    assert runs(here) == [young]
    document: dict[str, Any] = here("trash", "empty", "--yes", "--json").document
    assert [problem["code"] for problem in document["problems"]] == ["under_way"]


def test_what_cannot_be_looked_at_is_told_and_the_rest_is_listed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    run = removed(here, "same_1.png")
    monkeypatch.setenv("CALLSHEET_REMOTE", f"file://{here.buckets}/nowhere")
    ran = here("trash", "list")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == f"{run}  rm       1 file here, 340 B"
    assert len(ran.told) == 1


def test_strange_files_in_the_trash_are_left_alone(here: Here) -> None:
    folder = here.root / here.tree.where.trash_dir
    (folder / "no run%").mkdir(parents=True)
    (folder / "no run%" / "a.png").write_bytes(b"x")
    (folder / "lying about.png").write_bytes(b"x")
    assert runs(here) == []
    assert here("trash", "empty", "--yes").code == 0
    assert len(here.tree.trash()) == 2


def test_objects_of_other_buckets_come_back_to_them(here: Here) -> None:
    """An image whose URL points elsewhere is trashed in our own bucket, and restored to where it was."""
    (here.buckets / "storyboard-user-files").mkdir()
    remote = DirectoryRemote(str(here.buckets), here.tree.where.region)
    tree = Tree(here.root, remote)
    from callsheet.model import Location

    place = Location("storyboard-user-files", "9f/custom_actor/far.png")
    url = tree.object(BERT, "far.png", picture(40), at=place)
    tree.image(BERT, "far.png", picture(40))
    tree.response(BERT, [url])
    here("sync")
    run = here("rm", "1", "--only", "far.png", "--yes", "--json").document["run"]
    assert [*remote.list("storyboard-user-files", "")] == []
    (listed,) = (row for row in here("trash", "list", "--json").document["runs"] if row["run"] == run)
    assert [row["key"] for row in listed["in_s3"]] == [str(place)]
    assert here("trash", "restore", run).code == 0
    assert [found.location for found in remote.list("storyboard-user-files", "")] == [place]
    assert here.tree.statuses("0001")["far.png"] == "synced"
