"""A client of the simulated store, as a process of a machine sees it: every request may fail, before or after it has had its effect."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from callsheet.layout import s3_url
from callsheet.model import Location, RemoteObject
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from callsheet.remote.names import within
from simulator.cloud import Cloud
from simulator.engine import Engine, broken

_T = TypeVar("_T")
_BLOCK_BYTES = 16


class Client:
    """The `Remote` of the processes of an engine."""

    def __init__(self, engine: Engine, cloud: Cloud) -> None:
        self._engine = engine
        self._cloud = cloud

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        pages = self._cloud.pages(bucket, prefix)
        while True:
            self._engine.call("list", f"{bucket}/{prefix}", side="store")
            page = next(pages, None)
            if page is None:
                return
            yield from (one for one in page if within(one.location.key, after, before))
            if len(page) < self._cloud.page:
                return

    def head(self, location: Location) -> RemoteObject:
        self._engine.call("head", str(location), side="store")
        return self._cloud.get(location).described

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        self._engine.call("get", str(location), side="store")
        found = self._cloud.read(location, if_match)

        def blocks() -> Generator[bytes]:
            for start in range(0, len(found.body), _BLOCK_BYTES):
                self._engine.call("receive", str(location), side="store")
                yield found.body[start : start + _BLOCK_BYTES]

        return Reading(found.described, blocks())

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        if isinstance(body, Source):
            with body.open() as file:
                body = file.read(body.size_bytes)
        sent = body

        def effect() -> str:
            tag, gone = self._cloud.put(location, sent, md5, replaces)
            self._replaced(location, gone)
            return tag

        return self._asked("put", location, effect)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        def effect() -> str:
            tag, gone = self._cloud.copy(source, target, if_match, replaces)
            self._replaced(target, gone)
            return tag

        return self._asked("copy", target, effect)

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        def effect() -> None:
            self._replaced(location, self._cloud.delete(location, if_match))

        self._asked("delete", location, effect)

    def notes(self) -> tuple[str, ...]:
        return ()

    def url(self, location: Location) -> str:
        return s3_url(location, "us-west-1")

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        return None

    def origin(self, bucket: str) -> str | None:
        return None

    def _replaced(self, location: Location, gone: Sequence[bytes]) -> None:
        watch, process = self._engine.watch, self._engine.current
        for body in gone:
            watch.lost_object(process, str(location), body)
        watch.touched(process, location)

    def _asked(self, deed: str, location: Location, effect: Callable[[], _T]) -> _T:
        process = self._engine.current
        strike = process.strike if process else None
        fresh = process is not None and not process.struck
        self._cloud.moment_ns = self._engine.now_ns
        after = self._engine.call(deed, str(location), side="store")
        if fresh and process is not None and process.struck and strike is not None and strike.kind in ("late", "twice"):
            self._engine.postpone(effect)
            if strike.kind == "late":
                raise broken("store", str(location))
        done = effect()
        if after is not None:
            after()
        return done
