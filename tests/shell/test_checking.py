"""`callsheet fsck` as users and cron run it: what it prints where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from callsheet.layout import Layout
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from factory import Tree
from kept import carried_out
from servers import REGION, Server
from stage import ANNA, BERT, Here, Stage, picture

RULE = "=" * 80


def unsort(here: Here) -> None:
    document = here.tree.read_manifest("0000")
    document["training_data"].reverse()
    here.tree.write_manifest("0000", document)


def test_a_sound_tree_ends_with_0_and_nothing_on_stderr(here: Here) -> None:
    before = here.everything()
    done = here("fsck")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "🩺 FSCK",
        RULE,
        "🔎 Checked 2 actors, 8 images; read no image",
        "✅ Sound, as far as it was read",
    ]
    assert here("fsck", "--read", "both").out.splitlines()[2:] == [
        "🔎 Checked 2 actors, 8 images; read 4.4 kB",
        "✅ Sound",
    ]
    assert here.everything() == before


def test_problems_are_told_on_stderr_and_end_with_1_until_they_are_mended(here: Here) -> None:
    unsort(here)
    told = here("fsck")
    assert told.code == 1
    assert told.out.splitlines()[-1] == "❌ 0 errors, 1 warning"
    assert told.told == [
        f"{ANNA}: warning (order): training_data is not in natural order (_2 before _10) → callsheet fsck {ANNA} --fix"
    ]
    before = here.everything()
    dry = here("fsck", "--fix", "--dry-run")
    assert dry.code == 1
    assert dry.told[0].endswith("→ --fix: its images are looked at and recorded anew")
    assert here.everything() == before
    mended = here("fsck", "--fix")
    assert (mended.code, mended.err) == (0, "")
    assert mended.out.splitlines()[2:] == [
        "🔧 Mended:",
        f"  {ANNA}: warning (order): training_data is not in natural order (_2 before _10) → its images are looked at and recorded anew",
        "",
        "🔎 Checked 2 actors, 8 images; read no image",
        "🔧 1 thing mended",
        "✅ Sound, as far as it was read",
    ]
    assert here("fsck").code == 0


def test_a_note_is_no_problem(here: Here) -> None:
    here.tree.image(BERT, "new.png", picture(77))
    told = here("fsck")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[2:4] == [
        "💡 To know:",
        f"  {BERT}: note (drift): changed on this disk since the last sync: 1 new → callsheet sync {BERT}",
    ]


def test_one_json_document_tells_all_of_it(here: Here) -> None:
    unsort(here)
    here.tree.image(BERT, "new.png", picture(77))
    done = here("fsck", "--json", "--read", "local")
    assert done.code == 1
    document = done.document
    (problem,) = document.pop("problems")
    (note,) = document.pop("notes")
    assert document == {
        "verb": "fsck",
        "dry_run": False,
        "read": "local",
        "actors": 2,
        "images": 8,
        "runs": 0,
        "bytes": 2380,
        "errors": 0,
        "warnings": 1,
        "mended": [],
    }
    assert problem == {
        "actor": ANNA,
        "filename": "",
        "code": "order",
        "severity": "warning",
        "message": "training_data is not in natural order (_2 before _10)",
        "repair": f"callsheet fsck {ANNA} --fix",
        "fix": "its images are looked at and recorded anew",
    }
    assert (note["code"], note["severity"], note["fix"]) == ("drift", "note", None)
    mended = here("fsck", "--json", "--fix").document
    assert mended["problems"] == []
    assert [one["code"] for one in mended["mended"]] == ["order"]


def test_progress_is_told_as_of_any_other_look(here: Here) -> None:
    lines = [json.loads(line) for line in here("fsck", "--progress", "json", "--read", "local").err.splitlines()]
    assert lines[-1].pop("elapsed_s") >= 0
    assert lines[-1] == {"phase": "look", "actors_done": 2, "actors_total": 2, "images": 8, "hashed_bytes": 2380}


def test_only_named_actors_are_checked(here: Here) -> None:
    unsort(here)
    assert here("fsck", "1").code == 0
    assert here("fsck", "0").code == 1


def test_wrong_usage_ends_with_2_and_a_tree_that_is_not_there_with_3(stage: Stage) -> None:
    assert stage.process("fsck", "nobody").code == 2
    assert stage.process("fsck", "--read", "everything").code == 2
    folder = stage.root / stage.tree.where.actors_dir
    folder.rename(folder.with_name("away"))
    done = stage.process("fsck")
    assert done.code == 3
    assert "is the disk mounted?" in done.err


def test_names_that_are_no_text_for_a_terminal_are_shown_as_escapes(stage: Stage) -> None:
    stage.tree.image(ANNA, "a\x1b[31m.png")
    done = stage.process("fsck")  # which looks for control characters in what was printed
    assert done.code == 1
    assert "\\x1b[31m" in done.err


def test_s3_itself_is_read_and_what_it_cannot_tell_is_a_problem(ministack_server: Server, tmp_path: Path) -> None:
    bucket = ministack_server.make_bucket("fsck")
    store = S3Remote(REGION, endpoint_url=ministack_server.endpoint)
    tree = Tree(tmp_path / "project", store, Layout(bucket=bucket))
    for number in range(6):
        tree.image(ANNA, f"{number}.png", picture(number))
    library = open_library(tree.root, remote=store, environ={"CALLSHEET_BUCKET": bucket, "CALLSHEET_REGION": REGION})
    carried_out(library, "push")
    carried_out(library, "rm", ANNA, only=("0.png", "1.png"))
    assert library.fsck(read="both").findings == ()
    tree.object(ANNA, "2.png", picture(99))
    store.delete(tree.where.location(ANNA, "3.png"))
    trashed = next(iter(store.list(bucket, tree.where.s3_trash_prefix)))
    store.delete(trashed.location)
    found = library.fsck(read="s3").findings
    assert [(one.code, one.filename) for one in found] == [("object_changed", "2.png"), ("object_gone", "3.png")]
    dead = open_library(
        tree.root,
        remote=S3Remote(REGION, endpoint_url="http://127.0.0.1:9"),
        environ={"CALLSHEET_BUCKET": bucket},
    )
    assert [(one.code, one.filename) for one in dead.fsck(read="s3").findings] == [("unchecked", "S3")]
