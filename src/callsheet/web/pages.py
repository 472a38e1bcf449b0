"""The pages: the list of actors, and an actor's Training Data tab. What they show comes from the API; they come with what is seen first.

Nothing of a page is written inline, neither script nor style: its policy lets in what `/static` serves, and no more.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from callsheet.errors import CallsheetError
from callsheet.layout import printable
from callsheet.web.actors import TheService
from callsheet.web.answers import ApiError, http_error

router = APIRouter(include_in_schema=False)

_FIRST_CARDS = 60
_NOT_PAGES = ("/api/", "/data/", "/static/")
_STATIC = os.path.join(os.path.dirname(__file__), "static")
_IMPORT = re.compile(r'^import .* from "\./([a-z]+\.js)";$', re.MULTILINE)
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}

WORDS = {
    "statuses": {
        "synced": {"sign": "=", "word": "Synced", "meaning": "On this disk and in S3, the same bytes"},
        "local_only": {"sign": "↑", "word": "Local-only", "meaning": "On this disk, not in S3"},
        "s3_only": {"sign": "↓", "word": "S3-only", "meaning": "In S3, not on this disk"},
        "out_of_sync": {"sign": "≠", "word": "Out-of-sync", "meaning": "On this disk and in S3, but different"},
        "missing": {"sign": "∅", "word": "Missing", "meaning": "Recorded once, now on neither side"},
        "orphaned": {"sign": "+", "word": "Orphaned", "meaning": "On this disk, not in the manifest"},
        "problem": {"sign": "!", "word": "Problems", "meaning": "Something has to be looked at"},
        "unknown": {"sign": "?", "word": "Unknown", "meaning": "Not looked at yet"},
    },
    "evidence": {
        "content": "the bytes of both sides were read",
        "md5": "the MD5 that is kept with the object",
        "etag": "the object's ETag is the MD5 of the file",
        "multipart_etag": "the object's ETag was computed from the file",
        "listed": "whether it is there, and its size",
        "recorded": "as recorded, not checked",
    },
    "changes": {
        "local": "It changed on this disk",
        "s3": "It changed in S3",
        "both": "It changed on both sides",
        "unknown": "It is not known which side changed",
    },
}
"""What the page calls things, for its templates and its scripts alike."""

_HINTS = {"unknown_actor": "The list has all actors. One that is only in S3 is found by Sync all."}
"""What to do next where the command line has other means than the page, by error code."""


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """The page's scripts and styles, in memory. `version` is another whenever one of them is."""

    files: dict[str, bytes]
    version: str

    @classmethod
    def load(cls) -> Self:
        files = {}
        for name in sorted(os.listdir(_STATIC)):
            with open(os.path.join(_STATIC, name), "rb") as file:
                files[name] = file.read()
        digest = hashlib.blake2b(digest_size=6)
        for name, body in files.items():
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
        return cls(files, digest.hexdigest())

    def modules(self, entry: str) -> list[str]:
        """The script `entry` and all that it imports, so that a browser can ask for all of them at once."""
        found = [entry]
        for name in found:
            imported = _IMPORT.findall(self.files[name].decode())
            found += [other for other in dict.fromkeys(imported) if other not in found]
        return found


_static = StaticFiles.load()


_environment = Environment(
    loader=PackageLoader("callsheet.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.globals.update(words=WORDS, static=f"/static/{_static.version}")
_parts: Any = _environment.get_template("parts.html").module
_environment.globals.update(parts=_parts, icon=_parts.icon, modules=_static.modules)


def _render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    body = _environment.get_template(template).render(values)
    return HTMLResponse(body, status, {"Cache-Control": "no-cache"})


def _failed(error: CallsheetError) -> HTMLResponse:
    """A page that says what the API would."""
    status, code = (error.status, error.name) if isinstance(error, ApiError) else (error.http_status, error.code)
    hint = _HINTS.get(code, error.hint)
    return _render("error.html", status, code=code, message=printable(str(error)), hint=hint)


@router.get("/")
def actors_page() -> Response:
    """The list of all actors."""
    return _render("actors.html")


@router.get("/actors")
def actors_link() -> Response:
    """What is left of an actor's URL without the actor."""
    return RedirectResponse("/")


@router.get("/actors/{actor}")
def training_page(request: Request, service: TheService, actor: str) -> Response:
    """An actor's Training Data tab, with its first images."""
    try:
        document = orjson.loads(service.training_data(actor))
    except CallsheetError as error:
        return _failed(error)
    name = document["actor_name"]
    if name != actor:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/actors/{quote(name, safe='')}{query}")
    service.index.refresh()
    before, after = service.index.neighbours(name)
    first = document["training_images"][:_FIRST_CARDS]
    files = quote(service.library.where.training_dir(name))
    return _render("training.html", actor=document, first=first, files=files, before=before, after=after)


@router.get("/static/{version}/{name}")
def static_file(version: str, name: str) -> Response:
    """One of the page's own files; its URL names its version, so it may be kept for ever."""
    body = _static.files.get(name)
    if body is None:
        raise ApiError(404, "not_found", f"There is no file {printable(name)}")
    kept = "public, max-age=31536000, immutable" if version == _static.version else "no-cache"
    return Response(body, 200, {"Cache-Control": kept}, _KINDS[os.path.splitext(name)[1]])


def install(app: FastAPI) -> None:
    """Answer browsers that ask for a page that there is not with a page; all others as the API does."""

    @app.exception_handler(404)
    def _(request: Request, error: HTTPException) -> Response:
        wanted = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(_NOT_PAGES)
        return _failed(ApiError(404, "not_found", "There is no such page")) if wanted else http_error(error)
