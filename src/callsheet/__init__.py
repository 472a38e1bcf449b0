"""Knows, proves and mends where every image of an image-training data set is: on this disk, in S3, in both, or in
both but different.

    import callsheet

    library = callsheet.open_library("/path/to/project")
    report = library.sync()
    for problem in report.problems:
        print(problem.actor, problem.filename, problem.message)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callsheet.library import Library
    from callsheet.report import Report
    from callsheet.settings import open_library

__all__ = ["Library", "Report", "__version__", "open_library"]
__version__ = "0.1.0"

_HOMES = {
    "Library": "callsheet.library",
    "Report": "callsheet.report",
    "open_library": "callsheet.settings",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that `import callsheet` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'callsheet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
