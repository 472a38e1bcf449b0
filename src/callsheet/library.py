"""The facade: everything that a shell (or your own program) can ask of a tree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from callsheet import layout, survey
from callsheet.errors import Collision, UnknownActor, UnknownImage, UsageError
from callsheet.layout import Layout
from callsheet.model import Actor, Entry, Manifest
from callsheet.remote import Remote
from callsheet.remote.breaker import Breaker
from callsheet.report import Progress, Report
from callsheet.run import Run, SyncOptions, new_run_id
from callsheet.status import run_status
from callsheet.store import Store
from callsheet.sync import OnProgress, run_sync


def _silent(_: Progress) -> None:
    pass


class Library:
    """One tree and its S3 side. Made by `callsheet.open_library`; safe to use from many threads."""

    def __init__(self, root: str, where: Layout, remote: Remote, *, workers: int) -> None:
        self.root = root
        self.where = where
        self.remote = remote
        self._workers = workers
        self._store = Store(root, where)

    def sync(
        self,
        actors: Sequence[str] = (),
        *,
        offline: bool = False,
        verify: bool = False,
        download: bool = True,
        dry_run: bool = False,
        accept_loss: bool = False,
        executor: Executor | None = None,
        on_progress: OnProgress = _silent,
    ) -> Report:
        """Look at both sides of all actors (or of those named: `0`, `0000` or the folder's name) and bring their manifests up to date.

        `offline` does not look at S3; `verify` hashes every file again; without `download`, an object whose content nothing else
        tells keeps its recorded status; `dry_run` writes nothing; `accept_loss` records even mass disappearance.
        Jobs run on `executor`, or on threads of our own. Single failures are in the report's problems; raised are
        `TreeError`, `UnknownActor`, `Collision` (for a named actor) and `LossRefused`.
        """
        options = SyncOptions(offline, verify, download, dry_run, accept_loss)
        now = datetime.now(UTC)
        remote = None if options.offline else Breaker(self.remote)
        run = Run(new_run_id(now), self.root, self.where, self._store, remote, self.remote.url, options, now)
        with self._pool(executor) as pool:
            return run_sync(run, tuple(actors), pool, on_progress)

    def status(self, actors: Sequence[str] = ()) -> Report:
        """What the manifests say and what has changed on disk since: no network, no hashing, nothing written."""
        return run_status(self.root, self.where, self._store, tuple(actors))

    def manifest(self, actor: str) -> Manifest:
        """One actor's manifest, empty if it has none yet."""
        found = self._actor(actor)
        manifest = self._store.load(found.stem)
        survey.claim(manifest, found)
        return manifest or Manifest(None)

    def mark(
        self, actor: str, *filenames: str, good: bool | None = None, prompt: str | None = None, dry_run: bool = False
    ) -> tuple[Entry, ...]:
        """Set the mark or prompt of an actor's images, all at once; None leaves it as it is. Returns the images as they are then.

        `UnknownImage`, with nothing written, if the manifest records one of them not.
        """
        found = self._actor(actor)

        def change(manifest: Manifest) -> Manifest:
            survey.claim(manifest, found)
            unknown = set(filenames) - {entry.filename for entry in manifest.entries}
            if unknown:
                shown = ", ".join(sorted(map(layout.printable, unknown)))
                raise UnknownImage(f"{found.name} has no image {shown}", hint="A sync records new images.")
            return replace(manifest, entries=tuple(map(marked, manifest.entries)))

        def marked(entry: Entry) -> Entry:
            if entry.filename not in filenames:
                return entry
            new_good = entry.good if good is None else good
            return replace(entry, good=new_good, prompt=entry.prompt if prompt is None else prompt)

        if dry_run:
            manifest = change(self._store.load(found.stem) or Manifest(None))
        else:
            manifest, _ = self._store.update(found, change, datetime.now(UTC))
            self._store.flush()
        return tuple(entry for entry in manifest.entries if entry.filename in filenames)

    def adopt(self, folder: str, *, own: bool = False, dry_run: bool = False) -> Actor:
        """Settle a collision: make the manifest of the folder's id name this folder (a renamed actor), or, with `own`,
        give the folder a manifest of its own, `{folder}_manifest.json` (two actors, one number).

        `Collision` if the manifest belongs to another folder that is there.
        """
        name = folder.rstrip("/").rpartition("/")[2]
        if fault := layout.name_fault(name):
            raise UsageError(f"{layout.printable(name)!r} {fault}", hint="Name the actor's folder.")
        actor = layout.own_actor(name) if own else layout.shared_actor(name)

        def change(manifest: Manifest) -> Manifest:
            owner = manifest.names
            if owner not in (None, name) and (own or self._is_folder(owner or "")):
                hint = f"These are two actors: callsheet adopt --own {name}"
                there = ", which is there" if self._is_folder(owner or "") else ""
                raise Collision(f"The manifest belongs to the folder {owner}{there}", hint=hint)
            return replace(manifest, names=name)

        change(self._store.load(actor.stem) or Manifest(None))
        if not self._is_folder(name) and not self._is_in_s3(name):
            hint = f"Name a folder below {self.where.actors_dir}, in full."
            raise UnknownActor(f"There is no folder {self.where.folder(name)}, and none in S3", hint=hint)
        if not dry_run:
            self._store.update(actor, change, datetime.now(UTC))
            self._store.flush()
        return actor

    def _is_folder(self, name: str) -> bool:
        """Also a link to a disk that is not mounted."""
        return os.path.lexists(os.path.join(self.root, self.where.folder(name)))

    def _is_in_s3(self, name: str) -> bool:
        """Whether there is anything in the actor's folder in S3; asked only of a name that could be an actor's."""
        if not layout.has_actor_form(name):
            return False
        return next(iter(self.remote.list(self.where.bucket, self.where.key_prefix(name))), None) is not None

    def _actor(self, wanted: str) -> Actor:
        found = survey.survey(self.root, self.where, self._store).matching((wanted,))
        if not found.actors:
            told = found.problems[0]
            raise Collision(f"{told.actor}: {told.message}")
        return found.actors[0]

    @contextmanager
    def _pool(self, executor: Executor | None) -> Iterator[Executor]:
        if executor is not None:
            yield executor
            return
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="callsheet")
        try:
            yield pool
        except KeyboardInterrupt:  # does not wait for a slow network
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
