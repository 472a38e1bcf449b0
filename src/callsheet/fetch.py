"""An image's object in S3, for whoever wants to see it.

Rules of this module: a manifest says which object an image is, and the settings say of which buckets one is shown. Hosts that a manifest
names are never asked.
"""

from __future__ import annotations

from callsheet import layout
from callsheet.errors import ForeignBucket, NoSuchObject, UnknownImage
from callsheet.layout import Layout
from callsheet.model import Actor, Entry, Location, Manifest
from callsheet.remote import Remote
from callsheet.remote.contract import Reading


def fetch(remote: Remote, where: Layout, actor: Actor, manifest: Manifest, filename: str) -> Reading:
    """Begin to read the object that is recorded; one that was never looked at is read as it is now."""
    entry, location = _recorded(where, actor, manifest, filename)
    return remote.read(location, if_match=entry.s3.etag if entry.s3 else remote.head(location).etag)


def presigned(
    remote: Remote, where: Layout, actor: Actor, manifest: Manifest, filename: str, expires_s: int
) -> str | None:
    """A URL by which anybody may get the object, as an image, until it expires; None for a store without such URLs."""
    _, location = _recorded(where, actor, manifest, filename)
    return remote.presigned(location, expires_s=expires_s, content_type=layout.content_type(filename))


def _recorded(where: Layout, actor: Actor, manifest: Manifest, filename: str) -> tuple[Entry, Location]:
    """An image's entry and place in S3. `UnknownImage`, `NoSuchObject` if it is not in S3, `ForeignBucket`."""
    shown = layout.printable(filename)
    entry = next((entry for entry in manifest.entries if entry.filename == filename), None)
    if entry is None:
        raise UnknownImage(f"{actor.name} has no image {shown}", hint="A sync records new images.")
    if entry.s3_url is None:
        raise NoSuchObject(f"{shown} is not in S3, as far as is recorded", hint="`callsheet push` uploads it.")
    location = where.locate(entry.s3_url)
    if location is None:
        raise NoSuchObject(f"The URL of {shown} is not one of S3: {layout.without_signature(entry.s3_url)}")
    if location.bucket not in (where.bucket, *where.other_buckets):
        hint = "If it is yours, name it in other_buckets, in callsheet.toml or CALLSHEET_OTHER_BUCKETS."
        raise ForeignBucket(f"{shown} is in the bucket {location.bucket}, which the settings do not name", hint=hint)
    return entry, location
