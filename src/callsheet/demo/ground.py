"""The folder that a demo lives in: what may become one, and how a former demo in it is cleared away.

A demo's root holds a marker that lists what the demo put there. Only a folder that has a marker, or holds no file at
all, is ever written to, and only what the marker lists is ever removed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from callsheet.errors import UsageError
from callsheet.files import write_atomically
from callsheet.layout import Layout, name_fault

_FIRST_LINE = "callsheet demo"


def claim(root: str, layout: Layout) -> None:
    """Make `root` an empty demo root. `UsageError`, with nothing touched, if it holds anything that isn't a demo's."""
    if os.path.lexists(root) and not os.path.isdir(root):
        raise UsageError(f"{root} is not a folder", hint="Name a new or an empty folder for the demo.")
    listed = _marked(root, layout)
    if listed is None and _holds_files(root):
        raise UsageError(f"{root} is not empty and holds no demo", hint="Name a new or an empty folder for the demo.")
    for path in listed or ():
        _remove(root, path, layout)
    _keep_marker_only(root, layout)
    mark(root, layout, ())


def mark(root: str, layout: Layout, others: Iterable[str]) -> None:
    """Write the marker: the tree's own folders, and `others`, top-level entries of `root` such as the bucket's folder."""
    path = _marker(root, layout)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lines = [_FIRST_LINE, layout.actors_dir, layout.manifests_dir, *others]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def entries(root: str) -> set[str]:
    """The names in `root` that hold files."""
    return {entry.name for entry in os.scandir(root) if not _is_folder(entry) or _holds_files(entry.path)}


def _marker(root: str, layout: Layout) -> str:
    return os.path.join(root, layout.state_dir, "demo")


def _marked(root: str, layout: Layout) -> list[str] | None:
    """The paths that the marker lists, None without a marker."""
    try:
        with open(_marker(root, layout), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return lines[1:] if lines[:1] == [_FIRST_LINE] else None


def _holds_files(folder: str) -> bool:
    """Whether anything but folders is below `folder`, which need not exist."""
    return any(
        files or any(os.path.islink(os.path.join(path, name)) for name in folders)
        for path, folders, files in os.walk(folder)
    )


def _remove(root: str, path: str, layout: Layout) -> None:
    """Remove one listed path. Of the bucket's folder the two upper levels stay, for a store that has them open."""
    full = os.path.join(root, path)
    if not _inside(root, full) or any(name_fault(part) for part in path.split("/")):
        return
    if os.path.islink(full) or os.path.isfile(full):
        os.unlink(full)
    elif os.path.isdir(full):
        if path in (layout.actors_dir, layout.manifests_dir):
            shutil.rmtree(full)
        else:
            _empty(full, keep=1)


def _empty(folder: str, *, keep: int) -> None:
    """Remove all below `folder` but the folders of its `keep` upper levels."""
    for entry in list(os.scandir(folder)):
        if not _is_folder(entry):
            os.unlink(entry.path)
        elif keep:
            _empty(entry.path, keep=keep - 1)
        else:
            shutil.rmtree(entry.path)


def _keep_marker_only(root: str, layout: Layout) -> None:
    """Clear the state folder; the marker stays throughout, so that an interrupted clearing can be done again."""
    marker = _marker(root, layout)
    if not os.path.lexists(marker) or not _inside(root, marker):
        return
    for entry in list(os.scandir(os.path.dirname(marker))):
        if _is_folder(entry):
            shutil.rmtree(entry.path)
        elif entry.path != marker:
            os.unlink(entry.path)


def _inside(root: str, path: str) -> bool:
    """Whether the folder of `path` really is below `root`, or `root` itself: no symlink leads out."""
    top = os.path.realpath(root)
    return os.path.commonpath((top, os.path.realpath(os.path.dirname(path)))) == top


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)
