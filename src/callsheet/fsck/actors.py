"""One actor: its manifest, its folder, its legacy files; and, if they are to be read, the bytes of its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from callsheet import files, layout, legacy, local, status, survey, system
from callsheet.checkup import Code, Finding, told
from callsheet.errors import CallsheetError
from callsheet.fsck import aside
from callsheet.fsck.reading import Reader
from callsheet.fsck.scope import Scope, failure
from callsheet.invariants import manifest_findings
from callsheet.model import Actor, Legacy, Manifest, Problem


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one actor's check."""

    findings: tuple[Finding, ...]
    images: int = 0
    read_bytes: int = 0


def check_actor(scope: Scope, actor: Actor) -> Checked:
    """Everything that there is of one actor."""
    where, run = scope.where, scope.run
    findings: list[Finding] = []
    # Before the manifest is read: what a run has moved in between is then a change, and nothing that is gone.
    scan = local.scan(scope.path(where.folder(actor.name)), scope.path(where.training_dir(actor.name)))
    manifest, usable = None, True
    try:
        manifest = run.store.load(actor.stem)
        survey.claim(manifest, actor)
    except CallsheetError as error:
        manifest, usable = None, False
        findings.append(failure(error, actor.name))
    findings.extend(_faults(actor, scan))
    findings.extend(_leavings(scope, actor, scan, manifest))
    if not usable:
        return Checked(tuple(findings))
    found = manifest or Manifest(None)
    reader = Reader(scope, actor, found)
    if manifest is not None:
        findings.extend(manifest_findings(manifest, actor, where, run.started))
    findings.extend(_of_disk(scope, actor, found, scan))
    findings.extend(_of_legacy(scope, actor, found, scan))
    if scope.read_local:
        findings.extend(reader.local({image.filename: image for image in scan.found}))
    if run.remote is not None and scope.read_objects is not None:
        findings.extend(reader.s3(run.remote, scope.read_objects))
    return Checked(tuple(findings), len(found.entries), reader.read_bytes)


def lost_urls(scope: Scope, actor_name: str, manifest: Manifest) -> Iterator[Finding]:
    """Legacy files in the trash that say more than the manifest does."""
    place = f"{scope.where.training_dir(actor_name)}/{layout.RESPONSE}"
    for path in scope.migrated.get(actor_name, ()):
        try:
            said = _read(scope, path)
        except CallsheetError as error:
            yield failure(error, "", path)
            continue
        if left := legacy.lacking(said, manifest, scope.where):
            message = f"it was taken over, but these of its URLs are in no manifest: {len(left)} (first: {left[0]})"
            repair = f"move it back to {place}, then callsheet sync {actor_name}"
            free = not system.lexists(scope.path(place))
            yield Finding(Code.LEGACY_LOST, actor_name, path, message, repair, fixable=free)


def _faults(actor: Actor, scan: local.Scan) -> Iterator[Finding]:
    for fault in scan.faults:
        problem = Problem(actor.name, fault.filename, fault.code, fault.message)
        if fault.filename:
            yield told(problem)
        else:
            repair = "mount or mend what it is on, then callsheet sync"
            yield Finding(Code(fault.code), actor.name, "", fault.message.partition("; ")[0], repair)


def _leavings(scope: Scope, actor: Actor, scan: local.Scan, manifest: Manifest | None) -> Iterator[Finding]:
    """What killed writers have left in the actor's folder; most folders hold nothing that begins so."""
    folder = scope.where.training_dir(actor.name)
    if scan.leftovers:
        yield from temporaries(scope, folder, actor.name)
    if any(name.startswith(files.ASIDE) for name in scan.others):
        for path in aside.asides_in(scope, folder):
            yield without_name(aside.examined(scope, path, manifest), actor.name)


def temporaries(scope: Scope, folder: str, actor: str = "") -> Iterator[Finding]:
    """The temporary files in a folder that nobody writes any more."""
    for name in files.left_behind(scope.path(folder), local.TEMPORARY, scope.run.started):
        message = "a writer that was killed has left this temporary file"
        repair = "callsheet fsck --fix, or delete it"
        yield Finding(Code.TEMPORARY, actor, f"{folder}/{name}", message, repair, fixable=True)


def without_name(found: aside.Aside, actor: str = "") -> Finding:
    """What to tell of a file that lost its name."""
    message = "a run that was killed while it moved this file has left it without its name"
    if found.twin:
        message, repair = f"{message}; {found.twin} holds the same bytes", "callsheet fsck --fix deletes it"
    elif found.name:
        message, repair = f"{message}; it is {found.name}", "callsheet fsck --fix gives it its name back"
    else:
        repair = "look at it: its bytes may be nowhere else; give it an image's name, or delete it"
    return Finding(Code.ASIDE, actor, found.path, message, repair, fixable=found.mendable)


def _of_disk(scope: Scope, actor: Actor, manifest: Manifest, scan: local.Scan) -> Iterator[Finding]:
    """What lies in the folder, beside the record."""
    recorded = {entry.filename: entry for entry in manifest.entries if entry.recorded_local}
    if recorded and not system.lexists(scope.path(scope.where.folder(actor.name))):
        message = f"the folder that its manifest names is not there; recorded in it: {len(recorded)}"
        repair = f"mount the disk, or give the folder its name back; if it was renamed: callsheet adopt NEW_NAME; if it is gone for good: callsheet sync {actor.name}"
        yield Finding(Code.FOLDER_GONE, actor.name, "", message, repair)
        return
    drift = status.drift(manifest, scan)
    gone = [name for name in drift.gone if layout.is_image(name)]
    for name in gone:
        if not recorded[name].recorded_remote:
            message = "it is not on this disk any more, and it was recorded as being only here"
            repair = f"look for it with callsheet trash list, or in a backup; then callsheet sync {actor.name}"
            yield Finding(Code.GONE, actor.name, name, message, repair)
    elsewhere = [name for name in gone if recorded[name].recorded_remote]
    parts = ((len(drift.new), "new"), (len(elsewhere), "gone"), (len(drift.touched), "touched"))
    if changed := ", ".join(f"{number} {word}" for number, word in parts if number):
        message = f"changed on this disk since the last sync: {changed}"
        yield Finding(Code.DRIFT, actor.name, "", message, f"callsheet sync {actor.name}")


def _of_legacy(scope: Scope, actor: Actor, manifest: Manifest, scan: local.Scan) -> Iterator[Finding]:
    folder, within = scope.where.training_dir(actor.name), scope.path(scope.where.folder(actor.name))
    for name in layout.LEGACY_FILES:
        if name not in scan.others:
            continue
        try:
            said = _read(scope, f"{folder}/{name}", within)
        except CallsheetError as error:
            yield failure(error, actor.name, name)
            continue
        if name == layout.RESPONSE:
            yield _not_migrated(said, actor, len(legacy.lacking(said, manifest, scope.where)))
    yield from lost_urls(scope, actor.name, manifest)


def _not_migrated(said: Legacy, actor: Actor, left: int) -> Finding:
    if said.unplaced:
        first = layout.without_signature(said.unplaced[0])
        message = f"{len(said.unplaced)} of its URLs name no image in S3 (first: {first[:200]}), so the file stays"
        repair = "name their bucket in other_buckets, or mend or remove them, then callsheet sync"
        return Finding(Code.UNPLACED_URL, actor.name, layout.RESPONSE, message, repair)
    lacks = f"not in the manifest yet: {left} of its URLs" if left else "all of its URLs are in the manifest"
    message = f"it was not taken over yet; {lacks}"
    return Finding(Code.LEGACY, actor.name, layout.RESPONSE, message, f"callsheet sync {actor.name}")


def _read(scope: Scope, path: str, within: str = "") -> Legacy:
    """What a legacy file says; nothing, if it went away just now."""
    raw = local.read_bytes(scope.path(path), within=within)
    return Legacy() if raw is None else legacy.read(raw, path, scope.where)
