"""The documents of actors, kept while what they tell of is as it was: on disk, in the manifest, and what is known of the pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

import orjson

from callsheet.layout import Layout
from callsheet.status import Glance
from callsheet.web import views
from callsheet.web.views import Size

_KEPT_BYTES = 64 << 20


class Documents:
    """As JSON. The latest that were asked for are kept, `_KEPT_BYTES` of them. Safe to use from many threads."""

    def __init__(self, where: Layout, sizes: Mapping[str, Size]) -> None:
        self._where = where
        self._sizes = sizes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[object, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def of(self, glance: Glance, base: tuple[str, str] | None) -> bytes:
        """The seed's document; `base` as in `views.training_data`."""
        sizes = [self._sizes.get(entry.md5_hash or "") for entry in glance.manifest.entries]
        basis = glance.actor, glance.stamp, glance.scan, base, sizes
        with self._lock:
            kept = self._kept.get(glance.actor.name)
            if kept is not None:
                self._kept.move_to_end(glance.actor.name)
        if kept is not None and kept[0] == basis and glance.stamp is not None:
            return kept[1]
        document = orjson.dumps(views.training_data(glance, self._where, base, sizes))
        self._keep(glance.actor.name, basis, document)
        return document

    def _keep(self, name: str, basis: object, document: bytes) -> None:
        with self._lock:
            self._forget(name)
            self._kept[name] = basis, document
            self._kept_bytes += len(document)
            while self._kept_bytes > _KEPT_BYTES:
                self._forget(next(iter(self._kept)))

    def _forget(self, name: str) -> None:
        _, document = self._kept.pop(name, (None, b""))
        self._kept_bytes -= len(document)
