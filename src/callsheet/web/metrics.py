"""Figures for Prometheus, in a registry of our own. No label takes a value that a request can make up."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callsheet.action import Outcome
from callsheet.web.hub import Hub
from callsheet.web.index import Index
from callsheet.web.jobs import Jobs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"))
_ENDLESS = "/api/events"
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """What was counted since the server started, and what is so now."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "callsheet_request_seconds",
            "How long requests took, by the route's template; streams of events are left out.",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=_BUCKETS_S,
        )
        self._items = Counter(
            "callsheet_items",
            "Images that jobs were to change on a side, and what came of it: done or failed.",
            ("op", "outcome"),
            registry=self._registry,
        )
        self._bytes = Counter(
            "callsheet_transferred_bytes", "What jobs moved over the network.", ("op",), registry=self._registry
        )

    def watch(self, index: Index, jobs: Jobs, hub: Hub) -> None:
        """Tell also what these hold at the moment of each question."""
        self._registry.register(_Now(index, jobs, hub))

    def count_outcome(self, outcome: Outcome) -> None:
        op = outcome.action.op.value
        self._items.labels(op, "failed" if outcome.problem else "done").inc()
        if outcome.problem is None:
            self._bytes.labels(op).inc(outcome.action.transferred_bytes)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).observe(seconds)

    def as_text(self) -> bytes:
        """The text format that Prometheus reads."""
        return generate_latest(self._registry)


class Timed:
    """The application, each request of which is timed."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started_s = 500, time.monotonic()

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            if route != _ENDLESS:
                self._metrics.observe_request(scope["method"], route, status, time.monotonic() - started_s)


class _Now(Collector):
    """What is so at the moment of the question."""

    def __init__(self, index: Index, jobs: Jobs, hub: Hub) -> None:
        self._index = index
        self._jobs = jobs
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        totals = self._index.totals
        yield GaugeMetricFamily("callsheet_actors", "Actors of the tree.", totals.actors)
        yield GaugeMetricFamily("callsheet_problems", "Problems that the manifests tell of.", totals.problems)
        images = GaugeMetricFamily("callsheet_images", "Recorded images by status.", labels=("status",))
        for status in ("synced", "local_only", "s3_only", "out_of_sync", "missing"):
            images.add_metric((status,), getattr(totals.counts, status))
        yield images
        jobs = GaugeMetricFamily("callsheet_jobs", "Jobs that are kept, by verb and state.", labels=("verb", "state"))
        for (verb, state), number in Tally((job.wanted.verb, job.state) for job in self._jobs.all()).items():
            jobs.add_metric((verb, state), number)
        yield jobs
        yield GaugeMetricFamily("callsheet_listeners", "Who follows the events.", self._hub.listeners)
