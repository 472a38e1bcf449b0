"""The routes that tell how the server itself is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from callsheet import __version__
from callsheet.web import schema
from callsheet.web.actors import TheService
from callsheet.web.answers import json_response
from callsheet.web.metrics import CONTENT_TYPE
from callsheet.web.security import KNOWN

router = APIRouter(tags=["server"])


@router.get("/healthz", response_model=schema.Health)
def healthz(request: Request, service: TheService) -> Response:
    """Whether the server works. Needs no token; with it, also what the one who runs the server should know."""
    health = {"status": "ok", "version": __version__, "watching": service.watching}
    if getattr(request.state, KNOWN, False):
        health["notes"] = service.notes
    return json_response(health)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: TheService) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.as_text(), media_type=CONTENT_TYPE)
