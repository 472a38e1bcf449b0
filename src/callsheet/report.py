"""What a run found and did, as plain data: for the text report, for `--json`, for callers of the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import add
from typing import Any

from callsheet.layout import printable
from callsheet.model import Actor, Change, Counts, Problem


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `hashed_bytes` is what was read from disk and hashed so far."""

    actors_done: int
    actors_total: int
    images: int
    hashed_bytes: int


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the carrying out of a plan is: actions, and bytes over the network."""

    actions_done: int
    actions_total: int
    bytes_done: int
    bytes_total: int
    failed: int


@dataclass(frozen=True, slots=True)
class Drift:
    """What has changed on disk since an actor's manifest was written; filenames.

    `new` files are not in the manifest (orphans), `gone` ones were recorded here and are not, `touched` ones
    have another size or mtime.
    """

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActorReport:
    """One actor. After a dry run, `manifest_updated` and `response_deleted` say what would have happened."""

    actor: Actor
    counts: Counts
    manifest_updated: bool = False
    response_deleted: bool = False
    drift: Drift | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    """The images that are out of sync, by filename, and which side of each changed."""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `problems` names all that it could not do or vouch for; no problems means that all of it is true.

    An `interrupted` one was stopped: actors that it did not come to have no row.
    """

    verb: str
    actors: tuple[ActorReport, ...]
    problems: tuple[Problem, ...]
    dry_run: bool = False
    interrupted: bool = False

    @property
    def counts(self) -> Counts:
        return reduce(add, (row.counts for row in self.actors), Counts())

    @property
    def manifests_updated(self) -> int:
        return sum(row.manifest_updated for row in self.actors)

    @property
    def response_json_deleted(self) -> int:
        return sum(row.response_deleted for row in self.actors)

    def summary(self) -> dict[str, Any]:
        """The JSON document of the run without what there may be a million of: problems and rows."""
        return {
            "verb": self.verb,
            "dry_run": self.dry_run,
            "actors": len(self.actors),
            **_numbers(self.counts),
            "manifests_updated": self.manifests_updated,
            "response_json_deleted": self.response_json_deleted,
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of the run: totals, problems, and a row for each actor."""
        return {
            **self.summary(),
            "problems": [asdict(problem) for problem in self.problems],
            "by_actor": [_row(row) for row in self.actors],
        }


def distinct(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, those of the whole run first, then by actor and file; control characters shown as escapes.

    What is wrong with all of S3, or with a bucket, is told as whoever met it first told it.
    """
    shown: dict[tuple[str, ...], Problem] = {}
    for problem in problems:
        actor, filename, message = map(printable, (problem.actor, problem.filename, problem.message))
        key = (actor, filename, problem.code, message if actor else "")
        shown.setdefault(key, Problem(actor, filename, problem.code, message))
    return tuple(shown[key] for key in sorted(shown))


def _numbers(counts: Counts) -> dict[str, int]:
    return {
        "images": counts.total,
        "synced": counts.synced,
        "local_only": counts.local_only,
        "s3_only": counts.s3_only,
        "out_of_sync": counts.out_of_sync,
        "missing": counts.missing,
    }


def _row(row: ActorReport) -> dict[str, Any]:
    result: dict[str, Any] = {"actor_name": row.actor.name, "actor_id": row.actor.id, **_numbers(row.counts)}
    result["changes"] = {filename: change.value for filename, change in row.changes.items()}
    if row.drift is None:
        return {**result, "manifest_updated": row.manifest_updated, "response_json_deleted": row.response_deleted}
    return {**result, **{key: list(names) for key, names in asdict(row.drift).items()}}
