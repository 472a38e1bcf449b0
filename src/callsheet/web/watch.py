"""Noticing changes on this disk, and bringing the manifests of the actors that they are about up to date, without S3.

An actor is looked at again once its folder has settled. One that has lost images waits until no other does: so many losses at once that
they are no deletion are seen together, and `sync` refuses to record them.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from watchfiles import Change, watch

from callsheet import layout, local
from callsheet.errors import CallsheetError, LossRefused
from callsheet.library import Library
from callsheet.model import Problem
from callsheet.report import Report
from callsheet.run import Stop, never
from callsheet.web.ending import have_ended
from callsheet.web.turns import Turns

_TOLD_WITHIN_MS = 200
_STEP_MS = 50
_IDLE_MS = 250
_QUIET_S = 0.5
_LONGEST_WAIT_S = 2.0
_LOSS_QUIET_S = 0.7
_LOSS_LONGEST_WAIT_S = 5.0
_TICK_S = 0.1
_AGAIN_S = 10.0

_News = TypeVar("_News")

_log = logging.getLogger(__name__)


class Witness(Protocol):
    """Whoever is told what the watcher sees; called from its threads."""

    def touched(self, names: Iterable[str]) -> None:
        """Something has changed in these actors' folders; each is told once until it is looked at again."""

    def synced(self, report: Report) -> None:
        """Some actors were looked at again, and their manifests say what is here now."""

    def manifests_changed(self, *, in_place: bool) -> None:
        """Somebody has written manifests; `in_place` if the folder's own modification time may not show it."""

    def told(self, problem: Problem) -> None:
        """What could not be recorded, and why."""


@dataclass(slots=True)
class _Waiting:
    first_s: float
    last_s: float

    def is_due(self, now_s: float, quiet_s: float, longest_s: float) -> bool:
        return now_s - self.last_s >= quiet_s or now_s - self.first_s >= longest_s


class Watcher:
    """Watches one tree from `start` to `close`. `turns` keep it off actors that somebody else is working on."""

    def __init__(self, library: Library, turns: Turns, witness: Witness) -> None:
        self._library = library
        self._turns = turns
        self._witness = witness
        self._actors = os.path.join(library.root, library.where.actors_dir)
        self._manifests = os.path.join(library.root, library.where.manifests_dir)
        self._lock = threading.Lock()
        self._changed: dict[str, _Waiting] = {}
        self._losing: set[str] = set()
        self._losing_since = _Waiting(0.0, 0.0)
        self._refused: frozenset[str] = frozenset()
        self._ended = threading.Event()
        self._watching = False
        self._blind = ""
        self._loss = ""
        self._told: frozenset[Problem] = frozenset()
        self._threads = [
            threading.Thread(target=self._listen, name="callsheet-watch", daemon=True),
            threading.Thread(target=self._look_again, name="callsheet-settle", daemon=True),
        ]

    @property
    def watching(self) -> bool:
        """Whether changes are noticed now."""
        return self._watching

    @property
    def notes(self) -> list[str]:
        """Why changes are not noticed or not recorded, and what to do."""
        return [note for note in (self._blind, self._loss) if note]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell it to end; `close` waits for that."""
        self._ended.set()

    def close(self, give_up: Stop = never) -> bool:
        """End, unless `give_up` says yes before that. Whether it has ended."""
        self.stop()
        return have_ended(self._threads, give_up)

    def _listen(self) -> None:
        """Watch; if that cannot be done or ends, say so, and try again now and then."""
        while not self._ended.is_set():
            try:
                self._hear()
            except Exception as error:  # noqa: BLE001  not only an OSError: its core is not ours
                if not isinstance(error, OSError):
                    _log.exception("Watching failed")
                self._watching = False
                blind = (
                    f"Changes in {self._actors} are not noticed: {error}. Is it there, and is fs.inotify.max_user_watches "
                    "at least as large as the number of folders in it? Until it is mended, sync records changes."
                )
                if blind != self._blind:
                    self._blind = blind
                    self._witness.told(Problem("", "", "not_watching", blind))
                self._ended.wait(_AGAIN_S)

    def _hear(self) -> None:
        folders = [
            folder for folder in (self._actors, self._manifests) if folder == self._actors or os.path.isdir(folder)
        ]
        folder = _identity(self._actors)
        heard = watch(
            *folders,
            watch_filter=None,
            debounce=_TOLD_WITHIN_MS,
            step=_STEP_MS,
            rust_timeout=_IDLE_MS,
            stop_event=self._ended,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for changes in heard:
            if _identity(self._actors) != folder:
                raise FileNotFoundError(errno.ENOENT, "another folder has taken its place, or none")
            self._watching, self._blind = True, ""
            try:
                self._sort_out(changes)
            except Exception:  # noqa: BLE001  what has changed is looked at again all the same
                _log.exception("Telling what has changed failed")

    def _sort_out(self, changes: Iterable[tuple[Change, str]]) -> None:
        now_s = time.monotonic()
        touched: set[str] = set()
        to_sync: set[str] = set()
        written: set[Change] = set()
        for change, path in changes:
            if path.startswith(self._actors + os.sep):
                name, matters = _meant(path[len(self._actors) + 1 :])
                if matters is not None:
                    touched.add(name)
                    to_sync |= {name} if matters else set()
            elif path.endswith(layout.MANIFEST_SUFFIX):
                written.add(change)
        with self._lock:
            fresh = touched - self._changed.keys()
            for name in to_sync | (
                self._refused if written else frozenset()
            ):  # what was refused may be accepted by now
                first_s = min(self._changed[name].first_s, now_s) if name in self._changed else now_s
                self._changed[name] = _Waiting(first_s, now_s)
        if fresh:
            self._witness.touched(sorted(fresh))
        if written:
            self._witness.manifests_changed(in_place=Change.modified in written)

    def _look_again(self) -> None:
        while not self._ended.wait(_TICK_S):
            try:
                self._look_at_what_is_due(time.monotonic())
            except Exception:  # noqa: BLE001  watching goes on, whatever one look dies of
                _log.exception("Looking at what has changed failed")

    def _look_at_what_is_due(self, now_s: float) -> None:
        with self._lock:
            due = frozenset(
                name for name, since in self._changed.items() if since.is_due(now_s, _QUIET_S, _LONGEST_WAIT_S)
            )
        with self._free(due) as free:
            with self._lock:
                for name in free:
                    del self._changed[name]
            left = free
            try:
                lost = self._sort_losses(free, now_s)
                if self._sync(free - lost) is None:
                    left = frozenset()
            finally:
                self._look_later(left, now_s)
        if self._losing and self._losing_since.is_due(now_s, _LOSS_QUIET_S, _LOSS_LONGEST_WAIT_S):
            self._record_losses(now_s)

    def _sort_losses(self, names: frozenset[str], now_s: float) -> set[str]:
        """Those of the actors that have lost images: they wait for others."""
        lost = {name for name in names if self._has_lost(name)}
        if back := self._refused & (names - lost):  # perhaps all is well again, perhaps what is left is a deletion
            self._refused -= back
            self._loss = self._loss if self._refused else ""
            lost |= self._refused
        if lost:
            self._losing_since = _Waiting(self._losing_since.first_s if self._losing else now_s, now_s)
            self._losing |= lost
        return lost

    def _look_later(self, names: frozenset[str], now_s: float) -> None:
        """Look at actors again, but not at once: what hindered it hinders it still."""
        later_s = now_s + _AGAIN_S
        with self._lock:
            for name in names:
                self._changed.setdefault(name, _Waiting(later_s, later_s))

    def _record_losses(self, now_s: float) -> None:
        """Of all that have lost images, at once; also of those whose losses were refused before, for it is their sum that counts."""
        wanted = frozenset(self._losing | self._refused)
        with self._free(wanted) as free:
            if free != wanted:
                return
            error = self._sync(wanted)
        if error is not None and not isinstance(error, LossRefused):
            self._losing_since = _Waiting(now_s + _AGAIN_S, now_s + _AGAIN_S)
            return
        self._losing.clear()
        self._loss = error.sentence if error else ""
        self._refused = wanted if error else frozenset()

    @contextmanager
    def _free(self, names: frozenset[str]) -> Iterator[frozenset[str]]:
        """Those of the actors that nobody is working on, kept for us until the block ends."""
        turn = self._turns.begin_at_once(names) if names else None
        try:
            yield turn.actors or frozenset() if turn else frozenset()
        finally:
            if turn:
                self._turns.leave(turn)

    def _has_lost(self, name: str) -> bool:
        try:
            return bool(self._library.glance(name).drift.gone)
        except CallsheetError:  # the sync tells it
            return False

    def _sync(self, names: frozenset[str]) -> CallsheetError | None:
        """Bring manifests up to date. Returns what hindered it; a `LossRefused` if only that."""
        if not names:
            return None
        try:
            seen = self._library.survey()
            here = [name for name in sorted(names) if seen.named(name)]
            report = self._library.sync(here, offline=True, stop=self._ended.is_set) if here else None
        except CallsheetError as error:
            self._tell([Problem("", "", error.code, error.sentence)])
            return error
        over = {
            problem
            for problem in self._told
            if problem.actor in names or (not problem.actor and problem.message != self._loss)
        }
        self._tell([problem for problem in seen.problems if problem.actor in names], over)
        if report:
            self._say(self._witness.synced, report)
        return None

    def _tell(self, problems: Sequence[Problem], over: Set[Problem] = frozenset()) -> None:
        """Tell each problem once, until it is `over`."""
        before = self._told
        self._told = before - over | frozenset(problems)
        for problem in problems:
            if problem not in before:
                self._say(self._witness.told, problem)

    def _say(self, tell: Callable[[_News], None], news: _News) -> None:
        """What is recorded is so, whether or not it can be told."""
        try:
            tell(news)
        except Exception:  # noqa: BLE001  a witness may fail in any way
            _log.exception("What was noticed could not be told")


def _identity(path: str) -> tuple[int, ...]:
    """What another folder in the same place, as after an unmounting, has not; empty if there is none."""
    found = local.stamp(path)
    return (found.device, found.inode) if found else ()


def _meant(path: str) -> tuple[str, bool | None]:
    """The actor that a path below the actors' folder is about, and whether it is to be looked at again; None: it is nobody's business."""
    name, _, rest = path.partition("/")
    folder, _, filename = rest.partition("/")
    if not name or name.startswith(".") or filename.startswith(".") or "/" in filename:
        return name, None
    if folder in ("base_image", "poster_frame"):
        return name, False
    if folder == "" or (
        folder == "training_data" and (not filename or layout.is_image(filename) or filename in layout.LEGACY_FILES)
    ):
        return name, True
    return name, None
