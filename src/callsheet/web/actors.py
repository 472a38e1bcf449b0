"""The routes of actors and their training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from callsheet.action import Curation
from callsheet.errors import UnknownImage
from callsheet.layout import printable
from callsheet.model import Actor, Entry, Manifest
from callsheet.status import Glance
from callsheet.web import schema, views
from callsheet.web.answers import ApiError, errors, has_tag, json_response, tagged
from callsheet.web.service import Service
from callsheet.web.views import Sights

router = APIRouter(tags=["actors"])


def the_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(the_service)]


@router.get("/api/actors", response_model=schema.ActorList, responses=errors(422))
def list_actors(
    request: Request,
    service: TheService,
    q: Annotated[str, Query(max_length=255)] = "",
    status: Annotated[list[schema.FilterName], Query()] = [],  # noqa: B006  FastAPI copies it
    sort: schema.SortName = "name",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    per_page: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Actors with their counts: searched, filtered, sorted, a page at a time."""
    index = service.index
    index.refresh()
    found = index.page(q=q, statuses=status, sort=sort, page=page, per_page=per_page)
    totals, indexing = index.totals, index.indexing
    document = {
        "actors": [service.row(row) for row in found.rows],
        "page": page,
        "per_page": per_page,
        "total": found.total,
        "totals": {
            "actors": totals.actors,
            "total": totals.counts.total,
            **asdict(totals.counts),
            "problems": totals.problems,
        },
        "problems": views.problems(index.problems),
        "indexing": indexing and {"done": indexing[0], "total": indexing[1]},
    }
    return tagged(request, orjson.dumps(document))


@router.get("/api/actors/{actor}/training-data", response_model=schema.TrainingData, responses=errors(404, 409))
def training_data(request: Request, service: TheService, actor: str) -> Response:
    """All images of an actor's manifest, and what lies on disk beside them. Answered from the manifest and one look at the folder."""
    return tagged(request, service.training_data(actor))


@router.patch("/api/actors/{actor}/training-data", response_model=schema.Curated, responses=errors(404, 409, 422))
def curate_images(service: TheService, actor: str, body: schema.Curations) -> Response:
    """Set marks and prompts of several images, all at once."""
    changes = {name: Curation(change.good, change.prompt) for name, change in body.images.items()}
    run, images = _curated(service, actor, changes)
    return json_response({"run": run, "images": images})


@router.get("/api/actors/{actor}/training-data/{filename}", response_model=schema.OneImage, responses=errors(404, 409))
def one_image(service: TheService, actor: str, filename: str) -> Response:
    """One image, with its entry as the manifest has it. Its ETag is that entry's, for `If-Match`; the answer also tells of the disk."""
    glance = service.library.glance(actor)
    index, entry = find_image(glance.actor, glance.manifest, filename)
    document = {**_image(service, glance, index, entry), "raw": dict(entry.source)}
    return json_response(document, headers={"ETag": document["etag"], "Cache-Control": "no-store"})


@router.patch(
    "/api/actors/{actor}/training-data/{filename}",
    response_model=schema.CuratedImage,
    responses=errors(404, 409, 412, 422),
)
def curate_image(
    service: TheService,
    actor: str,
    filename: str,
    body: schema.Curation,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Set an image's mark or prompt; with `If-Match`, only if nobody has changed it since."""

    def check(entry: Entry) -> None:
        if if_match is not None and not has_tag(if_match, views.entry_tag(entry)):
            hint = "Read it again, then decide anew."
            raise ApiError(412, "changed", f"{printable(filename)} has changed since it was read", hint=hint)

    run, images = _curated(service, actor, {filename: Curation(body.good, body.prompt)}, check=check)
    return json_response({**images[0], "run": run}, headers={"ETag": images[0]["etag"]})


def _agreed(_: Entry) -> None:
    """The check that lets every image be changed."""


def _curated(
    service: Service, actor: str, changes: Mapping[str, Curation], check: Callable[[Entry], None] = _agreed
) -> tuple[str, list[dict[str, Any]]]:
    """The run's id, and the images as they are then. `UnknownImage` if one is gone already."""
    library = service.library
    done = library.curate(actor, changes, check=check)
    service.index.refresh()
    glance = library.glance(actor)
    places = [find_image(glance.actor, glance.manifest, entry.filename) for entry in done.entries]
    return done.run_id, [_image(service, glance, index, entry) for index, entry in places]


def find_image(actor: Actor, manifest: Manifest, filename: str) -> tuple[int, Entry]:
    """An image's place in its manifest, and its entry. `UnknownImage` if it has none."""
    found = views.find(manifest, filename)
    if found is None:
        hint = "A sync records new images."
        raise UnknownImage(f"{actor.name} has no image {printable(filename)}", hint=hint)
    return found


def _image(service: Service, glance: Glance, index: int, entry: Entry) -> dict[str, Any]:
    size = service.sizes.get(entry.md5_hash or "")
    return views.image(entry, index, glance.actor.name, Sights.of(glance), service.library.where, size)
