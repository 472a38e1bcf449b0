"""What the manifests say, and what has changed on disk since. No network, no hashing, nothing is written."""

from __future__ import annotations

import os

from callsheet import codec, layout, local, reconcile, survey
from callsheet.errors import CallsheetError
from callsheet.findings import findings
from callsheet.layout import Layout
from callsheet.model import Actor, Manifest, Problem
from callsheet.report import ActorReport, Drift, Report, distinct
from callsheet.store import Store


def run_status(root: str, where: Layout, store: Store, seen: survey.Survey) -> Report:
    """A row for each actor of a survey, its `drift` set."""
    rows: list[ActorReport] = []
    problems = list(seen.problems)
    for actor in seen.actors:
        try:
            manifest = store.load(actor.stem)
            survey.claim(manifest, actor)
        except CallsheetError as error:
            problems.append(Problem(actor.name, "", error.code, error.sentence))
            continue
        folder, training = where.folder(actor.name), where.training_dir(actor.name)
        scan = local.scan(os.path.join(root, folder), os.path.join(root, training))
        manifest = manifest or Manifest(None)
        found = drift(manifest, scan)
        rows.append(ActorReport(actor, codec.counts(manifest), drift=found, changes=reconcile.changes(manifest)))
        problems.extend(_faults(actor, scan))
        problems.extend(findings(manifest, actor, where))
    return Report("status", tuple(rows), distinct(problems))


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
