"""The stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from callsheet import __version__
from callsheet.web.actors import TheService
from callsheet.web.hub import HELLO

router = APIRouter(tags=["events"])

_AGAIN_MS = 1000


@router.get("/api/events", response_class=EventSourceResponse)
async def events(service: TheService, last_event_id: Annotated[str, Header()] = "") -> AsyncIterator[ServerSentEvent]:
    """What changes from now on, or since the event that `Last-Event-ID` names: `hello`, `actor`, `job`, `problem`, `reset`."""
    async for event in service.hub.follow(last_event_id):
        hello = event.kind == HELLO
        data = {"version": __version__, "watching": service.watching} if hello else dict(event.data)
        yield ServerSentEvent(event=event.kind, data=data, id=event.id or None, retry=_AGAIN_MS if hello else None)
