"""The demo shows every case that callsheet tells apart, is the same each time, and never touches what isn't its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from callsheet import codec, legacy
from callsheet.demo.cast import CAST, USER_BUCKET
from callsheet.demo.portrait import appearance, base_image, miniature, portrait
from callsheet.demo.tree import DemoTree, add_orphan, buckets, write_demo
from callsheet.errors import UsageError
from callsheet.layout import Layout, is_image
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source

LAYOUT = Layout()
FIRST = "0000_european_16_male"


class Shelf:
    """A remote that can only be written to, and keeps what it is given."""

    def __init__(self) -> None:
        self.bodies: dict[Location, bytes] = {}

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        assert isinstance(body, bytes)
        assert replaces is ANYTHING
        assert hashlib.md5(body).hexdigest() == md5
        self.bodies[location] = body
        return md5

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        raise AssertionError("a demo is written without looking")

    def head(self, location: Location) -> RemoteObject:
        raise AssertionError("a demo is written without looking")

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        raise AssertionError("a demo is written without looking")

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        raise AssertionError("a demo copies no object")

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        raise AssertionError("a demo deletes no object")

    def notes(self) -> tuple[str, ...]:
        return ()

    def url(self, location: Location) -> str:
        return str(location)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        return None

    def origin(self, bucket: str) -> str | None:
        return None


class Written:
    """One demo: its root, its objects, and what `write_demo` said."""

    def __init__(self, root: Path, actors: int | None = None) -> None:
        self.root = root
        self.shelf = Shelf()
        self.tree: DemoTree = write_demo(str(root), self.shelf, LAYOUT, actors=actors)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def here(self, actor: str) -> dict[str, bytes]:
        folder = self.root / LAYOUT.training_dir(actor)
        return {path.name: path.read_bytes() for path in folder.glob("*") if is_image(path.name)}

    def there(self, actor: str) -> dict[str, bytes]:
        found = {key.key.rpartition("/")[2]: body for key, body in self.shelf.bodies.items() if f"/{actor}/" in key.key}
        return dict(sorted(found.items()))

    def legacy(self, actor: str, filename: str) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
        path = f"{LAYOUT.training_dir(actor)}/{filename}"
        said = legacy.read(self.read(path), path, LAYOUT)
        assert said.unplaced == ()
        return dict(said.urls), said.good


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("demo") / "new")


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes of every file, and the modification times of those that a manifest would record."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = (path.read_bytes(), path.stat().st_mtime_ns * is_image(name))
    return found


def role(name: str) -> str:
    """The one actor whose name starts like this."""
    [found] = [each.name for each in CAST if each.name.startswith(name)]
    return found


def test_the_same_bytes_each_time(demo: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.demo.tree.CAST", CAST[:4])
    again = Written(tmp_path)
    assert len(again.tree.notes) == 4
    assert {*again.tree.notes} <= {*demo.tree.notes}
    assert again.shelf.bodies.items() <= demo.shelf.bodies.items()
    written = files(tmp_path)
    del written[f"{LAYOUT.manifests_dir}/_migration_summary.json"]  # it tells how many there are
    assert written.items() <= files(demo.root).items()


def test_the_counts_are_those_of_disk_and_buckets(demo: Written) -> None:
    assert demo.tree.actors == len(CAST) == 12
    assert demo.tree.images == sum(len(demo.here(each.name)) for each in CAST)
    assert demo.tree.objects == len(demo.shelf.bodies)
    assert {location.bucket for location in demo.shelf.bodies} == set(buckets(LAYOUT))
    assert all(8 <= len({*demo.here(each.name), *demo.there(each.name)}) <= 17 for each in CAST)
    assert all(note.partition(":")[0] == each.name for note, each in zip(demo.tree.notes, CAST, strict=True))


def test_the_first_actor_has_17_images_12_of_them_in_s3(demo: Written) -> None:
    here, there = demo.here(FIRST), demo.there(FIRST)
    urls, _ = demo.legacy(FIRST, "response.json")
    assert (len(here), len(there)) == (17, 12)
    assert all(here[filename] == body for filename, body in there.items())
    assert {LAYOUT.locate(url) for (url,) in urls.values()} == {LAYOUT.location(FIRST, name) for name in there}


def test_images_in_s3_only_and_an_actor_in_s3_only(demo: Written) -> None:
    woman, islander = role("0001"), role("0008")
    assert len(demo.there(woman).keys() - demo.here(woman).keys()) == 4
    assert demo.legacy(woman, "response.json")[0].keys() == demo.there(woman).keys()
    assert demo.there(islander)
    assert not (demo.root / LAYOUT.folder(islander)).exists()


def test_urls_into_a_second_bucket_name_objects_there(demo: Written) -> None:
    urls, _ = demo.legacy(role("0002"), "response.json")
    locations = {LAYOUT.locate(url) for (url,) in urls.values()}
    assert locations == {location for location in demo.shelf.bodies if location.bucket == USER_BUCKET}
    assert all(location and location.key.endswith(".png") for location in locations)


def test_three_images_differ_and_the_manifest_knows_what_both_sides_agreed_on(demo: Written) -> None:
    name = role("0003")
    manifest = codec.decode(demo.read(LAYOUT.manifest("0003")), "0003")
    here, there = demo.here(name), demo.there(name)
    sides = {}
    for entry in manifest.entries:
        local, remote = (hashlib.md5(side[entry.filename]).hexdigest() for side in (here, there))
        if local != remote:
            sides[entry.filename] = (local != entry.synced_md5, remote != entry.synced_md5)
    assert sides == {f"{name}_2.jpg": (True, False), f"{name}_5.jpg": (False, True), f"{name}_8.jpg": (True, True)}


def test_a_manifest_with_keys_of_other_tools_records_an_image_that_is_nowhere(demo: Written) -> None:
    name = role("0005")
    document = json.loads(demo.read(LAYOUT.manifest("0005")))
    keys = list(document)
    assert {"metadata", "base_images"} < set(keys[: keys.index("training_data")])
    assert {"lora_model", "migration_timestamp", "status"} < set(keys[keys.index("training_data") :])
    assert "total_files" in document["statistics"]
    recorded = {entry.filename for entry in codec.decode(demo.read(LAYOUT.manifest("0005")), "0005").entries}
    assert recorded - demo.here(name).keys() - demo.there(name).keys() == {f"{name}_10.jpg"}


def test_prompts_and_good_marks(demo: Written) -> None:
    name = role("0004")
    said = json.loads(demo.read(f"{LAYOUT.training_dir(name)}/prompt_metadata.json"))["images"]
    urls, good = demo.legacy(name, "prompt_metadata.json")
    assert said.keys() == demo.here(name).keys()
    assert all("23-year-old latin american woman" in image["prompt"] for image in said.values())
    assert 0 < len(good) < len(said)
    assert urls.keys() == demo.there(name).keys()


def test_older_files_name_together_what_is_in_s3(demo: Written) -> None:
    name = role("0006")
    older, _ = demo.legacy(name, "manifest.json")
    response, _ = demo.legacy(name, "training_response.json")
    assert older
    assert response
    assert {*older, *response} == demo.there(name).keys()


def test_an_error_body_names_no_url(demo: Written) -> None:
    name = role("0007")
    assert demo.legacy(name, "response.json") == ({}, frozenset())
    assert demo.there(name) == {}


def test_two_folders_share_a_number_and_the_manifest_names_one(demo: Written) -> None:
    first, second = (each.name for each in CAST if each.name.startswith("0009"))
    assert codec.decode(demo.read(LAYOUT.manifest("0009")), "0009").names == first
    assert len(demo.here(first)) > 0
    assert len(demo.legacy(second, "response.json")[0]) > 0
    assert (demo.root / LAYOUT.manifests_dir / "_migration_summary.json").exists()


def test_base_images(demo: Written) -> None:
    found = {path.relative_to(demo.root / LAYOUT.actors_dir).parts for path in demo.root.rglob("*.png")}
    kinds = {parts[0]: parts[1] for parts in found if parts[1] != "training_data"}
    assert kinds[role("0006")] == "poster_frame"
    assert list(kinds.values()).count("base_image") == 9
    assert role("0007") not in kinds


def test_pictures_open_and_no_two_are_alike(demo: Written) -> None:
    seen = set()
    for each in CAST:
        for body in {**demo.there(each.name), **demo.here(each.name)}.values():
            picture = Image.open(io.BytesIO(body))
            picture.load()
            assert picture.size == (512, 512)
            seen.add(body)
    assert len(seen) == len({(each.name, number) for each in CAST for number in {*each.disk, *each.bucket}})


def test_actors_look_different_and_each_alike_each_time() -> None:
    pictures = [base_image(appearance(each.name, 7)) for each in CAST]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            assert sum(ImageStat.Stat(ImageChops.difference(picture, other)).mean) > 10
    actor = appearance("0042_african_33_male", 7)
    assert portrait(actor, 3).tobytes() == portrait(actor, 3).tobytes() != portrait(actor, 4).tobytes()
    assert miniature(actor, 0).size == (64, 64)


def test_any_name_has_a_face() -> None:
    for name in ("", "nobody", "77", "0001_martian_40_male", "Ünïcode"):
        assert miniature(appearance(name, 1), 0).mode == "RGB"


def test_an_orphan_is_a_new_picture_each_time(tmp_path: Path) -> None:
    demo = Written(tmp_path, actors=2)
    before = files(tmp_path)
    added = [add_orphan(str(tmp_path), LAYOUT), add_orphan(str(tmp_path), LAYOUT)]
    assert files(tmp_path).keys() - before.keys() == set(added)
    assert len(added) == len(set(added))
    assert all(demo.read(path) not in {body for body, _ in before.values()} for path in added)


@pytest.mark.parametrize("actors", [None, 3])
def test_a_folder_that_is_no_demo_is_refused_and_left_alone(tmp_path: Path, actors: int | None) -> None:
    (tmp_path / "data/.callsheet").mkdir(parents=True)
    (tmp_path / "data/.callsheet/demo").write_text("something else\n")
    (tmp_path / "mine.txt").write_text("mine")
    before, shelf = files(tmp_path), Shelf()
    with pytest.raises(UsageError, match="is not empty") as caught:
        write_demo(str(tmp_path), shelf, LAYOUT, actors=actors)
    assert caught.value.hint
    assert files(tmp_path) == before
    assert shelf.bodies == {}


def test_a_file_or_a_number_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="not a folder"):
        write_demo(str(tmp_path / "file"), Shelf(), LAYOUT)
    with pytest.raises(UsageError, match="0 actors"):
        write_demo(str(tmp_path / "new"), Shelf(), LAYOUT, actors=0)
    assert not (tmp_path / "new").exists()


class Folder(Shelf):
    """A remote below the demo's root, which wants its bucket's folder to be there."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.path = root / "s3" / LAYOUT.bucket
        self.path.mkdir(parents=True, exist_ok=True)

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        assert isinstance(body, bytes)
        folder = self.path / location.key.split("/")[-2]
        folder.mkdir(exist_ok=True)
        (folder / location.key.rpartition("/")[2]).write_bytes(body)
        return super().put(location, body, md5=md5, replaces=replaces)


def test_a_former_demo_is_replaced_and_nothing_else_is_removed(tmp_path: Path) -> None:
    root, outside = tmp_path / "demo", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.jpg").write_text("kept")
    write_demo(str(root), Folder(root), LAYOUT, actors=5)
    (root / "notes.txt").write_text("mine")
    (root / "data/other").mkdir()
    (root / "data/other/kept.txt").write_text("mine")
    (root / "data/.callsheet/locks").mkdir()
    (root / "data/.callsheet/journal.jsonl").write_text("{}\n")
    (root / LAYOUT.actors_dir / "linked").symlink_to(outside)
    (root / "s3" / LAYOUT.bucket / "linked").symlink_to(outside)

    write_demo(str(root), Folder(root), LAYOUT, actors=2)
    assert (root / "notes.txt").read_text() == (root / "data/other/kept.txt").read_text() == "mine"
    assert (outside / "kept.jpg").read_text() == "kept"
    assert len(list((root / LAYOUT.actors_dir).iterdir())) == 2
    assert len(list((root / "s3" / LAYOUT.bucket).iterdir())) == 2
    assert os.listdir(root / LAYOUT.state_dir) == ["demo"]


def test_a_marker_cannot_name_anything_outside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept.txt").write_text("mine")
    (root / "data/.callsheet").mkdir(parents=True)
    (root / "data/.callsheet/demo").write_text(f"callsheet demo\n../outside\n{tmp_path}/outside\nlink/outside\n.\n\n")
    (root / "link").symlink_to(tmp_path)
    (root / "mine.txt").write_text("mine")
    write_demo(str(root), Shelf(), LAYOUT, actors=1)
    assert (tmp_path / "outside/kept.txt").read_text() == (root / "mine.txt").read_text() == "mine"


def test_a_large_demo_has_every_status(tmp_path: Path) -> None:
    demo = Written(tmp_path, actors=50)
    names = os.listdir(tmp_path / LAYOUT.actors_dir)
    assert demo.tree.actors == len(names) == 50
    tally = dict.fromkeys(("synced", "local_only", "s3_only", "out_of_sync"), 0)
    for name in names:
        here, there = demo.here(name), demo.there(name)
        assert 10 <= len({*here, *there}) <= 20
        for filename in {*here, *there}:
            local, remote = here.get(filename), there.get(filename)
            tally[
                "s3_only"
                if local is None
                else "local_only"
                if remote is None
                else "synced"
                if local == remote
                else "out_of_sync"
            ] += 1
        assert len(set(here.values())) == len(here)
    assert demo.tree.images == tally["synced"] + tally["local_only"] + tally["out_of_sync"]
    assert demo.tree.objects == tally["synced"] + tally["s3_only"] + tally["out_of_sync"] == len(demo.shelf.bodies)
    assert tally["synced"] > 0.8 * sum(tally.values())
    assert all(tally.values())
