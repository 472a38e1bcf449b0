"""Plans and the journal's lines as JSON, and back; see docs/moving.md for the form.

Rules of this module: pure. What it reads comes from files that anybody may have edited: whatever is not as it must be is a
`PlanError` that names the file and the place, and no name in it leads outside an actor's folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from callsheet import layout
from callsheet.action import Action, Curation, Mark, Op, Outcome, PastRun, Plan, Step, Trashed, Verb, Version
from callsheet.codec import parse_json
from callsheet.errors import ManifestError, PlanError
from callsheet.model import Location, Problem

VERSION = 1
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MOST_BYTES = (1 << 63) - 1
_T = TypeVar("_T")


_OPS = {
    Verb.PUSH: {Op.UPLOAD},
    Verb.PULL: {Op.DOWNLOAD},
    Verb.REPAIR: {Op.UPLOAD, Op.DOWNLOAD},
    Verb.EVICT: {Op.EVICT},
    Verb.RM: {Op.TRASH_LOCAL, Op.TRASH_S3},
    Verb.UNDO: {Op.DOWNLOAD, Op.TRASH_LOCAL, Op.TRASH_S3, Op.RESTORE_LOCAL, Op.RESTORE_S3},
    Verb.RESTORE: {Op.RESTORE_LOCAL, Op.RESTORE_S3},
}
"""What each verb's plan may hold."""


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """The JSON document of a plan."""
    return {
        "callsheet_plan": VERSION,
        "verb": plan.verb.value,
        "undoes": plan.undoes,
        "actions": [action_as_dict(action) for action in plan.actions],
        **({"marks": [mark_as_dict(mark) for mark in plan.marks]} if plan.marks else {}),
        "refusals": [asdict(refusal) for refusal in plan.refusals],
    }


def action_as_dict(action: Action) -> dict[str, Any]:
    """One action; keys without a value are left out."""
    trashed = action.trashed and {"run": action.trashed.run_id, **_version_as_dict(action.trashed.version)}
    return {
        "op": action.op.value,
        "actor": action.actor,
        "filename": action.filename,
        "bucket": action.location.bucket,
        "key": action.location.key,
        **({"local": _version_as_dict(action.local)} if action.local else {}),
        **({"s3": _version_as_dict(action.s3)} if action.s3 else {}),
        **({"trashed": trashed} if trashed else {}),
        **({"base": action.base} if action.base else {}),
        "bytes": action.size_bytes,
        "reason": action.reason,
    }


def mark_as_dict(mark: Mark) -> dict[str, Any]:
    """One change of what a user says of an image."""
    return asdict(mark)


def outcome_as_dict(outcome: Outcome) -> dict[str, Any]:
    """What came of an action, without the action."""
    if outcome.problem is not None:
        return {"outcome": "failed", "code": outcome.problem.code, "message": outcome.problem.message}
    return {
        "outcome": "done",
        **({"placed": _version_as_dict(outcome.placed)} if outcome.placed else {}),
        **({"kept": _version_as_dict(outcome.kept)} if outcome.kept else {}),
    }


def read_plan(raw: bytes, path: str) -> Plan:
    """The plan in a file. `path` is for messages. `PlanError` if it is none."""
    document = _object(_parsed(raw, path), path)
    if document.get("callsheet_plan") != VERSION:
        raise PlanError(f"{path} is no plan of this version of callsheet", hint="Make it anew with --plan-out.")
    actions = _list(document.get("actions"), f"{path}: actions")
    plan = Plan(
        _one_of(Verb, document.get("verb"), f"{path}: verb"),
        tuple(read_action(item, f"{path}: actions[{number}]") for number, item in enumerate(actions)),
        tuple(
            _refusal(item, f"{path}: refusals[{number}]")
            for number, item in enumerate(_list(document.get("refusals", []), f"{path}: refusals"))
        ),
        run_id(document["undoes"], f"{path}: undoes") if document.get("undoes") else "",
        tuple(
            read_mark(item, f"{path}: marks[{number}]")
            for number, item in enumerate(_list(document.get("marks", []), f"{path}: marks"))
        ),
    )
    if plan.verb is Verb.MARK or (plan.marks and plan.verb is not Verb.UNDO):
        raise PlanError(f"{path}: marks are made by `callsheet mark`, and taken back by an undo")
    for number, action in enumerate(plan.actions):
        if action.op not in _OPS[plan.verb]:
            raise PlanError(f"{path}: actions[{number}]: a {plan.verb.value} does no {action.op.value}")
    return plan


def read_mark(value: Any, place: str) -> Mark:
    """One change of what a user says of an image."""
    item = _object(value, place)
    actor, filename = _names(item, place)
    before, after = (_curation(item.get(key), f"{place}.{key}") for key in ("before", "after"))
    return Mark(actor, filename, before, after)


def read_action(value: Any, place: str) -> Action:
    """One action. `PlanError` if a name could lead elsewhere, or what the op needs is not there."""
    item = _object(value, place)
    op = _one_of(Op, item.get("op"), f"{place}.op")
    actor, filename = _names(item, place)
    bucket, key = _text(item, "bucket", place), _text(item, "key", place)
    if actor.startswith(".") or not layout.is_image(filename) or not key or not layout.is_bucket(bucket):
        raise PlanError(f"{place} is not about an actor's image")
    trashed = None
    if "trashed" in item:
        inner = _object(item["trashed"], f"{place}.trashed")
        trashed = Trashed(run_id(inner.get("run"), f"{place}.trashed.run"), _version(inner, f"{place}.trashed"))
    local = _version(item["local"], f"{place}.local") if "local" in item else None
    s3 = _version(item["s3"], f"{place}.s3") if "s3" in item else None
    base, reason = _md5(item.get("base"), f"{place}.base"), _text(item, "reason", place)
    action = Action(op, actor, filename, Location(bucket, key), local, s3, trashed, base, reason)
    _check_needs(action, place)
    return action


def read_outcome(value: Any, action: Action, place: str) -> Outcome:
    """What came of `action`."""
    item = _object(value, place)
    if item.get("outcome") == "failed":
        told = Problem(action.actor, action.filename, _text(item, "code", place), _text(item, "message", place))
        return Outcome(action, told)
    placed = _version(item["placed"], f"{place}.placed") if "placed" in item else None
    return Outcome(action, None, placed, _version(item["kept"], f"{place}.kept") if "kept" in item else None)


def first_line(run: str, verb: Verb, started: datetime, undoes: str) -> dict[str, Any]:
    """The journal's line that opens a run."""
    opening = {"callsheet_run": VERSION, "run": run, "verb": verb.value, "started": started.isoformat()}
    return {**opening, "undoes": undoes} if undoes else opening


def read_journal(raw: bytes, path: str) -> PastRun:
    """A run from its journal. A last line that a crash cut short is left out; anything else that is wrong is a `PlanError`."""
    *lines, last = raw.split(b"\n")
    if last:
        lines += [last] if _is_json(last) else []
    if not lines:
        raise PlanError(f"{path} is empty")
    opening = _object(_parsed(lines[0], f"{path}:1"), f"{path}:1")
    if opening.get("callsheet_run") != VERSION:
        raise PlanError(f"{path} is no journal of this version of callsheet")
    actions: dict[int, Action] = {}
    outcomes: dict[int, Outcome] = {}
    marks: list[Mark] = []
    ended = None
    for number, line in enumerate(lines[1:], 2):
        place = f"{path}:{number}"
        item = _object(_parsed(line, place), place)
        if "ended" in item:
            ended = _moment(item["ended"], place)
        elif "mark" in item:
            marks.append(read_mark(item["mark"], f"{place}.mark"))
        elif "action" in item:
            actions[_count(item, place)] = read_action(item["action"], f"{place}.action")
        else:
            index = _count(item, place)
            if index not in actions:
                raise PlanError(f"{place} is about an action that is not there")
            outcomes[index] = read_outcome(item, actions[index], place)
    return PastRun(
        run_id(opening.get("run"), f"{path}:1.run"),
        _one_of(Verb, opening.get("verb"), f"{path}:1.verb"),
        _moment(opening.get("started"), f"{path}:1.started"),
        tuple(Step(action, outcomes.get(index)) for index, action in sorted(actions.items())),
        ended,
        run_id(opening["undoes"], f"{path}:1.undoes") if opening.get("undoes") else "",
        tuple(marks),
    )


def run_id(value: Any, place: str) -> str:
    """A run's id, else a `PlanError`."""
    if not isinstance(value, str) or not layout.is_run_id(value):
        raise PlanError(f"{place} is no run's id")
    return value


def _check_needs(action: Action, place: str) -> None:
    """Whether an action has what its op needs."""
    needs = {
        Op.UPLOAD: (action.local and action.local.md5,),
        Op.DOWNLOAD: (action.s3 and action.s3.etag,),
        Op.EVICT: (action.local and action.local.md5, action.s3 and action.s3.etag),
        Op.TRASH_LOCAL: (action.local and action.local.md5,),
        Op.TRASH_S3: (action.s3 and action.s3.etag,),
        Op.RESTORE_LOCAL: (action.trashed and action.trashed.version.md5,),
        Op.RESTORE_S3: (action.trashed and action.trashed.version.etag,),
    }[action.op]
    replaced = (action.local is None or action.local.md5) and (action.s3 is None or action.s3.etag)
    if not all(needs) or not replaced:
        raise PlanError(f"{place} lacks the MD5 or ETag that {action.op.value} needs")


def _version_as_dict(version: Version) -> dict[str, Any]:
    row: dict[str, Any] = {"size_bytes": version.size_bytes}
    if version.md5 is not None:
        row["md5"] = version.md5
    if version.etag is not None:
        row["etag"] = version.etag
    return row


def _version(value: Any, place: str) -> Version:
    item = _object(value, place)
    size, md5, etag = item.get("size_bytes"), item.get("md5"), item.get("etag")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_BYTES:
        raise PlanError(f"{place}.size_bytes is no size")
    if etag is not None and not (isinstance(etag, str) and etag.isprintable()):
        raise PlanError(f"{place}.etag is no ETag")
    return Version(size, _md5(md5, f"{place}.md5"), etag)


def _md5(value: Any, place: str) -> str | None:
    if value is not None and not (isinstance(value, str) and _MD5.fullmatch(value)):
        raise PlanError(f"{place} is no MD5")
    return value


def _curation(value: Any, place: str) -> Curation:
    item = _object(value, place)
    good, prompt = item.get("good"), item.get("prompt")
    if not isinstance(good, bool | None) or not isinstance(prompt, str | None):
        raise PlanError(f"{place} is no mark and prompt")
    return Curation(good, prompt)


def _refusal(value: Any, place: str) -> Problem:
    item = _object(value, place)
    return Problem(*(_text(item, key, place) for key in ("actor", "filename", "code", "message")))


def _parsed(raw: bytes, place: str) -> Any:
    try:
        return parse_json(raw, place, hint="")
    except ManifestError as error:
        raise PlanError(str(error)) from error


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line, "", hint="")
    except ManifestError:
        return False
    return True


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PlanError(f"{place} is no JSON object")
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise PlanError(f"{place} is no JSON array")
    return value


def _names(item: Mapping[str, Any], place: str) -> tuple[str, str]:
    """An actor's and an image's name; neither leads anywhere else."""
    actor, filename = _text(item, "actor", place), _text(item, "filename", place)
    for name, what in ((actor, "actor"), (filename, "filename")):
        if fault := layout.name_fault(name):
            raise PlanError(f"{place}.{what} {fault}")
    return actor, filename


def _text(item: Mapping[str, Any], key: str, place: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise PlanError(f"{place}.{key} is no string")
    return value


def _count(item: Mapping[str, Any], place: str) -> int:
    value = item.get("n")
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanError(f"{place}.n is no number")
    return value


def _moment(value: Any, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise PlanError(f"{place} is no time") from error
    if moment.tzinfo is None:
        raise PlanError(f"{place} has no time zone")
    return moment


def _one_of(kind: type[_T], value: Any, place: str) -> _T:
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError as error:
        raise PlanError(f"{place}: {str(value)[:40]!r} is not known") from error
