"""The routes of the images themselves: whole, and small.

Rules of this module: what an image is said to be follows from its name, never from its bytes; a name is found in a manifest, or can lead nowhere
else, before anything is opened by it; what is sent can do nothing in a browser but be looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Mapping
from typing import Annotated, BinaryIO, Literal
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from callsheet import layout, local, reconcile
from callsheet.model import Actor, Entry
from callsheet.remote.contract import Reading
from callsheet.web.actors import TheService, find_image
from callsheet.web.answers import ApiError, errors, unchanged
from callsheet.web.service import Service
from callsheet.web.thumbnails import Picture, Width, key_of, no_image

router = APIRouter(tags=["images"])
files_router = APIRouter(tags=["images"])
"""The files of actors' folders, as paths in the API name them; below the actors' folder."""

Side = Annotated[Literal["local", "s3"] | None, Query()]
Version = Annotated[str, Query(max_length=255)]

_FOLDERS = ("training_data", "base_image", "poster_frame")
_HARMLESS = {"Content-Security-Policy": "sandbox; default-src 'none'"}
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_URL_LASTS_S = 900
_URL_KEPT_S = 600
_MAX_FETCHED_BYTES = 256 << 20


@router.head("/api/actors/{actor}/training-data/{filename}/content", include_in_schema=False)
@router.get(
    "/api/actors/{actor}/training-data/{filename}/content",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}},
        307: {"description": "It is only in S3."},
        **errors(404, 409, 415, 502),
    },
)
def content(
    request: Request,
    service: TheService,
    actor: str,
    filename: str,
    side: Side = None,
    direct: bool = True,
    v: Version = "",
) -> Response:
    """The image: the file on this disk, else the object in S3 by a redirect, or, if not `direct`, through this server."""
    owner, entry = _find(service, actor, filename)
    if side != "s3":
        file = _open(service, owner.name, service.library.where.image(owner.name, filename))
        if file is not None:
            md5 = _md5(entry, os.fstat(file.fileno()))
            return _file(request, file, filename, md5 or "", forever=md5 is not None and md5 == v)
    return _from_s3(request, service, owner, _in_s3(entry, side), direct=direct, v=v)


@router.head("/api/actors/{actor}/training-data/{filename}/thumbnail", include_in_schema=False)
@router.get(
    "/api/actors/{actor}/training-data/{filename}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **errors(404, 409, 415, 502)},
)
async def thumbnail(
    request: Request,
    service: TheService,
    actor: str,
    filename: str,
    width: Width = Width.W256,
    side: Side = None,
    v: Version = "",
) -> Response:
    """The image as a small WebP. One that is only in S3 is fetched for it, once."""
    picture = await run_in_threadpool(_picture, service, actor, filename, side)
    return await _thumbnail(request, service, picture, width, v)


@router.head("/api/actors/{actor}/base-image", include_in_schema=False)
@router.get(
    "/api/actors/{actor}/base-image",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **errors(404, 409, 415)},
)
async def base_image(
    request: Request, service: TheService, actor: str, width: Width = Width.W256, v: Version = ""
) -> Response:
    """The actor's base image as a small WebP."""
    picture = await run_in_threadpool(_base_picture, service, actor)
    return await _thumbnail(request, service, picture, width, v)


@files_router.head("/{actor_name}/{folder}/{filename}", include_in_schema=False)
@files_router.get(
    "/{actor_name}/{folder}/{filename}",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **errors(404)},
)
def image_file(request: Request, service: TheService, actor_name: str, folder: str, filename: str) -> Response:
    """A file that `local_path` or `base_image_path` names."""
    plain = not (actor_name.startswith(".") or layout.name_fault(actor_name) or layout.name_fault(filename))
    if plain and folder in _FOLDERS and layout.is_image(filename):
        path = f"{service.library.where.folder(actor_name)}/{folder}/{filename}"
        file = _open(service, actor_name, path)
        if file is not None:
            return _file(request, file, filename, "", forever=False)
    raise ApiError(404, "not_found", "There is no such image", hint="The API's local_path names those that are here.")


def _find(service: Service, actor: str, filename: str) -> tuple[Actor, Entry]:
    """The image's entry. A manifest may name anything: 415 for what is no image's name."""
    manifest = service.library.manifest(actor)
    owner = _owner(service, actor)
    _, entry = find_image(owner, manifest, filename)
    if layout.name_fault(filename) or not layout.is_image(filename):
        shown = ", ".join(layout.IMAGE_SUFFIXES)
        raise ApiError(
            415, "not_an_image", f"{layout.printable(filename)} is not named like an image", hint=f"Those are {shown}."
        )
    return owner, entry


def _owner(service: Service, actor: str) -> Actor:
    """Of an actor that the library has just answered for."""
    return service.library.survey().matching((actor,)).actors[0]


def _in_s3(entry: Entry, side: str | None) -> Entry:
    """The entry, if an object is recorded for it."""
    if entry.s3_url is not None and side != "local":
        return entry
    shown = layout.printable(entry.filename)
    if side == "s3":
        raise ApiError(404, "not_in_s3", f"{shown} is not in S3, as far as is recorded", hint="A sync looks again.")
    raise ApiError(
        404, "not_local", f"{shown} is not on this disk", hint="callsheet pull downloads what is only in S3."
    )


def _open(service: Service, actor_name: str, path: str) -> BinaryIO | None:
    library = service.library
    folder = library.where.folder(actor_name)
    return local.open_inside(os.path.join(library.root, path), os.path.join(library.root, folder))


def _md5(entry: Entry, status: os.stat_result) -> str | None:
    """A file's MD5, if it is as it was when it was recorded."""
    recorded = (entry.size_bytes, entry.modified_timestamp)
    same = recorded == (status.st_size, reconcile.timestamp(status.st_mtime_ns))
    return entry.md5_hash if same and entry.recorded_local else None


def _picture(service: Service, actor: str, filename: str, side: str | None) -> Picture:
    owner, entry = _find(service, actor, filename)
    if side != "s3":
        path = service.library.where.image(owner.name, filename)
        file = _open(service, owner.name, path)
        if file is not None:
            with file:
                return _local_picture(service, owner.name, path, os.fstat(file.fileno()), entry)
    return _far_picture(service, owner, _in_s3(entry, side))


def _base_picture(service: Service, actor: str) -> Picture:
    library = service.library
    path = library.base_image(actor)
    if path is not None:
        name = _owner(service, actor).name
        file = _open(service, name, path)
        if file is not None:
            with file:
                return _local_picture(service, name, path, os.fstat(file.fileno()), None)
    raise ApiError(
        404, "no_base_image", "This actor has no base image", hint="It is looked for in base_image and poster_frame."
    )


def _local_picture(
    service: Service, actor_name: str, path: str, status: os.stat_result, entry: Entry | None
) -> Picture:
    """The file at `path` while its size and time are those of `status`."""
    md5 = _md5(entry, status) if entry else None
    version = md5 or f"{status.st_mtime_ns:x}"

    def opened() -> tuple[BinaryIO, bool]:
        file = _open(service, actor_name, path)
        if file is None:
            raise ApiError(404, "not_local", "The image was removed just now", hint="Load the list again.")
        now = os.fstat(file.fileno())
        return file, (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)

    key = md5 or key_of(path, status.st_size, status.st_mtime_ns)
    return Picture(key, opened, frozenset({version}), md5)


def _far_picture(service: Service, owner: Actor, entry: Entry) -> Picture:
    """The object in S3, while it is the one that is recorded."""
    seen = entry.s3

    def opened() -> tuple[BinaryIO, bool]:
        reading = service.library.fetch(owner.name, entry.filename)
        described = reading.described
        try:
            if described.size_bytes > _MAX_FETCHED_BYTES:
                raise no_image(f"it has {described.size_bytes} bytes, more than is fetched for a thumbnail")
            return io.BytesIO(b"".join(reading.blocks)), seen is not None and described.etag == seen.etag
        finally:
            reading.blocks.close()

    if seen is None:
        return Picture(key_of(owner.name, entry.s3_url), opened, far=True)
    key = seen.md5 or key_of(entry.s3_url, seen.etag, seen.size_bytes)
    versions = frozenset({seen.etag, seen.md5 or seen.etag})
    return Picture(key, opened, versions, seen.md5, far=True)


async def _thumbnail(request: Request, service: Service, picture: Picture, width: int, v: str) -> Response:
    thumbnails = service.thumbnails
    data = await run_in_threadpool(thumbnails.kept, picture, width)
    if data is None:
        # Shielded: others may wait for it, too.
        data = await asyncio.shield(asyncio.wrap_future(thumbnails.made(picture, width)))
    cache = _FOR_EVER if v in picture.versions else _ASK_AGAIN
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {**_HARMLESS, "ETag": tag, "Cache-Control": cache}
    return unchanged(request, tag, cache) or Response(data, 200, headers, "image/webp")


def _from_s3(request: Request, service: Service, owner: Actor, entry: Entry, *, direct: bool, v: str) -> Response:
    library = service.library
    url = library.presigned(owner.name, entry.filename, expires_s=_URL_LASTS_S) if direct else None
    if url is not None:
        return RedirectResponse(url, 307, {"Cache-Control": f"private, max-age={_URL_KEPT_S}"})
    reading = library.fetch(owner.name, entry.filename)
    described = reading.described
    cache = _FOR_EVER if v and v in (described.etag, described.md5) else _ASK_AGAIN
    tag = f'"{described.etag}"'
    if response := unchanged(request, tag, cache):
        reading.blocks.close()
        return response
    return _Streamed(reading, {**_described(entry.filename), "ETag": tag, "Cache-Control": cache})


def _file(request: Request, file: BinaryIO, filename: str, version: str, *, forever: bool) -> Response:
    status = os.fstat(file.fileno())
    tag = f'"{version or f"{status.st_mtime_ns:x}-{status.st_size:x}"}"'
    cache = _FOR_EVER if forever else _ASK_AGAIN
    if response := unchanged(request, tag, cache):
        file.close()
        return response
    return _Opened(file, status, {**_described(filename), "ETag": tag, "Cache-Control": cache})


def _described(filename: str) -> dict[str, str]:
    """What an image is, and is called: from its name alone (RFC 6266, 8187)."""
    return {
        "Content-Type": layout.content_type(filename),
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(filename, safe='')}",
        **_HARMLESS,
    }


class _Opened(FileResponse):
    """An open file, with ranges; closed at the end."""

    def __init__(self, file: BinaryIO, status: os.stat_result, headers: Mapping[str, str]) -> None:
        # This very file, whatever its path leads to by now.
        super().__init__(f"/dev/fd/{file.fileno()}", headers=headers, stat_result=status)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


class _Streamed(StreamingResponse):
    """An object, through this server; its connection is freed at the end, however that comes."""

    def __init__(self, reading: Reading, headers: Mapping[str, str]) -> None:
        super().__init__(
            map(bytes, reading.blocks), headers={**headers, "Content-Length": str(reading.described.size_bytes)}
        )
        self._blocks = reading.blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await Response(headers=self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._blocks.close)
