"""A directory as a bucket: what its files are called, and what is no object."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callsheet.errors import (
    AccessDenied,
    BadDigest,
    BrokenListing,
    NoSuchBucket,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    Unreachable,
)
from callsheet.model import Location
from callsheet.remote import directory
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.paths import decode_file, decode_folder, encode_key

keys = st.text(st.one_of(st.sampled_from("a./%2E"), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20)


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "store" / "bucket"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def remote(bucket: Path) -> DirectoryRemote:
    return DirectoryRemote(str(bucket.parent), "us-west-1")


def put(remote: DirectoryRemote, key: str, body: bytes = b"bytes") -> str:
    return remote.put(Location("bucket", key), body, md5=hashlib.md5(body).hexdigest())


def listed(remote: DirectoryRemote, prefix: str = "") -> list[str]:
    return [one.location.key for one in remote.list("bucket", prefix)]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("system_actors/training_data/0000_x/0000_x_1.jpg", "system_actors/training_data/0000_x/0000_x_1.jpg"),
        ("README", "README%"),
        ("v1.0/a.jpg", "v1.0%/a.jpg"),
        ("/a.jpg", "%%/a.jpg"),
        ("a//b.jpg", "a/%%/b.jpg"),
        ("dir/", "dir/%"),
        ("../x.jpg", "%2E%2E/x.jpg"),
        ("..", "%2E%2E%"),
        ("100%.jpg", "100%25.jpg"),
        ("a\0\n\x7f.jpg", "a%00%0A%7F.jpg"),
    ],
)
def test_ordinary_keys_have_their_own_names_and_odd_ones_are_encoded(key: str, path: str) -> None:
    assert encode_key(key) == path


@given(key=keys)
def test_every_key_has_a_path_that_stays_inside_and_leads_back(key: str) -> None:
    *folders, filename = encode_key(key).split("/")
    assert not {"", ".", ".."} & {*folders, filename}
    assert "/".join([*map(str, map(decode_folder, folders)), str(decode_file(filename))]) == key


@given(name=st.text(st.sampled_from("a.%25E0d\x01"), min_size=1, max_size=8))
@example(name="%%")
@example(name="%2e")
def test_a_name_is_a_folder_a_file_or_neither_and_stands_for_one_key(name: str) -> None:
    folder, file = decode_folder(name), decode_file(name)
    assert folder is None or file is None
    if folder is not None:
        assert encode_key(f"{folder}/x.y") == f"{name}/x.y"
    if file is not None:
        assert encode_key(file) == name


def test_what_is_no_object_is_not_listed(remote: DirectoryRemote, bucket: Path, tmp_path: Path) -> None:
    put(remote, "a.jpg")
    (bucket / "README").write_bytes(b"no encoding of a key")
    (bucket / ".git").mkdir()
    (bucket / "empty").mkdir()
    os.mkfifo(bucket / "pipe.jpg")
    (tmp_path / "outside.jpg").write_bytes(b"")
    (bucket / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (bucket / "loop").symlink_to(bucket)
    assert listed(remote) == ["a.jpg"]
    for key in ("link.jpg", "loop/a.jpg", "pipe.jpg", "empty"):
        with pytest.raises(NoSuchObject):
            remote.head(Location("bucket", key))
    with pytest.raises(RemoteError):
        put(remote, "loop/b.jpg")
    assert listed(remote, "loop/") == []


@pytest.mark.parametrize(
    ("path", "better"),
    [("50%.jpg", "50%25.jpg"), ("%2e.jpg", "%252e.jpg"), ("v1.0/x.jpg", "v1.0%"), (os.fsdecode(b"\xff.jpg"), "jpg")],
)
def test_what_was_put_there_under_another_name_is_told_not_overlooked(
    remote: DirectoryRemote, bucket: Path, path: str, better: str
) -> None:
    put(remote, "a.jpg")
    (bucket / path).parent.mkdir(exist_ok=True)
    (bucket / path).write_bytes(b"")
    with pytest.raises(BrokenListing) as caught:
        listed(remote)
    assert better in caught.value.hint


def test_a_file_that_changes_has_another_etag(remote: DirectoryRemote, bucket: Path) -> None:
    etag = put(remote, "a.jpg", b"old")
    (bucket / "a.jpg").write_bytes(b"newer")
    [seen] = remote.list("bucket", "")
    assert seen.etag == hashlib.md5(b"newer").hexdigest()
    with pytest.raises(ObjectChanged):
        remote.read(Location("bucket", "a.jpg"), if_match=etag)


def test_a_file_is_hashed_once(remote: DirectoryRemote, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bucket / "a.jpg").write_bytes(b"bytes")
    assert listed(remote) == ["a.jpg"]
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert listed(remote) == ["a.jpg"]


def test_a_file_that_is_overwritten_while_it_is_read_is_no_whole_object(remote: DirectoryRemote, bucket: Path) -> None:
    etag = put(remote, "a.jpg", b"x" * (3 << 20))
    for size_bytes, error in ((3 << 20, ObjectChanged), (1 << 20, Unreachable)):
        blocks = remote.read(Location("bucket", "a.jpg"), if_match=etag).blocks
        next(blocks)
        (bucket / "a.jpg").write_bytes(b"y" * size_bytes)
        with pytest.raises(error):
            list(blocks)
        etag = put(remote, "a.jpg", b"x" * (3 << 20))


def test_a_failed_write_leaves_the_old_object_and_nothing_else(
    remote: DirectoryRemote, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(remote, "a.jpg", b"old")

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RemoteError, match=r"Cannot write s3://bucket/a\.jpg: No space left on device"):
        put(remote, "a.jpg", b"new")
    assert [path.name for path in bucket.iterdir()] == ["a.jpg"]
    assert (bucket / "a.jpg").read_bytes() == b"old"


def test_a_half_written_file_is_no_object(remote: DirectoryRemote, bucket: Path) -> None:
    (bucket / f"{directory._TEMPORARY}0123456789abcdef").write_bytes(b"half")
    assert listed(remote) == []


def test_folders_come_and_go_with_their_objects(remote: DirectoryRemote, bucket: Path) -> None:
    put(remote, "a/b/c.jpg")
    put(remote, "a/d.jpg")
    remote.delete(Location("bucket", "a/b/c.jpg"))
    assert [path.name for path in (bucket / "a").iterdir()] == ["d.jpg"]
    remote.delete(Location("bucket", "a/d.jpg"))
    assert bucket.is_dir()
    assert not any(bucket.iterdir())


def test_a_name_that_the_file_system_cannot_hold_is_a_clear_error(remote: DirectoryRemote) -> None:
    long = "x" * 300 + ".jpg"
    with pytest.raises(RemoteError, match="File name too long") as caught:
        put(remote, long)
    assert caught.value.hint == "Rename the file"
    with pytest.raises(NoSuchObject):
        remote.head(Location("bucket", long))
    assert listed(remote) == listed(remote, f"{long}/") == []


def test_what_may_not_be_read_is_not_absent(remote: DirectoryRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    put(remote, "a/b.jpg")

    def refuse(path: str, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    for name in ("scandir", "lstat"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(AccessDenied):
                listed(remote, "a/")
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        with pytest.raises(AccessDenied):
            listed(remote)


def test_a_disk_that_is_unmounted_while_it_is_listed_is_not_an_empty_bucket(
    remote: DirectoryRemote, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(remote, "a/1.jpg")
    put(remote, "b/2.jpg")
    objects: Iterator[object] = remote.list("bucket", "")
    next(objects)
    bucket.rename(bucket.with_name("elsewhere"))
    with pytest.raises(NoSuchBucket):
        list(objects)


def test_of_two_who_open_the_same_directory_one_wins(remote: DirectoryRemote, bucket: Path) -> None:
    """As two processes do: they share no lock but the folder's."""
    others = [DirectoryRemote(str(bucket.parent), "us-west-1") for _ in range(8)]

    def create(number: int) -> bool:
        body = bytes([number]) * 1000
        try:
            others[number].put(Location("bucket", "a.jpg"), body, md5=hashlib.md5(body).hexdigest(), replaces=None)
        except ObjectChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, range(8))).count(True) == 1
    assert [path.name for path in bucket.iterdir()] == ["a.jpg"]


def test_a_file_system_that_cannot_lock_is_told(remote: DirectoryRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    body = b"bytes"
    remote.put(Location("bucket", "a.jpg"), body, md5=hashlib.md5(body).hexdigest(), replaces=None)
    assert ["cannot lock" in note for note in remote.notes()] == [True]


def test_a_write_that_fails_leaves_no_folder_behind(remote: DirectoryRemote, bucket: Path) -> None:
    with pytest.raises(BadDigest):
        remote.put(Location("bucket", "a/b/c.jpg"), b"bytes", md5="0" * 32)
    assert list(bucket.iterdir()) == []


def test_it_can_be_sent_to_another_process(remote: DirectoryRemote) -> None:
    etag = put(remote, "a.jpg")
    copy = pickle.loads(pickle.dumps(remote))
    assert copy.head(Location("bucket", "a.jpg")).etag == etag
