"""The stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from callsheet import __version__
from callsheet.web.actors import TheService

router = APIRouter(tags=["events"])


@router.get("/api/events", response_class=EventSourceResponse)
async def events(service: TheService, last_event_id: Annotated[str, Header()] = "") -> AsyncIterator[ServerSentEvent]:
    """What changes from now on, or since the event that `Last-Event-ID` names: `hello`, `actor`, `job`, `problem`, `reset`."""
    yield ServerSentEvent(event="hello", data={"version": __version__, "watching": service.watching}, retry=1000)
    async for event in service.hub.follow(last_event_id):
        yield ServerSentEvent(event=event.kind, data=dict(event.data), id=event.id or None)
