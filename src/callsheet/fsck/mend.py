"""Mending what can be mended without a loss, each thing by the way that the verbs have for it, under the lock that they take.

Rules of this module: a record is read anew under its lock, and a file looked at once more, right before it is touched; nothing of an actor that a
run which is under way is about; no bytes are deleted that are not proven to be elsewhere, or to be half of a write that never ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace

from callsheet import files, folders, layout, system
from callsheet.checkup import Code, Finding
from callsheet.errors import CallsheetError, UnknownActor
from callsheet.fsck import aside
from callsheet.fsck.scope import Scope
from callsheet.invariants import unfounded, without_claim
from callsheet.model import Actor, Entry, Manifest
from callsheet.survey import claim
from callsheet.sync import OnProgress, run_sync_among

_RECORDED_ANEW = frozenset(
    {
        Code.STATUS,
        Code.NOWHERE,
        Code.EVIDENCE,
        Code.STATISTICS,
        Code.ORDER,
        Code.LOCAL_PATH,
        Code.LEGACY_LOST,
    }
)


def mend(
    scope: Scope,
    findings: Iterable[Finding],
    busy: Callable[[], frozenset[str]],
    executor: Executor,
    on_progress: OnProgress,
) -> list[Finding]:
    """Mend what is fixable. Returns what could not be mended, each with the reason; whether the rest is mended is for a new check to say.

    `busy` tells which actors are to be left alone.
    """
    left: list[Finding] = []
    anew: set[str] = set()
    try:
        untouchable = busy()
    except CallsheetError as error:
        return [_not_mended("", "", f"a run is still going on, and what it is about is not known; {error.sentence}")]
    for found in findings:
        if not found.fixable:
            continue
        if found.actor in untouchable:
            left.append(_not_mended(found.actor, found.filename, "a run that is about this actor is still going on"))
            continue
        try:
            if (prepare := _FIRST.get(found.code)) is not None:
                prepare(scope, found)
            if found.code in _RECORDED_ANEW:
                anew.add(found.actor)
        except CallsheetError as error:
            left.append(_not_mended(found.actor, found.filename, error.sentence))
    try:
        if anew:
            run = replace(scope.run, started=system.now())
            run_sync_among(run, [anew], len(anew), executor, on_progress)
    except CallsheetError as error:
        left.append(_not_mended("", "", error.sentence))
    return left


def _forget_hashes(scope: Scope, found: Finding) -> None:
    """A record that contradicts itself may be wrong of the file as well: nothing of it is trusted any more."""
    files.delete(scope.path(scope.where.hashed_stamp(_actor(scope, found.actor).stem)))


def _take_back_claims(scope: Scope, found: Finding) -> None:
    actor = _actor(scope, found.actor)

    def honest(entry: Entry) -> Entry:
        return without_claim(entry) if unfounded(entry) else entry

    def change(manifest: Manifest) -> Manifest:
        claim(manifest, actor)
        return replace(manifest, entries=tuple(map(honest, manifest.entries)))

    scope.run.store.update(actor, change, scope.run.started)


def _put_back_legacy(scope: Scope, found: Finding) -> None:
    _actor(scope, found.actor)
    place = f"{scope.where.training_dir(found.actor)}/{layout.RESPONSE}"
    files.move(scope.path(found.filename), scope.path(place))
    _tidy(scope, found.filename)


def _delete(scope: Scope, found: Finding) -> None:
    files.delete(scope.path(found.filename))
    _tidy(scope, found.filename)


def _give_name_back(scope: Scope, found: Finding) -> None:
    manifest = scope.run.store.load(_actor(scope, found.actor).stem) if found.actor else None
    now = aside.examined(scope, found.filename, manifest)
    if now.twin:
        _delete(scope, found)
    elif now.name:
        files.move(scope.path(now.path), scope.path(f"{os.path.dirname(now.path)}/{now.name}"))


def _tidy(scope: Scope, path: str) -> None:
    """No empty folders are left in the trash."""
    folders.remove_empty(os.path.dirname(scope.path(path)), scope.path(scope.where.trash_dir))


_FIRST: dict[Code, Callable[[Scope, Finding], None]] = {
    Code.STATUS: _forget_hashes,
    Code.EVIDENCE: _take_back_claims,
    Code.LEGACY_LOST: _put_back_legacy,
    Code.TEMPORARY: _delete,
    Code.STAMP: _delete,
    Code.ASIDE: _give_name_back,
}
"""What is done before an actor's images are recorded anew, or in its place."""


def _actor(scope: Scope, name: str) -> Actor:
    """The actor with this folder name. `UnknownActor` if there is none any more."""
    actor = scope.run.surveyor.survey().named(name)
    if actor is None:
        raise UnknownActor(f"There is no actor {name} any more", hint="Check again.")
    return actor


def _not_mended(actor: str, filename: str, reason: str) -> Finding:
    return Finding(
        Code.NOT_MENDED, actor, filename, f"it could not be mended: {reason}", "see to that, then check again"
    )
