"""Files that a mover which was killed left without their own name, and what may be done about each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from callsheet import files, hashing, layout, local, system
from callsheet.fsck.scope import Scope
from callsheet.model import HashedFile, Manifest


@dataclass(frozen=True, slots=True)
class Aside:
    """`path` and what was found out of it. `twin` is another file with the same bytes, `name` the image that the record says it is;
    each empty if there is none. Paths are below the root.
    """

    path: str
    twin: str = ""
    name: str = ""

    @property
    def mendable(self) -> bool:
        return bool(self.twin or self.name)


def asides_in(scope: Scope, folder: str) -> list[str]:
    """The paths, below the root, of those in a folder; of movers that may still be at work, none."""
    names = files.left_behind(scope.path(folder), files.ASIDE, scope.run.started)
    return [f"{folder}/{name}" for name in names]


def examined(scope: Scope, path: str, manifest: Manifest | None) -> Aside:
    """What the file at `path` is. `manifest` is its actor's, None if it has none or it cannot be used."""
    full = scope.path(path)
    stamp = local.stamp(full)
    if stamp is None:
        return Aside(path)
    others = [(other, local.stamp(scope.path(other))) for other in _others(scope, path)]
    same_size = [
        (other, found) for other, found in others if found is not None and found.size_bytes == stamp.size_bytes
    ]
    for other, found in same_size:
        if (found.device, found.inode) == (stamp.device, stamp.inode):
            return Aside(path, twin=other)
    hashed, *rest = hashing.hash_files([full, *(scope.path(other) for other, _ in same_size)])
    if not isinstance(hashed, HashedFile):
        return Aside(path)
    for (other, _), result in zip(same_size, rest, strict=True):
        if isinstance(result, HashedFile) and result.md5 == hashed.md5:
            return Aside(path, twin=other)
    return Aside(path, name=_recorded_name(scope, path, hashed.md5, manifest))


def _others(scope: Scope, path: str) -> Iterator[str]:
    """The files that it may have been moved to or from: those of its folder, and of that folder's counterpart in, or out of, the trash."""
    folder = os.path.dirname(path)
    trash_dir = f"{scope.where.trash_dir}/"
    if folder.startswith(trash_dir):
        counterparts = [folder.removeprefix(trash_dir).partition("/")[2]]
    else:
        counterparts = [scope.where.trash(run_id, folder) for run_id in scope.heaps]
    for place in (folder, *counterparts):
        for name in local.regular_files(scope.path(place)):
            if not name.startswith((files.ASIDE, local.TEMPORARY)):
                yield f"{place}/{name}"


def _recorded_name(scope: Scope, path: str, md5: str, manifest: Manifest | None) -> str:
    """The one image that is recorded with these bytes in this folder and is not there; empty if there is none, or more than one."""
    folder = os.path.dirname(path)
    names = (
        [
            entry.filename
            for entry in (*manifest.entries, *manifest.missing)
            if md5 in (entry.md5_hash, entry.expected_md5)
            and layout.is_image(entry.filename)
            and not system.lexists(scope.path(f"{folder}/{entry.filename}"))
        ]
        if manifest
        else []
    )
    return names[0] if len(names) == 1 else ""
