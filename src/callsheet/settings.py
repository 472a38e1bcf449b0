"""Where the settings come from: an option over `CALLSHEET_*` over `callsheet.toml` at the root over the default.

AWS credentials, profile and endpoint are not ours: they come from the standard AWS environment and files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from reprlib import repr as shortly
from typing import Any

from callsheet import local
from callsheet.errors import ConfigError, LocalError
from callsheet.layout import Layout, is_bucket
from callsheet.library import Library
from callsheet.remote import Remote, open_remote

FILE = "callsheet.toml"
_MOST_BYTES = 1 << 15
"""`tomllib` takes quadratic time for a long dotted key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. `remote` is a URL: `s3://bucket/prefix`, or `file:///folder` for a folder that holds one folder a bucket."""

    root: str
    where: Layout
    remote: str
    anonymous: bool
    workers: int
    transfers: int


def open_library(
    root: str | os.PathLike[str] | None = None,
    *,
    remote: str | Remote | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Library:
    """The library of the tree at `root` (default: `CALLSHEET_ROOT`, then the current directory).

    `remote` is a URL or an opened store; by default what `CALLSHEET_REMOTE` or `callsheet.toml` says. `ConfigError`
    names the setting that is wrong. Nothing is read but `callsheet.toml`, and no connection is made.
    """
    url = remote if isinstance(remote, str) else ""
    settings = load(root, remote=url, environ=environ)
    if remote is None or isinstance(remote, str):
        remote = open_remote(settings.remote, layout=settings.where, anonymous=settings.anonymous)
    return Library(settings.root, settings.where, remote, workers=settings.workers, transfers=settings.transfers)


def load(
    root: str | os.PathLike[str] | None = None, *, remote: str = "", environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings that are in force for a tree; `remote` is the option, over all else."""
    folder = os.path.abspath(os.fspath(root) if root else environ.get("CALLSHEET_ROOT") or ".")
    option = {"remote": remote} if remote else {}
    layers = (_from_file(os.path.join(folder, FILE)), _from_environment(environ), option)
    values = {key: value for layer in layers for key, value in _with_bucket(layer).items()}
    if "region" not in values and values.get("bucket", Layout().bucket) != Layout().bucket:
        values["region"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or Layout().region
    where = Layout(**{key: value for key, value in values.items() if key in _LAYOUT_KEYS})
    _check(where)
    return Settings(
        folder,
        replace(where, prefix=where.prefix.strip("/")),
        remote=values.get("remote") or f"s3://{where.bucket}/{where.prefix}",
        anonymous=values.get("anonymous", False),
        workers=values.get("workers") or min(32, max(2, os.cpu_count() or 1)),
        transfers=values.get("transfers") or _TRANSFERS,
    )


def _with_bucket(layer: dict[str, Any]) -> dict[str, Any]:
    """A remote in S3 names bucket and prefix, over what its own layer and those below it say of them."""
    scheme, _, rest = layer.get("remote", "").partition("://")
    if scheme.lower() != "s3":
        return layer
    bucket, _, prefix = rest.partition("/")
    return {**layer, "bucket": bucket, "prefix": prefix, "remote": ""}


_LAYOUT_KEYS = frozenset(field.name for field in fields(Layout))
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(_LAYOUT_KEYS, str),
    "other_buckets": list,
    "remote": str,
    "anonymous": bool,
    "workers": int,
    "transfers": int,
}


def _from_file(path: str) -> dict[str, Any]:
    try:
        raw = local.read_bytes(path) or b""
        if len(raw) > _MOST_BYTES:
            raise ConfigError(f"{path} is larger than {_MOST_BYTES >> 10} KiB", hint="Keep nothing but settings in it.")
        document = tomllib.loads(raw.decode())
    except LocalError as error:
        raise ConfigError(str(error), hint=error.hint) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not sound TOML: {error}", hint="Mend that line.") from error
    return {key: _checked(key, value, path) for key, value in document.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for key, kind in _KINDS.items():
        name = f"CALLSHEET_{key.upper()}"
        text = environ.get(name)
        if text:
            values[key] = _checked(key, _parsed(name, text, kind), name)
    return values


def _parsed(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise ConfigError(f"{name} is {shortly(text)}", hint="Set it to 1 or 0.")
        return words[text.lower()]
    if kind is int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise ConfigError(f"{name} is {text[:40]!r}", hint="Set it to a whole number.")
        return int(text)
    return [part for part in text.split(",") if part] if kind is list else text


def _checked(key: str, value: Any, source: str) -> Any:
    """The value, if the key is known and the value of its kind. `source` is the file or variable that says so."""
    if key not in _KINDS:
        near = get_close_matches(key, _KINDS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known settings: {', '.join(sorted(_KINDS))}."
        raise ConfigError(f"{source}: there is no setting {shortly(key)}", hint=hint)
    kind = _KINDS[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{source}: {key} is {shortly(value)}", hint=f"It must be {_WORDS[kind]}.")
    if kind is list:
        if not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{source}: {key} is {shortly(value)}", hint=f"It must be {_WORDS[kind]}.")
        return tuple(value)
    if kind is int and not 1 <= value <= _MAX_WORKERS:
        raise ConfigError(f"{source}: {key} is {value}", hint=f"It must be between 1 and {_MAX_WORKERS}.")
    return value


_WORDS: Mapping[Any, str] = {str: "a string", list: "a list of strings", bool: "true or false", int: "a whole number"}
_MAX_WORKERS = 256
_TRANSFERS = 8


def _check(where: Layout) -> None:
    for key in ("actors_dir", "manifests_dir", "state_dir"):
        path = getattr(where, key)
        if not path or os.path.isabs(path) or ".." in path.split("/") or "\0" in path:
            raise ConfigError(f"{key} is {shortly(path)}", hint="It must be a path below the root.")
    for bucket in (where.bucket, *where.other_buckets):
        if not is_bucket(bucket):
            raise ConfigError(f"{shortly(bucket)} is not a bucket's name", hint="Name it as in s3://my-bucket/prefix.")
