"""What a job asks of the library: from what is wanted to what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from callsheet.action import Outcome, Plan
from callsheet.errors import UsageError
from callsheet.library import Library
from callsheet.model import Problem
from callsheet.report import Moved, Progress
from callsheet.result import Proposal
from callsheet.web.jobstore import Wanted

LOOKS = ("sync", "verify")


@dataclass(frozen=True, slots=True)
class Reins:
    """How a job is held, and whom it tells. `on_proposed` is called before anything is moved."""

    stop: Callable[[], bool]
    on_looked: Callable[[Progress], None]
    on_moved: Callable[[Moved], None]
    on_proposed: Callable[[Proposal], None]
    on_begun: Callable[[str], None]
    on_outcome: Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job. `plan` is that of a dry run."""

    summary: Mapping[str, Any]
    problems: tuple[Problem, ...]
    interrupted: bool
    run: str = ""
    plan: Plan | None = None


def check(wanted: Wanted) -> None:
    """`UsageError` for what no actor, image or run could make sense of."""
    verb = wanted.verb
    if verb == "rm" and not wanted.actors:
        raise UsageError("rm is for named actors only", hint="Name them in `actors`.")
    if wanted.prefer and verb != "repair":
        raise UsageError(f"A {verb} prefers no side", hint="`prefer` is for a repair.")
    if wanted.run and verb != "undo":
        raise UsageError(f"A {verb} takes no run back", hint="`run` is for an undo.")
    if verb == "undo" and (wanted.actors or wanted.filenames or wanted.good):
        raise UsageError("An undo takes back a run as a whole", hint="Leave `actors`, `filenames` and `good` out.")
    if verb in LOOKS and (wanted.filenames or wanted.good):
        raise UsageError(f"A {verb} looks at actors as a whole", hint="Leave `filenames` and `good` out.")


def carry_out(library: Library, wanted: Wanted, plan: Plan | None, reins: Reins) -> Result:
    """Do it, or do what `plan` says. Raises what the library does."""
    if plan is not None:
        return _apply(library, plan, reins)
    if wanted.verb in LOOKS:
        report = library.sync(
            wanted.actors,
            verify=wanted.verb == "verify",
            dry_run=wanted.dry_run,
            stop=reins.stop,
            on_progress=reins.on_looked,
        )
        return Result(report.summary(), report.problems, report.interrupted)
    proposal = _proposed(library, wanted, reins)
    if proposal.seen.interrupted or reins.stop():
        return Result(proposal.summary(), proposal.problems, interrupted=True)
    reins.on_proposed(proposal)
    if wanted.dry_run:
        return Result(proposal.summary(), proposal.problems, interrupted=False, plan=proposal.plan)
    return _apply(library, proposal, reins)


def _proposed(library: Library, wanted: Wanted, reins: Reins) -> Proposal:
    if wanted.verb == "undo":
        return library.plan_undo(
            wanted.run,
            or_before=wanted.or_before,
            dry_run=wanted.dry_run,
            stop=reins.stop,
            on_progress=reins.on_looked,
        )
    return library.plan(
        wanted.verb,
        wanted.actors,
        only=wanted.filenames,
        good=wanted.good,
        prefer=wanted.prefer,
        dry_run=wanted.dry_run,
        stop=reins.stop,
        on_progress=reins.on_looked,
    )


def _apply(library: Library, plan: Plan | Proposal, reins: Reins) -> Result:
    done = library.apply(
        plan,
        stop=reins.stop,
        on_begun=reins.on_begun,
        on_outcome=reins.on_outcome,
        on_moved=reins.on_moved,
        on_progress=reins.on_looked,
    )
    return Result(done.summary(), done.report.problems, done.interrupted, done.run_id)
