#!/usr/bin/env python3
"""Sync all training data to manifests: `callsheet sync`, under the name and with the output that it always had.

Run it from the project's root, the folder that holds data/. It takes the options of `callsheet sync`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
_VENV_PYTHON = _HOME / ".venv" / "bin" / "python"


def main() -> None:
    try:
        from callsheet.cli import main as callsheet
    except ImportError:
        if not _VENV_PYTHON.exists() or Path(sys.prefix) == _VENV_PYTHON.parent.parent:
            sys.exit(f"callsheet is not installed. Install it for this Python, or run `make setup` in {_HOME}.")
        os.execv(_VENV_PYTHON, [str(_VENV_PYTHON), *sys.argv])  # noqa: S606  no shell is wanted
    callsheet(["sync", *sys.argv[1:]])


if __name__ == "__main__":
    main()
