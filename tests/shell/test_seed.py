"""The documented example: its lines, keys and figures exactly, and a second run that changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from factory import Tree, seed_tree

ACTOR = "0000_european_16_male"
SCRIPT = Path(__file__).parents[2] / "scripts" / "sync_training_data_to_manifests.py"

OUTPUT = """\
🔄 TRAINING DATA SYNC TO MANIFESTS
================================================================================

📁 Processing actor: 0000_european_16_male (ID: 0000)
  ✅ Found 17 training images
     📤 12 images have S3 URLs (synced)
     💾 5 images are local only
  🗑️  Deleted response.json
  ✅ Updated manifest

📊 SUMMARY
================================================================================
✅ Processed 1 actors
📸 Found 17 total training images
🗑️  Deleted 1 response.json files
📝 Updated 1 manifests
"""


@pytest.fixture
def project(tmp_path: Path) -> Tree:
    """The documented tree, with a folder as its bucket."""
    where = Layout()
    (tmp_path / "buckets" / where.bucket).mkdir(parents=True)
    tree = Tree(tmp_path / "project", DirectoryRemote(str(tmp_path / "buckets"), where.region))
    seed_tree(tree)
    return tree


def _script(tree: Tree, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The documented command, run from the project's root."""
    environment = {**os.environ, "CALLSHEET_REMOTE": f"file://{tree.root.parent / 'buckets'}"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=tree.root, env=environment, capture_output=True, text=True, check=False)


def test_the_script_prints_the_documented_lines(project: Tree) -> None:
    run = _script(project)
    assert run.stdout == OUTPUT
    assert run.stderr == ""
    assert run.returncode == 0


def test_offline_the_urls_of_response_json_are_believed_and_say_so(project: Tree) -> None:
    assert _script(project, "--offline").stdout == OUTPUT
    rows = project.read_manifest("0000")["training_data"]
    assert [(row["status"], row["evidence"]) for row in rows] == [("synced", "recorded")] * 12 + [
        ("local_only", "recorded")
    ] * 5


def test_the_manifest_has_the_documented_keys_and_figures(project: Tree) -> None:
    _script(project)
    manifest = project.read_manifest("0000")
    assert list(manifest) == ["character_id", "character_name", "training_data", "training_data_updated", "statistics"]
    assert (manifest["character_id"], manifest["character_name"]) == ("0000", ACTOR)
    first = manifest["training_data"][0]
    path = f"data/actors/{ACTOR}/training_data/{ACTOR}_0.jpg"
    image = project.root / path
    assert list(first) == [
        "filename", "local_path", "size_bytes", "size_mb", "modified_timestamp", "modified_date", "md5_hash", "s3_url", "status",
        "evidence", "checked_at", "s3", "synced_md5",
    ]  # fmt: skip
    assert first["local_path"] == path
    assert first["size_bytes"] == image.stat().st_size
    assert first["modified_timestamp"] == image.stat().st_mtime
    assert first["modified_date"] == "2025-10-09T08:53:20.000000"
    assert (
        first["s3_url"]
        == f"https://story-boards-assets.s3.us-west-1.amazonaws.com/system_actors/training_data/{ACTOR}/{ACTOR}_0.jpg"
    )
    assert (first["status"], first["evidence"]) == ("synced", "etag")
    assert first["md5_hash"] == first["synced_md5"] == first["s3"]["md5"] == first["s3"]["etag"]
    statistics = manifest["statistics"]
    assert statistics["training_images_count"] == 17
    assert statistics["training_synced_count"] == 12
    assert statistics["training_local_only_count"] == 5
    assert (statistics["training_s3_only_count"], statistics["training_out_of_sync_count"]) == (0, 0)
    assert statistics["training_data_size_bytes"] == sum(row["size_bytes"] for row in manifest["training_data"])
    names = [row["filename"] for row in manifest["training_data"]]
    assert names == [f"{ACTOR}_{number}.jpg" for number in range(17)]


def test_a_second_run_changes_not_one_byte_or_mtime(project: Tree) -> None:
    _script(project)
    before = project.manifests()
    run = _script(project)
    assert "✅ Manifest is up to date" in run.stdout
    assert "🗑️  Deleted 0 response.json files\n📝 Updated 0 manifests\n" in run.stdout
    assert project.manifests() == before
    assert _script(project, "--offline").returncode == 0
    assert project.manifests() == before
    assert _script(project, "--verify").returncode == 0
    assert project.manifests() == before


def test_response_json_goes_into_the_trash_with_its_bytes(project: Tree) -> None:
    response = project.root / f"data/actors/{ACTOR}/training_data/response.json"
    content = response.read_bytes()
    _script(project)
    assert not response.exists()
    (kept,) = project.trash()
    assert kept.read_bytes() == content
    assert str(kept).endswith(f"data/actors/{ACTOR}/training_data/response.json")


def test_a_dry_run_tells_the_same_and_writes_nothing(project: Tree) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in project.root.rglob("*"))
    run = _script(project, "--dry-run")
    assert run.returncode == 0
    assert "Would have deleted response.json" in run.stdout
    assert "📝 Would have updated 1 manifests\n" in run.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in project.root.rglob("*")) == before


def test_json_is_one_document_with_the_documented_keys(project: Tree) -> None:
    document = json.loads(_script(project, "--json").stdout)
    assert {key: document[key] for key in list(document)[2:12]} == {
        "actors": 1,
        "images": 17,
        "synced": 12,
        "local_only": 5,
        "s3_only": 0,
        "out_of_sync": 0,
        "missing": 0,
        "manifests_updated": 1,
        "response_json_deleted": 1,
        "problems": [],
    }


def test_the_command_and_the_script_say_the_same(project: Tree) -> None:
    _script(project)
    command = [
        sys.executable,
        "-m",
        "callsheet",
        "--root",
        str(project.root),
        "sync",
        "--remote",
        f"file://{project.root.parent / 'buckets'}",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == _script(project).stdout
