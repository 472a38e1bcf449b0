"""An action that may have been carried out before: a job on a cluster is run again if its worker was lost, also after it was done.

Rules of this module: of what this run itself did, it finds what is done, and takes back what is half done, so that it can be done whole.
What anybody else did stays a reason not to.
"""

from __future__ import annotations

from collections.abc import Sequence

from callsheet import hashing, reconcile, system
from callsheet.action import Action, Op, Outcome, Version
from callsheet.download import APART_NS, fetched_ns, vouched
from callsheet.errors import CallsheetError, UsageError
from callsheet.model import HashedFile, RemoteObject
from callsheet.perform import perform
from callsheet.site import Site, put_back

AGAIN = frozenset({Op.UPLOAD, Op.DOWNLOAD})
"""What can be told to be done."""


def check(actions: Sequence[Action]) -> None:
    """`UsageError` if there are actions of which a second attempt could not tell whether the first was their doing."""
    if other := {action.op for action in actions} - AGAIN:
        shown = ", ".join(sorted(other))
        raise UsageError(f"A cluster does not do this: {shown}", hint="Do it without --scheduler.")


def settled(site: Site, outcome: Outcome) -> Outcome:
    """The outcome of an action that failed, if it did so because an attempt before this one got so far; else as it was."""
    try:
        return _done_before(site, outcome.action) or _done_now(site, outcome.action) or outcome
    except CallsheetError:
        return outcome


def _done_before(site: Site, action: Action) -> Outcome | None:
    """What an earlier attempt came to, if it came to its end."""
    return _uploaded(site, action) if action.op is Op.UPLOAD else _downloaded(site, action)


def _uploaded(site: Site, action: Action) -> Outcome | None:
    sent, there = action.local, site.remote.head(action.location)
    md5 = there.etag if there.etag_is_md5 else there.md5
    if sent is None or (there.size_bytes, md5) != (sent.size_bytes, sent.md5):
        return None
    kept = None
    if action.s3 is not None:
        trashed = site.remote.head(site.where.s3_trash(site.run_id, action.location))
        kept = Version(action.s3.size_bytes, action.s3.md5, trashed.etag)
    return Outcome(action, placed=Version(sent.size_bytes, sent.md5, there.etag), kept=kept)


def _downloaded(site: Site, action: Action) -> Outcome | None:
    there = site.remote.head(action.location)
    file = _hashed(site.path(action))
    if file is None or action.s3 is None or there.etag != action.s3.etag:
        return None
    if not _is_fetched(file, there, action.s3):
        return None
    if action.local is not None and not _is_put_away(site, action):
        return None
    placed = Version(action.s3.size_bytes, file.md5)
    telling = reconcile.is_settled(file.mtime_ns, system.time_ns())
    return Outcome(action, None, placed, action.local, file.mtime_ns if telling else None)


def _is_fetched(file: HashedFile, there: RemoteObject, wanted: Version) -> bool:
    """Whether a file is what a download makes of an object: its bytes, and the time that a download gives it."""
    is_ours = file.mtime_ns - fetched_ns(there) in (0, APART_NS)
    return is_ours and vouched(there, wanted, file.md5, file.path) is True


def _done_now(site: Site, action: Action) -> Outcome | None:
    """What this attempt comes to, if an earlier one took the file away, and nothing came in its place."""
    if action.op is not Op.DOWNLOAD or action.local is None or system.lexists(site.path(action)):
        return None
    if not _is_put_away(site, action):
        return None
    put_back(site, action)
    return perform(site, action)


def _is_put_away(site: Site, action: Action) -> bool:
    """Whether what the action replaces lies in this run's trash."""
    file = _hashed(site.trash(action, site.run_id))
    return file is not None and action.local is not None and file.md5 == action.local.md5


def _hashed(path: str) -> HashedFile | None:
    hashed = hashing.hash_files([path])[0]
    return hashed if isinstance(hashed, HashedFile) else None
