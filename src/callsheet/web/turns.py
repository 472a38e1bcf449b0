"""Who may work on which actors: one at a time on each, in the order in which they came."""

from __future__ import annotations

import threading
from dataclasses import dataclass

Actors = frozenset[str] | None
"""Names of actors' folders; None: all."""


@dataclass(eq=False, slots=True)
class Turn:
    """A place in the line."""

    actors: Actors
    begun: bool = False

    def meets(self, other: Turn) -> bool:
        """Whether both are about one actor."""
        return self.actors is None or other.actors is None or not self.actors.isdisjoint(other.actors)


class Turns:
    """The line. `changed` is notified whenever somebody may have become able to begin; its lock guards the line."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._line: list[Turn] = []

    def join(self, actors: Actors) -> Turn:
        """A place at the end of the line."""
        with self.changed:
            turn = Turn(actors)
            self._line.append(turn)
            self.changed.notify_all()
            return turn

    def begin(self, turn: Turn) -> bool:
        """Begin, if everybody before who is about one of the same actors has left."""
        with self.changed:
            before = self._line[: self._line.index(turn)]
            turn.begun = not any(turn.meets(other) for other in before)
            return turn.begun

    def begin_at_once(self, names: frozenset[str]) -> Turn | None:
        """Begin, before all who wait, with those of the actors whom nobody has begun with; None if there are none."""
        with self.changed:
            begun = [turn.actors for turn in self._line if turn.begun]
            if None in begun:
                return None
            free = names.difference(*(actors for actors in begun if actors is not None))
            if not free:
                return None
            turn = Turn(free, begun=True)
            self._line.insert(0, turn)
            return turn

    def leave(self, turn: Turn) -> None:
        with self.changed:
            self._line.remove(turn)
            self.changed.notify_all()
