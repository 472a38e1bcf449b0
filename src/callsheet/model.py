"""The words of the house: values that every other module speaks in.

Rules of this module: frozen, slotted dataclasses and enums, and named tuples for what a listing makes a million of (they are
made and hashed several times as fast); no I/O, no logging, no clock. Times are aware UTC datetimes; sizes are bytes; MD5s are
32 lower-case hex digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, NamedTuple


class Status(StrEnum):
    """Where an image is. The values are those of the manifest and the API."""

    SYNCED = "synced"
    LOCAL_ONLY = "local_only"
    S3_ONLY = "s3_only"
    OUT_OF_SYNC = "out_of_sync"


class Evidence(StrEnum):
    """How a status is known.

    The first four prove that contents are equal or different, best first. `LISTED` proves presence,
    absence or a different size. `RECORDED` proves nothing: it repeats what a file said.
    """

    CONTENT = "content"
    MD5 = "md5"
    ETAG = "etag"
    MULTIPART_ETAG = "multipart_etag"
    LISTED = "listed"
    RECORDED = "recorded"


class Change(StrEnum):
    """Which side of an `out_of_sync` image moved away from the content that both last agreed on."""

    LOCAL = "local"
    S3 = "s3"
    BOTH = "both"
    UNKNOWN = "unknown"


class Sight(Enum):
    """What was seen of a side where no file or object was seen."""

    ABSENT = "absent"
    UNKNOWN = "unknown"


class Location(NamedTuple):
    """An object's address. `key` is exact: not normalised, not URL-encoded, no leading slash added."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class RemoteObject(NamedTuple):
    """One object as a store described it.

    `etag` is as the store gives it, without quotes. `etag_is_md5` is None where the answer did not
    tell (a listing cannot: an SSE-KMS ETag looks like an MD5). `md5` is the object's MD5 where it is known by other
    means than the ETag, and `md5_evidence` says by which.
    """

    location: Location
    size_bytes: int
    etag: str
    last_modified: datetime
    etag_is_md5: bool | None = None
    md5: str | None = None
    md5_evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of one actor's folder in S3, by filename. Absence follows only from a `complete` one."""

    objects: Mapping[str, RemoteObject]
    complete: bool


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One image on this disk. `expected_md5` is set if its bytes changed while size and mtime did not."""

    filename: str
    size_bytes: int
    mtime_ns: int
    md5: str
    expected_md5: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is the folder's name; `id` its leading digits as text, or the whole name without any.

    `stem` names its manifest, `{stem}_manifest.json`: the id, or the whole name of an actor that has a manifest of its own.
    """

    name: str
    id: str
    stem: str


@dataclass(frozen=True, slots=True)
class S3Record:
    """An S3 object as last seen."""

    etag: str
    size_bytes: int
    last_modified: datetime
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file's MD5, 32 lower-case hex digits, and the size and modification time that it belongs to."""

    path: str
    size_bytes: int
    mtime_ns: int
    md5: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a manifest. Optional fields are None where the manifest says null or nothing.

    `modified_timestamp` is seconds since the epoch; with `size_bytes` it tells whether the local file is
    still the one that was hashed. `prompt` is empty if it was taken away. `removed_by` is the run that removed an image which is on neither side. `source` is the JSON object that the entry was read from: keys that are
    not ours are kept through it.
    """

    filename: str
    local_path: str
    size_bytes: int | None = None
    modified_timestamp: float | None = None
    md5_hash: str | None = None
    s3_url: str | None = None
    status: Status | None = None
    good: bool | None = None
    prompt: str | None = None
    evidence: Evidence | None = None
    checked_at: datetime | None = None
    s3: S3Record | None = None
    synced_md5: str | None = None
    expected_md5: str | None = None
    removed_by: str | None = None
    alternate_s3_urls: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def recorded_local(self) -> bool:
        """Whether the record says that a local file was there."""
        if self.status is None:
            return self.md5_hash is not None
        return self.status is not Status.S3_ONLY

    @property
    def recorded_remote(self) -> bool:
        """Whether the record says that an S3 object was there, checked or not."""
        return self.s3_url is not None

    @property
    def urls(self) -> tuple[str, ...]:
        """Every URL that is recorded, the one in use first."""
        return ((self.s3_url,) if self.s3_url else ()) + self.alternate_s3_urls


@dataclass(frozen=True, slots=True)
class Manifest:
    """One actor's manifest. `source` is the whole JSON document that it was read from, in its order.

    `names` is the folder that the document says it belongs to, None if it says nothing.
    """

    names: str | None
    entries: tuple[Entry, ...] = ()
    missing: tuple[Entry, ...] = ()
    updated: datetime | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """Images by status. `missing` ones are recorded but on neither side, and nobody removed them; they are not part of `total`."""

    synced: int = 0
    local_only: int = 0
    s3_only: int = 0
    out_of_sync: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        return self.synced + self.local_only + self.s3_only + self.out_of_sync

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.synced + other.synced,
            self.local_only + other.local_only,
            self.s3_only + other.s3_only,
            self.out_of_sync + other.out_of_sync,
            self.missing + other.missing,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the run could not do or vouch for, and what to do about it. `filename` may be empty."""

    actor: str
    filename: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Legacy:
    """What legacy files say: URLs and prompts by filename, and the URLs that no image could be found for."""

    urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    good: frozenset[str] = frozenset()
    unplaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one actor's images in one run, on both sides.

    `local` holds what was seen of each filename; a name that is not in it is absent if `local_complete`, else
    unknown. `listing` is the actor's default folder in S3, None if it was not looked at. `elsewhere` holds what was seen of
    other locations; one that is not in it was not looked at.
    """

    local: Mapping[str, LocalFile | Sight] = field(default_factory=dict)
    local_complete: bool = True
    listing: Listing | None = None
    elsewhere: Mapping[Location, RemoteObject | Sight] = field(default_factory=dict)
    legacy: Legacy = field(default_factory=Legacy)

    def local_side(self, filename: str) -> LocalFile | Sight:
        return self.local.get(filename, Sight.ABSENT if self.local_complete else Sight.UNKNOWN)

    def listed_side(self, filename: str) -> RemoteObject | Sight:
        """The image in the actor's default folder."""
        if self.listing is None:
            return Sight.UNKNOWN
        return self.listing.objects.get(filename, Sight.ABSENT if self.listing.complete else Sight.UNKNOWN)
