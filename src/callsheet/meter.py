"""How much has gone over the network, and how fast it may."""

from __future__ import annotations

import threading

from callsheet import system

_LONGEST_BURST_S = 0.25
_BLOCK_BYTES = 1 << 20
_LEAST_BYTES = 1 << 12


class Meter:
    """Counts the bytes that all threads of a run transfer, and holds them to a rate together. Safe to use from many threads."""

    def __init__(self, limit_bytes_s: int | None = None) -> None:
        """`limit_bytes_s` is the rate that all transfers may reach together; None for no limit."""
        self.limit_bytes_s = limit_bytes_s
        self._lock = threading.Lock()
        self._free_at_s = 0.0
        self._total = 0

    @property
    def block_bytes(self) -> int:
        """How much may be passed on at once without a long wait: at most a quarter of a second's worth."""
        return (
            _BLOCK_BYTES
            if self.limit_bytes_s is None
            else max(_LEAST_BYTES, min(_BLOCK_BYTES, self.limit_bytes_s // 4))
        )

    @property
    def total_bytes(self) -> int:
        return self._total

    def count(self, size_bytes: int) -> None:
        """Count bytes that another process has passed on."""
        with self._lock:
            self._total += size_bytes

    def pass_on(self, size_bytes: int) -> None:
        """Count bytes that are about to go on, and wait until they may."""
        with self._lock:
            self._total += size_bytes
            if self.limit_bytes_s is None:
                return
            now_s = system.monotonic()
            start_s = max(self._free_at_s, now_s - _LONGEST_BURST_S)
            self._free_at_s = start_s + size_bytes / self.limit_bytes_s
            wait_s = self._free_at_s - now_s
        if wait_s > 0:
            system.sleep(wait_s)
