"""The application: routes, errors, compression and guards put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette_compress import CompressMiddleware, remove_compress_type

from callsheet import __version__
from callsheet.web import actors, answers, events, health, images, pages, work
from callsheet.web.metrics import Timed
from callsheet.web.service import Service

_COMPRESSED_FROM_BYTES = 1000


def create_app(service: Service) -> FastAPI:
    """The ASGI application of one tree. The service starts and ends with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="callsheet",
        version=__version__,
        summary="Where every image of a training-data set is: on this disk, in S3, in both, or in both but different.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    for room in (actors, images, events, work, health, pages):
        app.include_router(room.router)
    app.include_router(images.files_router, prefix=f"/{service.library.where.actors_dir}")
    answers.install(app)
    pages.install(app)
    remove_compress_type("image/bmp")  # ranges and ETags are of its own bytes
    app.add_middleware(Timed, metrics=service.metrics)
    app.add_middleware(CompressMiddleware, minimum_size=_COMPRESSED_FROM_BYTES)
    return app
