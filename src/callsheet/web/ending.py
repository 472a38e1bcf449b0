"""Waiting for threads that were told to end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from callsheet.run import Stop

_TICK_S = 0.05


def have_ended(threads: Sequence[threading.Thread], give_up: Stop) -> bool:
    """Wait for threads, but no longer than until `give_up` says yes. Whether all of them have ended, or were never started."""
    for thread in threads:
        while thread.is_alive() and not give_up():
            thread.join(_TICK_S)
    return not any(thread.is_alive() for thread in threads)
