"""Images are shown from S3 only as they are recorded, and only from buckets that the settings name."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from callsheet.errors import AccessDenied, ForeignBucket, NoSuchObject, ObjectChanged, UnknownActor, UnknownImage
from callsheet.library import Library
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import Reading
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from factory import USER_BUCKET, Tree
from servers import REGION, Server

ACTOR = "0000_x"
FAR = Location(USER_BUCKET, f"9f0c/custom_actor/{ACTOR}/far.png")


@pytest.fixture
def library(tree: Tree) -> Library:
    """An actor with an image on both sides, one here only, and one in another bucket."""
    tree.both(ACTOR, "both.png", b"bytes of both")
    tree.image(ACTOR, "here.png")
    tree.response(ACTOR, [tree.object(ACTOR, "far.png", b"far away", at=FAR)])
    tree.library().sync()
    return tree.library()


def content(reading: Reading) -> bytes:
    with closing(reading.blocks) as blocks:
        return b"".join(blocks)


def test_an_image_is_read_as_it_is_recorded(library: Library) -> None:
    reading = library.fetch("0", "both.png")
    assert (reading.described.size_bytes, content(reading)) == (13, b"bytes of both")


def test_an_object_that_is_another_by_now_is_not_shown(tree: Tree, library: Library) -> None:
    tree.object(ACTOR, "both.png", b"somebody else's")
    with pytest.raises(ObjectChanged):
        library.fetch(ACTOR, "both.png")
    tree.remote.delete(tree.where.location(ACTOR, "both.png"))
    with pytest.raises(NoSuchObject):
        library.fetch(ACTOR, "both.png")


def test_an_image_that_was_never_looked_at_is_read_as_it_is(tree: Tree) -> None:
    tree.response(ACTOR, [tree.object(ACTOR, "there.png", b"there")])
    tree.library().sync(offline=True)
    assert content(tree.library().fetch(ACTOR, "there.png")) == b"there"


@pytest.mark.parametrize("ask", [Library.fetch, Library.presigned])
def test_what_is_not_in_s3_is_told(library: Library, ask: object) -> None:
    assert callable(ask)
    for actor, name, error in (
        (ACTOR, "here.png", NoSuchObject),
        (ACTOR, "nobody.png", UnknownImage),
        (ACTOR, "../0000_x/both.png", UnknownImage),
        ("7", "both.png", UnknownActor),
    ):
        with pytest.raises(error):
            ask(library, actor, name)


class Watched(MemoryRemote):
    """Keeps the buckets that it is asked about."""

    def __init__(self, *buckets: str) -> None:
        super().__init__(buckets)
        self.asked: set[str] = set()

    def head(self, location: Location) -> RemoteObject:
        self.asked.add(location.bucket)
        return super().head(location)

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        self.asked.add(location.bucket)
        return super().read(location, if_match=if_match, into=into)


@pytest.mark.parametrize(
    "url",
    [
        "https://foreign.s3.us-west-1.amazonaws.com/both.png",
        "https://foreign.s3.amazonaws.com/x/both.png",
        "s3://foreign/both.png",
        "http://169.254.169.254/latest/meta-data/both.png",
        "https://user:password@evil.example/both.png",
        "file:///etc/both.png",
        "both.png",
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_no_manifest_chooses_what_is_asked(tree: Tree, library: Library, url: str, seen: bool) -> None:
    """Whoever can edit a manifest must not be shown what our credentials can read, nor send requests where they like."""
    document = tree.read_manifest("0000")
    for row in document["training_data"]:
        if row["filename"] == "both.png":
            row["s3_url"] = url
            if not seen:
                row["s3"] = None
    tree.write_manifest("0000", document)
    watched = Watched("foreign", "latest", tree.where.bucket)
    watching = open_library(tree.root, remote=watched, environ={})
    for ask in (watching.fetch, watching.presigned):
        with pytest.raises((ForeignBucket, NoSuchObject)):
            ask(ACTOR, "both.png")
    assert watched.asked == set()


def test_another_bucket_is_shown_once_the_settings_name_it(tree: Tree, library: Library) -> None:
    for ask in (library.fetch, library.presigned):
        with pytest.raises(ForeignBucket, match=USER_BUCKET) as caught:
            ask(ACTOR, "far.png")
        assert "other_buckets" in caught.value.hint
    named = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_OTHER_BUCKETS": USER_BUCKET})
    assert content(named.fetch(ACTOR, "far.png")) == b"far away"


def test_a_store_that_refuses_is_told(tree: Tree, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> Reading:
        raise AccessDenied("Cannot read it: access denied")

    monkeypatch.setattr(MemoryRemote, "read", denied)
    with pytest.raises(AccessDenied):
        library.fetch(ACTOR, "both.png")


def test_a_browser_gets_an_image_by_its_url_for_a_while(ministack_server: Server, tmp_path: Path) -> None:
    bucket = ministack_server.make_bucket("presigned-images")
    remote = S3Remote(REGION, endpoint_url=ministack_server.endpoint)
    tree = Tree(tmp_path / "project", remote)
    tree.where = replace(tree.where, bucket=bucket)
    tree.both(ACTOR, "a b.PNG", b"an image")
    library = open_library(tree.root, remote=remote, environ={"CALLSHEET_BUCKET": bucket})
    library.sync()
    url = library.presigned(ACTOR, "a b.PNG")
    with urllib3.PoolManager() as http:
        answer = http.request("GET", str(url))
    assert (answer.status, answer.data, answer.headers["Content-Type"]) == (200, b"an image", "image/png")
    with pytest.raises(ValueError, match="900"):
        library.presigned(ACTOR, "a b.PNG", expires_s=901)


def test_a_store_without_urls_has_none(library: Library) -> None:
    assert library.presigned(ACTOR, "both.png") is None
