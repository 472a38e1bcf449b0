"""What every remote store must do. `tests/contract/` holds each of them to it, word for word.

Rules of this package: a store speaks of locations and bytes, never of actors or statuses; every
exception of a library below is mapped to `errors.RemoteError` here and nowhere else; a store is safe to
use from many threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from callsheet.model import Location, RemoteObject


class Remote(Protocol):
    """A store of objects in buckets.

    Keys are exact in both directions: `/x`, `a//b`, `dir/`, `./x`, `a` beside `a/b`, spaces, `+`, `%`, control
    characters and unicode twins are all different keys, and come back as they went in.

    Every method may raise `NoCredentials`, `AccessDenied`, `NoSuchBucket`, `Unreachable` or another `RemoteError`: then what
    the store holds is unknown. Only `NoSuchObject` means that an object is absent.
    Failures that pass are retried inside; what is raised is final. An iterator raises as it is advanced, not before.
    A key that is empty or not valid UTF-8, and a bucket name that cannot be one, are a `RemoteError`.

    `last_modified` is in whole seconds: a listing and a description of the same object say the same.
    """

    def list(self, bucket: str, prefix: str) -> Iterator[RemoteObject]:
        """All objects whose key starts with `prefix`, in ascending order of the key's UTF-8 bytes, each once.

        Lazy: pages are fetched as the iterator advances. An iterator that ends without raising was complete; one
        that raises was not, but what it yielded before is true.
        """
        ...

    def head(self, location: Location) -> RemoteObject:
        """One object's description, with its MD5 if the store knows one. `NoSuchObject` if it is not there."""
        ...

    def read(self, location: Location, *, if_match: str) -> Iterator[bytes]:
        """The object's bytes in chunks of at most 1 MiB, if its ETag still is `if_match`, else `ObjectChanged`.

        `Unreachable` if the body ends short of its announced length.
        """
        ...

    def put(self, location: Location, body: bytes, *, md5: str) -> RemoteObject:
        """Store `body`, whose MD5 is `md5`, and keep that MD5 with the object. An object that is there is replaced.

        `BadDigest` if body and MD5 do not agree; `ObjectChanged` if another writer replaced it at once. Returns what
        `head` says.
        """
        ...

    def delete(self, location: Location) -> None:
        """Remove the object. One that is not there is no error."""
        ...

    def url(self, location: Location) -> str:
        """The URL that a manifest records for the object: no signature, no expiry."""
        ...
