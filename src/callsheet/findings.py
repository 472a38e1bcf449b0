"""What is wrong with an actor's images as they are recorded, told at every run until it is mended; and what could not be looked at.

Rules of this module: pure, and it reports only.
"""

from __future__ import annotations

from collections.abc import Iterator

from callsheet import layout
from callsheet.errors import RemoteError
from callsheet.layout import Layout
from callsheet.model import Actor, Manifest, Problem


def findings(manifest: Manifest, actor: Actor, where: Layout) -> Iterator[Problem]:
    """Corrupt files, names that differ in case or normalisation only, and URLs that cannot be looked at."""
    for entry in manifest.entries:
        if not layout.is_image(entry.filename):
            message = "its name is not an image's, so it is not looked at and stays as it is recorded; rename it, or take it out"
            yield Problem(actor.name, entry.filename, "not_an_image", message)
        if entry.expected_md5 is not None:
            message = (
                f"corrupt: its bytes changed while its size and time did not (MD5 {entry.md5_hash}, was {entry.expected_md5}); "
                "restore it from S3 or a backup, or save it anew if the change was meant"
            )
            yield Problem(actor.name, entry.filename, "corrupt", message)
        if entry.s3_url is not None and where.locate(entry.s3_url) is None:
            message = f"its URL is not one of S3, so it cannot be checked: {layout.without_signature(entry.s3_url)}"
            yield Problem(actor.name, entry.filename, "foreign_url", message)
    for group in layout.twins(entry.filename for entry in manifest.entries):
        yield Problem(actor.name, group[0], "twin_names", layout.twins_told(group))


def not_seen(bucket: str, error: RemoteError) -> Problem:
    """The problem that a bucket, or all of S3, could not be looked at; it is the whole run's, not an actor's."""
    place = "" if error.everywhere else f"s3://{bucket}"
    message = f"{error.sentence} Images that were not seen in {place or 'S3'} keep the status that is recorded."
    return Problem("", place, error.code, message)
