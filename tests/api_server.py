"""A running server for tests: the real one, on a free loopback port, in a thread of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3

from callsheet.library import Library
from callsheet.web.options import ServeOptions
from callsheet.web.serve import listen, make_server
from callsheet.web.service import Service

_CALM_S = 20.0


@dataclass(frozen=True)
class Api:
    """A server that runs. `url` is what it told to open; `base` is the same without path and token, `http://127.0.0.1:PORT`."""

    url: str
    service: Service
    http: urllib3.PoolManager

    @property
    def base(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """Redirects are not followed. Header names are given with underscores: `if_none_match`."""
        return self.send("GET", path, headers=_named(headers))

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == 200, (answer.status, answer.data)
        return orjson.loads(answer.data)

    def send(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] = {}
    ) -> urllib3.BaseHTTPResponse:
        """`body` is sent as JSON, unless it is bytes."""
        data, kind = body, {}
        if body is not None and not isinstance(body, bytes):
            data, kind = orjson.dumps(body), {"Content-Type": "application/json"}
        return self.http.request(
            method, self.base + path, body=data, headers={**kind, **headers}, redirect=False, retries=False
        )


@contextmanager
def running(library: Library, **options: Any) -> Iterator[Api]:
    """Serve a tree; `options` are those of `ServeOptions`."""
    told = ServeOptions(**{"port": 0, **options})
    urls: list[str] = []
    ready = threading.Event()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    with listen(told.host, told.port) as listener, urllib3.PoolManager(timeout=_CALM_S, maxsize=16) as http:
        server = make_server(library, told, listener, on_ready)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(_CALM_S), "the server did not start"
            deadline = time.monotonic() + _CALM_S
            while server.service.index.indexing is not None:  # until then it lists only whom it has read
                assert time.monotonic() < deadline, "the server did not read the manifests"
                time.sleep(0.005)
            yield Api(urls[0], server.service, http)
        finally:
            server.should_exit = True
            thread.join(_CALM_S)
            assert not thread.is_alive(), "the server did not end"


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
