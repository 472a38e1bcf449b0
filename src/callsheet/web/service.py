"""What one server keeps for its tree between requests: made once, started and ended with it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from anyio import CapacityLimiter

from callsheet import local
from callsheet.layout import printable
from callsheet.library import Library
from callsheet.model import Actor, Problem
from callsheet.report import Report
from callsheet.run import Stop, never
from callsheet.web import views
from callsheet.web.documents import Documents
from callsheet.web.hub import Hub
from callsheet.web.index import Index
from callsheet.web.jobs import Jobs
from callsheet.web.jobschema import job_as_dict
from callsheet.web.jobstore import Job
from callsheet.web.metrics import Metrics
from callsheet.web.options import ServeOptions
from callsheet.web.poll import Poller
from callsheet.web.thumbnails import Thumbnails, key_of
from callsheet.web.views import Row, Size
from callsheet.web.watch import Watcher

_CLOSING_S = 10.0

_log = logging.getLogger(__name__)

_FAR_AT_A_TIME = 16
"""Threads that read S3 for requests: none of those by which all else is answered, however slow S3 is."""


class Service:
    """The library of one tree, and what a server has beside it."""

    def __init__(self, library: Library, options: ServeOptions = ServeOptions()) -> None:  # noqa: B008  it is frozen
        self.library = library
        self.options = options
        self.hub = Hub()
        self.index = Index(library, self._tell_row, self._tell_gone)
        self.sizes: dict[str, Size] = {}
        self.thumbnails = Thumbnails(library.root, library.where, self.sizes)
        self._documents = Documents(library.where, self.sizes)
        self.far = CapacityLimiter(_FAR_AT_A_TIME)
        self.metrics = Metrics()
        self.jobs = Jobs(library, self._tell_job, self.metrics.count_outcome)
        self.metrics.watch(self.index, self.jobs, self.hub)
        self.poller = Poller(self.jobs, options.poll_minutes) if options.poll_minutes else None
        self.watcher = Watcher(library, self.jobs.turns, Messenger(self))

    def start(self) -> None:
        self.jobs.start()
        self.index.start()
        if self.options.watch:
            self.watcher.start()
        if self.poller:
            self.poller.start()

    def close(self, hurry: Stop = never) -> bool:
        """End all. What is under way is waited for, for ten seconds, or until `hurry` says yes.

        Whether all has ended. What has not goes on until the process ends, and the tree stays claimed by it until then.
        """
        give_up_s = time.monotonic() + _CLOSING_S

        def give_up() -> bool:
            return hurry() or time.monotonic() >= give_up_s

        self.watcher.stop()
        self.jobs.stop()
        if self.poller:
            self.poller.close()
        has_ended = self.watcher.close(give_up)
        has_ended &= self.jobs.close(give_up)
        self.hub.close()
        self.index.close()
        self.thumbnails.close()
        return has_ended

    @property
    def watching(self) -> bool:
        """Whether changes on disk are noticed by themselves."""
        return self.watcher.watching

    @property
    def notes(self) -> list[str]:
        """What the one who runs this server should know, each with what to do."""
        return [*self.jobs.notes, *self.watcher.notes]

    def training_data(self, actor: str) -> bytes:
        """The seed's document of an actor, as JSON."""
        glance = self.library.glance(actor)
        return self._documents.of(glance, self.base_image(glance.actor))

    def row(self, row: Row) -> dict[str, Any]:
        """A row of the list, with the version of its base image."""
        base = self.base_image(row.actor)
        return views.row(row, base and base[1])

    def base_image(self, actor: Actor) -> tuple[str, str] | None:
        """The relative path of the actor's base image, and its version; None if there is none."""
        path = self.library.base_image(actor)
        if path is None:
            return None
        stamp = local.stamp(os.path.join(self.library.root, path))
        return stamp and (path, key_of(path, stamp.size_bytes, stamp.mtime_ns))

    def _tell_job(self, job: Job) -> None:
        self.hub.publish("job", job_as_dict(job))

    def tell_actors(self, names: Iterable[str]) -> None:
        """Tell that something of actors has changed, in their manifests or not."""
        self.index.refresh()
        for name in names:
            if row := self.index.row(name):
                self._tell_row(row)

    def _tell_row(self, row: Row) -> None:
        self.hub.publish("actor", self.row(row))

    def _tell_gone(self, name: str) -> None:
        self.hub.publish("actor", {"actor_name": name, "gone": True})


class Messenger:
    """Tells the listeners of a service what its watcher sees."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def touched(self, names: Iterable[str]) -> None:
        self._service.tell_actors(names)

    def synced(self, report: Report) -> None:
        self._service.tell_actors(row.actor.name for row in report.actors)

    def manifests_changed(self, *, in_place: bool) -> None:
        self._service.index.refresh(fully=in_place)

    def told(self, problem: Problem) -> None:
        _log.warning("%s: %s", problem.actor or "watching", printable(problem.message))
        self._service.hub.publish("problem", asdict(problem))
