"""Events from any thread to every listener, in order, each with an id to go on from."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is what a listener goes on from that heard this last; empty if that is what it named itself."""

    kind: str
    data: Mapping[str, Any]
    id: str = ""


HELLO = "hello"
"""The kind of the event that each listener hears first, and alone."""
RESET = "reset"
"""The kind of the event that tells a listener that others were lost: it must load everything anew."""


class Hub:
    """The latest events. A listener that is slower than they come loses some, and is told so: memory is bounded.

    `publish` and `close` may be called from any thread; `follow` belongs to an event loop.
    """

    def __init__(self) -> None:
        self._boot = uuid4().hex[:8]
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._count = 0
        self._closed = False
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            self._count += 1
            self._kept.append(Event(kind, data, self._id(self._count)))
        self._wake()

    def close(self) -> None:
        """Let every listener go."""
        with self._lock:
            self._closed = True
        self._wake()

    async def follow(self, last_id: str = "") -> AsyncIterator[Event]:
        """`HELLO`, then the events after the one with that id, or from now on if it is empty; then those to come, until the hub is closed."""
        woken = asyncio.Event()
        with self._lock:
            self._listeners[woken] = asyncio.get_running_loop()
            seen = self._position(last_id) if last_id else self._count
        try:
            yield Event(HELLO, {}, self._id(seen) if seen >= 0 else "")
            while not self._closed:
                woken.clear()
                with self._lock:
                    lost = seen < self._count - len(self._kept)
                    waiting = [] if lost else list(self._kept)[len(self._kept) - (self._count - seen) :]
                    seen = self._count
                if lost:
                    yield Event(RESET, {}, self._id(seen))
                for event in waiting:
                    yield event
                if not waiting and not lost:
                    await woken.wait()
        finally:
            with self._lock:
                self._listeners.pop(woken, None)

    def _id(self, position: int) -> str:
        return f"{self._boot}-{position}"

    def _position(self, last_id: str) -> int:
        """How many events had come with that one; -1, which is before all that are kept, if it is not one of ours."""
        boot, _, number = last_id.partition("-")
        known = boot == self._boot and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if known and int(number) <= self._count else -1

    def _wake(self) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for woken, loop in listeners:
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:  # its loop has ended, and it with it
                continue
