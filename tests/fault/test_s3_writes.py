"""Writing to S3 when things go wrong: nothing is lost, nothing is overwritten, and a success is known for one.

Between callsheet and a real server stands one that spoils what a test tells it to.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from callsheet.errors import (
    AccessDenied,
    BadDigest,
    LocalError,
    NoCredentials,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    Unreachable,
)
from callsheet.model import Location
from callsheet.remote import budget, multipart, session
from callsheet.remote.contract import Source
from callsheet.remote.s3 import S3Remote
from faults import FaultServer, Reply, Rule, Seen, fault_server
from servers import REGION, Server

MIB = 1 << 20
OLD, BODY, LARGE = b"old", bytes(range(256)) * 1000, os.urandom(11 * MIB)
NO_ETAG = "0" * 32


def md5_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


MD5 = md5_of(BODY)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are noted and not made."""
    noted: list[float] = []
    monkeypatch.setattr(session, "pause", noted.append)
    return noted


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "THRESHOLD_BYTES", MIB)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * MIB)
    monkeypatch.setattr(multipart, "COPY_THRESHOLD_BYTES", 12 * MIB)
    monkeypatch.setattr(multipart, "COPY_PART_BYTES", 6 * MIB)


@pytest.fixture
def server(ministack_server: Server) -> Iterator[FaultServer]:
    with fault_server(ministack_server.endpoint) as running:
        yield running


@pytest.fixture
def remote(server: FaultServer) -> S3Remote:
    return S3Remote(REGION, endpoint_url=server.endpoint)


@pytest.fixture
def direct(ministack_server: Server) -> S3Remote:
    """The store without the spoiler."""
    return S3Remote(REGION, endpoint_url=ministack_server.endpoint)


@pytest.fixture
def place(ministack_server: Server) -> Location:
    return Location(ministack_server.make_bucket(f"writes-{uuid.uuid4().hex[:12]}"), "folder/a b+c.jpg")


def error(status: int, code: str) -> Reply:
    return Reply(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())


def content(remote: S3Remote, place: Location) -> bytes:
    return b"".join(remote.read(place, if_match=remote.head(place).etag).blocks)


def puts(server: FaultServer) -> list[Seen]:
    return [seen for seen in server.seen if seen.method == "PUT"]


def once(spoil: Rule) -> Rule:
    """A rule for the first request that it has something to say of, and for no other."""
    said: list[Reply] = []

    def rule(seen: Seen) -> Reply | None:
        if said:
            return None
        told = spoil(seen)
        if told is not None:
            said.append(told)
        return told

    return rule


def stores(seen: Seen) -> bool:
    """Whether a request makes an object."""
    return (seen.method == "PUT" and "partNumber" not in seen.target) or (
        seen.method == "POST" and "uploadId" in seen.target
    )


def without_conditions(seen: Seen) -> Seen:
    dropped = ("if-match", "if-none-match", "x-amz-copy-source-if-match")
    return replace(seen, headers={n: v for n, v in seen.headers.items() if n.lower() not in dropped})


# --- Answers that were lost ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["whole", "in parts"])
@pytest.mark.parametrize("trouble", [error(500, "InternalError"), Reply(hang_up=True), error(503, "SlowDown")])
@pytest.mark.parametrize("replacing", [False, True])
def test_a_write_whose_answer_was_lost_is_a_success(
    server: FaultServer,
    remote: S3Remote,
    direct: S3Remote,
    place: Location,
    trouble: Reply,
    body: bytes,
    replacing: bool,
) -> None:
    expected = direct.put(place, OLD, md5=md5_of(OLD)) if replacing else None

    def spoil(seen: Seen) -> Reply | None:
        if not stores(seen):
            return None
        assert server.forwarded(seen).status == 200
        return trouble

    server.rule = once(spoil)
    etag = remote.put(place, body, md5=md5_of(body), replaces=expected)
    assert direct.head(place).etag == etag
    assert content(direct, place) == body


@pytest.mark.parametrize("trouble", [error(500, "InternalError"), Reply(hang_up=True)])
def test_a_deletion_or_copy_whose_answer_was_lost_is_a_success(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, trouble: Reply
) -> None:
    etag = direct.put(place, BODY, md5=MD5)

    def spoil(seen: Seen) -> Reply | None:
        if seen.method in ("HEAD", "GET") or server.forwarded(seen).status >= 300:
            return None
        return trouble

    target = Location(place.bucket, "b.jpg")
    server.rule = once(spoil)
    assert remote.copy(place, target, if_match=etag, replaces=None) == etag
    assert content(direct, target) == BODY
    server.rule = once(spoil)
    remote.delete(place, if_match=etag)
    with pytest.raises(NoSuchObject):
        direct.head(place)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["whole", "in parts"])
@pytest.mark.usefixtures("small_parts")
def test_a_write_that_was_refused_after_somebody_else_wrote_is_none(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, body: bytes
) -> None:
    def spoil(seen: Seen) -> Reply | None:
        if stores(seen):
            direct.put(place, OLD, md5=md5_of(OLD))
        return None

    server.rule = spoil
    with pytest.raises(ObjectChanged):
        remote.put(place, body, md5=md5_of(body), replaces=None)
    assert content(direct, place) == OLD


# --- Stores that heed conditions in their own way --------------------------------------------------------------------------


def test_a_conflict_is_worth_another_try(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, pauses: list[float]
) -> None:
    conflict = error(409, "ConditionalRequestConflict")
    server.rule = once(lambda seen: conflict if seen.method == "PUT" else None)
    remote.put(place, BODY, md5=MD5, replaces=None)
    assert len(pauses) == 1
    assert content(direct, place) == BODY
    server.rule = lambda seen: conflict if seen.method == "PUT" else None
    with pytest.raises(ObjectChanged):
        remote.put(place, OLD, md5=md5_of(OLD), replaces=MD5)
    assert content(direct, place) == BODY


def not_implemented(seen: Seen) -> Reply | None:
    asked = {name.lower() for name in seen.headers} & {"if-match", "if-none-match"}
    return error(501, "NotImplemented") if asked and seen.method in ("PUT", "POST", "DELETE") else None


def ignoring(server: FaultServer) -> Rule:
    return lambda seen: server.forwarded(without_conditions(seen))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["whole", "in parts"])
@pytest.mark.parametrize("kind", ["ignores", "refuses"])
def test_where_conditions_are_not_heeded_the_place_is_looked_at(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, kind: str, body: bytes
) -> None:
    server.rule = not_implemented if kind == "refuses" else ignoring(server)
    md5 = md5_of(body)
    for number in range(2):
        at = Location(place.bucket, f"{number}.jpg")
        first = remote.put(at, OLD, md5=md5_of(OLD), replaces=None)
        for stale in (None, NO_ETAG):
            with pytest.raises(ObjectChanged):
                remote.put(at, body, md5=md5, replaces=stale)
            with pytest.raises(ObjectChanged):
                remote.delete(at, if_match=NO_ETAG)
            assert content(direct, at) == OLD
        second = remote.put(at, body, md5=md5, replaces=first)
        assert remote.put(at, body, md5=md5, replaces=None) == second
        target = Location(place.bucket, f"{number}-copy.jpg")
        copied = remote.copy(at, target, if_match=second, replaces=None)
        remote.delete(target, if_match=copied)
        remote.delete(at, if_match=second)
        assert list(direct.list(place.bucket, "")) == []
    [note] = remote.notes()
    assert place.bucket in note


def test_whether_a_store_heeds_conditions_is_asked_once(server: FaultServer, remote: S3Remote, place: Location) -> None:
    for heeds in (True, False):
        bucket_remote = remote if heeds else S3Remote(REGION, endpoint_url=server.endpoint)
        server.rule = None if heeds else ignoring(server)
        for number in range(4):
            at = Location(place.bucket, f"{heeds}-{number}.jpg")
            server.seen.clear()
            bucket_remote.put(at, BODY, md5=MD5, replaces=None)
            methods = [seen.method for seen in server.seen]
            if number == 0:
                assert methods.count("PUT") == 2
            else:
                assert methods == (["PUT"] if heeds else ["HEAD", "PUT"])
        assert len(bucket_remote.notes()) == (0 if heeds else 1)


def test_many_writers_ask_once(server: FaultServer, remote: S3Remote, place: Location) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: remote.put(Location(place.bucket, f"{n}.jpg"), BODY, md5=MD5, replaces=None),
                range(24),
            )
        )
    assert len(puts(server)) == 25


def test_a_store_that_wants_bare_etags_gets_them(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location
) -> None:
    """Ceph's radosgw 16 compares the header with the ETag as it keeps it, without quotes."""

    def rule(seen: Seen) -> Reply | None:
        quoted = '"' in seen.headers.get("If-Match", "")
        return error(412, "PreconditionFailed") if quoted else None

    server.rule = rule
    etag = direct.put(place, OLD, md5=md5_of(OLD))
    etag = remote.put(place, BODY, md5=MD5, replaces=etag)
    assert content(direct, place) == BODY
    server.seen.clear()
    etag = remote.put(place, OLD, md5=md5_of(OLD), replaces=etag)
    assert {seen.headers["If-Match"] for seen in puts(server)} == {MD5}
    with pytest.raises(ObjectChanged):
        remote.put(place, BODY, md5=MD5, replaces=NO_ETAG)
    remote.copy(place, Location(place.bucket, "b.jpg"), if_match=etag)
    remote.delete(place, if_match=etag)
    assert remote.notes() == ()


# --- Retrying --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [1000, 3 * MIB])
def test_a_retry_opens_the_source_again(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, size_bytes: int
) -> None:
    body, files = os.urandom(size_bytes), []

    def opened() -> io.BytesIO:
        files.append(io.BytesIO(body))
        return files[-1]

    server.script(error(500, "InternalError"), Reply(hang_up=True))
    remote.put(place, Source(size_bytes, opened), md5=md5_of(body))
    assert len(files) == 3
    assert all(file.closed for file in files)
    assert content(direct, place) == body


def test_a_source_that_fails_is_not_retried_and_spoils_no_connection(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, pauses: list[float]
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise LocalError("Cannot read a.jpg: the disk is gone")
            return super().read(size)

    body = os.urandom(3 * MIB)
    for _ in range(3):
        with pytest.raises(LocalError, match="the disk is gone"):
            remote.put(place, Source(len(body), lambda: Failing(body)), md5=md5_of(body))
    assert pauses == []
    remote.put(place, BODY, md5=MD5)
    assert content(direct, place) == BODY


def test_a_burst_of_slow_downs_is_survived(
    server: FaultServer, remote: S3Remote, place: Location, pauses: list[float]
) -> None:
    met: Counter[str] = Counter()

    def rule(seen: Seen) -> Reply | None:
        met[seen.target] += 1
        return error(503, "SlowDown") if met[seen.target] <= 5 else None

    server.rule = rule
    with ThreadPoolExecutor(8) as pool:
        places = [Location(place.bucket, f"{number}.jpg") for number in range(8)]
        assert list(pool.map(lambda at: remote.put(at, BODY, md5=MD5), places)) == [MD5] * 8
    assert len(pauses) == 40


def test_a_store_where_everything_fails_is_not_hammered(server: FaultServer, remote: S3Remote, place: Location) -> None:
    def attempt(_: int) -> None:
        with pytest.raises(Unreachable):
            remote.head(place)

    server.rule = lambda seen: error(500, "InternalError")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(200)))
    assert len(server.seen) == 200 + budget.CAPACITY // budget.RETRY_COST
    server.rule = None
    for _ in range(budget.RETRY_COST):
        with pytest.raises(NoSuchObject):
            remote.head(place)
    server.script(error(500, "InternalError"))
    assert list(remote.list(place.bucket, "")) == []


# --- Large objects ---------------------------------------------------------------------------------------------------------


def aborted(server: FaultServer) -> bool:
    return any(seen.method == "DELETE" and "uploadId=" in seen.target for seen in server.seen)


def open_uploads(direct: S3Remote, place: Location) -> bytes:
    from callsheet.remote.failures import Request

    return direct._session().send(Request("list", "GET", place.bucket, query=(("uploads", ""),))).body


PART_TROUBLES: dict[str, tuple[Callable[[Seen], Reply | None], type[Exception]]] = {
    "expired token": (lambda seen: error(400, "ExpiredToken") if "partNumber=2" in seen.target else None, NoCredentials),
    "refused part": (lambda seen: error(403, "AccessDenied") if "partNumber=3" in seen.target else None, AccessDenied),
    "part that never arrives": (lambda seen: Reply(hang_up=True) if "partNumber=2" in seen.target else None, Unreachable),
    "part of other bytes": (lambda seen: Reply(200, b"", {"ETag": f'"{NO_ETAG}"'}) if "partNumber=2" in seen.target else None, BadDigest),
    "refused completion": (lambda seen: error(200, "AccessDenied") if seen.method == "POST" and "uploadId" in seen.target else None, AccessDenied),
    "completion that fails in a success": (lambda seen: error(200, "InternalError") if seen.method == "POST" and "uploadId" in seen.target else None, Unreachable),
    "completion that says nothing": (lambda seen: Reply(200, b"  ") if seen.method == "POST" and "uploadId" in seen.target else None, RemoteError),
}  # fmt: skip


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("what", PART_TROUBLES)
def test_an_upload_that_fails_is_ended_and_leaves_nothing(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, what: str
) -> None:
    direct.put(place, OLD, md5=md5_of(OLD))
    server.rule, kind = PART_TROUBLES[what]
    with pytest.raises(kind):
        remote.put(place, LARGE, md5=md5_of(LARGE))
    assert aborted(server)
    assert content(direct, place) == OLD
    assert b"<UploadId>" not in open_uploads(direct, place)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("trouble", [error(200, "InternalError"), error(500, "InternalError"), Reply(hang_up=True)])
def test_parts_and_completion_are_retried(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, trouble: Reply
) -> None:
    troubled: set[tuple[str, str]] = set()

    def rule(seen: Seen) -> Reply | None:
        request = (seen.method, seen.target)
        if seen.method == "HEAD" or request in troubled or (trouble.status == 200 and seen.method != "POST"):
            return None
        if trouble.status == 200 and "uploads" in seen.target:
            return None
        troubled.add(request)
        return trouble

    server.rule = rule
    etag = remote.put(place, LARGE, md5=md5_of(LARGE), replaces=None)
    assert etag.endswith("-3")
    assert content(direct, place) == LARGE


@pytest.mark.usefixtures("small_parts")
def test_a_large_object_of_other_bytes_is_found_out(server: FaultServer, remote: S3Remote, place: Location) -> None:
    def rule(seen: Seen) -> Reply | None:
        if seen.method != "HEAD":
            return None
        answer = server.forwarded(seen)
        return replace(answer, headers={**answer.headers, "ETag": f'"{NO_ETAG}-3"'})

    server.rule = rule
    with pytest.raises(BadDigest):
        remote.put(place, LARGE, md5=md5_of(LARGE))


# --- Bytes that change on the way ------------------------------------------------------------------------------------------


def test_bytes_that_were_flipped_on_the_way_are_found_out(
    server: FaultServer, remote: S3Remote, place: Location
) -> None:
    """By the store, which is sent their MD5; by the ETag of one that does not check."""

    def flipped(seen: Seen) -> Seen:
        return replace(seen, body=bytes([seen.body[0] ^ 1]) + seen.body[1:])

    server.rule = lambda seen: server.forwarded(flipped(seen)) if seen.method == "PUT" else None
    with pytest.raises(BadDigest):
        remote.put(place, BODY, md5=MD5, replaces=None)
    with pytest.raises(NoSuchObject):
        remote.head(place)

    def unchecked(seen: Seen) -> Reply | None:
        headers = {name: value for name, value in seen.headers.items() if name.lower() != "content-md5"}
        return server.forwarded(replace(flipped(seen), headers=headers)) if seen.method == "PUT" else None

    server.rule = unchecked
    with pytest.raises(BadDigest):
        remote.put(place, BODY, md5=MD5, replaces=None)


# --- Copies ----------------------------------------------------------------------------------------------------------------


def test_a_copy_that_fails_in_a_success_is_retried(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location
) -> None:
    etag = direct.put(place, BODY, md5=MD5)
    target = Location(place.bucket, "b.jpg")
    server.rule = once(lambda seen: error(200, "InternalError") if seen.method == "PUT" else None)
    assert remote.copy(place, target, if_match=etag) == etag
    assert content(direct, target) == BODY
    server.rule = lambda seen: error(200, "AccessDenied") if seen.method == "PUT" else None
    with pytest.raises(AccessDenied):
        remote.copy(place, Location(place.bucket, "c.jpg"), if_match=etag)


def test_a_copy_of_a_version_that_goes_meanwhile_is_none(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location
) -> None:
    """Also where the store ignores the condition on the source: then a copy of other bytes is left, and told."""
    for ignores in (False, True):
        etag = direct.put(place, BODY, md5=MD5)
        target = Location(place.bucket, f"{ignores}.jpg")

        def rule(seen: Seen, ignores: bool = ignores) -> Reply | None:
            if seen.method != "PUT":
                return None
            direct.put(place, OLD, md5=md5_of(OLD))
            return server.forwarded(without_conditions(seen)) if ignores else None

        server.rule = rule
        with pytest.raises(ObjectChanged, match=r"a b\+c\.jpg"):
            remote.copy(place, target, if_match=etag, replaces=None)
        assert bool(list(direct.list(place.bucket, target.key))) is ignores


@pytest.mark.usefixtures("small_parts")
def test_a_copy_in_parts_that_fails_is_ended(
    server: FaultServer, remote: S3Remote, direct: S3Remote, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = direct.put(place, LARGE, md5=md5_of(LARGE))
    monkeypatch.setattr(multipart, "COPY_THRESHOLD_BYTES", MIB)
    server.rule = lambda seen: error(200, "AccessDenied") if "partNumber=2" in seen.target else None
    with pytest.raises(AccessDenied):
        remote.copy(place, Location(place.bucket, "b.jpg"), if_match=etag)
    assert aborted(server)
    assert b"<UploadId>" not in open_uploads(direct, place)


# --- Reading ---------------------------------------------------------------------------------------------------------------


def test_a_body_of_another_length_than_described_is_no_whole_object(server: FaultServer, remote: S3Remote) -> None:
    first = {"ETag": f'"{MD5}"', "Last-Modified": "Sat, 01 Mar 2025 10:00:00 GMT"}
    rest = {**first, "Content-Range": f"bytes 1000-1999/{len(BODY)}"}
    server.script(Reply(200, BODY, first, cut_at=1000), Reply(206, BODY[1000:2000], rest))
    reading = remote.read(Location("bucket", "a.jpg"), if_match=MD5)
    assert reading.described.size_bytes == len(BODY)
    with pytest.raises(Unreachable, match="2000 bytes came instead of 256000"):
        list(reading.blocks)
