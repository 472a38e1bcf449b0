"""Manifests on disk: load, change under a lock, save; and what must be remembered beside them.

Rules of this module: one permanent lock file per manifest, held for read, change and write, never across network
I/O. A manifest that cannot be read is never taken for an empty one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from callsheet import codec, files, folders, local, locks, system
from callsheet.errors import LocalError, ManifestError, TreeError
from callsheet.layout import Layout, manifest_stem
from callsheet.model import Actor, Manifest

_LOCK_TIMEOUT_S = 60.0
_DECODED = 16
"""How many manifests are kept decoded."""

_DIGEST_BYTES = 16
_STAMP = re.compile(rb"([0-9a-f]{32}) ([0-9]{1,20})\n")

Ready = tuple[Manifest, dict[str, Any]]
"""A manifest, and what `codec.learnt` makes of it."""


class Store:
    """The manifests of one tree. Safe to use from many threads and processes on one host."""

    def __init__(self, root: str, where: Layout, *, flushes: bool = False) -> None:
        """With `flushes`, each update is durable at once, without `flush`: nobody else can do that for a process on another host."""
        self._flushes = flushes
        self._root = root
        self._where = where
        self._decoded = lru_cache(_DECODED)(codec.decode)
        self._stems = lru_cache(1)(_stems)

    def path(self, stem: str) -> str:
        return os.path.join(self._root, self._where.manifest(stem))

    @property
    def folder(self) -> str:
        return os.path.join(self._root, self._where.manifests_dir)

    def stems(self) -> frozenset[str]:
        """What comes before `_manifest.json` in the names of all manifests. Other JSON files are not manifests.

        `TreeError` if the folder cannot be read.
        """
        try:
            names = system.listdir(self.folder)
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            hint = "Make it a readable folder, then run again."
            message = f"The manifests folder {self.folder} cannot be read: {error.strerror}"
            raise TreeError(message, hint=hint) from error
        return self._stems(tuple(names))

    def load(self, stem: str) -> Manifest | None:
        """The manifest, None if there is none. `ManifestError` or `LocalError` if there is one that cannot be used."""
        raw = self.raw(stem)
        return None if raw is None else self.decode(stem, raw)

    def raw(self, stem: str) -> bytes | None:
        """The manifest's bytes, None if there is none. `LocalError` if they cannot be read."""
        return local.read_bytes(self.path(stem))

    def decode(self, stem: str, raw: bytes) -> Manifest:
        """The manifest in its bytes. `ManifestError` if it cannot be used."""
        return codec.decode(raw, self._where.manifest(stem))

    def load_stamped(self, stem: str) -> tuple[Manifest | None, local.Stamp | None]:
        """As `load`, with the stamp of the file that was read: while that is the same, so is the manifest.

        For readers that come again: the bytes are read each time, and decoded only if they are not those of one of the last few.
        """
        found = local.read_stamped(self.path(stem))
        return (None, None) if found is None else (self._decoded(found[0], self._where.manifest(stem)), found[1])

    def update(
        self,
        actor: Actor,
        change: Callable[[Manifest], Manifest],
        now: datetime,
        *,
        before: Manifest | None = None,
        ready: Ready | None = None,
        before_save: Callable[[], None] = lambda: None,
    ) -> tuple[Manifest, bool]:
        """Apply `change` to the manifest as it is on disk at this moment, and save it if that changed anything.

        Returns the manifest and whether it was written; it is whole at any instant, and survives a crash from `flush` on.
        `change` gets an empty manifest if there is none; it may run long after the caller last looked, and must do no I/O.
        It gets `before`, if that is what is there. `ready` is a manifest that it may come to, with its document. `before_save` is called, still under the lock, when all that
        is left to do is to write; if it raises, nothing is written.
        """
        with locks.locked(os.path.join(self._root, self._where.lock(actor.stem)), _LOCK_TIMEOUT_S):
            changed = change(self._loaded(actor.stem, before) or Manifest(None))
            document = ready[1] if ready and ready[0] is changed else codec.learnt(changed, actor, now)
            if document is None:
                return changed, False
            data = codec.dump_json(document)
            saved = codec.decode(data, self._where.manifest(actor.stem))
            if saved.source != document:
                raise ManifestError(f"{self._where.manifest(actor.stem)} would not read back as it was written")
            before_save()
            files.write_atomically(self.path(actor.stem), data, flush_folder=self._flushes)
            return saved, True

    def _loaded(self, stem: str, before: Manifest | None) -> Manifest | None:
        """As `load`; `before` itself if that is what is there: to parse a manifest costs a fraction of making sense of it."""
        raw = local.read_bytes(self.path(stem))
        if raw is None:
            return None
        name = self._where.manifest(stem)
        same = before is not None and codec.parse_json(raw, name, hint=codec.MEND) == before.source
        return before if same else codec.decode(raw, name)

    def flush(self) -> None:
        """Make every update so far durable: what a crash may still take back until then is a rename."""
        for error in folders.flush([self.folder]).values():
            raise error

    def settled_ns(self, stem: str) -> int:
        """A time (ns since the epoch) after which all hashes were taken or confirmed that were recorded then; 0: never.

        Another manifest may be there by now; whether it records the same hashes is for `settled_for`.
        """
        return _stamp(self.settled(stem))[1]

    def settled(self, stem: str) -> bytes:
        """What `settled_ns` and `settled_for` are told by, as it is on disk; empty if there is nothing."""
        try:
            return local.read_bytes(os.path.join(self._root, self._where.hashed_stamp(stem))) or b""
        except LocalError:
            return b""

    def noted(self) -> frozenset[str]:
        """The stems of which `set_settled` was ever called: of others, `settled_ns` is 0."""
        with suppress(LocalError):
            return frozenset(local.names_in(os.path.join(self._root, self._where.hashed_dir)))
        return frozenset()

    @staticmethod
    def settled_for(settled: bytes, manifest: Manifest) -> int:
        """A time (ns since the epoch) after which every hash was taken or confirmed that this manifest records of files; 0: never. `settled`
        is what `settled` told of its actor."""
        digest, moment_ns = _stamp(settled)
        return moment_ns if digest and digest == _digest_of_hashes(manifest) else 0

    def set_settled(self, stem: str, manifest: Manifest, moment_ns: int) -> None:
        """Remember that every hash that the manifest records of files was taken or confirmed after `moment_ns`.

        After a crash an older manifest may be back, and this not, or the other way round: so it is said of which hashes it holds.
        """
        with suppress(LocalError):  # then the hashes are taken again
            path = os.path.join(self._root, self._where.hashed_stamp(stem))
            files.jot(path, f"{_digest_of_hashes(manifest)} {moment_ns}\n".encode())

    def sweep(self, now: datetime) -> None:
        """Remove what killed writers left behind."""
        files.sweep_temporaries(self.folder, now)


def _stamp(settled: bytes) -> tuple[str, int]:
    """The digest of hashes, and since when they are settled; 0 if that is not known, or was cut short."""
    found = _STAMP.fullmatch(settled)
    return (found[1].decode(), int(found[2])) if found else ("", 0)


def _digest_of_hashes(manifest: Manifest) -> str:
    """Of what is recorded of files: names, sizes, times and MD5s."""
    entries = (entry for entry in manifest.entries if entry.recorded_local)
    rows = sorted((e.filename, e.size_bytes, e.modified_timestamp, e.md5_hash) for e in entries)
    return blake2b(orjson.dumps(rows), digest_size=_DIGEST_BYTES).hexdigest()


def _stems(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset([stem for name in names if (stem := manifest_stem(name)) is not None])
