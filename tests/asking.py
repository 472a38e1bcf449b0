"""Asking a running server for jobs, and hearing what it tells."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import urllib3

from api_server import Api

CALM_S = 20.0

Document = dict[str, Any]


def ask(api: Api, *, status: int = 202, headers: Mapping[str, str] = {}, **wanted: Any) -> Document:
    """Post a job; the answer's body."""
    answer = api.send("POST", "/api/jobs", body=wanted, headers=headers)
    assert answer.status == status, (answer.status, answer.data)
    return _read(answer)


def sent(api: Api, method: str, path: str, status: int) -> Document:
    answer = api.send(method, path)
    assert answer.status == status, (answer.status, answer.data)
    return _read(answer)


def job(api: Api, job_id: str) -> Document:
    found = api.json(f"/api/jobs/{job_id}")
    assert isinstance(found, dict)
    return found


def ended(api: Api, asked: Document) -> Document:
    """The job as it is when it is over."""
    wait_until(lambda: job(api, asked["id"])["state"] not in ("queued", "running"))
    return job(api, asked["id"])


def done(api: Api, **wanted: Any) -> Document:
    """Ask for a job, and wait until it is done."""
    found = ended(api, ask(api, **wanted))
    assert found["state"] == "done", found
    return found


def wait_until(happened: Callable[[], object], within_s: float = CALM_S) -> float:
    """How long it took (seconds)."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < within_s, "what was waited for did not happen"
        time.sleep(0.01)
    return time.monotonic() - started


class Listener:
    """What a server tells those who follow its events, in order."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._heard: queue.SimpleQueue[tuple[str, Document]] = queue.SimpleQueue()
        self._response = response
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def next(self, kind: str, within_s: float = CALM_S) -> Document:
        """The next event of that kind; those of other kinds before it are passed over."""
        deadline = time.monotonic() + within_s
        while True:
            heard, data = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            if heard == kind:
                return data

    def all(self) -> list[tuple[str, Document]]:
        """All that was heard since it was last asked for."""
        found = []
        while not self._heard.empty():
            found.append(self._heard.get())
        return found

    def end(self) -> None:
        self._response.shutdown()
        self._thread.join(CALM_S)
        self._response.close()

    def _listen(self) -> None:
        kind, data, rest = "", b"", b""
        try:
            for block in self._response.stream(1, decode_content=True):
                rest += block
                while b"\n" in rest:
                    line, rest = rest.split(b"\n", 1)
                    line = line.rstrip(b"\r")
                    if line.startswith(b"event: "):
                        kind = line[7:].decode()
                    elif line.startswith(b"data: "):
                        data += line[6:]
                    elif not line and data:
                        self._heard.put((kind, orjson.loads(data)))
                        data = b""
        except (urllib3.exceptions.HTTPError, OSError):
            return


@contextmanager
def listening(api: Api) -> Iterator[Listener]:
    """Follow the events; the block begins when they are told."""
    with urllib3.PoolManager() as http:
        headers = {"Accept-Encoding": "identity"}
        response = http.request("GET", f"{api.base}/api/events", preload_content=False, headers=headers, timeout=CALM_S)
        listener = Listener(response)
        try:
            listener.next("hello")
            yield listener
        finally:
            listener.end()


def _read(answer: urllib3.BaseHTTPResponse) -> Document:
    found = orjson.loads(answer.data)
    assert isinstance(found, dict)
    return found
