"""What all parts of one check share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from callsheet import files, layout, local
from callsheet.checkup import Code, Finding
from callsheet.errors import CallsheetError, Collision, ManifestError
from callsheet.fsck.objects import ReadObjects
from callsheet.layout import Layout
from callsheet.run import Run

Heaps = Mapping[str, Mapping[str, int]]
"""The trash of this disk: by run, the path of each file below the run's folder, and its size in bytes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One check. S3 is read, by `read_objects`, if that is not None, and this disk's images if `read_local` says so."""

    run: Run
    read_local: bool
    read_objects: ReadObjects | None
    heaps: Heaps
    migrated: Mapping[str, tuple[str, ...]]
    """By the name of the folder that they were in, the paths of legacy files that went into the trash when they had been taken over."""
    littered: frozenset[str]
    """The folders of the trash in which movers have left files, or are at work."""

    @property
    def where(self) -> Layout:
        return self.run.where

    def path(self, relative: str) -> str:
        return os.path.join(self.run.root, relative)


def scope_of(run: Run, *, read_local: bool, read_objects: ReadObjects | None) -> Scope:
    """The scope of a check that begins now, with what lies in the trash of this disk."""
    where = run.where
    heaps: dict[str, dict[str, int]] = {}
    migrated: dict[str, tuple[str, ...]] = {}
    littered = set()
    for path, size_bytes in local.files_below(os.path.join(run.root, where.trash_dir)):
        run_id, _, inner = path.partition("/")
        if not inner or not layout.is_run_id(run_id):
            continue
        folder, _, name = path.rpartition("/")
        if name.startswith((local.TEMPORARY, files.ASIDE)):
            littered.add(f"{where.trash_dir}/{folder}")
            continue
        heaps.setdefault(run_id, {})[inner] = size_bytes
        if name == layout.RESPONSE and inner.startswith(f"{where.actors_dir}/"):
            actor = inner.removeprefix(f"{where.actors_dir}/").partition("/")[0]
            migrated[actor] = (*migrated.get(actor, ()), f"{where.trash_dir}/{path}")
    return Scope(run, read_local, read_objects, heaps, migrated, frozenset(littered))


def failure(error: CallsheetError, actor: str, filename: str = "", repair: str = "") -> Finding:
    """What kept something of this disk from being looked at, as a finding."""
    code = {Collision: Code.COLLISION, ManifestError: Code.MANIFEST}.get(type(error), Code.UNREADABLE)
    return Finding(code, actor, filename, str(error), repair or error.hint.rstrip(".") or "mend that, then check again")
