"""Carrying out a plan: many actions at once, each on its own, every outcome in the journal as it is known.

Rules of this module: it writes no status. What was touched is looked at again by whoever called, and reconciled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from callsheet import local
from callsheet.action import Action, Outcome
from callsheet.errors import CallsheetError, LocalError
from callsheet.journal import Recorder
from callsheet.layout import printable
from callsheet.model import Problem
from callsheet.perform import Site, perform
from callsheet.report import Moved

OnMoved = Callable[[Moved], None]
Stop = Callable[[], bool]

_TOLD_EVERY_S = 0.1


def execute(
    site: Site,
    actions: Sequence[Action],
    executor: Executor,
    recorder: Recorder,
    *,
    at_once: int,
    stop: Stop,
    on_moved: OnMoved,
) -> list[Outcome]:
    """What each action came to, in the order of `actions`; those after `stop` said so have none and are left out at the end.

    Actions about the same image follow one another. `at_once` of them are under way at a time; what is under way when `stop` says so is finished.
    """
    outcomes: dict[int, Outcome] = {}
    under_way: dict[Future[list[Outcome]], list[int]] = {}
    groups = iter(_by_image(actions))
    total_bytes = sum(action.transferred_bytes for action in actions)
    failed = 0
    while True:
        while len(under_way) < at_once and not stop() and (group := next(groups, None)):
            under_way[executor.submit(_in_turn, site, [actions[number] for number in group])] = group
        if not under_way:
            break
        finished, _ = wait(under_way, timeout=_TOLD_EVERY_S, return_when=FIRST_COMPLETED)
        for future in finished:
            for number, outcome in zip(under_way.pop(future), future.result(), strict=True):
                outcomes[number] = outcome
                recorder.outcome(number, outcome)
                failed += outcome.problem is not None
        moved_bytes = min(site.meter.total_bytes, total_bytes)  # what was sent again was counted again
        on_moved(Moved(len(outcomes), len(actions), moved_bytes, total_bytes, failed))
    return [outcomes[number] for number in sorted(outcomes)]


def _by_image(actions: Sequence[Action]) -> list[list[int]]:
    """The numbers of the actions, those about one image together, in the order in which the images come first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, action in enumerate(actions):
        groups.setdefault((action.actor, action.filename), []).append(number)
    return list(groups.values())


def _in_turn(site: Site, actions: list[Action]) -> list[Outcome]:
    """The job of one image. After a failure nothing more is done to it, but that what was put away is put back."""
    outcomes: list[Outcome] = []
    for action in actions:
        if outcomes and outcomes[-1].problem is not None and action.trashed is None:
            outcomes.append(Outcome(action, outcomes[-1].problem))
            continue
        try:
            outcomes.append(perform(site, action))
        except CallsheetError as error:
            told = Problem(action.actor, action.filename, error.code, printable(error.sentence))
            outcomes.append(Outcome(action, told))
    return outcomes


def make_durable(site: Site, outcomes: Iterable[Outcome]) -> list[Problem]:
    """Flush the folders that files were put into or taken from; what the files hold is durable already. Returns what could not be."""
    placed = (outcome.action for outcome in outcomes if outcome.problem is None and outcome.action.op.here)
    problems = []
    for folder, actor in sorted({(os.path.dirname(site.path(action)), action.actor) for action in placed}):
        try:
            local.flush_folder(folder)
        except LocalError as error:
            problems.append(Problem(actor, "", error.code, error.sentence))
    return problems
