"""A store that has failed for good is not asked again: one dead endpoint must not cost a timeout for every actor."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping
from typing import NoReturn, TypeVar

from callsheet.errors import NoSuchBucket, RemoteError, Unreachable
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Remote, Source

_T = TypeVar("_T")


class Breaker:
    """A `Remote` that repeats the first final failure of the endpoint, or of a bucket, without another request.

    Made anew for each run: a later run asks again. Pickling keeps the store, and forgets its failures.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._failures: MutableMapping[str | None, RemoteError] = {}

    def __reduce__(self) -> tuple[type[Breaker], tuple[Remote]]:
        return Breaker, (self._remote,)

    def beside(self) -> Breaker:
        """The same store for somebody else at the same time: what fails here is not asked for there, but what fails there still is here."""
        other = Breaker(self._remote)
        other._failures = ChainMap({}, self._failures)
        return other

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        self._check(bucket)
        try:
            yield from self._remote.list(bucket, prefix, after=after, before=before)
        except RemoteError as error:
            self._raise_first(bucket, error)

    def head(self, location: Location) -> RemoteObject:
        return self._asked(location.bucket, lambda: self._remote.head(location))

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        return self._asked(
            location.bucket, lambda: self._remote.read(location, if_match=if_match, into=into), at=location
        )

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        return self._asked(
            location.bucket, lambda: self._remote.put(location, body, md5=md5, replaces=replaces), at=location
        )

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        self._check(source.bucket)
        self._check(target.bucket)
        # Which of two buckets is not there is not told.
        bucket = target.bucket if source.bucket == target.bucket else None
        return self._asked(
            bucket, lambda: self._remote.copy(source, target, if_match=if_match, replaces=replaces), at=target
        )

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        self._asked(location.bucket, lambda: self._remote.delete(location, if_match=if_match), at=location)

    def notes(self) -> tuple[str, ...]:
        return self._remote.notes()

    def url(self, location: Location) -> str:
        return self._remote.url(location)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        return self._remote.presigned(location, expires_s=expires_s, content_type=content_type)

    def origin(self, bucket: str) -> str | None:
        return self._remote.origin(bucket)

    def _asked(self, bucket: str | None, ask: Callable[[], _T], *, at: Location | None = None) -> _T:
        """What the store answers. A long exchange may break off on its own account: a look `at` its object tells whether it did."""
        self._check(bucket)
        try:
            return ask()
        except RemoteError as error:
            if at is not None and isinstance(error, Unreachable) and error.everywhere and self._alive(at):
                raise
            self._raise_first(bucket, error)

    def _alive(self, at: Location) -> bool:
        try:
            self.head(at)
        except RemoteError as error:
            return not error.everywhere
        return True

    def _check(self, bucket: str | None) -> None:
        failure = self._failures.get(None) or self._failures.get(bucket)
        if failure is not None:
            raise failure.with_traceback(None)  # or each raise would add to what it holds

    def _raise_first(self, bucket: str | None, error: RemoteError) -> NoReturn:
        """Raise what the endpoint or the bucket failed with first, so that all who meet the failure tell the same."""
        first = error
        if error.everywhere:
            first = self._failures.setdefault(None, error)
        elif isinstance(error, NoSuchBucket) and bucket is not None:
            first = self._failures.setdefault(bucket, error)
        if first is error:
            raise error
        raise first.with_traceback(None) from error
