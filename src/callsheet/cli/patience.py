"""The first Ctrl-C finishes what is under way, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import click


@contextmanager
def patient() -> Iterator[Callable[[], bool]]:
    """Yields what says whether Ctrl-C was pressed, or the process was asked to end, since the block began."""
    asked = threading.Event()

    def ask(_: int, __: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        with suppress(RuntimeError):  # the signal came amid another line on stderr
            click.echo("\nFinishing what is under way; Ctrl-C again stops at once.", err=True)

    heard = (number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
