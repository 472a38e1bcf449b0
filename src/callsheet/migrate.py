"""`response.json` goes when, and only when, every URL in it is in a manifest on disk.

extracted → manifest durable → read back, each URL found in it → the file still the one that was read → into the
trash. At any other point the file stays where it is, and the next run goes on from there.
"""

from __future__ import annotations

import os

from callsheet import files, layout, legacy, local, system
from callsheet.errors import LocalError
from callsheet.model import Actor, Legacy, Manifest, Problem
from callsheet.run import Run


def response_json(
    run: Run, actor: Actor, response: tuple[bytes, Legacy] | None, manifest: Manifest
) -> tuple[bool, tuple[Problem, ...]]:
    """Whether `response.json` went into the trash (or would have, in a dry run), and why not.

    `response` is its bytes and what they say, as read in this run; `manifest` is what the run made of them.
    """
    if response is None:
        return run.again and system.lexists(_trash(run, actor)), ()
    raw, said = response
    if said.unplaced:
        first = layout.printable(layout.without_signature(said.unplaced[0]))
        message = f"{len(said.unplaced)} of its URLs name no image in S3 (first: {first[:200]}): name their bucket in other_buckets, or mend or remove them, then sync; the file stays"
        return False, (_problem(actor, "unplaced_url", message),)
    if not run.options.dry_run:
        manifest = run.store.load(actor.stem) or Manifest(None)
    if lacking := legacy.lacking(said, manifest, run.where):
        message = f"{len(lacking)} of its URLs could not be recorded yet (first: {lacking[0]}); the file stays"
        return False, (_problem(actor, "unplaced_url", message),)
    if run.options.dry_run:
        return True, ()
    run.store.flush()
    return _into_trash(run, actor, raw)


def _into_trash(run: Run, actor: Actor, raw: bytes) -> tuple[bool, tuple[Problem, ...]]:
    """Move the file that held `raw`. One that is gone by now was migrated by another run."""
    path, trash = os.path.join(run.root, _place(run, actor)), _trash(run, actor)
    changed = (_problem(actor, "changing", "it was written to while it was migrated; the file stays, sync again"),)
    if system.islink(path):
        return False, (_problem(actor, "symlink", "it is a symlink, so it stays; put a copy in its place, then sync"),)
    current = local.read_bytes(path)
    if current != raw:
        return False, () if current is None else changed
    try:
        files.move(path, trash)
    except LocalError as error:
        return False, (_problem(actor, error.code, error.sentence),) if system.lexists(path) else ()
    if local.read_bytes(trash) != raw:
        files.move(trash, path)
        return False, changed
    return True, ()


def _place(run: Run, actor: Actor) -> str:
    return f"{run.where.training_dir(actor.name)}/{layout.RESPONSE}"


def _trash(run: Run, actor: Actor) -> str:
    return os.path.join(run.root, run.where.trash(run.id, _place(run, actor)))


def _problem(actor: Actor, code: str, message: str) -> Problem:
    return Problem(actor.name, layout.RESPONSE, code, message)
