"""How answers are made: JSON, entity tags, and the one shape of every error."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from callsheet.errors import CallsheetError
from callsheet.layout import printable
from callsheet.web.schema import ErrorBody

JSON = "application/json"
_DESCRIBED = "/openapi.json describes what can be asked, and how."


class ApiError(CallsheetError):
    """An error that only the API knows. `status` is its HTTP status, `name` its code."""

    def __init__(self, status: int, name: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.name = name


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, JSON)


def tagged(request: Request, body: bytes) -> Response:
    """`body`, JSON, with its ETag; 304 if the client has it already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    return unchanged(request, tag) or Response(body, 200, {"ETag": tag, "Cache-Control": "no-cache"}, JSON)


def unchanged(request: Request, tag: str, cache: str = "no-cache") -> Response | None:
    """304 if the client's `If-None-Match` has that ETag (weak comparison, RFC 9110, 13.1.2)."""
    if has_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag, "Cache-Control": cache})
    return None


def has_tag(header: str, tag: str) -> bool:
    """Whether a list of ETags has this one, or is `*`."""
    return any(given.strip().removeprefix("W/") in (tag, "*") for given in header.split(","))


def error_response(status: int, code: str, message: str, hint: str = "") -> Response:
    return json_response({"error": code, "message": printable(message), "hint": hint}, status)


def error_of(error: CallsheetError) -> Response:
    """The answer that tells of `error`."""
    if isinstance(error, ApiError):
        return error_response(error.status, error.name, str(error), error.hint)
    return error_response(error.http_status, error.code, str(error), error.hint)


def http_error(error: HTTPException) -> Response:
    """The answer to a path or a method that there is not, and to a body that cannot be read."""
    if error.status_code == HTTPStatus.BAD_REQUEST:  # it nests or counts beyond what can be read
        return error_response(422, "validation", str(error.detail), _DESCRIBED)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, CallsheetError.code)
    response = error_response(error.status_code, code, str(error.detail), _DESCRIBED)
    response.headers.update(error.headers or {})
    return response


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer, for OpenAPI."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in statuses}


def install(app: FastAPI) -> None:
    """Make every error of `app` have the one shape."""

    @app.exception_handler(CallsheetError)
    def _(_: Request, error: CallsheetError) -> Response:
        return error_of(error)

    @app.exception_handler(RequestValidationError)
    def _(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return error_response(422, "validation", f"{place}: {first['msg']}", _DESCRIBED)

    @app.exception_handler(HTTPException)
    def _(_: Request, error: HTTPException) -> Response:
        return http_error(error)

    @app.exception_handler(Exception)
    def _(_: Request, __: Exception) -> Response:
        return error_response(500, "error", "The server failed at this request", "Its log says why.")
