"""How a directory holds objects: a key's file, and the key of a file. Text in, text out.

Every key has a file of its own. Segments of a key are percent-encoded where a file system could not hold them: `%`,
control characters, and the dots of `.` and `..`. What remains is that a file and a folder cannot share a name (`a` beside
`a/b`), so a bare `%` at the end, which no encoding leaves there, marks the unusual case of each: a file without a dot
(`README%`), a folder with one (`v1.0%/`). An ordinary key, `folder/image.jpg`, is stored under its own name.

| segment | as a folder | as a file |
|---|---|---|
| `images` | `images` | `images%` |
| `a.jpg` | `a.jpg%` | `a.jpg` |
| `..` | `%2E%2E` | `%2E%2E%` |
| empty | `%%` | `%` |
"""

from __future__ import annotations

import re

_UNSTORABLE = re.compile(r"[%\x00-\x1f\x7f]")
_EMPTY_FOLDER = "%%"
_PERCENT = re.compile(r"%([0-9A-F]{2})", re.ASCII)


def encode_key(key: str) -> str:
    """The file of a key, relative to the bucket's folder."""
    *folders, filename = key.split("/")
    return "/".join([*map(encode_folder, folders), encode_file(filename)])


def encode_folder(segment: str) -> str:
    if not segment:
        return _EMPTY_FOLDER
    encoded = _encode(segment)
    return f"{encoded}%" if "." in encoded else encoded


def encode_file(segment: str) -> str:
    encoded = _encode(segment)
    return encoded if "." in encoded else f"{encoded}%"


def decode_folder(name: str) -> str | None:
    """The segment that a folder stands for; None for a folder that no key has."""
    segment = "" if name == _EMPTY_FOLDER else _decode(name)
    return segment if segment is not None and encode_folder(segment) == name else None


def decode_file(name: str) -> str | None:
    """The last segment of the key that a file stands for; None for a file that no key has."""
    segment = _decode(name)
    return segment if segment is not None and encode_file(segment) == name else None


def _encode(segment: str) -> str:
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    return _UNSTORABLE.sub(lambda match: f"%{ord(match[0]):02X}", segment)


def _decode(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    return _PERCENT.sub(lambda match: chr(int(match[1], 16)), name.removesuffix("%"))
