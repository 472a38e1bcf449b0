"""Images come whole, in parts or small, from the side that has them, and are kept by browsers for as long as they are the same."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from PIL import Image

from api_server import Api, running
from callsheet import open_library
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.model import Actor, Location
from callsheet.remote.contract import Reading
from callsheet.survey import Survey
from callsheet.web import thumbnails
from factory import USER_BUCKET, Tree, md5_of
from servers import ACCESS_KEY, SECRET_KEY, Server
from stage import ANNA, LATER_S, picture

FOR_EVER = "private, max-age=31536000, immutable"
SIZE = (600, 400)


def url(name: str, what: str = "content") -> str:
    return f"/api/actors/{ANNA}/training-data/{name}/{what}"


def drawn(kind: str, *, mode: str = "RGB", size: tuple[int, int] = SIZE, **options: object) -> bytes:
    """An image whose left half is red, in the file format `kind`."""
    image = Image.new("RGBA", size, (0, 0, 255, 255))
    image.paste((255, 0, 0, 255), (0, 0, size[0] // 2, size[1]))
    held = io.BytesIO()
    image.convert(mode).save(held, kind, **options)
    return held.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    image.load()
    return image


def colour(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = image.convert("RGB").getpixel((x, y))
    assert isinstance(found, tuple)
    return found


@pytest.fixture
def anna(tree: Tree) -> Tree:
    """One image on both sides, one on each, and one that differs."""
    tree.both(ANNA, "both.png", picture(1))
    tree.image(ANNA, "mine.png", picture(2))
    tree.object(ANNA, "theirs.png", picture(3))
    tree.both(ANNA, "other.png", picture(4))
    tree.object(ANNA, "other.png", picture(5))
    tree.library().sync()
    return tree


@pytest.fixture
def api(anna: Tree) -> Iterator[Api]:
    with running(anna.library()) as server:
        yield server


@pytest.mark.parametrize(
    ("target", "seed"),
    [
        ("both.png/content", 1),
        ("both.png/content?side=s3", 1),
        ("mine.png/content?side=local", 2),
        ("theirs.png/content", 3),
        ("theirs.png/content?direct=false", 3),
        ("other.png/content", 4),
        ("other.png/content?side=s3", 5),
        ("other.png/content?side=local&direct=false", 4),
    ],
)
def test_an_image_comes_from_the_side_that_has_it_or_is_asked_for(api: Api, target: str, seed: int) -> None:
    answer = api.get(f"/api/actors/0/training-data/{target}")
    assert (answer.status, answer.data) == (200, picture(seed))
    assert answer.headers["Content-Type"] == "image/png"
    assert int(answer.headers["Content-Length"]) == len(picture(seed))
    head = api.send("HEAD", f"/api/actors/0/training-data/{target}")
    assert (head.status, head.data) == (200, b"")
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("theirs.png/content?side=local", 404, "not_local"),
        ("mine.png/content?side=s3", 404, "not_in_s3"),
        ("mine.png/thumbnail?side=s3", 404, "not_in_s3"),
        ("theirs.png/thumbnail?side=local", 404, "not_local"),
        ("nobody.png/content", 404, "unknown_image"),
        ("both.png/content?side=both", 422, "validation"),
        ("both.png/thumbnail?width=100", 422, "validation"),
    ],
)
def test_what_is_not_there_is_told(api: Api, target: str, status: int, code: str) -> None:
    answer = api.get(f"/api/actors/{ANNA}/training-data/{target}")
    assert (answer.status, answer.json()["error"]) == (status, code)


@pytest.mark.parametrize("target", ["training-data/both.png/content", "training-data/both.png/thumbnail", "base-image"])
def test_an_image_is_found_in_one_look_at_who_is_here(
    anna: Tree, api: Api, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """What has changed at a second look, such as a folder that collides since the first, would be told as a fault of the server."""
    base = anna.root / anna.where.folder(ANNA) / "base_image" / f"{ANNA}_base.png"
    base.parent.mkdir()
    base.write_bytes(drawn("PNG"))
    looks, survey = [], Library.survey

    def counted(library: Library) -> Survey:
        if not threading.current_thread().name.startswith("callsheet-"):
            looks.append(library)
        return survey(library)

    monkeypatch.setattr(Library, "survey", counted)
    assert api.get(f"/api/actors/{ANNA}/{target}").status == 200
    assert len(looks) == 1


def test_an_image_that_is_gone_from_both_sides_is_told(anna: Tree, api: Api) -> None:
    (anna.root / anna.where.image(ANNA, "mine.png")).unlink()
    assert api.get(url("mine.png")).json()["error"] == "not_local"


@pytest.mark.parametrize("name", ["unreadable.txt", "noext", "page.svg"])
def test_a_record_that_is_no_image_is_not_shown(anna: Tree, name: str) -> None:
    document = anna.read_manifest("0000")
    document["training_data"].append({**document["training_data"][0], "filename": name})
    anna.write_manifest("0000", document)
    with running(anna.library()) as api:
        answer = api.get(url(name))
    assert (answer.status, answer.json()["error"]) == (415, "not_an_image")


def test_files_are_found_under_the_paths_that_the_api_tells(anna: Tree) -> None:
    base = anna.root / anna.where.folder(ANNA) / "base_image" / f"{ANNA}_base.png"
    base.parent.mkdir()
    base.write_bytes(drawn("PNG"))
    with running(anna.library()) as api:
        document = api.json(f"/api/actors/{ANNA}/training-data")
        assert api.get(document["base_image_path"]).data == base.read_bytes()
        for image in document["training_images"]:
            if image["local_path"]:
                assert api.get(image["local_path"]).data == (anna.root / image["local_path"][1:]).read_bytes()
        small = api.get(document["base_image_url"])
        assert opened(small.data).size == (256, 171)
        assert small.headers["Cache-Control"] == FOR_EVER
        base.unlink()
        assert api.get(f"/api/actors/{ANNA}/base-image").json()["error"] == "no_base_image"


def test_files_are_found_where_the_settings_put_them(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "project", where=Layout(actors_dir="people/all of them"))
    tree.image(ANNA, "a.png", picture(1))
    (tree.root / "callsheet.toml").write_text('actors_dir = "people/all of them"\n')
    tree.library().sync()
    with running(tree.library()) as api:
        path = api.json(f"/api/actors/{ANNA}/training-data")["training_images"][0]["local_path"]
        assert api.get(path.replace(" ", "%20")).data == picture(1)


def test_odd_names_come_back_as_they_are(tree: Tree) -> None:
    names = ['a "b".png', "ü ✓.png", "100% #1?.png", "semi;colon.png", "%2e%2e.png"]
    for seed, name in enumerate(names):
        tree.image(ANNA, name, picture(seed))
    tree.library().sync()
    with running(tree.library()) as api:
        images = {image["filename"]: image for image in api.json("/api/actors/0/training-data")["training_images"]}
        for seed, name in enumerate(names):
            answer = api.get(images[name]["content_url"])
            assert answer.data == picture(seed)
            encoded = answer.headers["Content-Disposition"].removeprefix("inline; filename*=UTF-8''")
            assert encoded.isascii()
            assert not set(encoded) & set(' "\\;,')


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-100000000", 206, slice(5, None)),
        ("bytes=100000000-", 416, None),
    ],
)
@pytest.mark.parametrize("path", [url("both.png"), f"/data/actors/{ANNA}/training_data/both.png"])
def test_a_part_can_be_asked_for(api: Api, path: str, asked: str, status: int, part: slice | None) -> None:
    answer = api.get(path, range=asked)
    assert answer.status == status
    if part is not None:
        whole = picture(1)
        assert answer.data == whole[part]
        start = range(len(whole))[part].start
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(answer.data) - 1}/{len(whole)}"
        assert answer.headers["Content-Type"] == "image/png"


def test_a_part_of_another_version_is_not_given(api: Api) -> None:
    tag = api.get(url("both.png")).headers["ETag"]
    assert api.get(url("both.png"), range="bytes=0-9", if_range=tag).status == 206
    answer = api.get(url("both.png"), range="bytes=0-9", if_range='"another"')
    assert (answer.status, answer.data) == (200, picture(1))


@pytest.mark.parametrize(
    "target", ["both.png/content", "both.png/content?side=s3", "both.png/thumbnail", "theirs.png/thumbnail"]
)
def test_what_a_browser_has_is_not_sent_again(api: Api, target: str) -> None:
    path = f"/api/actors/{ANNA}/training-data/{target}"
    first = api.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = api.get(path, if_none_match=first.headers["ETag"])
    assert (again.status, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert api.get(path, if_none_match='"another"').status == 200


@pytest.mark.parametrize("what", ["content_url", "thumbnail_url"])
def test_what_can_never_change_is_kept_for_ever(anna: Tree, api: Api, what: str) -> None:
    images = api.json(f"/api/actors/{ANNA}/training-data")["training_images"]
    for image in images:
        answer = api.get(image[what])
        assert answer.headers["Cache-Control"] == FOR_EVER, image["filename"]
        assert api.get(image[what], if_none_match=answer.headers["ETag"]).headers["Cache-Control"] == FOR_EVER
        assert api.get(image[what] + "0").headers["Cache-Control"] == "no-cache"
    anna.image(ANNA, "both.png", picture(9), mtime_s=LATER_S)
    both = next(image for image in images if image["filename"] == "both.png")
    assert api.get(both[what]).headers["Cache-Control"] == "no-cache"
    assert api.get(both["content_url"]).data == picture(9)


def test_many_reads_leave_no_file_open(api: Api) -> None:
    def rounds() -> int:
        for _ in range(5):
            tag = api.get(url("both.png")).headers["ETag"]
            api.get(url("both.png"), if_none_match=tag)
            api.get(url("both.png"), range="bytes=0-1")
            api.get(url("both.png"), range="bytes=999999-")
            api.send("HEAD", url("both.png"))
            api.get(url("theirs.png"))
            api.send("HEAD", url("theirs.png"))
            api.get(url("both.png", "thumbnail"))
        return len(os.listdir("/proc/self/fd"))

    rounds()
    assert rounds() <= rounds() + 1


def test_a_reader_who_leaves_early_leaves_nothing_open(tree: Tree) -> None:
    tree.both(ANNA, "big.bmp", b"BM" + os.urandom(32 << 20))
    tree.library().sync()
    with running(tree.library()) as api:
        api.get(url("big.bmp", "thumbnail"))
        before = len(os.listdir("/proc/self/fd"))
        for target in (url("big.bmp"), url("big.bmp") + "?side=s3"):
            with socket.create_connection(("127.0.0.1", api.port)) as wire:
                wire.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
                assert wire.recv(10)
        assert _soon(lambda: len(os.listdir("/proc/self/fd")) <= before)


def _soon(happened: Callable[[], bool]) -> bool:
    waited = threading.Event()
    return any(happened() or waited.wait(0.02) for _ in range(500))


FORMATS = {
    "a.jpg": drawn("JPEG"),
    "a.png": drawn("PNG"),
    "a.gif": drawn("GIF", mode="P"),
    "a.webp": drawn("WEBP", lossless=True),
    "a.avif": drawn("AVIF"),
    "a.bmp": drawn("BMP"),
    "gray.png": drawn("PNG", mode="L"),
    "bits.png": drawn("PNG", mode="1"),
    "palette.png": drawn("PNG", mode="P"),
    "alpha.png": drawn("PNG", mode="RGBA"),
    "cmyk.jpg": drawn("JPEG", mode="CMYK"),
    "gray.jpg": drawn("JPEG", mode="L"),
    "misnamed.jpg": drawn("PNG"),
    "UPPER.JPG": drawn("JPEG"),
}


def test_there_is_a_thumbnail_of_every_kind_of_image(tree: Tree) -> None:
    for name, content in FORMATS.items():
        tree.image(ANNA, name, content)
    tree.library().sync()
    with running(tree.library()) as api:
        for name in FORMATS:
            answer = api.get(url(name, "thumbnail"))
            assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp"), (name, answer.data)
            small = opened(answer.data)
            assert small.size == (256, 171)
            left, right = colour(small, 30, 80), colour(small, 220, 80)
            if "gray" not in name and "bits" not in name:
                assert left[0] > 200 > 60 > left[2], name
                assert right[2] > 200 > 60 > right[0], name
        sizes = {
            image["filename"]: (image["width"], image["height"])
            for image in api.json("/api/actors/0/training-data")["training_images"]
        }
        assert set(sizes.values()) == {SIZE}


def test_sixteen_bits_of_gray_stay_gray(tree: Tree) -> None:
    held = io.BytesIO()
    Image.new("I;16", (40, 40), 0x8000).save(held, "PNG")
    tree.image(ANNA, "deep.png", held.getvalue())
    tree.library().sync()
    with running(tree.library()) as api:
        shade = colour(opened(api.get(url("deep.png", "thumbnail")).data), 20, 20)
    assert all(abs(part - 128) < 4 for part in shade)


@pytest.mark.parametrize("width", [128, 256, 512, 1024])
def test_a_thumbnail_is_as_wide_as_asked_and_never_wider_than_the_image(tree: Tree, width: int) -> None:
    tree.image(ANNA, "a.png", drawn("PNG"))
    tree.library().sync()
    with running(tree.library()) as api:
        small = opened(api.get(url("a.png", "thumbnail") + f"?width={width}").data)
    assert small.size == ((width, round(width * 2 / 3)) if width < SIZE[0] else SIZE)


def test_an_image_that_lies_on_its_side_is_shown_upright(tree: Tree) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the right side of the picture is up
    tree.image(ANNA, "a.jpg", drawn("JPEG", exif=exif))
    tree.library().sync()
    with running(tree.library()) as api:
        small = opened(api.get(url("a.jpg", "thumbnail")).data)
        image = api.json("/api/actors/0/training-data")["training_images"][0]
    assert small.size == (171, 256)
    assert colour(small, 80, 30)[0] > 200
    assert colour(small, 80, 220)[2] > 200
    assert (image["width"], image["height"]) == (400, 600)
    assert 0x0112 not in small.getexif()


def test_what_shows_through_stays_so(tree: Tree) -> None:
    held = io.BytesIO()
    Image.new("RGBA", (50, 50), (10, 20, 30, 0)).save(held, "PNG")
    tree.image(ANNA, "a.png", held.getvalue())
    tree.library().sync()
    with running(tree.library()) as api:
        small = opened(api.get(url("a.png", "thumbnail")).data)
    assert small.mode == "RGBA"
    assert small.getchannel("A").getextrema() == (0, 0)


def test_of_what_moves_the_first_frame_is_shown(tree: Tree) -> None:
    held = io.BytesIO()
    frames = [Image.new("RGB", (50, 50), colour) for colour in ("red", "blue", "green")]
    frames[0].save(held, "GIF", save_all=True, append_images=frames[1:])
    tree.image(ANNA, "a.gif", held.getvalue())
    tree.library().sync()
    with running(tree.library()) as api:
        small = opened(api.get(url("a.gif", "thumbnail")).data)
    assert getattr(small, "n_frames", 1) == 1
    assert colour(small, 25, 25)[0] > 200


@pytest.mark.parametrize(
    "content",
    [b"nothing at all", drawn("PNG")[:200], drawn("JPEG")[:300], b"\x89PNG\r\n\x1a\n"],
    ids=["text", "half a png", "half a jpeg", "a head"],
)
def test_what_cannot_be_decoded_is_told(tree: Tree, content: bytes) -> None:
    tree.image(ANNA, "a.png", content)
    tree.library().sync()
    with running(tree.library()) as api:
        answer = api.get(url("a.png", "thumbnail"))
    assert (answer.status, answer.json()["error"]) == (415, "not_an_image")


def kept(tree: Tree) -> list[Path]:
    return sorted((tree.root / tree.where.state_dir / "thumbnails").rglob("*.webp"))


def test_a_thumbnail_is_made_once_and_again_if_it_was_deleted(anna: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _counted(monkeypatch)
    with running(anna.library()) as api:
        first = api.get(url("both.png", "thumbnail")).data
        md5 = md5_of(picture(1))
        assert kept(anna) == [anna.root / anna.where.state_dir / "thumbnails" / md5[:2] / f"{md5}_256.webp"]
        assert api.get(url("both.png", "thumbnail")).data == first
        assert made == [256]
        kept(anna)[0].unlink()
        assert api.get(url("both.png", "thumbnail")).data == first
        assert made == [256, 256]


def test_sizes_are_known_again_after_a_restart(anna: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(anna.library()) as api:
        api.get(url("both.png", "thumbnail"))
    made = _counted(monkeypatch)
    with running(anna.library()) as api:
        assert api.json(f"/api/actors/{ANNA}/training-data")["training_images"][0]["width"] is None
        api.get(url("both.png", "thumbnail"))
        assert api.json(f"/api/actors/{ANNA}/training-data")["training_images"][0]["width"] == 16
    assert made == []


def test_a_thumbnail_that_many_want_at_once_is_made_once(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.image(ANNA, "a.png", drawn("PNG", size=(2000, 2000)))
    tree.library().sync()
    made = _counted(monkeypatch)
    with running(tree.library()) as api, ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: api.get(url("a.png", "thumbnail")).data, range(16)))
    assert len(set(answers)) == 1
    assert made == [256]


def test_few_are_decoded_at_a_time_and_the_server_answers_meanwhile(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        tree.image(ANNA, f"{number}.png", picture(number))
    tree.library().sync()
    go, busy, most = threading.Event(), [0], [0]
    rendered, lock = thumbnails.rendered, threading.Lock()

    def slowly(file: io.BufferedReader, width: int) -> object:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        assert go.wait(20)
        with lock:
            busy[0] -= 1
        return rendered(file, width)

    monkeypatch.setattr(thumbnails, "rendered", slowly)
    with (
        running(tree.library()) as api,
        urllib3.PoolManager(maxsize=60, timeout=20) as http,
        ThreadPoolExecutor(60) as callers,
    ):
        asked = [
            callers.submit(http.request, "GET", f"{api.base}{url(f'{number}.png', 'thumbnail')}")
            for number in range(60)
        ]
        assert _soon(lambda: busy[0] == 2)
        assert api.get(f"/api/actors/{ANNA}/training-data").status == 200
        go.set()
        assert {answer.result().status for answer in asked} == {200}
    assert most == [2]


def test_a_file_that_has_changed_since_the_sync_is_shown_as_it_is_now(anna: Tree, api: Api) -> None:
    before = api.get(url("both.png", "thumbnail")).data
    anna.image(ANNA, "both.png", drawn("PNG"), mtime_s=LATER_S)
    assert api.get(url("both.png", "thumbnail")).data != before
    assert opened(api.get(url("both.png", "thumbnail")).data).size == (256, 171)
    recorded = anna.root / anna.where.thumbnail(md5_of(picture(1)), 256)
    assert recorded.read_bytes() == before
    anna.image(ANNA, "both.png", picture(1))
    assert api.get(url("both.png", "thumbnail")).data == before


def test_a_rotten_file_leaves_no_picture_under_the_good_content(anna: Tree, api: Api) -> None:
    good, path = picture(1), anna.root / anna.where.image(ANNA, "both.png")
    rotten = drawn("BMP", size=(2, 2))
    rotten += b"\0" * (len(good) - len(rotten))
    anna.image(ANNA, "both.png", rotten)
    assert path.stat().st_size == len(good)
    image = api.json(f"/api/actors/{ANNA}/training-data")["training_images"][0]
    assert image["changed_since_sync"] is None, "its size and time tell nothing"
    shown = api.get(image["thumbnail_url"])
    assert (opened(shown.data).size, shown.headers["Cache-Control"]) == ((2, 2), "no-cache")
    assert kept(anna) == []
    anna.image(ANNA, "both.png", good)
    repaired = api.get(image["thumbnail_url"])
    assert (opened(repaired.data).size, repaired.headers["Cache-Control"]) == ((16, 16), FOR_EVER)
    assert api.json(f"/api/actors/{ANNA}/training-data")["training_images"][0]["width"] == 16


def test_another_base_image_has_another_address(anna: Tree, api: Api) -> None:
    def put(kind: str, content: bytes) -> str:
        base = anna.root / anna.where.folder(ANNA) / "base_image" / f"{ANNA}_base.{kind}"
        base.parent.mkdir(exist_ok=True)
        base.write_bytes(content)
        os.utime(base, (LATER_S, LATER_S))
        told = api.json(f"/api/actors/{ANNA}/training-data")["base_image_url"]
        assert told == api.json("/api/actors")["actors"][0]["base_image_url"]
        assert api.get(told).headers["Cache-Control"] == FOR_EVER
        return str(told)

    contents = {"jpg": drawn("JPEG"), "png": drawn("PNG")}
    told = [put(kind, content) for kind, content in contents.items()]  # a png goes before a jpg
    told.append(put("png", drawn("PNG", size=(64, 64))))
    assert len(set(told)) == 3, "all are of one modification time"


def test_an_image_in_s3_is_fetched_once(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.object(ANNA, "a.png", drawn("PNG"))
    tree.library().sync()
    fetched: list[str] = []
    library = tree.library()
    fetch = library.fetch

    def counted(actor: str | Actor, filename: str) -> Reading:
        fetched.append(filename)
        return fetch(actor, filename)

    monkeypatch.setattr(library, "fetch", counted)
    with running(library) as api:
        for width in (256, 256, 128, 128):
            assert api.get(url("a.png", "thumbnail") + f"?width={width}").status == 200
    assert fetched == ["a.png", "a.png"]  # once for each width


@pytest.mark.parametrize("begun", [False, True], ids=["before it answers", "while it sends"])
def test_a_slow_store_holds_up_nobody_who_does_not_ask_it(
    anna: Tree, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    go, waiting, library = threading.Event(), [], anna.library()
    fetch = library.fetch

    def wait() -> None:
        waiting.append(begun)
        assert go.wait(20)

    def stalled(reading: Reading) -> Generator[bytes | bytearray]:
        wait()
        yield from reading.blocks

    def slowly(actor: str | Actor, filename: str) -> Reading:
        if not begun:
            wait()
        reading = fetch(actor, filename)
        return replace(reading, blocks=stalled(reading)) if begun else reading

    monkeypatch.setattr(library, "fetch", slowly)
    with (
        running(library) as api,
        urllib3.PoolManager(maxsize=60, timeout=20) as http,
        ThreadPoolExecutor(60) as callers,
    ):
        asked = [callers.submit(http.request, "GET", f"{api.base}{url('theirs.png')}") for _ in range(60)]
        assert _soon(lambda: len(waiting) >= 16)
        answer = http.request("GET", f"{api.base}/api/actors/{ANNA}/training-data", timeout=5, retries=False)
        held = len(waiting)
        go.set()
        assert answer.status == 200
        assert {answer.result().data for answer in asked} == {picture(3)}
    assert held == 16


def test_an_object_that_has_changed_since_the_sync_is_told(tree: Tree) -> None:
    tree.object(ANNA, "a.png", drawn("PNG"))
    tree.library().sync()
    tree.object(ANNA, "a.png", picture(1))
    with running(tree.library()) as api:
        for what in ("thumbnail", "content"):
            answer = api.get(url("a.png", what))
            assert (answer.status, answer.json()["error"]) == (409, "object_changed")
    assert kept(tree) == []


def test_a_disk_that_cannot_be_written_to_keeps_no_thumbnails_but_shows_them(anna: Tree) -> None:
    blocked = anna.root / anna.where.state_dir / "thumbnails"
    blocked.write_text("in the way")
    with running(anna.library()) as api:
        assert api.get(url("both.png", "thumbnail")).status == 200


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The widths of the thumbnails that are made from now on."""
    made: list[int] = []
    rendered = thumbnails.rendered

    def counted(file: io.BufferedReader, width: int) -> object:
        made.append(int(width))
        return rendered(file, width)

    monkeypatch.setattr(thumbnails, "rendered", counted)
    return made


@pytest.fixture
def s3(tmp_path: Path, ministack_server: Server, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Anna's images in a real S3: one on both sides, one only there."""
    for name, value in ministack_server.env.items():
        monkeypatch.setenv(name, value)
    bucket = ministack_server.make_bucket(f"images-{md5_of(str(tmp_path).encode())[:12]}")
    library = open_library(tmp_path / "project", remote=f"s3://{bucket}/x", environ={"AWS_REGION": "us-west-1"})
    tree = Tree(tmp_path / "project", library.remote, library.where)
    tree.both(ANNA, "both.png", picture(1))
    tree.object(ANNA, "theirs.png", picture(3))
    library.sync()
    return library


def test_a_browser_is_sent_to_s3_for_what_is_only_there(
    s3: Library, ministack_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with running(s3, access_log=True) as api:
        answer = api.get(url("theirs.png"))
        assert (answer.status, answer.data) == (307, b"")
        assert answer.headers["Cache-Control"] == "private, max-age=600"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        there = answer.headers["Location"]
        assert there.startswith(ministack_server.endpoint + "/")
        assert "X-Amz-Expires=900" in there
        assert SECRET_KEY not in there
        policy = api.get("/nowhere").headers["Content-Security-Policy"]
        assert f"img-src 'self' blob: {ministack_server.endpoint};" in policy
        with urllib3.PoolManager() as anybody:
            got = anybody.request("GET", there)
        assert (got.status, got.data) == (200, picture(3))
        assert api.get(url("theirs.png") + "?direct=false").data == picture(3)
        assert opened(api.get(url("theirs.png", "thumbnail")).data).size == (16, 16)
        assert api.get(url("both.png")).data == picture(1)
    signature = urlsplit(there).query.rpartition("X-Amz-Signature=")[2][:64]
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    for secret in (SECRET_KEY, ACCESS_KEY, signature):
        assert secret not in ours


def test_a_store_that_fails_is_told_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Library, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    library = open_library(s3.root, remote=f"s3://{s3.where.bucket}/x", environ={"AWS_REGION": "us-west-1"})
    with running(library) as api:
        answer = api.get(url("theirs.png", "thumbnail"))
    assert (answer.status, answer.json()["error"]) == (502, "unreachable")
    assert SECRET_KEY not in answer.data.decode() + caplog.text
    assert "Traceback" not in caplog.text


def test_a_bucket_that_the_settings_do_not_name_is_not_shown(tree: Tree) -> None:
    tree.response(ANNA, [tree.object(ANNA, "b.png", picture(1), at=Location(USER_BUCKET, f"u/{ANNA}/b.png"))])
    tree.library().sync()
    assert tree.statuses("0000") == {"b.png": "s3_only"}
    with running(tree.library()) as api:
        for what in ("content", "content?direct=false", "thumbnail"):
            answer = api.get(url("b.png", what))
            assert (answer.status, answer.json()["error"]) == (403, "foreign_bucket")
