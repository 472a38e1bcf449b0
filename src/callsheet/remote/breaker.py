"""A store that has failed for good is not asked again: one dead endpoint must not cost a timeout for every actor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from callsheet.errors import NoSuchBucket, RemoteError
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import Remote


class Breaker:
    """A `Remote` that repeats the first final failure of the endpoint, or of a bucket, without another request.

    Made anew for each run: a later run asks again.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._failures: dict[str | None, RemoteError] = {}

    def list(self, bucket: str, prefix: str) -> Iterator[RemoteObject]:
        self._check(bucket)
        try:
            yield from self._remote.list(bucket, prefix)
        except RemoteError as error:
            self._raise_first(bucket, error)

    def head(self, location: Location) -> RemoteObject:
        self._check(location.bucket)
        try:
            return self._remote.head(location)
        except RemoteError as error:
            self._raise_first(location.bucket, error)

    def read(self, location: Location, *, if_match: str) -> Iterator[bytes]:
        self._check(location.bucket)
        yield from self._remote.read(location, if_match=if_match)  # a body that breaks off is that object's trouble

    def put(self, location: Location, body: bytes, *, md5: str) -> RemoteObject:
        return self._remote.put(location, body, md5=md5)

    def delete(self, location: Location) -> None:
        self._remote.delete(location)

    def url(self, location: Location) -> str:
        return self._remote.url(location)

    def _check(self, bucket: str) -> None:
        failure = self._failures.get(None) or self._failures.get(bucket)
        if failure is not None:
            raise failure.with_traceback(None)  # or each raise would add to what it holds

    def _raise_first(self, bucket: str, error: RemoteError) -> NoReturn:
        """Raise what the endpoint or the bucket failed with first, so that all who meet the failure tell the same."""
        first = error
        if error.everywhere:
            first = self._failures.setdefault(None, error)
        elif isinstance(error, NoSuchBucket):
            first = self._failures.setdefault(bucket, error)
        if first is error:
            raise error
        raise first.with_traceback(None) from error
