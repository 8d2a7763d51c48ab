"""Errors as problem documents (RFC 9457): with a code for programs and advice for people."""

from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from musicflow.atomic import DamagedError
from musicflow.embedders import UnknownEmbedderError, WeightsError
from musicflow.errors import MusicflowError
from musicflow.index import NoCollectionError
from musicflow.library import LibraryError
from musicflow.places import PlaceError
from musicflow.search.errors import NoTrackError
from musicflow.settings import HomeError, SettingError, explain, explain_invalid
from musicflow.worker import WorkerError

MEDIA_TYPE = "application/problem+json"

_NOT_THERE = (NoTrackError, NoCollectionError, UnknownEmbedderError)
_NOT_NOW = (
    DamagedError,
    HomeError,
    LibraryError,
    PlaceError,
    SettingError,
    WeightsError,
    WorkerError,
)
_TITLES = {
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    411: "Length required",
    413: "Too large",
    421: "Wrong host",
    422: "Cannot be answered",
    500: "Internal error",
    503: "Not available",
}


class Problem(BaseModel):
    """An error, as RFC 9457 has it.

    ``detail`` says what is wrong, with the value; ``advice`` what to do about it, and may be empty.
    ``code`` is a short, stable name of this kind of error.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    advice: str
    code: str

    @classmethod
    def of(cls, status: int, detail: str, advice: str = "", code: str = "error") -> "Problem":
        """Return a problem with the title of its status."""
        title = _TITLES.get(status, "Error")
        return cls(title=title, status=status, detail=detail, advice=advice, code=code)


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": title,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, title in _TITLES.items()
}
"""The responses of the API that are problems, for its description."""


def problem_of(error: Exception) -> Problem:
    """Return the problem document of a foreseen error."""
    if isinstance(error, ValidationError):
        return Problem.of(503, explain_invalid(error), code="settings")
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        given = str(first.get("input"))[:100]
        detail = f"{where} is {given!r}: {first['msg']}"
        return Problem.of(422, detail, "/docs lists all parameters", "parameter")
    if not isinstance(error, MusicflowError):
        assert isinstance(error, OSError)
        return Problem.of(503, explain(error), code="system")
    status = 404 if isinstance(error, _NOT_THERE) else 503 if isinstance(error, _NOT_NOW) else 422
    return Problem.of(status, error.message, error.advice, error.code)


def answer_with(problem: Problem) -> JSONResponse:
    """Return a problem document as a response."""
    return JSONResponse(problem.model_dump(), problem.status, media_type=MEDIA_TYPE)


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer with the problem document of a foreseen error."""
    return answer_with(problem_of(error))


async def refuse_http(request: Request, error: Exception) -> Response:
    """Answer to a request for an address or a method that there is not."""
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    problem = Problem.of(error.status_code, detail, "/docs lists all addresses", "address")
    response = answer_with(problem)
    response.headers.update(error.headers or {})
    return response


async def fail(_request: Request, error: Exception) -> Response:
    """Answer after an unforeseen error."""
    # The server logs the traceback; it is none of the client's business.
    detail = f"{type(error).__name__}: a fault of musicflow; its log has more"
    return answer_with(Problem.of(500, detail, code="internal"))
