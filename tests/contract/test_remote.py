"""What `remote.contract.Remote` promises, held against every store: memory, a directory, S3 on two servers.

Where a server cannot do what S3 does, `UNABLE` says so, with what it does instead; the tests assert that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callsheet.errors import (
    BadDigest,
    BrokenListing,
    NoSuchBucket,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    Unreachable,
)
from callsheet.layout import endpoint_url, s3_url
from callsheet.model import Location, RemoteObject
from callsheet.remote import s3, session
from callsheet.remote.breaker import Breaker
from callsheet.remote.s3 import S3Remote
from keys import NFC, NFD, ODD_KEYS, UNABLE
from servers import REGION, Store

UNABLE_PREFIX = {("rclone", "/"): ("it drops leading slashes, and lists everything", BrokenListing)}

TWINS: tuple[tuple[tuple[str, ...], dict[str, tuple[str, type[RemoteError]]]], ...] = (
    (("a", "a/b"), {"rclone": ("a file and a folder of its local backend cannot share a name", Unreachable)}),
    (("dir", "dir/", "dir/x"), {"rclone": ("it drops a trailing slash", Unreachable)}),
    ((NFC, NFD), {}),
    (("Upper.jpg", "upper.jpg"), {}),
    (("%", "%25", "%2525"), {}),
    (("a.jpg", "a.jpg%", "a.jpg/b"), {"rclone": ("a file and a folder cannot share a name", Unreachable)}),
)  # fmt: skip
"""Keys that are easily taken for one another; by store, why the server cannot hold them side by side and what that raises."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "pause", lambda seconds: None)


def md5_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def put(store: Store, key: str, body: bytes | None = None) -> RemoteObject:
    body = key.encode() if body is None else body
    location = Location(store.bucket, key)
    etag = store.remote.put(location, body, md5=md5_of(body))
    stored = store.remote.head(location)
    assert stored.etag == etag
    return stored


def put_all(store: Store, keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: put(store, key), keys))


def listed(store: Store, prefix: str = "") -> list[str]:
    return [one.location.key for one in store.remote.list(store.bucket, prefix)]


def read(store: Store, key: str, etag: str) -> bytes:
    return b"".join(store.remote.read(Location(store.bucket, key), if_match=etag).blocks)


@pytest.mark.parametrize("key", ODD_KEYS, ids=ascii)
def test_a_key_comes_back_as_it_went_in(store: Store, key: str) -> None:
    _, instead = UNABLE.get(store.name, {}).get(key, ("", key))
    if not isinstance(instead, str):
        with pytest.raises(instead):
            put(store, key)
        assert listed(store) == []
        return
    stored = put(store, key, b"bytes")
    location = Location(store.bucket, key)
    assert stored.location == location
    assert store.remote.head(location) == stored
    assert read(store, key, stored.etag) == b"bytes"
    assert listed(store) == [instead]
    assert listed(store, instead) == [instead]
    store.remote.delete(location)
    assert listed(store) == []


@pytest.mark.parametrize(("keys", "unable"), TWINS, ids=ascii)
def test_twins_stay_apart(
    store: Store, keys: tuple[str, ...], unable: dict[str, tuple[str, type[RemoteError]]]
) -> None:
    if store.name in unable:
        with pytest.raises(unable[store.name][1]):
            [put(store, key) for key in keys]
        return
    etags = {key: put(store, key).etag for key in keys}
    assert listed(store) == sorted(keys)
    assert [read(store, key, etags[key]) for key in keys] == [key.encode() for key in keys]
    store.remote.delete(Location(store.bucket, keys[0]))
    assert listed(store) == sorted(keys[1:])


@pytest.mark.parametrize("reverse", [False, True])
def test_a_listing_is_in_the_order_of_utf8_bytes(store: Store, reverse: bool) -> None:
    keys = sorted(
        [
            "a-b/x.jpg",
            "a/x.jpg",
            "a.jpg",
            "a0.jpg",
            "a!/x.jpg",
            "Z.jpg",
            "a/a/b.jpg",
            "é.jpg",
            "\uffee.jpg",
            "\U0001f600.jpg",
        ]
    )
    for key in sorted(keys, reverse=reverse):
        put(store, key)
    assert listed(store) == keys


def test_a_listing_of_many_pages_has_each_key_once(store: Store) -> None:
    keys = sorted(f"{folder}{number:03}.jpg" for folder in ("p/", "p-", "p/q/", "pz") for number in range(260))
    put_all(store, keys)
    assert listed(store) == keys
    assert listed(store, "p/") == [key for key in keys if key.startswith("p/")]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/b/", "a/b.jpg", "+", "% ", "none", "/", "a//"])
def test_a_prefix_is_plain_text(store: Store, prefix: str) -> None:
    keys = ["a/b.jpg", "a/b/c.jpg", "a/bc.jpg", "ab.jpg", "+/x.jpg", "% x.jpg", "other.jpg"]
    for key in keys:
        put(store, key)
    if (store.name, prefix) in UNABLE_PREFIX:
        with pytest.raises(UNABLE_PREFIX[store.name, prefix][1]):
            listed(store, prefix)
        return
    assert listed(store, prefix) == sorted(key for key in keys if key.startswith(prefix))


def test_listing_and_head_agree(store: Store) -> None:
    stored = put(store, "folder/a.jpg", b"x" * 1000)
    [seen] = store.remote.list(store.bucket, "folder/")
    assert (seen.location, seen.size_bytes, seen.etag) == (stored.location, 1000, stored.etag)
    assert seen.last_modified == stored.last_modified == store.remote.head(stored.location).last_modified
    assert stored.last_modified.utcoffset() == timedelta(0)
    assert stored.last_modified.microsecond == 0
    assert seen.etag_is_md5 is not False


def test_what_was_put_has_a_known_md5(store: Store) -> None:
    body = os.urandom(1000)
    stored = put(store, "a.jpg", body)
    seen = store.remote.head(stored.location)
    assert md5_of(body) in (seen.md5, seen.etag if seen.etag_is_md5 else None)
    assert '"' not in seen.etag


def test_a_put_replaces(store: Store) -> None:
    put(store, "a.jpg", b"old")
    stored = put(store, "a.jpg", b"newer")
    assert read(store, "a.jpg", stored.etag) == b"newer"
    assert stored.size_bytes == 5


def test_bytes_that_do_not_fit_their_md5_are_not_stored(store: Store) -> None:
    stored = put(store, "a.jpg", b"old")
    for wrong in (md5_of(b"other"), "", "no md5"):
        with pytest.raises(BadDigest):
            store.remote.put(stored.location, b"new", md5=wrong)
    assert read(store, "a.jpg", stored.etag) == b"old"


@pytest.mark.parametrize("size_bytes", [0, 1, 1 << 20, (5 << 19) + 1])
def test_a_body_comes_in_chunks_of_at_most_a_mebibyte(store: Store, size_bytes: int) -> None:
    body = os.urandom(size_bytes)
    stored = put(store, "a.jpg", body)
    chunks = list(store.remote.read(stored.location, if_match=stored.etag).blocks)
    assert b"".join(chunks) == body
    assert all(0 < len(chunk) <= 1 << 20 for chunk in chunks)


def test_a_body_need_not_be_read_to_its_end(store: Store) -> None:
    stored = put(store, "a.jpg", os.urandom(5 << 20))
    for _ in range(5):
        chunks = store.remote.read(stored.location, if_match=stored.etag).blocks
        assert next(chunks)
        del chunks
    assert store.remote.head(stored.location) == stored


def test_another_version_is_not_read(store: Store) -> None:
    old = put(store, "a.jpg", b"old")
    put(store, "a.jpg", b"new")
    with pytest.raises(ObjectChanged):
        read(store, "a.jpg", old.etag)


def test_absent_is_not_the_same_as_unknown(store: Store) -> None:
    absent, nowhere = Location(store.bucket, "a.jpg"), Location(f"{store.bucket}-no", "a.jpg")
    for location, error in ((absent, NoSuchObject), (nowhere, NoSuchBucket)):
        with pytest.raises(error):
            store.remote.head(location)
        with pytest.raises(error):
            store.remote.read(location, if_match=md5_of(b""))
    assert listed(store) == []
    with pytest.raises(NoSuchBucket):
        list(store.remote.list(nowhere.bucket, "any/prefix/"))
    with pytest.raises(NoSuchBucket):
        store.remote.put(nowhere, b"", md5=md5_of(b""))
    with pytest.raises(NoSuchBucket):
        store.remote.delete(nowhere)


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    stored = put(store, "a/b.jpg")
    store.remote.delete(stored.location)
    store.remote.delete(stored.location)
    store.remote.delete(Location(store.bucket, "a/b.jpg/c.jpg"))
    with pytest.raises(NoSuchObject):
        store.remote.head(stored.location)


@pytest.mark.parametrize("bucket", ["", "..", ".", "a/b", "-x", "a b", "a@b", "x\n"])
def test_what_is_no_bucket_name_reaches_no_store(store: Store, bucket: str) -> None:
    with pytest.raises(RemoteError):
        list(store.remote.list(bucket, ""))
    with pytest.raises(RemoteError):
        store.remote.delete(Location(bucket, "a"))


@pytest.mark.parametrize("key", ["", "\ud800.jpg"])
def test_what_is_no_key_reaches_no_store(store: Store, key: str) -> None:
    put(store, "a.jpg")
    location = Location(store.bucket, key)
    for attempt in (
        lambda: store.remote.head(location),
        lambda: store.remote.read(location, if_match=""),
        lambda: store.remote.put(location, b"", md5=md5_of(b"")),
        lambda: store.remote.delete(location),
    ):
        with pytest.raises(RemoteError):
            attempt()
    assert listed(store) == ["a.jpg"]


def test_an_error_names_what_it_is_about(store: Store) -> None:
    location = Location(store.bucket, "folder/a\n.jpg")
    with pytest.raises(NoSuchObject, match=rf"s3://{store.bucket}/folder/a\\n\.jpg"):
        store.remote.head(location)


def test_many_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> None:
        folder, body = f"t{number:02}", os.urandom(2000)
        for index in range(6):
            stored = put(store, f"{folder}/{index}.jpg", body)
            assert read(store, stored.location.key, stored.etag) == body
        assert listed(store, f"{folder}/") == [f"{folder}/{index}.jpg" for index in range(6)]
        for index in range(6):
            store.remote.delete(Location(store.bucket, f"{folder}/{index}.jpg"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert listed(store) == []


def test_many_threads_may_write_the_same_key(store: Store) -> None:
    bodies = [bytes([number]) * 3000 for number in range(8)]

    def work(body: bytes) -> str:
        return store.remote.put(Location(store.bucket, "a.jpg"), body, md5=md5_of(body))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, bodies)) == [md5_of(body) for body in bodies]
    seen = store.remote.head(
        Location(store.bucket, "a.jpg")
    )  # rclone, once in a while, lists what was so written twice
    assert read(store, "a.jpg", seen.etag) in bodies


def test_a_url_is_plain_and_lasting(store: Store) -> None:
    location = Location(store.bucket, "a b/c+d%é.jpg")
    endpoint = store.remote._endpoint_url if isinstance(store.remote, S3Remote) else None
    assert store.remote.url(location) == (endpoint_url(location, endpoint) if endpoint else s3_url(location, REGION))
    assert "?" not in store.remote.url(location)


keys_of_any_kind = st.sets(
    st.text(
        st.one_of(st.sampled_from("ab./% +\\~é%25"), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=10
    ),
    max_size=12,
)


@pytest.mark.parametrize("name", ["memory", "directory", "ministack"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=keys_of_any_kind)
def test_a_listing_has_exactly_the_keys_that_were_put(
    name: str, open_store: Callable[[str], Store], keys: set[str]
) -> None:
    store = open_store(name)
    for key in keys:
        put(store, key)
    assert listed(store) == sorted(keys, key=str.encode)
    for key in keys:
        assert read(store, key, md5_of(key.encode())) == key.encode()


def test_a_url_for_anybody_is_made_without_a_request_where_there_are_such_urls(store: Store) -> None:
    place = Location(store.bucket, "not/there.jpg")
    url = store.remote.presigned(place, expires_s=900, content_type="image/jpeg")
    origin = store.remote.origin(store.bucket)
    if store.name in ("memory", "directory"):
        assert (url, origin) == (None, None)
    else:
        assert url is not None
        assert origin is not None
        assert url.startswith(f"{origin}/{store.bucket}/not/there.jpg?")
    assert Breaker(store.remote).origin(store.bucket) == origin
    assert (Breaker(store.remote).presigned(place, expires_s=900, content_type="image/jpeg") is None) == (url is None)


@pytest.mark.parametrize("expires_s", [-1, 0, 901])
def test_no_url_for_anybody_lasts_longer_than_a_quarter_of_an_hour(store: Store, expires_s: int) -> None:
    with pytest.raises(ValueError, match="900"):
        store.remote.presigned(Location(store.bucket, "a.jpg"), expires_s=expires_s, content_type="image/jpeg")


BOUNDS = ["", "a", "a/", "a/b", "a/b.jpg", "a/b.jpg!", "a0", "b/", "b/é.jpg", "zz"]


@pytest.mark.parametrize("prefix", ["", "a/"])
def test_a_listing_is_of_the_keys_between_two(store: Store, prefix: str) -> None:
    keys = ["a/a+b.jpg", "a/b.jpg", "a/b/c.jpg", "a/c%.jpg", "a0/x.jpg", "b/é.jpg", "b/ü.jpg"]
    put_all(store, keys)
    for after in BOUNDS:
        for before in BOUNDS:
            found = [one.location.key for one in store.remote.list(store.bucket, prefix, after=after, before=before)]
            wanted = [key for key in keys if key.startswith(prefix) and key > after and (not before or key < before)]
            assert found == wanted, (after, before)


def test_a_listing_between_two_keys_goes_over_many_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PAGE_KEYS", 3)
    keys = [f"x/{number:02}.jpg" for number in range(20)]
    put_all(store, keys)
    found = [one.location.key for one in store.remote.list(store.bucket, "x/", after=keys[4], before=keys[15])]
    assert found == keys[5:15]
