"""What the manifests say, and what on disk has changed since. No network, no hashing, nothing is written."""

from __future__ import annotations

import os
from dataclasses import dataclass

from callsheet import codec, layout, local, reconcile, survey
from callsheet.errors import CallsheetError
from callsheet.findings import findings
from callsheet.layout import Layout
from callsheet.memo import Memos
from callsheet.model import Actor, Manifest, Problem
from callsheet.observe import Observer
from callsheet.report import ActorReport, Drift, Report, distinct
from callsheet.store import Store


@dataclass(frozen=True, slots=True)
class Glance:
    """One actor as it is recorded, and as it lies on this disk at this moment. `manifest` is empty if there is none yet.

    While `stamp`, of the manifest's file, is the same, so is `manifest`; None if there is no file. `problems` are what is wrong with
    what was looked at and with what is recorded.
    """

    actor: Actor
    manifest: Manifest
    scan: local.Scan
    drift: Drift
    problems: tuple[Problem, ...]
    stamp: local.Stamp | None


def glance(root: str, where: Layout, store: Store, actor: Actor) -> Glance:
    """Read the manifest once, and look at the folder once.

    `ManifestError` or `LocalError` if the manifest cannot be used, `Collision` if it names another folder.
    """
    manifest, stamp = store.load_stamped(actor.stem)
    survey.claim(manifest, actor)
    folder, training = where.folder(actor.name), where.training_dir(actor.name)
    scan = local.scan(os.path.join(root, folder), os.path.join(root, training))
    manifest = manifest or Manifest(None)
    problems = distinct((*_faults(actor, scan), *findings(manifest, actor, where)))
    return Glance(actor, manifest, scan, drift(manifest, scan), problems, stamp)


def run_status(root: str, where: Layout, store: Store, memos: Memos, seen: survey.Survey) -> Report:
    """A row for each actor of a survey, its `drift` set."""
    rows: list[ActorReport] = []
    problems = list(seen.problems)
    for actor in seen.actors:
        try:
            row = _as_last_seen(root, where, memos, actor)
            if row is not None:
                rows.append(row)
                continue
            now = glance(root, where, store, actor)
        except CallsheetError as error:
            problems.append(Problem(actor.name, "", error.code, error.sentence))
            continue
        counts, changes = codec.counts(now.manifest), reconcile.changes(now.manifest)
        rows.append(ActorReport(actor, counts, drift=now.drift, changes=changes))
        problems.extend(now.problems)
    return Report("status", tuple(rows), distinct(problems))


def _as_last_seen(root: str, where: Layout, memos: Memos, actor: Actor) -> ActorReport | None:
    """What a sync has come to that saw the same manifest and the same folder, if one did: then nothing has drifted."""
    records, observer = memos.records(actor.stem), Observer(root, where, actor, None)
    folder, legacy = observer.glance()
    look = (
        None
        if records.manifest is None or observer.problems
        else memos.look(actor, records.manifest, folder, legacy, None, records.settled)
    )
    known = look and memos.recall(records.memo, look)
    return ActorReport(actor, known.counts, drift=Drift(), changes=known.changes) if known else None


def base_image(root: str, where: Layout, actor: Actor) -> str | None:
    """The path of the actor's base image, relative to the root; None if there is none inside the actor's folder."""
    within = os.path.join(root, where.folder(actor.name))
    for folder, stem, suffixes in where.base_images(actor.name):
        if name := local.image_named(os.path.join(root, folder), stem, suffixes, within=within):
            return f"{folder}/{name}"
    return None


def drift(manifest: Manifest, scan: local.Scan) -> Drift:
    """What `scan` shows that `manifest` does not say. What could not be looked at has not drifted."""
    on_disk = {found.filename: found for found in scan.found}
    recorded = {entry.filename: entry for entry in manifest.entries if entry.recorded_local}
    gone = [name for name in recorded if scan.complete and name not in on_disk and name not in scan.unknown]
    touched = [
        name
        for name, found in on_disk.items()
        if name in recorded
        and (recorded[name].size_bytes, recorded[name].modified_timestamp)
        != (found.size_bytes, reconcile.timestamp(found.mtime_ns))
    ]
    new = [name for name in on_disk if name not in recorded]
    return Drift(*(tuple(sorted(names, key=layout.natural_key)) for names in (new, gone, touched)))


def _faults(actor: Actor, scan: local.Scan) -> list[Problem]:
    return [Problem(actor.name, fault.filename, fault.code, fault.message) for fault in scan.faults]
