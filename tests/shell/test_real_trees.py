"""A tree with all the quirks of real ones: no URL lost, no foreign key touched, every collision told, the second run silent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet import layout
from callsheet.errors import Unreachable
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import Reading
from callsheet.remote.memory import MemoryRemote
from factory import SETTLED_S, USER_BUCKET, Tree, md5_of, urls_of

FOREIGN_BEFORE = {
    "metadata": {"source": "casting", "tags": ["a", None, 1.5]},
    "base_images": [{"path": "x.png"}],
    "scene_images": [],
}
FOREIGN_AFTER = {
    "poster_frames": {"0": "p.jpg"},
    "lora_model": {"version": 3, "huge": 2**80},
    "migration_timestamp": "2025-09-01T00:00:00",
    "status": "active",
}


def _user_location(actor: str, filename: str) -> Location:
    return Location(USER_BUCKET, f"9f0c2c8e/custom_actor/{actor}/training_data/{filename}")


def _old_manifest(actor: str, **more: Any) -> dict[str, Any]:
    return {
        **FOREIGN_BEFORE,
        "character_id": layout.actor_id(actor),
        "character_name": actor,
        "statistics": {"total_files": 99, "poster_count": 1},
        **FOREIGN_AFTER,
        **more,
    }


class Quirks:
    """The tree, and what must come of it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.urls: dict[str, set[str]] = {}
        self._plain("0001_plain")
        self._two_buckets("0002_two_buckets")
        self._error_body("0003_error_body")
        self._older_files("0004_older_files")
        self._with_manifest("0005_with_manifest")
        self._collisions()
        self._without_folder()
        self._only_in_s3("0008_only_in_s3")
        self._no_digits("extra_crowd")
        tree.write_manifest("_migration_summary", {"migrated": 288, "note": "not a manifest"})
        (tree.root / tree.where.manifests_dir / "_migration_summary.json").write_text('{"migrated": 288}')
        (tree.root / "data/actors/notes.txt").write_text("not an actor")

    def _plain(self, actor: str) -> None:
        tree = self.tree
        self.urls[actor] = {tree.both(actor, f"{actor}_{number}.png") for number in range(10, 13)}
        tree.image(actor, f"{actor}_2.JPG")
        (tree.folder(actor) / "masks").mkdir()
        (tree.folder(actor) / "masks" / "m.png").write_bytes(b"no training image")
        (tree.folder(actor) / ".hidden.png").write_bytes(b"no training image")
        tree.response(actor, sorted(self.urls[actor]))

    def _two_buckets(self, actor: str) -> None:
        tree = self.tree
        names = [f"{actor}_{number}.png" for number in range(5)]
        tree.image(actor, names[0])
        urls = [tree.object(actor, name, at=_user_location(actor, name)) for name in names]
        gone = layout.s3_url(_user_location(actor, f"{actor}_gone.png"), tree.where.region)
        self.urls[actor] = {*urls, gone}
        tree.legacy(actor, layout.RESPONSE, {"output": {"output": {"s3_image_urls": [*urls, gone]}}})

    def _error_body(self, actor: str) -> None:
        self.tree.image(actor, f"{actor}_0.png")
        self.tree.legacy(actor, layout.RESPONSE, {"status": "FAILED", "error": "CUDA out of memory"})

    def _older_files(self, actor: str) -> None:
        tree = self.tree
        names = [f"{actor}_{number}.png" for number in range(4)]
        urls = [tree.object(actor, name) for name in names]
        tree.image(actor, names[0])
        tree.legacy(
            actor, layout.PROMPT_METADATA, {"images": {names[0]: {"prompt": "a face", "good": True, "s3_url": urls[0]}}}
        )
        tree.legacy(actor, layout.OLD_MANIFEST, {"images": {names[1]: {"s3_url": urls[1], "prompt": "a hat"}}})
        tree.legacy(actor, layout.TRAINING_RESPONSE, {"output": {"output": {"s3_image_urls": urls[2:]}}})
        self.urls[actor] = set(urls)

    def _with_manifest(self, actor: str) -> None:
        tree = self.tree
        kept, lost = f"{actor}_0.png", f"{actor}_1.png"
        url = tree.both(actor, kept)
        rows = [
            {
                "angle": 30,
                "filename": kept,
                "s3_url": url,
                "status": "synced",
                "md5_hash": "abc123...",
                "theirs": {"k": [1]},
            },
            {"filename": lost, "s3_url": tree.url(actor, lost), "status": "synced", "prompt": "lost but not forgotten"},
        ]
        self.urls[actor] = {url, tree.url(actor, lost)}
        tree.write_manifest(
            "0005", _old_manifest(actor, training_data=rows, training_data_updated="2025-09-01T00:00:00.000000")
        )

    def _collisions(self) -> None:
        tree = self.tree
        for actor in ("0006_owner", "0006_intruder", "0007_renamed", "0009_one", "0009_two"):
            tree.response(actor, [tree.both(actor, f"{actor}_0.png")])
        tree.write_manifest("0006", _old_manifest("0006_owner"))
        tree.write_manifest("0007", _old_manifest("0007_before"))

    def _without_folder(self) -> None:
        url = self.tree.object("0010_no_folder", "0010_no_folder_0.png")
        self.urls["0010_no_folder"] = {url}
        self.tree.write_manifest(
            "0010", _old_manifest("0010_no_folder", training_data=[{"filename": "0010_no_folder_0.png", "s3_url": url}])
        )

    def _only_in_s3(self, actor: str) -> None:
        self.urls[actor] = {self.tree.object(actor, f"{actor}_{number}.png") for number in range(3)}
        self.tree.object("thumbnails", "not_an_actor.png")
        self.tree.object("0006_in_s3_too", "x.png")

    def _no_digits(self, actor: str) -> None:
        self.urls[actor] = {self.tree.both(actor, "a.webp")}


COLLIDING = {"0006_intruder", "0007_renamed", "0009_one", "0009_two", "0006_in_s3_too"}


@pytest.fixture
def quirks(tree: Tree) -> Quirks:
    return Quirks(tree)


def test_no_url_is_lost(quirks: Quirks) -> None:
    library = quirks.tree.library()
    library.sync()
    for actor, urls in quirks.urls.items():
        assert urls <= urls_of(library.manifest(actor)), actor


def test_every_image_has_its_true_status(quirks: Quirks) -> None:
    quirks.tree.library().sync()
    tree = quirks.tree
    assert tree.statuses("0001") == {
        "0001_plain_2.JPG": "local_only",
        **{f"0001_plain_{number}.png": "synced" for number in range(10, 13)},
    }
    assert tree.statuses("0002") == {
        "0002_two_buckets_0.png": "synced",
        **{f"0002_two_buckets_{number}.png": "s3_only" for number in range(1, 5)},
    }
    assert [row["filename"] for row in tree.read_manifest("0002")["training_data_missing"]] == [
        "0002_two_buckets_gone.png"
    ]
    assert tree.statuses("0003") == {"0003_error_body_0.png": "local_only"}
    assert tree.statuses("0004") == {
        "0004_older_files_0.png": "synced",
        **{f"0004_older_files_{n}.png": "s3_only" for n in range(1, 4)},
    }
    assert tree.statuses("0005") == {"0005_with_manifest_0.png": "synced"}
    assert tree.statuses("0008") == {f"0008_only_in_s3_{number}.png": "s3_only" for number in range(3)}
    assert tree.statuses("0010") == {"0010_no_folder_0.png": "s3_only"}
    assert tree.statuses("extra_crowd") == {"a.webp": "synced"}


def test_no_foreign_key_is_touched(quirks: Quirks) -> None:
    before = quirks.tree.read_manifest("0005")
    quirks.tree.library().sync()
    after = quirks.tree.read_manifest("0005")
    assert [key for key in after if key in before] == list(before)
    for key in (*FOREIGN_BEFORE, *FOREIGN_AFTER, "character_id", "character_name"):
        assert after[key] == before[key]
    assert {key: after["statistics"][key] for key in before["statistics"]} == before["statistics"]
    row = after["training_data"][0]
    assert (list(row)[:2], row["angle"], row["theirs"]) == (["angle", "filename"], 30, {"k": [1]})
    lost = after["training_data_missing"][0]
    assert (lost["filename"], lost["prompt"]) == ("0005_with_manifest_1.png", "lost but not forgotten")


def test_prompts_and_marks_come_along(quirks: Quirks) -> None:
    quirks.tree.library().sync()
    rows = {row["filename"]: row for row in quirks.tree.read_manifest("0004")["training_data"]}
    assert (rows["0004_older_files_0.png"]["prompt"], rows["0004_older_files_0.png"]["good"]) == ("a face", True)
    assert rows["0004_older_files_1.png"]["prompt"] == "a hat"


def test_every_collision_is_told_and_neither_side_is_touched(quirks: Quirks) -> None:
    tree = quirks.tree
    responses = {actor: tree.folder(actor) / layout.RESPONSE for actor in COLLIDING if actor != "0006_in_s3_too"}
    content = {actor: path.read_bytes() for actor, path in responses.items()}
    renamed = tree.manifest_path("0007").read_bytes()
    report = tree.library().sync()
    told = {problem.actor: problem.message for problem in report.problems if problem.code == "collision"}
    assert set(told) == COLLIDING
    assert all("callsheet adopt" in message for message in told.values())
    assert "0006_owner" in told["0006_intruder"]
    assert "0007_before" in told["0007_renamed"]
    assert {actor: path.read_bytes() for actor, path in responses.items()} == content
    assert tree.manifest_path("0007").read_bytes() == renamed
    assert not tree.manifest_path("0009").exists()
    assert tree.statuses("0006") == {"0006_owner_0.png": "synced"}


def test_adopting_settles_every_collision(quirks: Quirks) -> None:
    library = quirks.tree.library()
    library.sync()
    library.adopt("0007_renamed")
    library.adopt("0009_one")
    for actor in ("0006_intruder", "0009_two", "0006_in_s3_too"):
        library.adopt(actor, own=True)
    report = library.sync()
    assert report.problems == ()
    assert quirks.tree.statuses("0009_two") == {"0009_two_0.png": "synced"}
    assert quirks.tree.read_manifest("0007")["lora_model"] == FOREIGN_AFTER["lora_model"]


def test_the_files_that_stay_stay(quirks: Quirks) -> None:
    tree = quirks.tree
    names = (layout.PROMPT_METADATA, layout.OLD_MANIFEST, layout.TRAINING_RESPONSE)
    before = {name: (tree.folder("0004_older_files") / name).read_bytes() for name in names}
    report = tree.library().sync()
    assert {name: (tree.folder("0004_older_files") / name).read_bytes() for name in names} == before
    assert report.response_json_deleted == 4
    assert len(tree.trash()) == 4


def test_the_second_run_is_silent(quirks: Quirks) -> None:
    library = quirks.tree.library()
    first = library.sync()
    before = quirks.tree.manifests()
    second = quirks.tree.library().sync()
    assert quirks.tree.manifests() == before
    assert second.manifests_updated == second.response_json_deleted == 0
    assert second.problems == first.problems
    assert second.counts == first.counts


def test_the_output_of_status_is_sound_json_for_all_of_it(quirks: Quirks) -> None:
    library = quirks.tree.library()
    library.sync()
    document = json.loads(json.dumps(library.status().as_dict()))
    assert document["images"] == library.sync().counts.total
    assert all(not row["new"] and not row["gone"] and not row["touched"] for row in document["by_actor"])


def test_status_tells_what_changed_on_disk(quirks: Quirks) -> None:
    tree = quirks.tree
    tree.library().sync()
    actor = "0001_plain"
    tree.image(actor, "0001_plain_99.png")
    tree.image(actor, "0001_plain_10.png", mtime_s=SETTLED_S + 1)
    Path(tree.folder(actor) / "0001_plain_2.JPG").unlink()
    (row,) = [row for row in tree.library().status().actors if row.actor.name == actor]
    assert row.drift
    assert (row.drift.new, row.drift.gone, row.drift.touched) == (
        ("0001_plain_99.png",),
        ("0001_plain_2.JPG",),
        ("0001_plain_10.png",),
    )


def test_two_manifests_without_a_folder_that_name_one_actor_are_told_and_left_alone(tree: Tree) -> None:
    actor = "0005_gone"
    url = tree.object(actor, f"{actor}_0.png")
    for stem in ("0005", actor):
        tree.write_manifest(
            stem,
            _old_manifest(actor, training_data=[{"filename": f"{actor}_0.png", "s3_url": url, "status": "s3_only"}]),
        )
    before = tree.manifests()
    report = tree.library().sync()
    assert {(problem.actor, problem.code) for problem in report.problems} == {
        ("0005", "collision"),
        (actor, "collision"),
    }
    assert tree.manifests() == before


def test_a_folder_in_s3_without_images_is_no_actor(tree: Tree) -> None:
    tree.object("0042_backup", "notes.txt")
    assert tree.library().sync().actors == ()


def test_a_folder_that_is_only_digits_owns_no_manifest_by_its_name(tree: Tree) -> None:
    for actor in ("0000", "0000_x"):
        tree.image(actor, "a.png")
    tree.write_manifest("0000", {"lora_model": 1})
    before = tree.manifests()
    report = tree.library().sync()
    assert {problem.actor for problem in report.problems} == {"0000", "0000_x"}
    assert tree.manifests() == before


def test_a_file_that_comes_to_disk_is_new_whatever_its_size_and_time(tree: Tree) -> None:
    actor = "0001_x"
    tree.object(actor, "a.png", b"content")
    tree.folder(actor)
    tree.library().sync()
    row = tree.read_manifest("0001")["training_data"][0]
    tree.image(actor, "a.png", b"CONTENT", mtime_s=row["modified_timestamp"])
    (report,) = tree.library().status().actors
    assert report.drift
    assert report.drift.new == ("a.png",)


def test_an_older_manifest_that_came_back_is_not_vouched_for_by_newer_hashes(tree: Tree) -> None:
    """As after a power cut, or from a backup: what the file held then, it does not hold now, and its size and time are the same."""
    tree.both("0000_anna", "a.png", b"saved first")
    tree.library().sync()
    older = tree.manifest_path("0000").read_bytes()
    tree.image("0000_anna", "a.png", b"saved again")
    tree.library().sync(verify=True)
    assert tree.statuses("0000") == {"a.png": "out_of_sync"}
    tree.manifest_path("0000").write_bytes(older)
    tree.library().sync()
    assert tree.statuses("0000") == {"a.png": "out_of_sync"}


def test_marks_and_keys_of_others_cost_no_hashing(tree: Tree, hashed: list[str]) -> None:
    tree.both("0000_anna", "a.png")
    library = tree.library()
    library.sync()
    library.mark("0", "a.png", good=True)
    document = tree.read_manifest("0000")
    tree.write_manifest("0000", {**document, "lora_model": "v2"})
    hashed.clear()
    library.sync()
    assert hashed == []


def test_one_odd_file_does_not_make_the_others_be_hashed_again(tree: Tree, hashed: list[str]) -> None:
    actor = "0001_x"
    tree.image(actor, "a.png")
    (tree.folder(actor) / "out.png").symlink_to("/etc/hostname")
    tree.library().sync()
    assert hashed
    hashed.clear()
    tree.library().sync()
    assert hashed == []


def test_a_large_folder_elsewhere_is_not_listed_to_its_end(tree: Tree) -> None:
    flat = [Location(USER_BUCKET, f"all/{number:05}.png") for number in range(5000)]
    for location in flat:
        tree.remote.put(location, b"x", md5=md5_of(b"x"))
    listed = 0
    listing = tree.remote.list

    def counted(bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        nonlocal listed
        for item in listing(bucket, prefix, after=after, before=before):
            listed += bucket == USER_BUCKET
            yield item

    tree.remote.list = counted  # type: ignore[method-assign]
    actor = "0001_x"
    wanted = [flat[1], flat[2500], flat[4999]]
    tree.response(actor, [layout.s3_url(location, tree.where.region) for location in wanted])
    tree.library().sync()
    assert set(tree.statuses("0001").values()) == {"s3_only"}
    assert listed < 2100


def test_one_object_that_cannot_be_read_does_not_blind_the_run(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(tree.remote, MemoryRemote)
    for number in range(5):
        actor = f"{number:04}_x"
        tree.image(actor, "a.png", b"here")
        tree.remote.store(tree.where.location(actor, "a.png"), b"gone", etag=md5_of(b"opaque"), etag_is_md5=False)
    read = MemoryRemote.read

    def broken(self: MemoryRemote, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        if "0002_x" in location.key:
            raise Unreachable("the connection broke")
        return read(self, location, if_match=if_match, into=into)

    monkeypatch.setattr(MemoryRemote, "read", broken)
    report = tree.library().sync()
    assert len(report.problems) == 1
    assert [tree.statuses(f"{number:04}")["a.png"] for number in range(5)].count("out_of_sync") == 4
