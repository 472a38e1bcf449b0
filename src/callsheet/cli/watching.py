"""The verb `watch`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from callsheet.cli.options import with_library

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
    turns, voice = Turns(), _Voice(as_json=as_json)
    watcher = Watcher(library, turns, voice)
    with patient() as stop:
        watcher.start()
        try:
            polled_s = time.monotonic()
            while not stop():
                time.sleep(_TICK_S)
                voice.begin(watching=watcher.watching)
                if poll_minutes and time.monotonic() - polled_s >= poll_minutes * 60:
                    _sync_all(library, turns, voice, stop)
                    polled_s = time.monotonic()
        finally:
            watcher.close()
    return 0


def _sync_all(library: Library, turns: Turns, voice: _Voice, stop: Any) -> None:
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
    """Prints what the watcher tells: actors on stdout, problems on stderr; with `as_json`, both on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._begun = False
        self._lock = threading.Lock()

    def begin(self, *, watching: bool) -> None:
        """Say once that changes are noticed from now on."""
        if watching and not self._begun:
            self._begun = True
            self._say({"event": "watching"}, "Watching; Ctrl-C ends it.", err=True)

    def touched(self, names: Iterable[str]) -> None:
        pass

    def synced(self, report: Report) -> None:
        for row, found in zip(report.actors, report.as_dict()["by_actor"], strict=True):
            if row.manifest_updated:
                counts = row.counts
                numbers = (
                    (counts.synced, "synced"),
                    (counts.local_only, "local only"),
                    (counts.s3_only, "in S3 only"),
                    (counts.out_of_sync, "out of sync"),
                    (counts.missing, "missing"),
                )
                told = ", ".join(f"{number:,} {word}" for number, word in numbers if number) or "no images"
                self._say({"event": "synced", **found}, f"{row.actor.name}: {told}")

    def manifests_changed(self, *, in_place: bool) -> None:
        pass

    def told(self, problem: Problem) -> None:
        from callsheet.layout import printable

        place = "/".join(part for part in (problem.actor, problem.filename) if part) or "callsheet"
        text = printable(f"{place}: {problem.message}")
        self._say({"event": "problem", **asdict(problem)}, text, err=True)

    def _say(self, document: dict[str, Any], text: str, *, err: bool = False) -> None:
        with self._lock:
            if self._as_json:
                click.echo(json.dumps(document, ensure_ascii=False))
            else:
                click.echo(text, err=err)
