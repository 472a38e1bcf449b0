"""The command line as people and programs meet it: every verb, its words, its errors, its exit codes."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from callsheet.cli import callsheet
from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from callsheet.settings import load
from factory import Tree

ACTOR = "0000_european_16_male"
IMAGE = f"{ACTOR}_1.png"


@pytest.fixture
def project(tmp_path: Path) -> Tree:
    (tmp_path / "buckets" / Layout().bucket).mkdir(parents=True)
    tree = Tree(tmp_path / "project", DirectoryRemote(str(tmp_path / "buckets"), Layout().region))
    tree.both(ACTOR, IMAGE)
    tree.image("0001_other", "0001_other_1.png")
    tree.object("0001_other", "0001_other_2.png")
    return tree


def _run(tree: Tree, *arguments: str) -> Result:
    options = ["--root", str(tree.root), "--remote", f"file://{tree.root.parent / 'buckets'}"]
    return CliRunner().invoke(callsheet, [*options, *arguments], standalone_mode=False)


def _process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "callsheet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_status_is_a_table_with_a_total(project: Tree) -> None:
    _run(project, "sync")
    assert _run(project, "status").stdout.splitlines() == [
        "ACTOR                  IMAGES  SYNCED  LOCAL ONLY  S3 ONLY  OUT OF SYNC  MISSING  ON DISK SINCE",
        "0000_european_16_male       1       1           ·        ·            ·        ·",
        "0001_other                  2       ·           1        1            ·        ·",
        "2 actors                    3       1           1        1            ·        ·",
    ]


def test_status_names_what_changed_on_disk(project: Tree) -> None:
    _run(project, "sync")
    project.image(ACTOR, "new.png")
    (project.folder("0001_other") / "0001_other_1.png").unlink()
    lines = _run(project, "status").stdout.splitlines()
    assert "1 new" in lines[1]
    assert "1 gone" in lines[2]
    assert lines[-2:] == [f"  {ACTOR}/new.png: orphaned, not in the manifest", "  0001_other/0001_other_1.png: gone"]


def test_status_writes_nothing_and_looks_at_no_bucket(project: Tree) -> None:
    before = sorted(project.root.rglob("*"))
    run = CliRunner().invoke(
        callsheet, ["--root", str(project.root), "--remote", "file:///nowhere", "status"], standalone_mode=False
    )
    assert (run.return_value, run.exception) == (0, None)
    assert sorted(project.root.rglob("*")) == before


@pytest.mark.parametrize("wanted", ["1", "0001", "0001_other", "data/actors/0001_other/"])
def test_an_actor_is_named_by_number_name_or_path(project: Tree, wanted: str) -> None:
    assert _run(project, "sync", wanted).return_value == 0
    assert project.statuses("0001") == {"0001_other_1.png": "local_only", "0001_other_2.png": "s3_only"}
    assert not project.manifest_path("0000").exists()


def test_marks_are_set_all_or_none(project: Tree) -> None:
    _run(project, "sync")
    run = _run(project, "mark", "1", "0001_other_1.png", "0001_other_2.png", "--good", "--prompt", "a face")
    assert run.stdout == "0001_other_1.png: good, prompt: a face\n0001_other_2.png: good, prompt: a face\n"
    before = project.manifests()
    assert (
        _process("--root", str(project.root), "mark", "1", "0001_other_1.png", "nobody.png", "--not-good").returncode
        == 2
    )
    assert _run(project, "mark", "1", "0001_other_1.png", "--not-good", "--dry-run").return_value == 0
    assert project.manifests() == before
    document = json.loads(_run(project, "mark", "1", "0001_other_1.png", "--not-good", "--json").stdout)
    assert document["images"] == [{"filename": "0001_other_1.png", "good": False, "prompt": "a face"}]
    bare = json.loads(_run(project, "mark", "1", "0001_other_1.png", "--prompt", "", "--json").stdout)
    assert bare["images"] == [{"filename": "0001_other_1.png", "good": False, "prompt": None}]


def test_adopting_says_what_it_did(project: Tree) -> None:
    project.image("0001_twin", "a.png")
    dry = _run(project, "adopt", "--own", "0001_twin", "--dry-run")
    assert dry.stdout == "data/actor_manifests/0001_twin_manifest.json would name 0001_twin; nothing was written\n"
    assert not project.manifest_path("0001_twin").exists()
    run = _run(project, "adopt", "--own", "0001_twin")
    assert (
        run.stdout
        == "data/actor_manifests/0001_twin_manifest.json now names 0001_twin. Next: callsheet sync 0001_twin\n"
    )
    assert _run(project, "sync", "0001_twin").return_value == 0
    assert (
        json.loads(_run(project, "adopt", "0001_other", "--json").stdout)["manifest"]
        == "data/actor_manifests/0001_manifest.json"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("frobnicate",), 2, "No such command 'frobnicate'"),
        (("sync", "--no-such-option"), 2, "No such option"),
        (("sync", "0077"), 2, "There is no actor '0077'"),
        (("mark", "0", IMAGE), 2, "There is nothing to set"),
        (("mark", "0", "nobody.png", "--good"), 2, "has no image nobody.png"),
        (("adopt", "no_such_folder"), 2, "There is no folder data/actors/no_such_folder"),
        (("--root", "/nowhere/at/all", "sync"), 3, "/nowhere/at/all/data/actors is not there"),
        (("--remote", "ftp://bucket", "sync"), 2, "ftp://bucket"),
    ],
)
def test_a_wrong_call_is_told_in_words_and_as_json(
    project: Tree, arguments: tuple[str, ...], code: int, said: str
) -> None:
    environ = {**os.environ, "CALLSHEET_ROOT": str(project.root)}
    run = _process(*arguments, env=environ)
    assert (run.returncode, run.stdout) == (code, "")
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    as_json = _process(*arguments, "--json", env=environ)
    assert as_json.returncode == code
    assert said in json.loads(as_json.stdout)["message"]


def test_options_may_stand_before_or_after_the_verb(project: Tree) -> None:
    assert (
        _process("status", "--root", str(project.root)).stdout == _process("--root", str(project.root), "status").stdout
    )


def test_a_reader_that_stops_reading_is_no_error(project: Tree) -> None:
    command = f"{sys.executable} -m callsheet --root {project.root} status | true"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert run.stderr == ""


def test_a_terminal_gets_a_progress_bar_and_a_pipe_does_not(project: Tree) -> None:
    arguments = [
        sys.executable,
        "-m",
        "callsheet",
        "--root",
        str(project.root),
        "--remote",
        f"file://{project.root.parent / 'buckets'}",
        "sync",
    ]
    leader, follower = pty.openpty()
    environ = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=follower, text=True, env=environ) as process:
        out, _ = process.communicate(timeout=30)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "Syncing" in shown
    assert "images" in shown
    assert "Syncing" not in out
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stderr == ""


def test_help_is_quick() -> None:
    """Start-up is part of every answer: 150 ms of CPU, measured as the best of five, is a wide bound."""
    used = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert _process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(used) < 0.15


ONLY_OF_SOME_VERBS = {
    "PIL",
    "botocore",
    "filelock",
    "rich",
    "urllib3",
    "callsheet.fsck",
    "callsheet.transfer",
    "callsheet.trash",
}
NOT_OF_STATUS = {
    "concurrent.futures", "logging", "random", "shutil", "callsheet.action", "callsheet.ahead", "callsheet.amend", "callsheet.cluster",
    "callsheet.elsewhere", "callsheet.fetch", "callsheet.journal", "callsheet.listing", "callsheet.plan", "callsheet.remote.answers",
    "callsheet.sync",
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "needless"), [("sync", ONLY_OF_SOME_VERBS), ("status", ONLY_OF_SOME_VERBS | NOT_OF_STATUS)]
)
def test_what_a_verb_does_not_need_is_not_imported(project: Tree, verb: str, needless: set[str]) -> None:
    _run(project, "sync")
    code = (
        "import sys, callsheet.cli\n"
        "try: callsheet.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    more = ["--offline"] if verb == "sync" else []
    run = subprocess.run(
        [sys.executable, "-c", code, "--root", str(project.root), verb, *more],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stderr.split())
    assert f"callsheet.{verb}" in loaded
    assert sorted(loaded & needless) == []


def test_the_demo_shows_everything_and_its_second_sync_is_silent(tmp_path: Path) -> None:
    run = _process("demo", str(tmp_path / "demo"))
    assert run.returncode == 0
    document = json.loads(_process("--root", str(tmp_path / "demo"), "status", "--json").stdout)
    for status in ("synced", "local_only", "s3_only", "out_of_sync", "missing"):
        assert document[status] > 0
    assert [problem["code"] for problem in document["problems"]] == ["collision"]
    assert [len(row["new"]) for row in document["by_actor"] if row["new"]] == [1]
    again = json.loads(_process("--root", str(tmp_path / "demo"), "sync", "--json").stdout)
    assert again["manifests_updated"] == 1
    last = json.loads(_process("--root", str(tmp_path / "demo"), "sync", "--json").stdout)
    assert last["manifests_updated"] == 0
    for actor in ("0000_european_16_male", "0003_south_asian_41_male"):
        assert actor in run.stdout


def test_a_big_demo_has_as_many_actors_as_asked(tmp_path: Path) -> None:
    assert _process("demo", "--big", "30", str(tmp_path / "demo")).returncode == 0
    assert json.loads(_process("--root", str(tmp_path / "demo"), "status", "--json").stdout)["actors"] == 30


def test_a_slip_of_the_pen_adopts_nothing(project: Tree) -> None:
    _run(project, "sync")
    before = project.manifests()
    for slip, code in (("0001_ohter", 1), ("0099_nobody", 2)):
        run = _process(
            "--root", str(project.root), "--remote", f"file://{project.root.parent / 'buckets'}", "adopt", slip
        )
        assert run.returncode == code
        assert slip in run.stderr
    assert project.manifests() == before


def test_mass_loss_is_told_with_all_else_that_was_found(project: Tree) -> None:
    for number in range(25):
        project.image("0002_many", f"{number}.png")
    _run(project, "sync")
    before = project.manifests()
    for image in project.folder("0002_many").iterdir():
        image.unlink()
    os.mkfifo(project.folder("0001_other") / "pipe.png")
    run = _process("--root", str(project.root), "sync", "--offline")
    assert run.returncode == 3
    assert "25 of 27 recorded images have vanished" in run.stderr
    assert "--accept-loss" in run.stderr
    assert "0001_other/pipe.png" in run.stderr
    assert project.manifests() == before
    assert _process("--root", str(project.root), "sync", "--offline", "--accept-loss").returncode == 1
    assert len(project.read_manifest("0002")["training_data_missing"]) == 25


@pytest.mark.parametrize(
    ("file", "environ", "option", "bucket", "prefix"),
    [
        ("", {}, "", "story-boards-assets", "system_actors/training_data"),
        ('remote = "s3://from-file/p"', {}, "", "from-file", "p"),
        ('remote = "s3://from-file/p"', {"CALLSHEET_BUCKET": "from-env"}, "", "from-env", "p"),
        ('bucket = "from-file"', {"CALLSHEET_REMOTE": "s3://from-env"}, "", "from-env", ""),
        ('bucket = "from-file"', {"CALLSHEET_BUCKET": "from-env"}, "S3://from-option/q/", "from-option", "q"),
    ],
)
def test_an_option_rules_over_the_environment_and_that_over_the_file(
    tmp_path: Path, file: str, environ: dict[str, str], option: str, bucket: str, prefix: str
) -> None:
    (tmp_path / "callsheet.toml").write_text(file)
    where = load(tmp_path, remote=option, environ=environ).where
    assert (where.bucket, where.prefix) == (bucket, prefix)
