"""What came of planning, of carrying out a plan and of curating, as plain data: for the shells, for callers of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from callsheet.action import Outcome, Plan
from callsheet.model import Entry, HashedFile, Problem
from callsheet.planfile import action_as_dict, outcome_as_dict, plan_as_dict
from callsheet.report import Report, distinct


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan, and what was seen of the actors that it is for.

    `unrecorded` are actors by name of which something was seen that is to be recorded once the plan was carried out, each with its files,
    by path, that were hashed: see `Run.hashed`.
    """

    plan: Plan
    seen: Report
    unrecorded: Mapping[str, Mapping[str, HashedFile]] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Of the look and of the plan."""
        return distinct((*self.seen.problems, *self.plan.refusals))

    def summary(self) -> dict[str, Any]:
        """As of a report, and how much would be done."""
        return {
            **replace(self.seen, verb=self.plan.verb.value, dry_run=True).summary(),
            "planned": len(self.plan.actions),
            "refused": len(self.plan.refusals),
            "bytes": sum(action.transferred_bytes for action in self.plan.actions),
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of a dry run: as of a report, and what would be done."""
        return {
            **replace(self.seen, verb=self.plan.verb.value, problems=self.problems, dry_run=True).as_dict(),
            "plan": plan_as_dict(self.plan),
        }


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came of a plan. `report` is of the actors as they are now; its problems also name what failed and what was refused.

    `run_id` is what `undo` takes; empty if there was nothing to do. `notes` tell of the store's own ways. After an interruption,
    `outcomes` holds what was done until then. `marked` is how many marks were made.
    """

    run_id: str
    plan: Plan
    outcomes: tuple[Outcome, ...]
    report: Report
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    marked: int = 0

    @property
    def done(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.problem is None)

    def summary(self) -> dict[str, Any]:
        """As of a report, and how much was done."""
        done = self.done
        return {
            **self.report.summary(),
            "run": self.run_id,
            "interrupted": self.interrupted,
            "planned": len(self.plan.actions),
            "done": len(done),
            "failed": len(self.outcomes) - len(done),
            "marked": self.marked,
            "refused": len(self.plan.refusals),
            "bytes": sum(outcome.action.transferred_bytes for outcome in done),
            "notes": list(self.notes),
        }

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of the run: as of a report, and what was done."""
        return {
            **self.report.as_dict(),
            **self.summary(),
            "outcomes": [outcome_row(outcome) for outcome in self.outcomes],
        }


@dataclass(frozen=True, slots=True)
class Curated:
    """What came of a change of marks and prompts. `run_id` is what `undo` takes; empty if nothing changed, and after a dry run.

    `entries` are the images that it was about, as they are now (after a dry run: as they would be), in the manifest's order.
    """

    run_id: str
    entries: tuple[Entry, ...]


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """An action and what came of it, as JSON documents have it."""
    return {**action_as_dict(outcome.action), **outcome_as_dict(outcome)}
