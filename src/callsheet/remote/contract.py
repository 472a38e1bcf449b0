"""What every remote store must do. `tests/contract/` holds each of them to it, word for word.

Rules of this package: a store speaks of locations and bytes, never of actors or statuses; every
exception of a library below is mapped to `errors.RemoteError` here and nowhere else; a store is safe to
use from many threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Final, Protocol

from callsheet.model import Location, RemoteObject


class Anything(Enum):
    """The condition that is none."""

    ANYTHING = "anything"


ANYTHING: Final = Anything.ANYTHING

MAX_EXPIRY_S = 900
"""How long a presigned URL may last."""

Held = str | None | Anything
"""What a write expects in its place: the object with this ETag, None for no object, or `ANYTHING`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to be stored, `size_bytes` of them. Each call of `open` gives a seekable file at its first byte; whoever calls closes it.

    With `path`, which is the file's, its bytes need not be read: they may go from there straight to a socket, if it is a regular file of that size
    then, and `sent` is told how many went.
    """

    size_bytes: int
    open: Callable[[], BinaryIO]
    path: str = ""
    sent: Callable[[int], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Reading:
    """An object as the store described it when it began to send it, and its bytes in blocks of at most 1 MiB.

    The blocks raise `Unreachable` if they end short of `described.size_bytes`. Nothing else checks them: that is for the reader.

    `fill`, if the store has it, puts the bytes into the memory that `Remote.read` was given for them instead, `described.size_bytes` of them from
    its start, and tells how many each time: with less ado than block by block. It raises what the blocks do, and `Unreachable` if more comes. The
    blocks are closed all the same.
    """

    described: RemoteObject
    blocks: Generator[bytes | bytearray]
    fill: Callable[[], Iterator[int]] | None = None


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

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        """All objects whose key starts with `prefix`, in ascending order of the key's UTF-8 bytes, each once; only those whose key comes
        after `after` and before `before`, where these are given.

        Lazy: pages are fetched as the iterator advances. An iterator that ends without raising was complete; one
        that raises was not, but what it yielded before is true.
        """
        ...

    def head(self, location: Location) -> RemoteObject:
        """One object's description, with its MD5 if the store knows one. `NoSuchObject` if it is not there."""
        ...

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        """Begin to read the object, if its ETag still is `if_match`, else `ObjectChanged`; with its MD5 if the store knows one.

        With `into`, memory of its size, some stores put its bytes there: the reading's `fill` is how they are asked for. Until that has ended,
        the memory may hold anything.
        """
        ...

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        """Store `body`, whose MD5 is `md5`, and keep that MD5 with the object. Returns the new object's ETag.

        `ObjectChanged`, with nothing written, if the place does not hold what `replaces` says. If it already holds these very
        bytes (a write whose answer was lost, say), that is no error. `BadDigest` if body and MD5 do not agree: then nothing is
        written, or, by a store that does not check, something that its ETag gives away.
        A body of any size is stored in constant memory. `LocalError` if the source cannot be read.
        """
        ...

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        """Copy the object whose ETag is `if_match` inside the store, with its MD5 and metadata. Returns the copy's ETag.

        `ObjectChanged` if `source` is another version by now, or `target` does not hold what `replaces` says (nor these very bytes
        already); `NoSuchObject` if `source` is gone. That the copy has the size of the original, and its bytes where ETags tell, has been checked.
        """
        ...

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        """Remove the object if its ETag is `if_match`, else `ObjectChanged`. One that is not there is no error."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What was learnt of the store so far that its users should know: that it ignores conditions, say. Whole sentences.

        Where a store ignores conditions they are checked by looking just before the write, so that only another write in the same
        instant goes unnoticed.
        """
        ...

    def url(self, location: Location) -> str:
        """The URL that a manifest records for the object: no signature, no expiry."""
        ...

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        """A URL by which anybody may GET the object for `expires_s` seconds, sent as `content_type`, to be shown and not saved.

        None for a store without such URLs. It is a secret while it lasts. Nothing is asked of the store, so the object need not be
        there. A store that signs nothing has a plain URL, for which type and expiry are not in its hand.
        `ValueError` for more than `MAX_EXPIRY_S` seconds, or less than one.
        """
        ...

    def origin(self, bucket: str) -> str | None:
        """`scheme://host[:port]` of the URLs that `presigned` makes for the bucket's objects; None for a store without them."""
        ...
