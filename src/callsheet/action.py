"""What may be done to an image, as plain data: print it, write it to a file, do it later.

Rules of this module: as those of `model`. An action sets one side of one image to one content, or to nothing, and
carries what it expects to find on both sides; what it replaces or removes goes to that side's trash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callsheet.errors import BadDigest, LocalError, Unreachable, WorkerLost
from callsheet.model import Location, Problem


class Verb(StrEnum):
    """What a user asks for; a run carries out one."""

    PUSH = "push"
    PULL = "pull"
    REPAIR = "repair"
    EVICT = "evict"
    RM = "rm"
    UNDO = "undo"
    RESTORE = "restore"
    MARK = "mark"


class Op(StrEnum):
    """What an action does.

    | op              | `local`                      | `s3`                          | afterwards                                        |
    |-----------------|------------------------------|-------------------------------|---------------------------------------------------|
    | `upload`        | what is sent                 | what it replaces, or nothing  | S3 holds what is here                             |
    | `download`      | what it replaces, or nothing | what is fetched               | this disk holds what is in S3                     |
    | `evict`         | what is deleted              | the same content              | nothing here; not in the trash either, for S3 has it |
    | `trash_local`   | what is removed              | not looked at                 | nothing here                                      |
    | `trash_s3`      | not looked at                | what is removed               | nothing in S3                                     |
    | `restore_local` | what it replaces, or nothing | not looked at                 | this disk holds what was in the trash             |
    | `restore_s3`    | not looked at                | what it replaces, or nothing  | S3 holds what was in its trash                    |
    """

    UPLOAD = "upload"
    DOWNLOAD = "download"
    EVICT = "evict"
    TRASH_LOCAL = "trash_local"
    TRASH_S3 = "trash_s3"
    RESTORE_LOCAL = "restore_local"
    RESTORE_S3 = "restore_s3"

    @property
    def here(self) -> bool:
        """Whether it changes this disk; else it changes S3."""
        return self in (Op.DOWNLOAD, Op.EVICT, Op.TRASH_LOCAL, Op.RESTORE_LOCAL)

    @property
    def removes(self) -> bool:
        return self in (Op.EVICT, Op.TRASH_LOCAL, Op.TRASH_S3)


@dataclass(frozen=True, slots=True)
class Version:
    """One content. `md5` is None for an object whose MD5 is not known, `etag` for a file."""

    size_bytes: int
    md5: str | None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Trashed:
    """A content in the trash of the run that put it there."""

    run_id: str
    version: Version


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan; see `Op` for what `local` and `s3` mean. `location` is the image's place in S3.

    `trashed` is what a restoring action puts back. `base` is the MD5 that both sides last agreed on: before a verb's own action, and
    again after an undo's. `actor` is the folder's name; `reason` says why, for people.
    """

    op: Op
    actor: str
    filename: str
    location: Location
    local: Version | None = None
    s3: Version | None = None
    trashed: Trashed | None = None
    base: str | None = None
    reason: str = ""

    @property
    def replaced(self) -> Version | None:
        """What the changed side holds before, if anything: it must be kept."""
        return self.local if self.op.here else self.s3

    @property
    def placed(self) -> Version | None:
        """What the changed side holds afterwards; None for a removal."""
        if self.op.removes:
            return None
        if self.trashed is not None:
            return self.trashed.version
        return self.s3 if self.op is Op.DOWNLOAD else self.local

    @property
    def size_bytes(self) -> int:
        """How much the action is about: what is placed, or what is removed."""
        version = self.placed or self.replaced
        return version.size_bytes if version else 0

    @property
    def transferred_bytes(self) -> int:
        """What goes over the network."""
        return self.size_bytes if self.op in (Op.UPLOAD, Op.DOWNLOAD) else 0


@dataclass(frozen=True, slots=True)
class Curation:
    """What a user says of an image; None where nothing is said."""

    good: bool | None
    prompt: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of what a user says of an image. It is made only while `before` is what the manifest says."""

    actor: str
    filename: str
    before: Curation
    after: Curation


@dataclass(frozen=True, slots=True)
class Plan:
    """What a verb would do, in order, and what it refuses, with the reason. `undoes` is the run that an undo takes back."""

    verb: Verb
    actions: tuple[Action, ...]
    refusals: tuple[Problem, ...] = ()
    undoes: str = ""
    marks: tuple[Mark, ...] = ()

    @property
    def destructive(self) -> bool:
        """Whether anything is removed or replaced."""
        return any(action.replaced is not None for action in self.actions)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action came to. `problem` says why it was not done; None if it was.

    `placed` is what the changed side holds now, and `kept` what the trash of the run got, each as far as it is known. `mtime_ns` is the
    modification time that the placed file was hashed at, if it is not too recent to tell whether the file was changed since.
    """

    action: Action
    problem: Problem | None = None
    placed: Version | None = None
    kept: Version | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """An action of a run, as its journal tells it: `outcome` is None if the run ended before it was known."""

    action: Action
    outcome: Outcome | None

    @property
    def known(self) -> Outcome | None:
        """The outcome of a step that was done; None where that is for the sides to tell."""
        return self.outcome if self.outcome is not None and self.outcome.problem is None else None

    @property
    def lost(self) -> bool:
        """Whether it failed in a way that may have come after its effect: the sides tell whether it was done."""
        problem = self.outcome.problem if self.outcome else None
        return problem is not None and problem.code in (
            Unreachable.code,
            BadDigest.code,
            LocalError.code,
            WorkerLost.code,
        )


@dataclass(frozen=True, slots=True)
class PastRun:
    """What the journal tells of a run. `ended` is None for one that was killed, or still goes on."""

    id: str
    verb: Verb
    started: datetime
    steps: tuple[Step, ...] = ()
    ended: datetime | None = None
    undoes: str = ""
    marks: tuple[Mark, ...] = ()

    @property
    def done(self) -> tuple[Step, ...]:
        """The steps that were done or may have been: they failed late, or the run was killed. One that ended began no others."""
        return tuple(
            step for step in self.steps if step.known or step.lost or (step.outcome is None and self.ended is None)
        )

    @property
    def changed(self) -> bool:
        """Whether it did anything, or may have."""
        return bool(self.done or self.marks)

    @property
    def surely_changed(self) -> bool:
        """Whether it did something, without a look at the sides: not so of a run that was killed before it knew of anything done."""
        return any(step.known for step in self.steps) or bool(self.marks and self.ended)
