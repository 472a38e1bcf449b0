"""What a write or a deletion expects in its place, how S3 is told, and which stores were seen to heed it. No I/O.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from __future__ import annotations

import threading
from enum import StrEnum

from callsheet.errors import ObjectChanged
from callsheet.layout import printable
from callsheet.model import Location
from callsheet.remote.contract import ANYTHING, Held
from callsheet.remote.names import shown


class Kind(StrEnum):
    """The conditions that a store may heed or not, each on its own. The values complete the sentence of a note."""

    CREATE = "create an object only where there is none"
    REPLACE = "replace an object only if it is the expected one"
    DELETE = "delete an object only if it is the expected one"
    COPY = "copy an object only to where the expected one is"


class Heeded:
    """What was learnt of a store's buckets. Safe to use from many threads."""

    def __init__(self) -> None:
        self.bare_etags = False
        """Whether the store wants ETags in conditions without quotes, as Ceph's radosgw 16 does."""
        self._known: dict[tuple[str, Kind], bool] = {}
        self._claimed: set[tuple[str, Kind]] = set()
        self._lock = threading.Lock()

    def by(self, bucket: str, kind: Kind) -> bool | None:
        """Whether the bucket heeds such conditions; None as long as nobody knows."""
        return self._known.get((bucket, kind))

    def learn(self, bucket: str, kind: Kind, *, heeds: bool) -> None:
        self._known[bucket, kind] = heeds

    def claim(self, bucket: str, kind: Kind) -> bool:
        """True for the first who asks, who is to find out, and for nobody after."""
        with self._lock:
            first = (bucket, kind) not in self._claimed
            self._claimed.add((bucket, kind))
            return first

    def headers(self, expected: Held) -> dict[str, str]:
        """The headers of a request that is to succeed only if its place is as expected."""
        if expected is ANYTHING:
            return {}
        if expected is None:
            return {"If-None-Match": "*"}
        return {"If-Match": expected if self.bare_etags else f'"{expected}"'}

    def notes(self) -> tuple[str, ...]:
        """A sentence for each bucket that ignores conditions."""
        ignored: dict[str, list[Kind]] = {}
        for (bucket, kind), heeds in sorted(dict(self._known).items()):
            if not heeds:
                ignored.setdefault(bucket, []).append(kind)
        return tuple(_note(bucket, kinds) for bucket, kinds in ignored.items())


def holds(expected: Held, etag: str | None) -> bool:
    """Whether a place that holds the object with this ETag, or None, is as expected."""
    return expected is ANYTHING or expected == etag


def changed(verb: str, location: Location, expected: Held = ANYTHING) -> ObjectChanged:
    """The error of a task whose object, or place, is not as expected."""
    reason = "there is an object already" if expected is None else "the object has changed meanwhile"
    return ObjectChanged(f"Cannot {verb} {shown(location)}: {reason}", hint="Sync again")


def _note(bucket: str, kinds: list[Kind]) -> str:
    return (
        f"The store of bucket {printable(bucket)} cannot {', nor '.join(kinds)}: callsheet looks just before it writes, "
        "but what someone else writes in the same instant may be lost."
    )
