"""Listings of the default prefix, cut into the actors' folders."""

from __future__ import annotations

from collections.abc import Iterator

from callsheet.errors import RemoteError
from callsheet.layout import Layout
from callsheet.model import Actor, Listing, Problem, RemoteObject
from callsheet.remote import Remote


class Folders:
    """One listing of the whole prefix, cut into the actors' folders: pairs of name and listing, in the order of the keys.

    When it has ended, `error` says why it did so early, if it did; the folder in which it broke off is not complete.
    """

    def __init__(self, where: Layout, remote: Remote) -> None:
        self._where = where
        self._remote = remote
        self.error: RemoteError | None = None

    def __iter__(self) -> Iterator[tuple[str, Listing]]:
        prefix = self._where.key_prefix()
        current: str | None = None
        objects: dict[str, RemoteObject] = {}
        try:
            for item in self._remote.list(self._where.bucket, prefix):
                name, slash, filename = item.location.key[len(prefix) :].partition("/")
                if not slash:
                    continue
                if name != current:
                    if current is not None:
                        yield current, Listing(objects, complete=True)
                    current, objects = name, {}
                if filename and "/" not in filename:
                    objects[filename] = item
        except RemoteError as error:
            self.error = error
        if current is not None:
            yield current, Listing(objects, complete=self.error is None)


def listing_order(name: str) -> bytes:
    """Where a folder comes in a listing, which is sorted by the bytes of whole keys: `a-b/` before `a/`."""
    return f"{name}/".encode()


def not_seen(bucket: str, error: RemoteError) -> Problem:
    """The problem that a bucket, or all of S3, could not be looked at; it is the whole run's, not an actor's."""
    place = "" if error.everywhere else f"s3://{bucket}"
    message = f"{error.sentence} Images that were not seen in {place or 'S3'} keep the status that is recorded."
    return Problem("", place, error.code, message)


def list_actor(where: Layout, remote: Remote, actor: Actor) -> tuple[Listing, RemoteError | None]:
    """One actor's folder, listed for itself, and why that broke off, if it did."""
    prefix = where.key_prefix(actor.name)
    objects: dict[str, RemoteObject] = {}
    try:
        for item in remote.list(where.bucket, prefix):
            if "/" not in (filename := item.location.key[len(prefix) :]):
                objects[filename] = item
    except RemoteError as error:
        return Listing(objects, complete=False), error
    return Listing(objects, complete=True), None
