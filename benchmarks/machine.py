"""What figures depend on: the machine, the tools, and the very code that was measured."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from benchmarks.framework import text

from servers import tool

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def about() -> dict[str, Any]:
    """All of it, as plain data."""
    names = re.findall(r"(?m)^model name\s*: (.*)$", text("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else "")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": load(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "callsheet": f"{version('callsheet')} {code()}",
        "hashed_by": "_md5lanes" if find_spec("callsheet._md5lanes") else "hashlib",
        "rclone": _said("rclone", "version").split()[1],
        "s5cmd": _said("s5cmd", "version").strip(),
        "awscli": version("awscli"),
    }


def _said(*command: str) -> str:
    """What a tool prints: the packages that two of them come in have versions of their own."""
    return subprocess.run([tool(command[0]), *command[1:]], capture_output=True, text=True, check=True).stdout


def load() -> float:
    """How many processes wanted a core, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def code() -> str:
    """A fingerprint of callsheet's own files: figures of code that is edited meanwhile are of no code at all."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(os.path.join(PROJECT, "src", "callsheet")):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".so")):
                with open(os.path.join(folder, name), "rb") as file:
                    digest.update(f"{name}\0".encode() + file.read())
    return digest.hexdigest()[:12]
