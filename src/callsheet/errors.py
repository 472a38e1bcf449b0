"""Every exception that callsheet raises, with the exit code and HTTP status that it stands for.

Rules of this module: no I/O, nothing from the package but its words. Errors of other libraries are turned into
these where they enter (`remote`, `local`, `store`, `settings`), so that shells need one `except`.
Problems of single files are not exceptions: see `model.Problem`.
"""

from __future__ import annotations

from typing import ClassVar

from callsheet.model import Problem


class CallsheetError(Exception):
    """Base of all errors. `str(error)` says what happened and to what; `hint` says what to do next.

    `code` is a stable, machine-readable name; `exit_code` and `http_status` are what a shell answers
    when the error reaches it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def sentence(self) -> str:
        """Message and hint as one text of whole sentences."""
        return " ".join(
            part if part.endswith((".", "?", "!")) else f"{part}." for part in (str(self), self.hint) if part
        )


class UsageError(CallsheetError):
    """The caller asked for something that makes no sense: a wrong option, URL or value."""

    code = "usage"
    exit_code = 2
    http_status = 400


class ConfigError(UsageError):
    """`callsheet.toml` or an environment variable is wrong."""

    code = "config"


class UnknownActor(UsageError):
    """No folder, manifest or S3 prefix answers to the name; or more than one does."""

    code = "unknown_actor"
    http_status = 404


class UnknownImage(UsageError):
    """The actor's manifest records no such image."""

    code = "unknown_image"
    http_status = 404


class ForeignBucket(UsageError):
    """An image's URL names a bucket that the settings do not, so nobody is shown what it holds."""

    code = "foreign_bucket"
    http_status = 403


class PlanError(UsageError):
    """A plan's or a journal's file is not what it must be. The message names file and place."""

    code = "plan"


class UnderWay(CallsheetError):
    """The run is still going on, in another process or thread."""

    code = "under_way"
    http_status = 409


class UnknownRun(UsageError):
    """The journal tells of no such run, or of none that could be taken back."""

    code = "unknown_run"
    http_status = 404


class TreeError(CallsheetError):
    """The tree itself cannot be read: nothing can be done."""

    code = "tree"


class LossRefused(CallsheetError):
    """So many recorded images are gone at once that an unmounted disk or a wrong bucket is likelier than a deletion.

    `problems` are what else the run found.
    """

    code = "mass_loss"
    http_status = 409

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class ClusterError(CallsheetError):
    """The cluster that a run was to use cannot be used, or not any more."""

    code = "cluster"


class WorkerLost(ClusterError):
    """Every worker that was given a job was lost at it."""

    code = "worker_lost"
    exit_code = 1


class LocalError(CallsheetError):
    """A file or folder on this machine could not be read or written."""

    code = "local"
    exit_code = 1


class ChangingFile(LocalError):
    """A file was written to while it was being hashed."""

    code = "changing"


class DamagedImage(CallsheetError):
    """An image that was to replace another cannot be decoded."""

    code = "damaged"
    exit_code = 1
    http_status = 409


class ManifestError(CallsheetError):
    """A manifest (or another of an actor's JSON files) is not what it must be; it is left as it is.

    The message names file and place.
    """

    code = "manifest"
    exit_code = 1
    http_status = 409


class Collision(CallsheetError):
    """A folder's id belongs to a manifest that names another folder, or to two folders at once."""

    code = "collision"
    exit_code = 1
    http_status = 409


class RemoteError(CallsheetError):
    """The remote store did not answer as it should: what it holds is unknown.

    `status` is the HTTP status, `s3_code` the S3 error code, where there was one.
    """

    code = "remote"
    exit_code = 1
    http_status = 502

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, s3_code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.s3_code = s3_code

    @property
    def everywhere(self) -> bool:
        """Whether the endpoint as a whole failed, not what was asked of it: any other request would fail too."""
        return isinstance(self, NoCredentials) or (isinstance(self, Unreachable) and self.status is None)


class NoCredentials(RemoteError):
    """No AWS credentials were found, or they have expired."""

    code = "no_credentials"


class Unreachable(RemoteError):
    """No connection, a connection that broke, or an endpoint that kept failing."""

    code = "unreachable"


class AccessDenied(RemoteError):
    """The store refused: 401 or 403."""

    code = "access_denied"


class NoSuchBucket(RemoteError):
    """The bucket does not exist. Says nothing about whether its objects were ever lost."""

    code = "no_such_bucket"


class NoSuchObject(RemoteError):
    """The store answered, and the object is not there. The one remote error that means absence."""

    code = "no_such_object"
    http_status = 404


class ObjectChanged(RemoteError):
    """The object is no longer the one that was seen: its ETag differs."""

    code = "object_changed"
    http_status = 409


class BadDigest(RemoteError):
    """The bytes that arrived are not those that were announced."""

    code = "bad_digest"


class BrokenListing(RemoteError):
    """A listing ended early or made no sense; what was listed before it stands, absence does not follow."""

    code = "broken_listing"
