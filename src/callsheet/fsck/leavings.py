"""What else lies in our folders: what killed writers left, locks that are held, jobs of a server, stamps, and what is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from callsheet import codec, layout, local, locks, planfile, reconcile, system
from callsheet.checkup import Code, Finding
from callsheet.errors import CallsheetError, LocalError
from callsheet.fsck import aside
from callsheet.fsck.actors import lost_urls, temporaries, without_name
from callsheet.fsck.past import stray
from callsheet.fsck.scope import Scope, failure
from callsheet.model import Manifest

_JSON = ".json"
_LOCK = ".lock"
_SERVER_LOCK = "server.lock"
_STATE = frozenset({"locks", "trash", "runs", "hashed", "memos", "jobs", "thumbnails", "demo"})
_SUBFOLDERS = frozenset({"plans", "problems"})


def check_leavings(scope: Scope) -> Iterator[Finding]:
    """Everything that is no actor's and no run's."""
    where = scope.where
    jobs = tuple(f"{where.jobs_dir}/{name}" for name in ("plans", "problems"))
    for folder in (where.manifests_dir, where.state_dir, where.jobs_dir, *jobs):
        yield from temporaries(scope, folder)
    for folder in sorted(scope.littered):
        yield from temporaries(scope, folder)
        for path in aside.asides_in(scope, folder):
            yield without_name(aside.examined(scope, path, None))
    for part in (_strays, _locks, _stamps, _jobs):
        try:
            yield from part(scope)
        except LocalError as error:
            yield failure(error, "", where.state_dir)


def check_migrated(scope: Scope, actors: frozenset[str]) -> Iterator[Finding]:
    """Legacy files in the trash that came from folders which are no actor's now: of an actor that has another name since."""
    for name in sorted(scope.migrated.keys() - actors):
        with suppress(CallsheetError):  # a manifest that cannot be read is told where its actor is checked
            own = scope.run.store.load(name)
            manifest = own or scope.run.store.load(layout.actor_id(name)) or Manifest(None)
            for found in lost_urls(scope, name, manifest):
                yield Finding(found.code, found.actor, found.filename, found.message, found.repair)


def _strays(scope: Scope) -> Iterator[Finding]:
    for name in _names(scope, scope.where.state_dir):
        if name not in _STATE:
            yield stray(f"{scope.where.state_dir}/{name}")


def _locks(scope: Scope) -> Iterator[Finding]:
    """A lock file that nobody holds is as it must be: it is permanent."""
    where = scope.where
    folder = where.lock("x").rpartition("/")[0]
    for name in _names(scope, folder):
        if not name.endswith(_LOCK):
            yield stray(f"{folder}/{name}")
        elif _is_held(scope, f"{folder}/{name}"):
            message = "a run is writing this manifest, or waits to"
            yield Finding(Code.LOCKED, "", where.manifest(name.removesuffix(_LOCK)), message, "check again later")
    if _is_held(scope, f"{where.jobs_dir}/{_SERVER_LOCK}"):
        message = "a server works on this tree"
        yield Finding(Code.LOCKED, "", f"{where.jobs_dir}/{_SERVER_LOCK}", message, "nothing: it may go on")


def _is_held(scope: Scope, path: str) -> bool:
    try:
        return locks.is_locked(scope.path(path))
    except LocalError:  # no file that anybody could lock
        return False


def _stamps(scope: Scope) -> Iterator[Finding]:
    """What says until when hashes are settled: a time to come would vouch for files that were not looked at since."""
    folder = scope.where.hashed_stamp("x").rpartition("/")[0]
    stems = scope.run.store.stems()
    for name in _names(scope, folder):
        if name in stems and scope.run.store.settled_ns(name) <= system.time_ns() + reconcile.RACY_NS:
            continue
        reason = "of a time to come" if name in stems else "of a manifest that is not there"
        message = f"it says that hashes are settled, {reason}"
        repair = "callsheet fsck --fix, or delete it: the images are hashed once more"
        yield Finding(Code.STAMP, "", f"{folder}/{name}", message, repair, fixable=True)


def _jobs(scope: Scope) -> Iterator[Finding]:
    where = scope.where
    ids = set()
    for name in _names(scope, where.jobs_dir):
        job_id = name.removesuffix(_JSON)
        if name in _SUBFOLDERS or name == _SERVER_LOCK:
            continue
        if job_id == name or not layout.is_run_id(job_id):
            yield stray(f"{where.jobs_dir}/{name}")
            continue
        ids.add(job_id)
        yield from _job(scope, where.job(job_id), job_id)
    for folder in sorted(_SUBFOLDERS):
        for name in _names(scope, f"{where.jobs_dir}/{folder}"):
            path, job_id = f"{where.jobs_dir}/{folder}/{name}", name.removesuffix(_JSON)
            if job_id not in ids:
                yield stray(path)
            elif folder == "plans":
                yield from _plan(scope, path)


def _job(scope: Scope, path: str, job_id: str) -> Iterator[Finding]:
    try:
        document = codec.parse_json(local.read_bytes(scope.path(path)) or b"", path, hint="")
        reason = "" if isinstance(document, dict) and document.get("id") == job_id else "it is not the job of its name"
    except CallsheetError as error:
        reason = str(error)
    if reason:
        message = f"a server would pass over this job: {reason}"
        yield Finding(Code.JOB, "", path, message, "delete it; what its run did is in the journal")


def _plan(scope: Scope, path: str) -> Iterator[Finding]:
    try:
        planfile.read_plan(local.read_bytes(scope.path(path)) or b"", path)
    except CallsheetError as error:
        message = f"a job's plan cannot be read: {error}"
        yield Finding(Code.JOB, "", path, message, "delete it; the job can be asked for anew")


def _names(scope: Scope, folder: str) -> list[str]:
    """The names in one of our folders; not those of temporary files, which are told elsewhere, or are being written."""
    return [name for name in local.names_in(scope.path(folder)) if not name.startswith(local.TEMPORARY)]
