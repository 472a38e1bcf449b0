"""The routes that tell how the server itself is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from callsheet import __version__
from callsheet.web import schema
from callsheet.web.actors import TheService
from callsheet.web.answers import json_response
from callsheet.web.metrics import CONTENT_TYPE

router = APIRouter(tags=["server"])


@router.get("/healthz", response_model=schema.Health)
def healthz(service: TheService) -> Response:
    """Whether the server works, and what the one who runs it should know. Needs no token."""
    return json_response({"status": "ok", "version": __version__, "watching": service.watching, "notes": service.notes})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: TheService) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.as_text(), media_type=CONTENT_TYPE)
