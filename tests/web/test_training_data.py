"""The endpoint as it was written down: key for key, in its order; instant, exact, and told when something has changed since."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_server import Api, running
from callsheet.layout import s3_url
from callsheet.library import Library
from callsheet.result import Curated
from callsheet.status import Glance
from callsheet.web import documents, views
from callsheet.web.index import Index, Page
from factory import SETTLED_S, Tree, md5_of, seed_tree

ACTOR = "0000_european_16_male"
DATA = f"/api/actors/{ACTOR}/training-data"

SEED_KEYS = [
    "actor_id", "actor_name", "training_images", "base_image_path", "total_count", "synced_count", "local_only_count",
    "s3_only_count", "out_of_sync_count", "manifest_updated",
]  # fmt: skip
SEED_IMAGE_KEYS = [
    "index", "filename", "s3_url", "local_exists", "local_path", "md5_hash", "size_mb", "modified_date", "status", "good",
]  # fmt: skip
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def seed(tree: Tree) -> Tree:
    """The documented tree, synced, with a base image."""
    seed_tree(tree)
    base = tree.root / "data/actors" / ACTOR / "base_image" / f"{ACTOR}_base.png"
    base.parent.mkdir()
    base.write_bytes(b"base")
    tree.library().sync()
    tree.library().mark(ACTOR, f"{ACTOR}_0.jpg", good=True, prompt="a portrait")
    return tree


@pytest.fixture
def api(seed: Tree) -> Iterator[Api]:
    with running(seed.library(), watch=False) as api:
        yield api


def test_the_answer_is_the_documented_one(api: Api, seed: Tree) -> None:
    told = api.json(DATA)
    assert list(told)[: len(SEED_KEYS)] == SEED_KEYS
    first = told["training_images"][0]
    assert list(first)[: len(SEED_IMAGE_KEYS)] == SEED_IMAGE_KEYS
    name = f"{ACTOR}_0.jpg"
    assert {key: first[key] for key in SEED_IMAGE_KEYS} == {
        "index": 0,
        "filename": name,
        "s3_url": seed.remote.url(seed.where.location(ACTOR, name)),
        "local_exists": True,
        "local_path": f"/data/actors/{ACTOR}/training_data/{name}",
        "md5_hash": md5_of(name.encode()),
        "size_mb": 0.0,
        "modified_date": "2025-10-09T08:53:20.000Z",
        "status": "synced",
        "good": True,
    }
    assert {key: told[key] for key in SEED_KEYS if key not in ("training_images", "manifest_updated")} == {
        "actor_id": 0,
        "actor_name": ACTOR,
        "base_image_path": f"/data/actors/{ACTOR}/base_image/{ACTOR}_base.png",
        "total_count": 17,
        "synced_count": 12,
        "local_only_count": 5,
        "s3_only_count": 0,
        "out_of_sync_count": 0,
    }
    assert STAMP.fullmatch(told["manifest_updated"])
    assert [image["index"] for image in told["training_images"]] == list(range(17))
    assert [image["filename"] for image in told["training_images"]] == [f"{ACTOR}_{n}.jpg" for n in range(17)]
    assert (first["prompt"], first["evidence"], first["change"]) == ("a portrait", "etag", None)


@pytest.mark.parametrize("wanted", ["0", "0000", "00", ACTOR])
def test_an_actor_answers_to_its_number_and_its_name(api: Api, wanted: str) -> None:
    assert api.json(f"/api/actors/{wanted}/training-data")["actor_name"] == ACTOR


def test_an_unknown_actor_is_a_404_of_the_one_shape(api: Api) -> None:
    answer = api.get("/api/actors/9/training-data")
    assert answer.status == 404
    told = answer.json()
    assert list(told) == ["error", "message", "hint"]
    assert (told["error"], "'9'" in told["message"]) == ("unknown_actor", True)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nowhere", 404, "not_found"),
        ("/api/actors?page=0", 422, "validation"),
        ("/api/actors?sort=beauty", 422, "validation"),
        (f"{DATA}/nobody.jpg", 404, "unknown_image"),
    ],
)
def test_every_error_has_the_one_shape(api: Api, path: str, status: int, code: str) -> None:
    answer = api.get(path)
    assert answer.status == status
    assert answer.json()["error"] == code
    assert set(answer.json()) == {"error", "message", "hint"}


def test_an_image_that_is_only_in_s3_has_no_local_path(api: Api, seed: Tree) -> None:
    seed.object(ACTOR, f"{ACTOR}_99.jpg")
    seed.library().sync()
    last = api.json(DATA)["training_images"][-1]
    assert (last["status"], last["local_exists"], last["local_path"]) == ("s3_only", False, None)


def test_a_changed_a_new_and_a_deleted_file_are_told_at_once_without_hashing(api: Api, seed: Tree) -> None:
    seed.image(ACTOR, f"{ACTOR}_0.jpg", b"other bytes", mtime_s=SETTLED_S + 9)
    seed.image(ACTOR, "new.png")
    os.unlink(seed.folder(ACTOR) / f"{ACTOR}_1.jpg")
    told = api.json(DATA)
    images = {image["filename"]: image for image in told["training_images"]}
    assert told["changed_since_sync"] is True
    assert told["orphaned_files"] == ["new.png"]
    assert images[f"{ACTOR}_0.jpg"]["changed_since_sync"] == "touched"
    assert images[f"{ACTOR}_0.jpg"]["md5_hash"] == md5_of(f"{ACTOR}_0.jpg".encode())  # as recorded: nothing was hashed
    gone = images[f"{ACTOR}_1.jpg"]
    assert (gone["changed_since_sync"], gone["local_exists"], gone["status"]) == ("gone", False, "synced")
    assert images[f"{ACTOR}_2.jpg"]["changed_since_sync"] is None


def test_missing_images_are_told_apart_from_the_others(api: Api, seed: Tree) -> None:
    os.unlink(seed.folder(ACTOR) / f"{ACTOR}_16.jpg")
    seed.library().sync()
    told = api.json(DATA)
    assert (told["total_count"], told["missing_count"]) == (16, 1)
    assert [image["filename"] for image in told["missing_images"]] == [f"{ACTOR}_16.jpg"]


def test_out_of_sync_says_which_side_changed(api: Api, seed: Tree) -> None:
    seed.image(ACTOR, f"{ACTOR}_0.jpg", b"other bytes", mtime_s=SETTLED_S + 9)
    seed.library().sync()
    first = api.json(DATA)["training_images"][0]
    assert (first["status"], first["change"]) == ("out_of_sync", "local")


def test_what_has_not_changed_is_not_sent_again(api: Api, seed: Tree) -> None:
    first = api.get(DATA)
    tag = first.headers["ETag"]
    again = api.get(DATA, if_none_match=tag)
    assert (again.status, again.data, again.headers["ETag"]) == (304, b"", tag)
    seed.image(ACTOR, "new.png")
    assert api.get(DATA, if_none_match=tag).status == 200


def test_the_documents_that_are_kept_are_those_that_were_asked_for_last(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("0000_a", "0001_b", "0002_c")
    for name in names:
        tree.image(name, "a.png")
    tree.library().sync(offline=True)
    made: list[str] = []
    training_data = views.training_data

    def counted(glance: Glance, *told: Any) -> dict[str, Any]:
        made.append(glance.actor.name)
        return training_data(glance, *told)

    monkeypatch.setattr(views, "training_data", counted)
    with running(tree.library(), watch=False) as api:
        size = len(api.get(f"/api/actors/{names[0]}/training-data").data)
        monkeypatch.setattr(documents, "_KEPT_BYTES", 2.5 * size)
        for name in (names[1], names[0], names[2], names[0], names[1]):
            api.json(f"/api/actors/{name}/training-data")
    assert made == [*names, names[1]]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_answers_are_compressed_where_that_is_asked_for(api: Api, coding: str) -> None:
    answer = api.http.request("GET", api.base + DATA, headers={"Accept-Encoding": coding}, decode_content=False)
    assert answer.headers["Content-Encoding"] == coding
    plain = api.get(DATA)
    assert "Content-Encoding" not in plain.headers
    assert len(answer.data) < len(plain.data) / 4


def test_one_image_comes_with_its_entry(api: Api, seed: Tree) -> None:
    answer = api.get(f"{DATA}/{ACTOR}_0.jpg")
    told = answer.json()
    assert told["raw"] == seed.read_manifest("0000")["training_data"][0]
    assert answer.headers["ETag"] == told["etag"] == api.json(DATA)["training_images"][0]["etag"]
    assert answer.headers["Cache-Control"] == "no-store"
    (seed.folder(ACTOR) / f"{ACTOR}_0.jpg").unlink()
    again = api.get(f"{DATA}/{ACTOR}_0.jpg", if_none_match=told["etag"])  # the entry is the same, the disk is not
    assert (again.status, again.headers["ETag"]) == (200, told["etag"])
    assert (again.json()["local_exists"], again.json()["changed_since_sync"]) == (False, "gone")


def test_marks_and_prompts_are_set_and_can_be_taken_back(api: Api, seed: Tree) -> None:
    answer = api.send("PATCH", f"{DATA}/{ACTOR}_3.jpg", body={"good": True, "prompt": "in rain"})
    assert answer.status == 200
    told = answer.json()
    assert (told["good"], told["prompt"]) == (True, "in rain")
    assert seed.read_manifest("0000")["training_data"][3]["good"] is True
    assert api.send("PATCH", f"{DATA}/{ACTOR}_3.jpg", body={"good": True}).json()["run"] == ""
    library = seed.library()
    library.apply(library.plan_undo(told["run"]))
    image = api.json(f"{DATA}/{ACTOR}_3.jpg")
    assert (image["good"], image["prompt"]) == (False, None)


def test_an_empty_prompt_removes_it(api: Api) -> None:
    assert api.send("PATCH", f"{DATA}/{ACTOR}_0.jpg", body={"prompt": ""}).json()["prompt"] is None


def test_a_mark_on_what_somebody_else_has_changed_is_refused(api: Api, seed: Tree) -> None:
    tag = api.json(f"{DATA}/{ACTOR}_3.jpg")["etag"]
    seed.library().mark(ACTOR, f"{ACTOR}_3.jpg", prompt="somebody else's")
    refused = api.send("PATCH", f"{DATA}/{ACTOR}_3.jpg", body={"good": True}, headers={"If-Match": tag})
    assert (refused.status, refused.json()["error"]) == (412, "changed")
    image = api.json(f"{DATA}/{ACTOR}_3.jpg")
    assert (image["good"], image["prompt"]) == (False, "somebody else's")
    done = api.send("PATCH", f"{DATA}/{ACTOR}_3.jpg", body={"good": True}, headers={"If-Match": image["etag"]})
    assert done.status == 200
    assert done.headers["ETag"] == done.json()["etag"] != image["etag"]


def test_an_image_that_is_gone_as_soon_as_it_is_marked_is_told(
    api: Api, seed: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    curate = Library.curate

    def then_gone(library: Library, *args: Any, **wanted: Any) -> Curated:
        done = curate(library, *args, **wanted)
        seed.write_manifest("0000", {"character_name": ACTOR, "training_data": []})
        return done

    monkeypatch.setattr(Library, "curate", then_gone)
    answer = api.send("PATCH", f"{DATA}/{ACTOR}_3.jpg", body={"good": True})
    assert (answer.status, answer.json()["error"]) == (404, "unknown_image")


def test_many_images_are_marked_in_one_run_or_none(api: Api, seed: Tree) -> None:
    changes = {f"{ACTOR}_1.jpg": {"good": True}, f"{ACTOR}_2.jpg": {"good": False, "prompt": "x"}}
    told = api.send("PATCH", DATA, body={"images": changes}).json()
    assert [(image["filename"], image["good"], image["prompt"]) for image in told["images"]] == [
        (f"{ACTOR}_1.jpg", True, None),
        (f"{ACTOR}_2.jpg", False, "x"),
    ]
    before = seed.manifest_path("0000").read_bytes()
    refused = api.send("PATCH", DATA, body={"images": {f"{ACTOR}_5.jpg": {"good": True}, "nobody.jpg": {"good": True}}})
    assert (refused.status, refused.json()["error"]) == (404, "unknown_image")
    assert seed.manifest_path("0000").read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [{"good": "yes"}, {"god": True}, [], {"prompt": 7}, b"{", b"[" * 100_000, b'{"good": ' + b"1" * 5000 + b"}"],
    ids=["a word", "a wrong key", "a list", "a number", "half a body", "very deep", "very large a number"],
)
def test_a_body_that_makes_no_sense_is_named_and_nothing_written(api: Api, seed: Tree, body: object) -> None:
    before = seed.manifest_path("0000").read_bytes()
    sent = {"headers": {"Content-Type": "application/json"}} if isinstance(body, bytes) else {}
    answer = api.send("PATCH", f"{DATA}/{ACTOR}_0.jpg", body=body, **sent)
    assert (answer.status, answer.json()["error"]) == (422, "validation")
    assert answer.json()["hint"]
    assert seed.manifest_path("0000").read_bytes() == before


def test_the_list_of_actors_tells_what_the_manifests_say(api: Api) -> None:
    told = api.json("/api/actors")
    assert told["actors"][0] | {"manifest_updated": "", "base_image_url": ""} == {
        "actor_id": 0,
        "actor_name": ACTOR,
        "base_image_url": "",
        "total_count": 17,
        "synced_count": 12,
        "local_only_count": 5,
        "s3_only_count": 0,
        "out_of_sync_count": 0,
        "missing_count": 0,
        "good_count": 1,
        "problem_count": 0,
        "manifest_updated": "",
    }
    assert told["totals"]["synced"] == 12
    assert api.json("/api/actors?status=s3_only")["actors"] == []


def test_an_actor_whose_folder_is_a_link_is_told_like_others(api: Api, seed: Tree) -> None:
    folder, away = seed.root / seed.where.folder(ACTOR), seed.root / "other disk"
    before = api.json(DATA)
    folder.rename(away)
    folder.symlink_to(away)
    assert api.json(DATA) == before
    assert api.json("/api/actors")["actors"][0]["base_image_url"] == before["base_image_url"] is not None
    assert api.get(before["training_images"][0]["local_path"]).data == f"{ACTOR}_0.jpg".encode()
    assert api.get(before["base_image_path"]).data == b"base"
    away.rename(seed.root / "unplugged")
    told = api.json(DATA)
    assert [problem["code"] for problem in told["problems"]] == ["unreadable"]
    assert (told["total_count"], told["base_image_url"]) == (17, None)


def test_the_list_is_told_with_the_actors_folder_away(api: Api, seed: Tree) -> None:
    before = api.json("/api/actors")["actors"]
    folder = seed.root / seed.where.actors_dir
    folder.rename(seed.root / "aside")
    told = api.json("/api/actors")
    assert [problem["code"] for problem in told["problems"]] == ["tree"]
    assert told["actors"] == [{**row, "base_image_url": None} for row in before]


def test_an_actor_that_vanishes_while_the_list_is_made_spoils_no_other(
    api: Api, seed: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.folder("0001_bo")
    assert api.json("/api/actors")["total"] == 2
    page = Index.page

    def gone_meanwhile(index: Index, **wanted: Any) -> Page:
        found = page(index, **wanted)
        shutil.rmtree(seed.root / seed.where.folder("0001_bo"))
        return found

    monkeypatch.setattr(Index, "page", gone_meanwhile)
    rows = api.json("/api/actors")["actors"]
    assert [(row["actor_name"], row["base_image_url"] is None) for row in rows] == [(ACTOR, False), ("0001_bo", True)]


def test_a_manifest_that_cannot_be_used_is_a_409_that_names_file_and_place(api: Api, seed: Tree) -> None:
    seed.manifest_path("0000").write_bytes(b'{"training_data": 7}')
    answer = api.get(DATA)
    assert (answer.status, answer.json()["error"]) == (409, "manifest")
    assert "data/actor_manifests/0000_manifest.json" in answer.json()["message"]
    assert "training_data" in answer.json()["message"]


def test_an_actor_without_a_number_has_its_name_for_an_id(api: Api, seed: Tree) -> None:
    seed.image("nobody", "a.png")
    told = api.json("/api/actors/nobody/training-data")
    assert (told["actor_id"], told["orphaned_files"]) == ("nobody", ["a.png"])


def test_the_address_is_that_of_the_bucket_not_of_the_store_that_was_used(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "project")
    tree.image(ACTOR, "a.png")
    url = s3_url(tree.where.location(ACTOR, "a.png"), tree.where.region)
    tree.response(ACTOR, [url])
    tree.library().sync(offline=True)
    with running(tree.library(), watch=False) as api:
        assert api.json(DATA)["training_images"][0]["s3_url"] == url
