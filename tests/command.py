"""The command line as users run it: a process of its own, in an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callsheet.cli import main

_TIMEOUT_S = 30.0

# Root may read and write what its modes forbid (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH); a child without these in its
# bounding set may not. https://man7.org/linux/man-pages/man7/capabilities.7.html
_WITHOUT_PRIVILEGE = """\
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
for capability in (1, 2):
    if prctl(24, capability, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        loaded = json.loads(self.out)
        assert isinstance(loaded, dict)
        return loaded

    @property
    def problems(self) -> list[dict[str, str]]:
        found = self.document["problems"]
        assert isinstance(found, list)
        return found

    @property
    def told(self) -> list[str]:
        """The lines on stderr that tell a problem each."""
        return [line.strip() for line in self.err.splitlines() if line.startswith("  ")]


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """Nothing of the user's configuration; no credentials, and no network to look for them in."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    settled = {
        "HOME": os.devnull,
        "PYTHONIOENCODING": "utf-8:strict",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**kept, **settled, **more}


def run(root: Path, *arguments: str | bytes, env: Mapping[str, str] = {}, privileged: bool = True) -> Ran:
    """Run `callsheet` on the tree at `root` to its end.

    Not `privileged`: file modes count, also for root. Whatever the command is given, it must not print a traceback, nor
    anything that a terminal would take for more than text.
    """
    command: list[str | bytes] = [sys.executable, "-m", "callsheet", "--root", str(root), *arguments]
    if not privileged and os.geteuid() == 0:
        command[1:1] = ["-c", _WITHOUT_PRIVILEGE]
    started = time.monotonic()
    done = subprocess.run(
        command, env=environment(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S
    )
    return _ran(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def run_here(root: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> Ran:
    """As `run`, but within this process, whose environment counts: for many cases of what one process has proven."""
    capsys.readouterr()
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main(["--root", str(root), *arguments])
    assert isinstance(ended.value.code, int)
    printed = capsys.readouterr()
    return _ran(ended.value.code, printed.out.encode(), printed.err.encode(), time.monotonic() - started)


def interrupt(root: Path, *arguments: str, env: Mapping[str, str], when: Callable[[], bool]) -> Ran:
    """Run `callsheet` and press Ctrl-C as soon as `when` says so; `seconds` are counted from then."""
    command = [sys.executable, "-m", "callsheet", "--root", str(root), *arguments]
    with subprocess.Popen(
        command, env=environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            deadline = time.monotonic() + _TIMEOUT_S
            while not when():
                assert process.poll() is None, "it ended before it could be interrupted"
                assert time.monotonic() < deadline, "what was waited for did not happen"
                time.sleep(0.01)
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=_TIMEOUT_S)
        finally:
            process.kill()
    return _ran(process.returncode, out, err, time.monotonic() - started)


def _ran(code: int, out: bytes, err: bytes, seconds: float) -> Ran:
    texts = out.decode(), err.decode()
    for text in texts:
        assert "Traceback" not in text, text[-1000:]
        raw = [character for character in text if character != "\n" and unicodedata.category(character) == "Cc"]
        assert not raw, (raw, text)
    return Ran(code, *texts, seconds)
