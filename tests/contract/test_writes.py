"""What writes, copies and deletions promise beyond the bytes: conditions, sources, sizes. Held against every store."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import pytest

from callsheet.errors import BadDigest, LocalError, NoSuchBucket, NoSuchObject, ObjectChanged, RemoteError
from callsheet.model import Location
from callsheet.remote import multipart, session
from callsheet.remote.contract import ANYTHING, Source
from keys import ODD_KEYS, UNABLE
from servers import Store

MIB = 1 << 20
NO_ETAG = "0" * 32
HEEDS = ("memory", "directory", "ministack")
"""The stores that heed conditions. rclone's server ignores them, and cannot copy in parts."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "pause", lambda seconds: None)


def md5_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def put(store: Store, key: str, body: bytes | Source, **options: Any) -> str:
    whole = body if isinstance(body, bytes) else body.open().read()
    return store.remote.put(Location(store.bucket, key), body, md5=options.pop("md5", md5_of(whole)), **options)


def read(store: Store, key: str) -> bytes:
    location = Location(store.bucket, key)
    return b"".join(store.remote.read(location, if_match=store.remote.head(location).etag).blocks)


def known_md5(store: Store, key: str) -> str | None:
    seen = store.remote.head(Location(store.bucket, key))
    return seen.etag if seen.etag_is_md5 else seen.md5


def source(body: bytes) -> Source:
    return Source(len(body), lambda: io.BytesIO(body))


# --- Conditions ------------------------------------------------------------------------------------------------------------


def test_a_new_object_overwrites_none(store: Store) -> None:
    etag = put(store, "a.jpg", b"old", replaces=None)
    assert store.remote.head(Location(store.bucket, "a.jpg")).etag == etag
    for _ in range(3):
        with pytest.raises(ObjectChanged, match=r"/a\.jpg: there is an object already"):
            put(store, "a.jpg", b"new", replaces=None)
        assert read(store, "a.jpg") == b"old"
    put(store, "b.jpg", b"new", replaces=None)
    assert read(store, "b.jpg") == b"new"


def test_an_object_is_replaced_only_if_it_is_the_expected_one(store: Store) -> None:
    first = put(store, "a.jpg", b"1")
    second = put(store, "a.jpg", b"2", replaces=first)
    assert read(store, "a.jpg") == b"2"
    for stale in (first, NO_ETAG):
        with pytest.raises(ObjectChanged):
            put(store, "a.jpg", b"3", replaces=stale)
        assert read(store, "a.jpg") == b"2"
    put(store, "a.jpg", b"4", replaces=second)
    assert read(store, "a.jpg") == b"4"
    with pytest.raises(ObjectChanged):
        put(store, "a.jpg", b"5", replaces=second)


def test_an_object_that_is_gone_is_not_replaced(store: Store) -> None:
    etag = put(store, "a.jpg", b"old")
    store.remote.delete(Location(store.bucket, "a.jpg"))
    with pytest.raises(ObjectChanged):
        put(store, "a.jpg", b"new", replaces=etag)
    with pytest.raises(NoSuchObject):
        store.remote.head(Location(store.bucket, "a.jpg"))


def test_bytes_that_are_there_already_are_no_error(store: Store) -> None:
    """As after a write whose answer was lost."""
    etag = put(store, "a.jpg", b"same")
    assert put(store, "a.jpg", b"same", replaces=None) == etag
    assert put(store, "a.jpg", b"same", replaces=NO_ETAG) == etag
    assert put(store, "a.jpg", b"same", replaces=etag) == etag
    assert put(store, "a.jpg", b"same", replaces=ANYTHING) == etag


@pytest.mark.parametrize("expected", [None, NO_ETAG])
def test_a_missing_bucket_is_no_missing_object(store: Store, expected: str | None) -> None:
    nowhere, here = Location(f"{store.bucket}-no", "a.jpg"), Location(store.bucket, "a.jpg")
    etag = put(store, "a.jpg", b"here")
    with pytest.raises(NoSuchBucket):
        store.remote.put(nowhere, b"x", md5=md5_of(b"x"), replaces=expected)
    with pytest.raises(NoSuchBucket):
        store.remote.copy(nowhere, here, if_match=NO_ETAG, replaces=expected)
    with pytest.raises(NoSuchBucket):
        store.remote.copy(here, nowhere, if_match=etag, replaces=expected)
    with pytest.raises(NoSuchBucket):
        store.remote.delete(nowhere, if_match=NO_ETAG)


def test_an_object_is_deleted_only_if_it_is_the_expected_one(store: Store) -> None:
    location = Location(store.bucket, "a.jpg")
    for _ in range(2):
        old = put(store, "a.jpg", b"old")
        new = put(store, "a.jpg", b"new")
        with pytest.raises(ObjectChanged, match="Cannot delete"):
            store.remote.delete(location, if_match=old)
        assert read(store, "a.jpg") == b"new"
        store.remote.delete(location, if_match=new)
        with pytest.raises(NoSuchObject):
            store.remote.head(location)
        store.remote.delete(location, if_match=new)


def test_of_many_who_create_an_object_one_wins(store: Store) -> None:
    """A store that ignores conditions says so in its notes."""
    bodies = [bytes([number]) * 3000 for number in range(16)]

    def create(body: bytes) -> bool:
        try:
            put(store, "a.jpg", body, replaces=None)
        except ObjectChanged:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, bodies))
    assert read(store, "a.jpg") in [body for body, one in zip(bodies, won, strict=True) if one]
    assert won.count(True) == 1 or store.name not in HEEDS


def test_of_many_who_replace_an_object_one_wins(store: Store) -> None:
    etag = put(store, "a.jpg", b"old")

    def work(number: int) -> bool:
        try:
            put(store, "a.jpg", bytes([number]) * 3000, replaces=etag)
        except ObjectChanged:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(work, range(16)))
    assert won.count(True) == 1 or store.name not in HEEDS


def test_a_store_that_ignores_conditions_says_so(store: Store) -> None:
    assert store.remote.notes() == ()
    first = put(store, "a.jpg", b"1", replaces=None)
    second = put(store, "a.jpg", b"2", replaces=first)
    store.remote.delete(Location(store.bucket, "a.jpg"), if_match=second)
    if store.name in HEEDS:
        assert store.remote.notes() == ()
    else:
        [note] = store.remote.notes()
        assert store.bucket in note
        assert note.endswith(".")


# --- Sources ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [0, 1, 300_000, MIB, (5 << 19) + 1])
def test_a_source_is_stored_as_bytes_are(store: Store, size_bytes: int) -> None:
    body = os.urandom(size_bytes)
    put(store, "a.jpg", source(body), replaces=None)
    assert read(store, "a.jpg") == body
    assert known_md5(store, "a.jpg") == md5_of(body)


def test_every_file_that_a_source_opened_is_closed(store: Store) -> None:
    body, files = os.urandom(3 * MIB), []

    def opened() -> BinaryIO:
        files.append(io.BytesIO(body))
        return files[-1]

    store.remote.put(Location(store.bucket, "a.jpg"), Source(len(body), opened), md5=md5_of(body))
    assert files
    assert all(file.closed for file in files)


class Broken(io.BytesIO):
    """A file that cannot be read to its end."""

    def __init__(self, body: bytes, error: Exception) -> None:
        super().__init__(body)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise self.error
        return super().read(min(size or 1000, 1000))


@pytest.mark.parametrize("size_bytes", [2000, 3 * MIB])
@pytest.mark.parametrize("error", [LocalError("Cannot read a.jpg"), OSError(5, "Input/output error")])
def test_a_source_that_fails_midway_stores_nothing(store: Store, size_bytes: int, error: Exception) -> None:
    put(store, "a.jpg", b"old")
    body = os.urandom(size_bytes)
    with pytest.raises(LocalError, match=r"a\.jpg"):
        put(store, "a.jpg", Source(size_bytes, lambda: Broken(body, error)), md5=md5_of(body))
    assert read(store, "a.jpg") == b"old"
    put(store, "a.jpg", body)
    assert read(store, "a.jpg") == body


def test_a_source_that_cannot_be_opened_is_a_local_error(store: Store) -> None:
    def gone() -> BinaryIO:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    with pytest.raises(LocalError, match="No such file"):
        store.remote.put(Location(store.bucket, "a.jpg"), Source(1, gone), md5=md5_of(b"x"))


@pytest.mark.parametrize("size_bytes", [2000, 3 * MIB])
def test_a_source_of_another_length_or_content_is_a_bad_digest(store: Store, size_bytes: int) -> None:
    put(store, "a.jpg", b"old")
    body = os.urandom(size_bytes)
    short = Source(size_bytes + 1, source(body).open)
    flipped = source(body[:-1] + bytes([body[-1] ^ 1]))
    for wrong in (short, flipped):
        with pytest.raises(BadDigest):
            put(store, "a.jpg", wrong, md5=md5_of(body))
        assert read(store, "a.jpg") == b"old"


# --- In parts --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "THRESHOLD_BYTES", MIB)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * MIB)


LARGE = os.urandom(11 * MIB + 1)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("body", [LARGE, source(LARGE)], ids=["bytes", "source"])
def test_a_large_object_is_stored_whole_with_its_md5(store: Store, body: bytes | Source) -> None:
    etag = put(store, "a b+c%é.png", body, replaces=None)
    seen = store.remote.head(Location(store.bucket, "a b+c%é.png"))
    assert (seen.etag, seen.size_bytes) == (etag, len(LARGE))
    assert known_md5(store, "a b+c%é.png") == md5_of(LARGE)
    assert read(store, "a b+c%é.png") == LARGE
    assert etag.endswith("-3") or store.name != "ministack"


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_heeds_conditions(store: Store) -> None:
    old = put(store, "a.png", b"old")
    for stale in (None, NO_ETAG):
        with pytest.raises(ObjectChanged):
            put(store, "a.png", LARGE, replaces=stale)
        assert read(store, "a.png") == b"old"
    etag = put(store, "a.png", LARGE, replaces=old)
    for lost in (None, NO_ETAG, old, etag):
        assert put(store, "a.png", LARGE, replaces=lost) == etag


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_that_fails_leaves_nothing(store: Store) -> None:
    put(store, "a.png", b"old")
    with pytest.raises(BadDigest):
        put(store, "a.png", LARGE, md5=md5_of(b"other"))
    with pytest.raises(LocalError):
        put(
            store,
            "a.png",
            Source(len(LARGE), lambda: Broken(LARGE, LocalError("no disk"))),
            md5=md5_of(LARGE),
        )
    with pytest.raises(BadDigest):
        put(store, "a.png", Source(len(LARGE) + 1, source(LARGE).open), md5=md5_of(LARGE))
    assert read(store, "a.png") == b"old"
    assert [one.location.key for one in store.remote.list(store.bucket, "")] == ["a.png"]


# --- Copies ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS, ids=ascii)
def test_a_copy_has_the_bytes_and_the_known_md5(store: Store, key: str) -> None:
    if key in UNABLE.get(store.name, {}):
        return  # it cannot be put either
    for start, end in ((key, "copied/from.jpg"), ("copied/from.jpg", f"to/{key}")):
        if not list(store.remote.list(store.bucket, start)):
            put(store, start, b"bytes")
        origin, target = Location(store.bucket, start), Location(store.bucket, end)
        etag = store.remote.copy(origin, target, if_match=md5_of(b"bytes"), replaces=None)
        assert store.remote.head(target).etag == etag
        assert read(store, end) == b"bytes"
        assert known_md5(store, end) == md5_of(b"bytes")
        assert read(store, start) == b"bytes"


def test_a_copy_is_of_the_expected_version_to_the_expected_place(store: Store) -> None:
    origin, target = Location(store.bucket, "a.jpg"), Location(store.bucket, "b.jpg")
    with pytest.raises(NoSuchObject, match=r"a\.jpg"):
        store.remote.copy(origin, target, if_match=NO_ETAG)
    stale, etag = put(store, "a.jpg", b"old"), put(store, "a.jpg", b"new")
    with pytest.raises(ObjectChanged, match=r"a\.jpg"):
        store.remote.copy(origin, target, if_match=stale)
    with pytest.raises(ObjectChanged, match=r"b\.jpg"):
        store.remote.copy(origin, target, if_match=etag, replaces=NO_ETAG)
    with pytest.raises(NoSuchObject):
        store.remote.head(target)
    held = put(store, "b.jpg", b"held")
    for wrong in (None, NO_ETAG):
        with pytest.raises(ObjectChanged, match=r"b\.jpg"):
            store.remote.copy(origin, target, if_match=etag, replaces=wrong)
        assert read(store, "b.jpg") == b"held"
    copied = store.remote.copy(origin, target, if_match=etag, replaces=held)
    assert read(store, "b.jpg") == b"new"
    for lost in (None, NO_ETAG, held, copied):
        assert store.remote.copy(origin, target, if_match=etag, replaces=lost) == copied


def test_a_copy_onto_itself_changes_nothing(store: Store) -> None:
    location = Location(store.bucket, "a.jpg")
    etag = put(store, "a.jpg", b"bytes")
    assert store.remote.copy(location, location, if_match=etag) == etag
    with pytest.raises(ObjectChanged):
        store.remote.copy(location, location, if_match=NO_ETAG)
    assert read(store, "a.jpg") == b"bytes"


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copy_of_a_large_object_keeps_its_md5(
    open_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(multipart, "COPY_THRESHOLD_BYTES", MIB)
        monkeypatch.setattr(multipart, "COPY_PART_BYTES", 6 * MIB)
    store = open_store("ministack")
    origin, target = Location(store.bucket, "a b+c%é.png"), Location(store.bucket, "b.png")
    etag = put(store, origin.key, LARGE)
    copied = store.remote.copy(origin, target, if_match=etag, replaces=None)
    assert copied.endswith("-2" if in_parts else "-3")
    assert read(store, "b.png") == LARGE
    assert known_md5(store, "b.png") == md5_of(LARGE)
    assert store.remote.copy(origin, target, if_match=etag, replaces=None) == copied


@pytest.mark.usefixtures("small_parts")
def test_a_store_that_cannot_copy_in_parts_is_found_out(
    open_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """rclone's server takes each part of a copy for an empty one, and says that all went well."""
    store = open_store("rclone")
    etag = put(store, "a.png", LARGE)
    monkeypatch.setattr(multipart, "COPY_THRESHOLD_BYTES", MIB)
    with pytest.raises(RemoteError):
        store.remote.copy(Location(store.bucket, "a.png"), Location(store.bucket, "b.png"), if_match=etag)


# --- Reading ---------------------------------------------------------------------------------------------------------------


def test_a_reading_describes_what_it_reads(store: Store) -> None:
    body = os.urandom(3000)
    etag = put(store, "a.jpg", body)
    location = Location(store.bucket, "a.jpg")
    reading = store.remote.read(location, if_match=etag)
    assert reading.described == store.remote.head(location)
    assert b"".join(reading.blocks) == body


def test_a_version_that_is_gone_is_not_begun_to_be_read(store: Store) -> None:
    location = Location(store.bucket, "a.jpg")
    old = put(store, "a.jpg", b"old")
    new = put(store, "a.jpg", b"new")
    with pytest.raises(ObjectChanged):
        store.remote.read(location, if_match=old)
    store.remote.delete(location)
    with pytest.raises(NoSuchObject):
        store.remote.read(location, if_match=new)


def test_a_reading_that_nobody_takes_holds_nothing(store: Store) -> None:
    etag = put(store, "a.jpg", os.urandom(3 * MIB))
    for _ in range(3):
        store.remote.read(Location(store.bucket, "a.jpg"), if_match=etag)
