"""MD5 of local files, and of what is in memory, as fast as the machine can; of files only if they stood still meanwhile.

A file's hash is worth something together with the size and modification time that it was taken at: each result
carries both, and they were the same before and after the file was read. Many files, or buffers, are hashed side by side by
the C extension `_md5lanes`; an install without it hashes them one by one with hashlib. Rules of this module:

- One bad file never stops the others: what `hash_files` cannot hash is a value of its answer.
- Memory is bounded, whatever the sizes and number of files.
- The GIL is not held while bytes are read and hashed; every function may run in several threads at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from callsheet import etag, system
from callsheet.errors import ChangingFile, LocalError
from callsheet.layout import printable
from callsheet.model import HashedFile

# What can be wrong with a file besides an errno; the extension's numbers are the same.
NOT_REGULAR = -1
CHANGED = -2

_ATTEMPTS = 3
_BUFFER_BYTES = 128 * 1024

_HINTS = {
    errno.ENOENT: "It was moved or deleted meanwhile: run again.",
    errno.EACCES: "Check the permissions, then run again.",
    errno.EPERM: "Check the permissions, then run again.",
    errno.EMFILE: "Allow more open files (ulimit -n), then run again.",
    errno.ENFILE: "Too many files are open on this machine: end what holds them, then run again.",
    errno.EIO: "The disk could not read it: check the disk, and take the image from S3 if it is there.",
    errno.ESTALE: "The network drive lost it: check the mount, then run again.",
    errno.EINVAL: "Give it a name without NUL and without surrogates.",
}


@dataclass(frozen=True, slots=True)
class HashedParts:
    """The ETag, without quotes, that a file would have as a multipart upload; else as `HashedFile`."""

    path: str
    size_bytes: int
    mtime_ns: int
    etag: str


def hash_files(paths: Sequence[str]) -> list[HashedFile | LocalError]:
    """The MD5 of each file, in the order of `paths`; for a file without one, the error that says why.

    Symlinks are followed. A file that changes while it is read is read anew, three times at most, and is a
    `ChangingFile` then. No `OSError` is raised.
    """
    outcomes = _hash_once(list(paths))
    for _ in range(_ATTEMPTS - 1):
        changed = [number for number, outcome in enumerate(outcomes) if outcome[0] == CHANGED]
        if not changed:
            break
        again = _hash_once([paths[number] for number in changed])
        for number, outcome in zip(changed, again, strict=True):
            outcomes[number] = outcome
    return [
        _as_error(path, error) if error else HashedFile(path, size_bytes, mtime_ns, md5)
        for path, (error, size_bytes, mtime_ns, md5) in zip(paths, outcomes, strict=True)
    ]


def md5s(buffers: Sequence[memoryview]) -> list[str]:
    """The MD5 of the bytes of each buffer, which nobody changes meanwhile."""
    return _hash_buffers(list(buffers))


def multipart_etag(data: memoryview, part_size_bytes: int) -> str:
    """The ETag, without quotes, of these bytes as a multipart upload; see `etag.multipart_etag`."""
    parts = _Parts(part_size_bytes)
    parts.update(data)
    return etag.multipart_etag(parts.digests())


def multipart_etag_of(path: str, part_size_bytes: int) -> HashedParts:
    """The file's ETag if it were uploaded in parts of `part_size_bytes`; see `etag.multipart_etag`.

    Raises `LocalError`, and `ChangingFile` for a file that changed in each of three readings.
    """
    if part_size_bytes < 1:
        raise ValueError(f"a part has at least one byte, not {part_size_bytes}")
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    for _ in range(_ATTEMPTS):
        parts = _Parts(part_size_bytes)
        error, size_bytes, mtime_ns = _read(path, buffer, parts.update)
        if error != CHANGED:
            break
    if error:
        raise _as_error(path, error)
    return HashedParts(path, size_bytes, mtime_ns, etag.multipart_etag(parts.digests()))


class _Parts:
    """The MD5s of a stream's parts."""

    def __init__(self, part_size_bytes: int) -> None:
        self._part_size_bytes = part_size_bytes
        self._room_bytes = part_size_bytes
        self._parts = [hashlib.md5(usedforsecurity=False)]

    def update(self, data: memoryview) -> None:
        while data:
            if not self._room_bytes:
                self._parts.append(hashlib.md5(usedforsecurity=False))
                self._room_bytes = self._part_size_bytes
            piece = data[: self._room_bytes]
            self._parts[-1].update(piece)
            self._room_bytes -= len(piece)
            data = data[len(piece) :]

    def digests(self) -> list[bytes]:
        """One per part; an empty stream is one empty part."""
        return [part.digest() for part in self._parts]


def _hash_with_hashlib(paths: list[str]) -> list[tuple[int, int, int, str]]:
    """The contract of `_md5lanes.hash_files`."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    outcomes = []
    for path in paths:
        digest = hashlib.md5(usedforsecurity=False)
        reading = _read(path, buffer, digest.update)
        outcomes.append((*reading, digest.hexdigest()))
    return outcomes


def _hash_buffers_with_hashlib(buffers: list[memoryview]) -> list[str]:
    return [hashlib.md5(buffer, usedforsecurity=False).hexdigest() for buffer in buffers]


_hash_once: Callable[[list[str]], list[tuple[int, int, int, str]]] = _hash_with_hashlib
_hash_buffers: Callable[[list[memoryview]], list[str]] = _hash_buffers_with_hashlib
with suppress(ImportError):  # it is not there where no C compiler was
    from callsheet import _md5lanes

    _hash_once, _hash_buffers = _md5lanes.hash_files, _md5lanes.hash_buffers


def _read(path: str, buffer: memoryview, update: Callable[[memoryview], None]) -> tuple[int, int, int]:
    """Passes a file's bytes to `update`, once. Returns (error, size_bytes, mtime_ns).

    `error` is 0, an errno, NOT_REGULAR or CHANGED; the rest holds only if it is 0.
    """
    try:
        with system.open_file(path, "rb", buffering=0) as file:
            before = system.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                return NOT_REGULAR, 0, 0
            read_bytes = 0
            # Also ends the reading of a file that grows as fast as it is read.
            while read_bytes <= before.st_size and (got := file.readinto(buffer)):
                update(buffer[:got])
                read_bytes += got
            after = system.fstat(file.fileno())
    except IsADirectoryError:
        return NOT_REGULAR, 0, 0
    except OSError as error:
        return error.errno or errno.EIO, 0, 0
    except ValueError:  # no name of a file: NUL, lone surrogate
        return errno.EINVAL, 0, 0
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and read_bytes == before.st_size
    return 0 if same else CHANGED, before.st_size, before.st_mtime_ns


def _as_error(path: str, error: int) -> LocalError:
    shown = printable(path)
    if error == CHANGED:
        hint = "Wait until it is written, then run again."
        return ChangingFile(f"{shown} changed while it was hashed", hint=hint)
    if error in (NOT_REGULAR, errno.ENXIO):  # ENXIO: a socket
        return LocalError(f"{shown} is not a regular file", hint="Move it away, then run again.")
    return LocalError(
        f"Cannot read {shown}: {os.strerror(error)}", hint=_HINTS.get(error, "Mend that, then run again.")
    )
