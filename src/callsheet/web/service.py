"""What one server keeps for its tree between requests: made once, started and ended with it."""

from __future__ import annotations

import os
from typing import Any

import orjson

from callsheet.library import Library
from callsheet.model import Actor
from callsheet.web import views
from callsheet.web.hub import Hub
from callsheet.web.index import Index
from callsheet.web.options import ServeOptions
from callsheet.web.thumbnails import Thumbnails
from callsheet.web.views import Row, Size


class Service:
    """The library of one tree, and what a server has beside it."""

    def __init__(self, library: Library, options: ServeOptions = ServeOptions()) -> None:  # noqa: B008  it is frozen
        self.library = library
        self.options = options
        self.hub = Hub()
        self.index = Index(library, self._tell_row, self._tell_gone)
        self.sizes: dict[str, Size] = {}
        self.thumbnails = Thumbnails(library.root, library.where, self.sizes)

    def start(self) -> None:
        self.index.start()

    def close(self) -> None:
        self.hub.close()
        self.index.close()
        self.thumbnails.close()

    @property
    def watching(self) -> bool:
        """Whether changes on disk are noticed by themselves."""
        return False

    def training_data(self, actor: str) -> bytes:
        """The seed's document of an actor, as JSON."""
        glance = self.library.glance(actor)
        document = views.training_data(glance, self.library.where, self.base_image(glance.actor), self.sizes)
        return orjson.dumps(document)

    def row(self, row: Row) -> dict[str, Any]:
        """A row of the list, with the version of its base image."""
        base = self.base_image(row.actor)
        return views.row(row, base and base[1])

    def base_image(self, actor: Actor) -> tuple[str, str] | None:
        """The relative path of the actor's base image, and its version; None if there is none."""
        path = self.library.base_image(actor.name)
        if path is None:
            return None
        try:
            return path, f"{os.stat(os.path.join(self.library.root, path)).st_mtime_ns:x}"
        except OSError:
            return None

    def _tell_row(self, row: Row) -> None:
        self.hub.publish("actor", self.row(row))

    def _tell_gone(self, name: str) -> None:
        self.hub.publish("actor", {"actor_name": name, "gone": True})
