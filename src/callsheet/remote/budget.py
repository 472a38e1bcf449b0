"""How much retrying a session may do: where everything fails, many threads that all retry make it worse."""

from __future__ import annotations

import threading

CAPACITY = 500
RETRY_COST = 5
TIMEOUT_COST = 10


class Budget:
    """Tokens that retries cost and successes give back one by one, as in the AWS SDKs' standard mode. Safe to use from many threads.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """

    def __init__(self) -> None:
        self._tokens = CAPACITY
        self._lock = threading.Lock()

    def take(self, cost: int) -> bool:
        """Whether there was enough for a retry, which is paid then."""
        with self._lock:
            if self._tokens < cost:
                return False
            self._tokens -= cost
            return True

    def give(self) -> None:
        """A request succeeded."""
        if self._tokens < CAPACITY:
            with self._lock:
                self._tokens = min(self._tokens + 1, CAPACITY)
