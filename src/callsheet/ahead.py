"""Hashing before its turn: while S3 has not answered yet, a core has nothing else to do, and files of many actors are
hashed faster together than those of one actor after the other.

What was hashed ahead is worth what a recorded hash is: it holds as long as the file has its size and mtime, and that mtime
was not recent then. Rules of this module:

- Memory is bounded: with `_MOST_FILES` hashes in hand that nobody has asked for, no more are made.
- Who asks for what is being hashed helps with what comes next; what was not begun is left to who asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from callsheet import hashing, reconcile, system
from callsheet.model import Actor, HashedFile

_BATCH_FILES = 128
_MOST_FILES = 4096


class HashAhead:
    """While in its context, hashes files of `actors`, in that order, on a thread of its own.

    `files_of` tells which: paths of files that are sure to be needed. It may be called from many threads.
    """

    def __init__(self, actors: Iterable[Actor], files_of: Callable[[Actor], list[str]]) -> None:
        self._actors = iter(actors)
        self._files_of = files_of
        self._changed = threading.Condition()
        self._asked: set[Actor] = set()
        self._begun: set[Actor] = set()
        self._done: dict[Actor, dict[str, HashedFile]] = {}
        self._files_done = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="callsheet-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Nothing is begun any more; what is being hashed is waited for, but not after Ctrl-C."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if kind is not KeyboardInterrupt:
            self._thread.join()

    def take(self, actor: Actor) -> Mapping[str, HashedFile]:
        """What was hashed of the actor, by path: once, and nothing more will be."""
        while True:
            with self._changed:
                self._asked.add(actor)
                if actor not in self._begun:
                    files = self._done.pop(actor, {})
                    self._files_done -= len(files)
                    self._changed.notify_all()
                    return files
            if not self._hash_batch():
                with self._changed:
                    self._changed.wait_for(lambda: actor not in self._begun)

    def _run(self) -> None:
        while not self._ended:
            if not self._hash_batch():
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or self._files_done < _MOST_FILES)

    def _hash_batch(self) -> bool:
        """Hash the next files. False if there are none, or none for now."""
        batch: dict[Actor, list[str]] = {}
        hashed: dict[str, HashedFile] = {}
        files = 0
        try:
            while files < _BATCH_FILES and (begun := self._begin()) is not None:
                actor, batch[actor] = begun
                files += len(batch[actor])
            now_ns = system.time_ns()
            for file in hashing.hash_files([path for paths in batch.values() for path in paths]):
                if isinstance(file, HashedFile) and reconcile.is_settled(file.mtime_ns, now_ns):
                    hashed[file.path] = file
        finally:
            with self._changed:
                for actor, paths in batch.items():
                    self._begun.remove(actor)
                    self._done[actor] = {path: hashed[path] for path in paths if path in hashed}
                self._files_done += len(hashed)
                self._changed.notify_all()
        return bool(batch)

    def _begin(self) -> tuple[Actor, list[str]] | None:
        """The next actor that has files to be hashed and was not asked for, with their paths."""
        while (actor := self._next()) is not None:
            paths = self._files_of(actor)
            with self._changed:
                if paths and actor not in self._asked:
                    self._begun.add(actor)
                    return actor, paths
        return None

    def _next(self) -> Actor | None:
        with self._changed:
            if self._ended or self._files_done >= _MOST_FILES:
                return None
            actor = next((actor for actor in self._actors if actor not in self._asked), None)
            self._ended = actor is None
            return actor
