"""A store that keeps whoever writes waiting, so that a job can be met in the middle."""

from __future__ import annotations

import threading
import time

from callsheet.model import Location
from callsheet.remote.contract import ANYTHING, Held, Source
from callsheet.remote.memory import MemoryRemote


class Gate(MemoryRemote):
    """A store that lets objects in only while it is open, each after `delay_s`."""

    def __init__(self) -> None:
        super().__init__(("story-boards-assets",))
        self.opened = threading.Event()
        self.waiting: list[str] = []
        self.delay_s = 0.0

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        self.waiting.append(location.key)
        assert self.opened.wait(20)
        time.sleep(self.delay_s)
        return super().put(location, body, md5=md5, replaces=replaces)
