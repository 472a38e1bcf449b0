"""One server works on a tree."""

from __future__ import annotations

import os
from contextlib import ExitStack

from callsheet import locks
from callsheet.errors import LocalError, TreeError
from callsheet.library import Library

_LOCKED_S = 2.0


class Claim:
    """Keeps other servers off a tree from `take` to `release`, or to the end of the process."""

    def __init__(self, library: Library) -> None:
        self._path = os.path.join(library.root, library.where.jobs_dir, "server.lock")
        self._held = ExitStack()
        self._taken = False

    def take(self) -> None:
        """Does nothing if it was taken before. `TreeError` if another server works on the tree."""
        if self._taken:
            return
        try:
            self._held.enter_context(locks.locked(self._path, _LOCKED_S))
        except LocalError as error:
            if error.__cause__ is not None:  # not that others hold it, but that it cannot be held
                raise TreeError(f"This tree cannot be served: {error}", hint=error.hint) from error
            hint = f"Use that one, or end it; it holds {self._path}."
            raise TreeError("Another server works on this tree", hint=hint) from error
        self._taken = True

    def release(self) -> None:
        self._held.close()
