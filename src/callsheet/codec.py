"""Manifest JSON to `Manifest` and back, keeping every key that is not ours, in its place.

Rules of this module: bytes in, values out; no I/O. What is not sound JSON of the right shape is refused with
the file and the place; nothing is guessed. The format is described in `docs/manifest.md`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from callsheet import layout
from callsheet.errors import ManifestError
from callsheet.model import Actor, Counts, Entry, Evidence, Manifest, S3Record, Status

_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ZONE = len("+00:00")
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_MIB = 1024 * 1024
_MOST_BYTES = (1 << 63) - 1
_DEEPEST = 400
_T = TypeVar("_T")


def parse_json(raw: bytes, name: str, *, hint: str) -> Any:
    """The JSON value of `raw`; `name` is the file's, and `hint` what to do with it, for the error.

    Stricter than `json`: duplicate keys, NaN, lone surrogates, a BOM and absurd nesting are errors. Integers of any
    size survive.
    """
    try:
        value = orjson.loads(raw)
        if _canonical(value) != raw:  # else as we write it: a duplicate key or a huge integer would not have survived
            value = json.loads(raw, object_pairs_hook=_unique)
            _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{name} is not sound JSON: {error}", hint=hint) from error
    return value


def _check_depth(value: Any) -> None:
    """`ValueError` for what is nested so deeply that reading it does not prove that it can be written, wherever we are called from."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for inner in level
            if isinstance(inner, dict | list)
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def dump_json(document: Mapping[str, Any]) -> bytes:
    """`document` as UTF-8 JSON, indented by two spaces, with a newline at its end."""
    canonical = _canonical(document)
    if canonical is None:
        return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    return canonical


def decode(raw: bytes, name: str) -> Manifest:
    """The manifest in `raw`. `name` is the file's, for errors: `ManifestError` if anything of ours is not what it must be."""
    document = parse_json(raw, name, hint=MEND)
    if not isinstance(document, dict):
        raise _wrong(name, "the document", "an object", document)
    names = _typed(document, "character_name", str, name)
    if names is not None and (fault := layout.name_fault(names)):
        raise ManifestError(f"{name}: character_name {layout.printable(names)!r} {fault}", hint=MEND)
    _typed(document, "statistics", dict, name)
    seen: set[str] = set()
    return Manifest(
        names=names,
        entries=_entries(document, "training_data", name, seen),
        missing=_entries(document, "training_data_missing", name, seen),
        updated=_time(document.get("training_data_updated"), strict_in=None),
        source=document,
    )


def encode(manifest: Manifest, actor: Actor) -> dict[str, Any]:
    """The JSON document of `manifest`: its source, with our keys replaced where they stand or appended."""
    document = dict(manifest.source)
    document.setdefault("character_id", actor.id)
    document["character_name"] = manifest.names or actor.name
    document["training_data"] = [_encode_entry(entry) for entry in manifest.entries]
    document["training_data_updated"] = _stamp(manifest.updated)
    document["statistics"] = {**(document.get("statistics") or {}), **_statistics(manifest)}
    if manifest.missing or "training_data_missing" in document:
        document["training_data_missing"] = [_encode_entry(entry) for entry in manifest.missing]
    return document


def counts(manifest: Manifest) -> Counts:
    """Images by status."""
    statuses = [entry.status for entry in manifest.entries]
    return Counts(
        synced=statuses.count(Status.SYNCED),
        local_only=statuses.count(Status.LOCAL_ONLY),
        s3_only=statuses.count(Status.S3_ONLY),
        out_of_sync=statuses.count(Status.OUT_OF_SYNC),
        missing=sum(entry.removed_by is None for entry in manifest.missing),
    )


def learnt(manifest: Manifest, actor: Actor, now: datetime) -> dict[str, Any] | None:
    """The document to write, stamped with `now`; None if it would differ in its stamp only from the one it came from."""
    old, new = manifest.source, encode(replace(manifest, updated=now), actor)
    same = old.keys() == new.keys() and all(old[key] == new[key] for key in new if key != "training_data_updated")
    return None if same else new


def size_mib(size_bytes: int | None) -> float | None:
    """Bytes as MiB with two decimals: the manifest's `size_mb`."""
    return None if size_bytes is None else round(size_bytes / _MIB, 2)


MEND = "Mend or restore the file, then run sync again; until then this actor is left alone."


def _canonical(value: Any) -> bytes | None:
    """None for what orjson cannot write: integers beyond 64 bits."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return result


def _wrong(name: str, place: str, wanted: str, value: object) -> ManifestError:
    return ManifestError(f"{name}: {place} is not {wanted} but {type(value).__name__}", hint=MEND)


_WORDS: Mapping[type, str] = {
    str: "a string",
    dict: "an object",
    list: "an array",
    int: "an integer",
    bool: "true or false",
}


def _typed(document: Mapping[str, Any], key: str, wanted: type[_T], name: str, place: str = "") -> _T | None:
    """`document[key]` if it is of the type, None if it is null or not there."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise _wrong(name, f"{place}{key}", _WORDS[wanted], value)
    return value


def _entries(document: Mapping[str, Any], key: str, name: str, seen: set[str]) -> tuple[Entry, ...]:
    rows = _typed(document, key, list, name) or []
    entries = []
    for index, row in enumerate(rows):
        place = f"{key}[{index}]"
        if not isinstance(row, dict):
            raise _wrong(name, place, "an object", row)
        entry = _decode_entry(row, name, f"{place}.")
        if entry.filename in seen:
            raise ManifestError(f"{name}: {place} names {entry.filename!r} a second time", hint=MEND)
        seen.add(entry.filename)
        entries.append(entry)
    return tuple(entries)


_ENTRY_KINDS: Mapping[str, type] = {
    "filename": str,
    "local_path": str,
    "size_bytes": int,
    "md5_hash": str,
    "s3_url": str,
    "status": str,
    "good": bool,
    "prompt": str,
    "evidence": str,
    "checked_at": str,
    "s3": dict,
    "synced_md5": str,
    "expected_md5": str,
    "removed_by": str,
    "alternate_s3_urls": list,
}
_S3_KINDS: Mapping[str, type] = {"etag": str, "size_bytes": int, "last_modified": str, "md5": str}


@lru_cache(maxsize=512)
def _are_of_kinds(found: tuple[type, ...], kinds: tuple[type, ...]) -> bool:
    """Whether each is its kind, or null's. A million rows have a few combinations."""
    return all(one in (kind, type(None)) for one, kind in zip(found, kinds, strict=True))


def _check_kinds(row: Mapping[str, Any], kinds: Mapping[str, type], name: str, place: str) -> None:
    """`ManifestError` for a value that is neither of its kind nor null. What JSON is read into has no subclasses."""
    if _are_of_kinds(tuple(map(type, map(row.get, kinds))), tuple(kinds.values())):
        return
    for key, kind in kinds.items():
        value = row.get(key)
        if value is not None and type(value) is not kind:
            raise _wrong(name, f"{place}{key}", _WORDS[kind], value)


def _decode_entry(row: dict[str, Any], name: str, place: str) -> Entry:
    _check_kinds(row, _ENTRY_KINDS, name, place)
    get = row.get
    filename = get("filename")
    if filename is None or (fault := layout.name_fault(filename)):
        reason = "is missing" if filename is None else f"{layout.printable(filename)!r} {fault}"
        raise ManifestError(f"{name}: {place}filename {reason}", hint=MEND)
    alternates = get("alternate_s3_urls") or []
    for url in alternates:
        if not isinstance(url, str):
            raise _wrong(name, f"{place}alternate_s3_urls", "an array of strings", url)
    return Entry(
        filename=filename,
        local_path=get("local_path") or "",
        size_bytes=_size(row, name, place),
        modified_timestamp=_number(row, "modified_timestamp", name, place),
        md5_hash=_md5(get("md5_hash")),
        s3_url=get("s3_url") or None,
        status=_STATUSES.get(get("status")),
        good=get("good"),
        prompt=get("prompt"),
        evidence=_EVIDENCES.get(get("evidence")),
        checked_at=_time(get("checked_at"), strict_in=f"{name}: {place}checked_at"),
        s3=_decode_s3(get("s3"), name, f"{place}s3."),
        synced_md5=_md5(get("synced_md5")),
        expected_md5=_md5(get("expected_md5")),
        removed_by=get("removed_by"),
        alternate_s3_urls=tuple(alternates),
        source=row,
    )


def _decode_s3(row: dict[str, Any] | None, name: str, place: str) -> S3Record | None:
    if row is None:
        return None
    _check_kinds(row, _S3_KINDS, name, place)
    etag, size_bytes = row.get("etag"), _size(row, name, place)
    last_modified = _time(row.get("last_modified"), strict_in=f"{name}: {place}last_modified")
    if etag is None or size_bytes is None or last_modified is None:
        raise ManifestError(f"{name}: {place[:-1]} lacks etag, size_bytes or last_modified", hint=MEND)
    return S3Record(etag, size_bytes, last_modified, _md5(row.get("md5")))


def _size(row: Mapping[str, Any], name: str, place: str) -> int | None:
    value: int | None = row.get("size_bytes")
    if value is not None and not 0 <= value <= _MOST_BYTES:
        raise ManifestError(f"{name}: {place}size_bytes {str(value)[:40]} is not a size", hint=MEND)
    return value


def _number(row: Mapping[str, Any], key: str, name: str, place: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, f"{place}{key}", "a number", value)
    try:
        datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ManifestError(f"{name}: {place}{key} {value!r} is not a time", hint=MEND) from error
    return float(value)


# What another word says is derived anew.
_STATUSES: Mapping[str | None, Status] = {status.value: status for status in Status}
_EVIDENCES: Mapping[str | None, Evidence] = {evidence.value: evidence for evidence in Evidence}


def _md5(text: str | None) -> str | None:
    """`text` if it is an MD5; None for anything else (placeholders occur), which is then unknown."""
    if text is None or _MD5.fullmatch(text):
        return text
    lowered = text.lower()
    return lowered if _MD5.fullmatch(lowered) else None


def _time(text: object, *, strict_in: str | None) -> datetime | None:
    """An ISO 8601 time; UTC if it names no zone. What is not one is None, or an error if `strict_in` names its place."""
    if text is None:
        return None
    try:
        return _moment(str(text))
    except (ValueError, OverflowError) as error:
        if strict_in is None:
            return None
        raise ManifestError(f"{strict_in} {text!r} is not an ISO 8601 time", hint=MEND) from error


@lru_cache(maxsize=1024)  # one for all images that were looked at, or uploaded, together
def _moment(text: str) -> datetime:
    """`ValueError` or `OverflowError` if it is none."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stamp(moment: datetime | None) -> str | None:
    """UTC without zone, six decimals."""
    if moment is None:
        return None
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-_ZONE]


def _encode_entry(entry: Entry) -> dict[str, Any]:
    timestamp = entry.modified_timestamp
    ours: dict[str, Any] = {
        "filename": entry.filename,
        "local_path": entry.local_path,
        "size_bytes": entry.size_bytes,
        "size_mb": size_mib(entry.size_bytes),
        "modified_timestamp": timestamp,
        "modified_date": None if timestamp is None else _stamp(datetime.fromtimestamp(timestamp, UTC)),
        "md5_hash": entry.md5_hash,
        "s3_url": entry.s3_url,
        "status": entry.status and entry.status.value,
        "good": entry.good,
        "prompt": entry.prompt,
        "evidence": entry.evidence and entry.evidence.value,
        "checked_at": _stamp(entry.checked_at),
        "s3": entry.s3 and _encode_s3(entry.s3),
        "synced_md5": entry.synced_md5,
        "expected_md5": entry.expected_md5,
        "removed_by": entry.removed_by,
        "alternate_s3_urls": list(entry.alternate_s3_urls) or None,
    }
    row = {**entry.source, **ours}
    for key in _OMITTED_IF_UNSET:
        if row[key] is None:
            del row[key]
    return row


_OMITTED_IF_UNSET = ("good", "prompt", "expected_md5", "removed_by", "alternate_s3_urls")


def _encode_s3(record: S3Record) -> dict[str, Any]:
    return {
        "etag": record.etag,
        "md5": record.md5,
        "size_bytes": record.size_bytes,
        "last_modified": _stamp(record.last_modified),
    }


def _statistics(manifest: Manifest) -> dict[str, Any]:
    tally = counts(manifest)
    size_bytes = sum(entry.size_bytes or 0 for entry in manifest.entries)
    return {
        "training_images_count": tally.total,
        "training_data_size_bytes": size_bytes,
        "training_data_size_mb": size_mib(size_bytes),
        "training_synced_count": tally.synced,
        "training_local_only_count": tally.local_only,
        "training_s3_only_count": tally.s3_only,
        "training_out_of_sync_count": tally.out_of_sync,
    }
