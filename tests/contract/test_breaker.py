"""What has failed for good is not asked again, and nothing else is given up for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from callsheet.errors import NoCredentials, NoSuchBucket, NoSuchObject, RemoteError, Unreachable
from callsheet.model import Location, RemoteObject
from callsheet.remote.breaker import Breaker
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Remote, Source
from callsheet.remote.memory import MemoryRemote

A, B = Location("one", "a.jpg"), Location("one", "b.jpg")
FAR, NOWHERE = Location("two", "a.jpg"), Location("nowhere", "a.jpg")
MD5 = hashlib.md5(b"x").hexdigest()


class Failing(MemoryRemote):
    """Counts what it is asked, and fails where it is told to: `body` fails what moves an object, `all` everything."""

    def __init__(self) -> None:
        super().__init__(("one", "two"))
        self.asked = 0
        self.body: RemoteError | None = None
        self.all: RemoteError | None = None

    def _fail(self, error: RemoteError | None) -> None:
        self.asked += 1
        for told in (error, self.all):
            if told is not None:
                raise told

    def head(self, location: Location) -> RemoteObject:
        self._fail(None)
        return super().head(location)

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        self._fail(self.body)
        return super().read(location, if_match=if_match, into=into)

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        self._fail(self.body)
        return super().put(location, body, md5=md5, replaces=replaces)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        self._fail(self.body)
        return super().copy(source, target, if_match=if_match, replaces=replaces)

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        self._fail(None)
        super().delete(location, if_match=if_match)


OPERATIONS: dict[str, Callable[[Remote], object]] = {
    "put": lambda remote: remote.put(A, b"x", md5=MD5),
    "read": lambda remote: remote.read(A, if_match=MD5),
    "copy": lambda remote: remote.copy(A, B, if_match=MD5),
    "delete": lambda remote: remote.delete(A),
    "head": lambda remote: remote.head(A),
}


@pytest.fixture
def remote() -> Failing:
    return Failing()


@pytest.fixture
def breaker(remote: Failing) -> Breaker:
    remote.put(A, b"x", md5=MD5)
    remote.asked = 0
    return Breaker(remote)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("error", [Unreachable("no connection"), NoCredentials("none")], ids=["dead", "no credentials"])
def test_a_dead_endpoint_is_not_asked_again(
    remote: Failing, breaker: Breaker, operation: str, error: RemoteError
) -> None:
    remote.all = error
    with pytest.raises(type(error)):
        OPERATIONS[operation](breaker)
    asked = remote.asked
    assert asked <= 2
    for again in OPERATIONS.values():
        with pytest.raises(type(error)):
            again(breaker)
    assert remote.asked == asked


@pytest.mark.parametrize("operation", ["put", "read", "copy"])
def test_a_body_that_breaks_off_is_the_trouble_of_its_object(remote: Failing, breaker: Breaker, operation: str) -> None:
    remote.body = Unreachable("the connection broke")
    with pytest.raises(Unreachable):
        OPERATIONS[operation](breaker)
    remote.body = None
    for after in OPERATIONS.values():
        if after is not OPERATIONS["delete"]:
            after(breaker)


def test_a_missing_bucket_is_not_asked_again_and_no_other_is_blamed(remote: Failing, breaker: Breaker) -> None:
    for _ in range(2):
        with pytest.raises(NoSuchBucket):
            breaker.copy(NOWHERE, A, if_match=MD5)
    assert remote.asked == 2
    breaker.put(A, b"x", md5=MD5)
    for _ in range(2):
        with pytest.raises(NoSuchBucket):
            breaker.put(NOWHERE, b"x", md5=MD5)
    assert remote.asked == 4
    with pytest.raises(NoSuchBucket):
        breaker.copy(A, NOWHERE, if_match=MD5)
    assert remote.asked == 4
    assert breaker.copy(A, FAR, if_match=MD5) == MD5


def test_what_is_the_matter_with_one_object_is_asked_each_time(remote: Failing, breaker: Breaker) -> None:
    for _ in range(2):
        with pytest.raises(NoSuchObject):
            breaker.head(B)
    assert remote.asked == 2
    assert breaker.notes() == ()


def test_a_failure_beside_stops_nobody_here_and_one_here_stops_those_beside(remote: Failing, breaker: Breaker) -> None:
    beside = breaker.beside()
    remote.all = Unreachable("no connection")
    with pytest.raises(Unreachable):
        beside.head(A)
    remote.all = None
    assert breaker.head(A).md5 == MD5
    with pytest.raises(NoSuchBucket):
        breaker.put(NOWHERE, b"x", md5=MD5)
    asked = remote.asked
    with pytest.raises(NoSuchBucket):
        breaker.beside().put(NOWHERE, b"x", md5=MD5)
    with pytest.raises(Unreachable):
        beside.head(A)
    assert remote.asked == asked
