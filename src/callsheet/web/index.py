"""All actors at a glance, in memory: a row each, brought up to date by whoever asks, and every second by a thread of its own.

A manifest is read again when its size, modification time or inode is another. To find that out, the manifests' folder is listed only if its own
modification time has moved, which every writer that renames makes it do; one that writes in place is found by the full look that
comes once in a while.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from operator import add, attrgetter

from callsheet import layout
from callsheet.codec import counts
from callsheet.errors import CallsheetError
from callsheet.findings import findings
from callsheet.library import Library
from callsheet.model import Actor, Counts, Manifest, Problem
from callsheet.web.views import Row

_log = logging.getLogger(__name__)

_HEARTBEAT_S = 0.5
_AGAIN_S = 10.0
_FULL_LOOK_S = 30.0
_SHOWN_EVERY_S = 1.0
_SETTLED_NS = 2_000_000_000
"""A folder that changed this recently may change again without its modification time showing it."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list; `total` is how many actors match."""

    rows: tuple[Row, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all actors."""

    actors: int = 0
    counts: Counts = field(default_factory=Counts)
    problems: int = 0


_SORTS: dict[str, Callable[[Row], object]] = {
    "updated": lambda row: row.updated.timestamp() if row.updated else 0.0,
    "problems": attrgetter("problems"),
    **{
        name: attrgetter(f"counts.{name}")
        for name in ("total", "synced", "local_only", "s3_only", "out_of_sync", "missing")
    },
}
SORTS = ("name", *_SORTS)
FILTERS: dict[str, Callable[[Row], object]] = {
    name: _SORTS[name] for name in ("synced", "local_only", "s3_only", "out_of_sync", "missing", "problems")
}


class Index:
    """The rows of one tree. Safe to use from many threads.

    `on_row` is called with each row that is new or another, and `on_gone` with the name of each actor that has left, from the thread that
    found out, after the first full look.
    """

    def __init__(self, library: Library, on_row: Callable[[Row], None], on_gone: Callable[[str], None]) -> None:
        self._library = library
        self._on_row = on_row
        self._on_gone = on_gone
        self._manifests = os.path.join(library.root, library.where.manifests_dir)
        self._folders = (self._manifests, os.path.join(library.root, library.where.actors_dir))
        self._refreshing = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._stamps: dict[str, Stamp | None] = {}
        self._order: tuple[str, ...] = ()
        self._sorted: tuple[Row, ...] = ()
        self._totals = Totals()
        self._problems: tuple[Problem, ...] = ()
        self._looked: tuple[int, ...] = ()
        self._looked_at = 0.0
        self._first: tuple[int, int] | None = (0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callsheet-index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def totals(self) -> Totals:
        return self._totals

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with folders and manifests that belong to no actor that can be listed."""
        return self._problems

    @property
    def indexing(self) -> tuple[int, int] | None:
        """(done, total) of the first full look while it goes on."""
        return self._first

    def row(self, name: str) -> Row | None:
        return self._rows.get(name)

    def neighbours(self, name: str) -> tuple[str | None, str | None]:
        """The names of the actors before and after, in natural order."""
        order = self._order
        if name not in order:
            return None, None
        at = order.index(name)
        return order[at - 1] if at else None, order[at + 1] if at + 1 < len(order) else None

    def page(
        self, *, q: str = "", statuses: Sequence[str] = (), sort: str = "name", page: int = 1, per_page: int = 100
    ) -> Page:
        """The rows that match, sorted by one of `SORTS` (`-` turns it round), then by name."""
        rows: Iterable[Row] = self._sorted
        if q:
            wanted = q.casefold()
            rows = [row for row in rows if wanted in row.actor.name.casefold()]
        if statuses:
            tests = [FILTERS[status] for status in statuses]
            rows = [row for row in rows if any(test(row) for test in tests)]
        key = _SORTS.get(sort.removeprefix("-"))
        rows = list(rows)
        if key is not None:
            rows.sort(key=key, reverse=sort.startswith("-"))  # type: ignore[arg-type]
        elif sort.startswith("-"):
            rows.reverse()
        start = (page - 1) * per_page
        return Page(tuple(rows[start : start + per_page]), len(rows))

    def refresh(self, *, fully: bool = False) -> None:
        """Bring the rows up to date. Does nothing, at the cost of two `stat`s, if nothing shows that they are not."""
        if self._first is not None and not fully:
            return  # the first look goes on, on its own thread
        with self._refreshing:
            now = time.time_ns()
            looked = tuple(map(_mtime_ns, self._folders))
            settled = all(mtime_ns + _SETTLED_NS < now for mtime_ns in looked)
            if not fully and looked == self._looked:
                return
            self._look()
            self._looked = looked if settled else ()
            self._looked_at = time.monotonic()

    def _run(self) -> None:
        sound = self._refreshed(fully=True)
        self._first = None
        while not self._ended.wait(_HEARTBEAT_S if sound else _AGAIN_S):
            sound = self._refreshed(fully=time.monotonic() - self._looked_at > _FULL_LOOK_S)

    def _refreshed(self, *, fully: bool) -> bool:
        """Whether that could be done."""
        try:
            self.refresh(fully=fully)
        except Exception:  # noqa: BLE001  the heart beats on, whatever one look dies of
            _log.exception("Bringing the list of actors up to date failed")
            return False
        return True

    def _look(self) -> None:
        try:
            seen = self._library.survey()
            stamps = self._stamps_on_disk()
        except CallsheetError as error:
            self._problems = (Problem("", "", error.code, error.sentence),)
            return
        changed: list[Row] = []
        rows, shown_at = dict(self._rows), time.monotonic()
        for number, actor in enumerate(seen.actors):
            if self._ended.is_set():
                return
            stamp = stamps.get(actor.stem)
            known = rows.get(actor.name)
            if known is None or known.actor != actor or self._stamps.get(actor.name) != stamp:
                row = self._read(actor)
                self._stamps[actor.name] = stamp
                if row != known:
                    rows[actor.name] = row
                    changed.append(row)
            if self._first is not None and time.monotonic() - shown_at > _SHOWN_EVERY_S:
                self._first, shown_at = (number, len(seen.actors)), time.monotonic()
                self._show(rows)
        gone = rows.keys() - {actor.name for actor in seen.actors}
        for name in gone:
            del rows[name]
            self._stamps.pop(name, None)
        self._problems = seen.problems
        if changed or gone:
            self._show(rows)
        if self._first is None:
            for row in changed:
                self._on_row(row)
            for name in gone:
                self._on_gone(name)

    def _show(self, rows: dict[str, Row]) -> None:
        if rows.keys() != self._rows.keys():
            self._order = tuple(sorted(rows, key=layout.natural_key))
        self._rows = dict(rows)
        self._sorted = tuple(rows[name] for name in self._order)
        everything = reduce(add, (row.counts for row in self._sorted), Counts())
        self._totals = Totals(len(rows), everything, sum(row.problems for row in self._sorted))

    def _stamps_on_disk(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        try:
            with os.scandir(self._manifests) as entries:
                for entry in entries:
                    if (stem := layout.manifest_stem(entry.name)) is None:
                        continue
                    with suppress(OSError):  # it went just now, or is a link to nothing
                        status = entry.stat()
                        found[stem] = status.st_mtime_ns, status.st_size, status.st_ino
        except OSError:  # the folder is not there yet: the next look sees it
            return found
        return found

    def _read(self, actor: Actor) -> Row:
        try:
            manifest = self._library.manifest(actor)
        except CallsheetError as error:
            return Row(actor, Counts(), 0, 1, None, Problem(actor.name, "", error.code, error.sentence))
        return row_of(actor, manifest, self._library)


def row_of(actor: Actor, manifest: Manifest, library: Library) -> Row:
    told = sum(1 for _ in findings(manifest, actor, library.where))
    good = sum(bool(entry.good) for entry in manifest.entries)
    return Row(actor, counts(manifest), good, told, manifest.updated)


def _mtime_ns(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
