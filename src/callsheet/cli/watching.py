"""The verb `watch`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import with_library
from callsheet.layout import printable

if TYPE_CHECKING:
    from callsheet.library import Library
    from callsheet.model import Problem
    from callsheet.report import Report
    from callsheet.web.turns import Turns

_TICK_S = 0.2


@click.command()
@click.option(
    "--poll", "poll_minutes", type=click.FloatRange(min=0.1), metavar="MINUTES", help="Look at S3 that often, too."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line on stdout.")
@with_library
def watch(library: Library, poll_minutes: float | None, as_json: bool) -> int:
    """Record what changes on this disk as it changes, until Ctrl-C.

    Looks again at each actor whose folder has changed, as soon as that has settled, and prints a line for it. S3 is not looked at,
    unless --poll says how often. Losses of very many images at once are told, and not recorded. `callsheet serve` does the same.
    """
    from callsheet.cli.patience import patient
    from callsheet.web.turns import Turns
    from callsheet.web.watch import Watcher

    library.survey()  # a tree that is not there is no tree to wait for
    turns, voice = Turns(), _Voice()
    watcher = Watcher(library, turns, voice)
    with patient() as stop:
        watcher.start()
        try:
            polled_s = time.monotonic()
            while not stop():
                time.sleep(_TICK_S)
                voice.say(watching=watcher.watching, as_json=as_json)
                if poll_minutes and time.monotonic() - polled_s >= poll_minutes * 60:
                    _sync_all(library, turns, voice, stop)
                    polled_s = time.monotonic()
        finally:
            watcher.close()
    voice.say(watching=False, as_json=as_json)
    return 0


def _sync_all(library: Library, turns: Turns, voice: _Voice, stop: Callable[[], bool]) -> None:
    """Look at S3 and at all actors, when the watcher is at none of them."""
    from callsheet.errors import CallsheetError
    from callsheet.model import Problem

    turn = turns.join(None)
    try:
        with turns.changed:
            while not turns.begin(turn):
                turns.changed.wait()
        report = library.sync(stop=stop)
    except CallsheetError as error:
        voice.told(Problem("", "", error.code, error.sentence))
    else:
        voice.synced(report)
        for problem in report.problems:
            voice.told(problem)
    finally:
        turns.leave(turn)


class _Voice:
    """Keeps what the watcher's threads tell until it is printed: actors on stdout, problems on stderr; as JSON, both on stdout."""

    def __init__(self) -> None:
        self._told: SimpleQueue[Report | Problem] = SimpleQueue()
        self._begun = False

    def touched(self, names: Iterable[str]) -> None:
        pass

    def synced(self, report: Report) -> None:
        self._told.put(report)

    def manifests_changed(self, *, in_place: bool) -> None:
        pass

    def told(self, problem: Problem) -> None:
        self._told.put(problem)

    def say(self, *, watching: bool, as_json: bool) -> None:
        """Print it; and, the first time, that changes are noticed from now on."""
        if watching and not self._begun:
            self._begun = True
            _print({"event": "watching"}, "Watching; Ctrl-C ends it.", as_json=as_json, err=True)
        while not self._told.empty():
            _tell(self._told.get(), as_json=as_json)


def _tell(news: Report | Problem, *, as_json: bool) -> None:
    from callsheet.cli.text import by_status, problem_line
    from callsheet.model import Problem

    if isinstance(news, Problem):
        _print({"event": "problem", **asdict(news)}, problem_line(news), as_json=as_json, err=True)
        return
    for row, document in zip(news.actors, news.as_dict()["by_actor"], strict=True):
        if row.manifest_updated:
            _print({"event": "synced", **document}, f"{row.actor.name}: {by_status(row.counts)}", as_json=as_json)


def _print(document: dict[str, Any], text: str, *, as_json: bool, err: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(printable(text), err=err)
