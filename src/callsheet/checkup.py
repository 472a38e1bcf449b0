"""What a check of the whole tree found, as plain data: every kind of finding, how bad it is, and what came of the check.

Rules of this module: pure. `RULES` is the table of all findings; docs/fsck.md tells the same for users, and a test compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from callsheet.layout import natural_key, printable
from callsheet.model import Problem


class Severity(StrEnum):
    """How bad a finding is.

    `ERROR`: a promise is broken, or bytes are at stake. `WARNING`: something lies about, or waits to be settled. `NOTE`: nothing is wrong,
    but there is something to know.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    """The kinds of findings. Those that any run can tell have the code that they have there."""

    MANIFEST = "manifest"
    STATUS = "status"
    NOWHERE = "nowhere"
    EVIDENCE = "evidence"
    STATISTICS = "statistics"
    ORDER = "order"
    LOCAL_PATH = "local_path"
    FORM = "form"
    FOREIGN_URL = "foreign_url"
    OTHER_URL = "other_url"
    SHARED_OBJECT = "shared_object"
    NOT_AN_IMAGE = "not_an_image"
    TWIN_NAMES = "twin_names"
    COLLISION = "collision"
    NO_FOLDER = "no_folder"
    FOLDER_GONE = "folder_gone"
    BAD_NAME = "bad_name"
    SYMLINK = "symlink"
    NOT_A_FILE = "not_a_file"
    BAD_TIME = "bad_time"
    UNREADABLE = "unreadable"
    DRIFT = "drift"
    GONE = "gone"
    CORRUPT = "corrupt"
    CHANGING = "changing"
    OBJECT_GONE = "object_gone"
    OBJECT_CHANGED = "object_changed"
    OBJECT_CORRUPT = "object_corrupt"
    UNCHECKED = "unchecked"
    LEGACY = "legacy"
    UNPLACED_URL = "unplaced_url"
    LEGACY_LOST = "legacy_lost"
    TRASH_LOST = "trash_lost"
    TRASH_CORRUPT = "trash_corrupt"
    NO_JOURNAL = "no_journal"
    NOT_OURS = "not_ours"
    JOURNAL = "journal"
    TORN_JOURNAL = "torn_journal"
    UNFINISHED = "unfinished"
    UNDER_WAY = "under_way"
    LOCKED = "locked"
    TEMPORARY = "temporary"
    ASIDE = "aside"
    STAMP = "stamp"
    JOB = "job"
    STRAY = "stray"
    NOT_MENDED = "not_mended"


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad a kind of finding is, and what `--fix` does about it; nothing, if `fix` is empty."""

    severity: Severity
    fix: str = ""


_RECORDED_ANEW = "its images are looked at and recorded anew"

RULES: Mapping[Code, Rule] = {
    Code.MANIFEST: Rule(Severity.ERROR),
    Code.STATUS: Rule(Severity.ERROR, f"the actor's hashes are not trusted any more, and {_RECORDED_ANEW}"),
    Code.NOWHERE: Rule(Severity.ERROR, _RECORDED_ANEW),
    Code.EVIDENCE: Rule(Severity.ERROR, f"the claim is taken back, and {_RECORDED_ANEW}"),
    Code.STATISTICS: Rule(Severity.WARNING, _RECORDED_ANEW),
    Code.ORDER: Rule(Severity.WARNING, _RECORDED_ANEW),
    Code.LOCAL_PATH: Rule(Severity.WARNING, _RECORDED_ANEW),
    Code.FORM: Rule(Severity.NOTE),
    Code.FOREIGN_URL: Rule(Severity.WARNING),
    Code.OTHER_URL: Rule(Severity.NOTE),
    Code.SHARED_OBJECT: Rule(Severity.WARNING),
    Code.NOT_AN_IMAGE: Rule(Severity.WARNING),
    Code.TWIN_NAMES: Rule(Severity.WARNING),
    Code.COLLISION: Rule(Severity.WARNING),
    Code.NO_FOLDER: Rule(Severity.WARNING),
    Code.FOLDER_GONE: Rule(Severity.WARNING),
    Code.BAD_NAME: Rule(Severity.WARNING),
    Code.SYMLINK: Rule(Severity.WARNING),
    Code.NOT_A_FILE: Rule(Severity.WARNING),
    Code.BAD_TIME: Rule(Severity.WARNING),
    Code.UNREADABLE: Rule(Severity.WARNING),
    Code.DRIFT: Rule(Severity.NOTE),
    Code.GONE: Rule(Severity.WARNING),
    Code.CORRUPT: Rule(Severity.ERROR),
    Code.CHANGING: Rule(Severity.NOTE),
    Code.OBJECT_GONE: Rule(Severity.WARNING),
    Code.OBJECT_CHANGED: Rule(Severity.NOTE),
    Code.OBJECT_CORRUPT: Rule(Severity.ERROR),
    Code.UNCHECKED: Rule(Severity.WARNING),
    Code.LEGACY: Rule(Severity.NOTE),
    Code.UNPLACED_URL: Rule(Severity.WARNING),
    Code.LEGACY_LOST: Rule(Severity.ERROR, "the file is put back from the trash, and taken over again"),
    Code.TRASH_LOST: Rule(Severity.ERROR),
    Code.TRASH_CORRUPT: Rule(Severity.ERROR),
    Code.NO_JOURNAL: Rule(Severity.WARNING),
    Code.NOT_OURS: Rule(Severity.NOTE),
    Code.JOURNAL: Rule(Severity.ERROR),
    Code.TORN_JOURNAL: Rule(Severity.NOTE),
    Code.UNFINISHED: Rule(Severity.WARNING),
    Code.UNDER_WAY: Rule(Severity.NOTE),
    Code.LOCKED: Rule(Severity.NOTE),
    Code.TEMPORARY: Rule(Severity.WARNING, "it is deleted"),
    Code.ASIDE: Rule(Severity.ERROR, "it gets its name back, or is deleted if another file holds the same bytes"),
    Code.STAMP: Rule(Severity.WARNING, "it is deleted, and the images are hashed once more"),
    Code.JOB: Rule(Severity.WARNING),
    Code.STRAY: Rule(Severity.NOTE),
    Code.NOT_MENDED: Rule(Severity.WARNING),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be, or that is worth knowing.

    `actor` is a folder's name, empty for what is no actor's; `filename` an image's name, or, for any other file, its path below the root, an
    object's address or a run's id. `message` says what is so, and `repair` what to do about it. `fixable`: `--fix` can do it.
    """

    code: Code
    actor: str
    filename: str
    message: str
    repair: str
    fixable: bool = False

    @property
    def severity(self) -> Severity:
        return RULES[self.code].severity

    def as_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor,
            "filename": self.filename,
            "code": self.code.value,
            "severity": self.severity.value,
            "message": self.message,
            "repair": self.repair,
            "fix": RULES[self.code].fix if self.fixable else None,
        }


@dataclass(frozen=True, slots=True)
class Checkup:
    """What came of a check. `findings` are as things are now; `mended` ones were found, and are not there any more.

    `read` names the sides whose bytes were read: empty, `local`, `s3` or `both`; `read_bytes` is how much that was.
    """

    read: str
    actors: int
    images: int
    runs: int
    read_bytes: int
    findings: tuple[Finding, ...]
    mended: tuple[Finding, ...] = ()
    dry_run: bool = False

    @property
    def problems(self) -> tuple[Finding, ...]:
        """All findings but notes: none of them means that the tree is sound as far as it was read."""
        return tuple(found for found in self.findings if found.severity is not Severity.NOTE)

    @property
    def notes(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity is Severity.NOTE)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of the check."""
        tally = Counter(found.severity for found in self.findings)
        return {
            "verb": "fsck",
            "dry_run": self.dry_run,
            "read": self.read or None,
            "actors": self.actors,
            "images": self.images,
            "runs": self.runs,
            "bytes": self.read_bytes,
            "errors": tally[Severity.ERROR],
            "warnings": tally[Severity.WARNING],
            "problems": [found.as_dict() for found in self.problems],
            "notes": [found.as_dict() for found in self.notes],
            "mended": [found.as_dict() for found in self.mended],
        }


_CODES = {"local": Code.UNREADABLE}
"""Codes of problems that are called otherwise here."""


def told(problem: Problem, otherwise: str = "mend that, then callsheet sync") -> Finding:
    """What any run tells, as a finding: what to do about it is a sentence of its own there, or follows the last semicolon.

    `otherwise` is what to do where nothing is said of that.
    """
    message, said, repair = problem.message.partition(". ")
    if not said:
        message, said, repair = problem.message.rpartition("; ")
    if not said:
        message, repair = problem.message, otherwise
    code = _CODES.get(problem.code) or Code(problem.code)
    return Finding(code, problem.actor, problem.filename, message, repair.rstrip("."))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, those of no actor first, then by actor and file; control characters shown as escapes.

    What is no actor's is told as whoever met it first told it.
    """
    shown: dict[tuple[str, ...], Finding] = {}
    for found in findings:
        actor, filename, message, repair = map(printable, (found.actor, found.filename, found.message, found.repair))
        key = (actor, filename, found.code, message if actor else "")
        shown.setdefault(key, Finding(found.code, actor, filename, message, repair, found.fixable))
    return tuple(shown[key] for key in sorted(shown, key=lambda key: (key[0], natural_key(key[1]), key[2:])))
