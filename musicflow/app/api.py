"""The JSON API: what the command line answers, for players and other programs.

Its parameters, answers and errors are those of the command line; `Service` answers both it and the
pages. An error is a problem document (RFC 9457) with a code for programs and advice for people.
"""

import mimetypes
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, File, Path, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, StreamingResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import musicflow
from musicflow.app import uploads
from musicflow.app.catalogue import Sort
from musicflow.app.problems import RESPONSES, Problem, fail, problem_of, refuse, refuse_http
from musicflow.app.questions import Answer, Question, Wanted
from musicflow.app.service import Service
from musicflow.errors import MusicflowError
from musicflow.evaluation import Comparison
from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.votes import Standing
from musicflow.index.filters import filter_forms
from musicflow.index.hubness import Correction
from musicflow.places import Place, Remote, place
from musicflow.search.answers import answers_of, group_of, track_of
from musicflow.search.errors import NoTrackError
from musicflow.search.playlist import MEDIA_TYPES, Paths, PlaylistFormat, playlist, tracks_in
from musicflow.search.recommend import Strategy
from musicflow.search.variety import Variety

MAX_K = 1000
"""The most answers to one question."""

MAX_STEPS = 200
"""The most tracks of a path."""

_MAX_EXAMPLES = 200
_MAX_PAGE = 500
_BLOCK = 1 << 18

# --- parameters ----------------------------------------------------------------------------------

EXAMPLE, ANOTHER = "calm_acoustic_1", "energetic_electronic_2"
"""Names of tracks in the demo, for descriptions."""

Embedder = Annotated[
    str | None,
    Query(
        max_length=500,
        description="The embedder to search with, or a fusion such as `rrf:musicnn+mfcc`; by "
        "default the first of the home's.",
        examples=["musicnn", "rrf:musicnn+mfcc"],
    ),
]
Count = Annotated[int, Query(ge=1, le=MAX_K, description="The number of answers.")]
Where = Annotated[
    Sequence[str],
    Query(
        alias="filter",
        max_length=50,
        description=f"{filter_forms()}; repeatable.",
        examples=[["genre=jazz", "duration_s<300"]],
    ),
]
_TRACK = Query(max_length=1000, description="A track, by its id or name.", examples=[EXAMPLE])
Track = Annotated[str, _TRACK]
Other = Annotated[str, Query(max_length=1000, description="Another track.", examples=[ANOTHER])]
Description = Annotated[
    str | None,
    Query(
        max_length=1000,
        description="Words, for an embedder with a text side.",
        examples=["slow piano, rain"],
    ),
]
Names = Annotated[
    Sequence[str],
    Query(
        max_length=_MAX_EXAMPLES,
        description="Tracks, by their ids or names; repeatable.",
        examples=[[EXAMPLE]],
    ),
]
Words = Annotated[
    Sequence[str],
    Query(
        max_length=_MAX_EXAMPLES,
        description="Descriptions of what is liked; repeatable.",
        examples=[["slow piano, rain"]],
    ),
]


def _wanted(
    k: Count = 10,
    where: Where = (),
    embedder: Embedder = None,
    correct: Annotated[
        Correction | None,
        Query(description="Correct hubness, so that no track is an answer to everything."),
    ] = None,
    max_per_artist: Annotated[int | None, Query(ge=1, le=MAX_K)] = None,
    max_per_album: Annotated[int | None, Query(ge=1, le=MAX_K)] = None,
    apart: Annotated[
        bool, Query(description="No two tracks by one artist after each other.")
    ] = False,
) -> Wanted:
    variety = Variety(max_per_artist, max_per_album, apart)
    return Wanted(k, tuple(where), embedder, correct, variety)


Asked = Annotated[Wanted, Depends(_wanted)]
"""The parameters that all questions have."""

# --- answers -------------------------------------------------------------------------------------


class TrackOut(BaseModel):
    """A track. Fields that a library brings come besides."""

    model_config = ConfigDict(extra="allow")

    track_id: str
    artist: list[str]
    name: str
    genre: list[str]
    album: str | None = None
    path: str | None = None
    duration_s: float | None = None


class AnswerOut(TrackOut):
    """A track that answers, with its rank from 1 and its score."""

    rank: int
    score: float
    duplicates: list[str]


_ANSWERS: dict[str, Any] = {
    "embedder": "musicnn",
    "answers": [
        {
            "rank": 1,
            "score": 0.93,
            "track_id": "acoustic/calm_acoustic_2.ogg",
            "artist": ["Unknown"],
            "name": "calm_acoustic_2",
            "genre": ["acoustic"],
            "duration_s": 30.0,
            "path": "/music/acoustic/calm_acoustic_2.ogg",
            "duplicates": [],
        }
    ],
    "problem": None,
}


class Answers(BaseModel):
    """What one embedder answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWERS]})

    embedder: str
    answers: list[AnswerOut]
    problem: Problem | None = None
    """Why there are no answers, where an embedder among several cannot give any."""


class Overlap(BaseModel):
    """The share of tracks that the answers of two embedders have in common."""

    embedders: tuple[str, str]
    overlap: float


class Compared(BaseModel):
    """One question, as several embedders answer it."""

    compared: list[Answers]
    overlaps: list[Overlap]


class PassageOut(BaseModel):
    """A window of each of two tracks that sound alike: where they begin, and how long they are."""

    query_s: float
    answer_s: float
    seconds: float
    score: float


class WhyOut(BaseModel):
    """What makes two tracks alike; each pair is the query's and the answer's."""

    embedder: str
    tags: list[str]
    bpm: tuple[float | None, float | None]
    key: tuple[str | None, str | None]
    passages: list[PassageOut]
    lines: list[str]
    """The same for people, a sentence each."""
    problem: Problem | None = None
    """Why no passages are told."""


class Tracks(BaseModel):
    """A page of tracks."""

    total: int
    tracks: list[TrackOut]


class CollectionOut(BaseModel):
    """A published collection."""

    embedder: str
    tracks: int
    dims: int
    state: str


class Health(BaseModel):
    """What the service can be asked."""

    status: Literal["ok"] = "ok"
    version: str
    collections: list[CollectionOut]


class CutOut(BaseModel):
    """A stretch that a track has in common with a longer one, `of`."""

    track_id: str
    of: str
    from_s: float
    of_s: float
    seconds: float
    speed: float


class Group(BaseModel):
    """Tracks that are one recording, or have a stretch of one in common."""

    answers: list[AnswerOut]
    cuts: list[CutOut]


class Duplicates(BaseModel):
    """Groups of tracks that are one recording, whole or in part, the most alike first."""

    embedder: str
    groups: list[Group]


class Map(BaseModel):
    """The place of each track in the plane, as lists of one length."""

    embedder: str
    track_ids: list[str]
    genres: list[str]
    x: list[float]
    y: list[float]


class PlaylistIn(BaseModel):
    """Tracks by id or name, the form of the playlist, and how it names files.

    Paths start from the folder ``relative_to``. ``map`` is such as ``/music=/data/music``, for a
    player that sees the library elsewhere.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tracks": [EXAMPLE, ANOTHER], "form": "xspf"}]}
    )

    tracks: list[str]
    form: PlaylistFormat = "m3u8"
    relative_to: str = ""
    map: str = ""


class PlaylistOut(BaseModel):
    """The tracks that a playlist names, and its entries that are none of the library."""

    tracks: list[str]
    unknown: list[str]


# --- the service's addresses ---------------------------------------------------------------------


def api(service: Service) -> FastAPI:
    """Return the API of a service, an ASGI application.

    Parameters
    ----------
    service
        Answers.
    """
    app = FastAPIOffline(
        redoc_url=None,
        title="musicflow",
        version=musicflow.__version__,
        description=__doc__.split("\n\n")[1],
        responses=RESPONSES,
    )
    for kind in (MusicflowError, OSError, RequestValidationError, ValidationError):
        app.add_exception_handler(kind, refuse)
    app.add_exception_handler(HTTPException, refuse_http)
    app.add_exception_handler(Exception, fail)
    app.state.service = service
    app.include_router(router)
    return app


router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Answering = Annotated[Service, Depends(_service)]


@router.get("/health")
def health(service: Answering) -> Health:
    """Return the published collections."""
    manifests = [service.open(label).collection.manifest for label in service.labels()]
    collections = [
        CollectionOut(embedder=m.embedder, tracks=m.count, dims=m.dim, state=m.state)
        for m in manifests
    ]
    return Health(version=musicflow.__version__, collections=collections)


@router.get("/tracks")
def tracks(
    service: Answering,
    words: Annotated[
        str,
        Query(
            max_length=1000,
            description="Words of artist, name, album, genre or id.",
            examples=["calm acoustic"],
        ),
    ] = "",
    where: Where = (),
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 50,
    embedder: Embedder = None,
    sort: Sort = "path",
) -> Tracks:
    """List tracks, by words and filters, a page at a time."""
    collection, ids = service.tracks(words, where, embedder, sort)
    page = [track_of(collection.payload(one)) for one in ids[offset : offset + limit]]
    return Tracks(total=len(ids), tracks=page)


@router.get("/tracks/{track_id:path}")
def track(service: Answering, track_id: str, embedder: Embedder = None) -> TrackOut:
    """Return one track, by its id."""
    opened = service.open(embedder)
    try:
        return TrackOut(**track_of(opened.collection.payload(track_id)))
    except KeyError:
        raise NoTrackError(f"no track has the id {track_id!r}") from None


# Players ask for the head first.
@router.head("/audio/{track_id:path}", response_class=FileResponse, include_in_schema=False)
@router.get("/audio/{track_id:path}", response_class=FileResponse)
def audio(service: Answering, track_id: str, request: Request) -> Response:
    """Return a track's file as it is; ranges of bytes can be asked for."""
    return _file(place(service.track(track_id).path), request)


@router.get("/excerpt/{track_id:path}", response_class=Response)
def excerpt(service: Answering, track_id: str) -> Response:
    """Return the first minute of a track as WAV: for files that browsers do not play."""
    return Response(service.excerpt(service.track(track_id)), media_type="audio/wav")


@router.get("/cover/{track_id:path}", response_class=Response)
def cover(service: Answering, track_id: str) -> Response:
    """Return the cover art of a track's file, or else a picture of its sound."""
    found = service.cover(service.track(track_id))
    if found is None:
        raise NoTrackError(f"{track_id!r} has neither a cover nor a sound", code="no-cover")
    content, kind = found
    return Response(content, media_type=kind, headers={"cache-control": "max-age=3600"})


@router.get("/facets/{field}")
def facets(
    service: Answering,
    field: Annotated[str, Path(max_length=100, examples=["genre"])],
    where: Where = (),
    embedder: Embedder = None,
) -> dict[str, int]:
    """Count the tracks per value of a field, most first."""
    return service.facet(field, where, embedder)


@router.get("/duplicates")
def duplicates(service: Answering, embedder: Embedder = None) -> Duplicates:
    """List groups of tracks that are copies or cuts of one recording."""
    label, groups = service.duplicates(embedder)
    return Duplicates(embedder=label, groups=[Group(**group_of(group)) for group in groups])


@router.get("/map")
def map_of(service: Answering, embedder: Embedder = None) -> Map:
    """Return the place of each track in the plane: near tracks sound alike."""
    label, found = service.map(embedder)
    columns = {"track_ids": "track_id", "genres": "genre", "x": "x", "y": "y"}
    return Map(embedder=label, **{k: found[column].tolist() for k, column in columns.items()})


@router.get("/clusters")
def clusters(service: Answering, embedder: Embedder = None) -> Clusters:
    """Return the clusters of a collection: their names, words and tracks, the largest first."""
    return service.clusters(embedder)


@router.get("/comparison", response_class=Response)
def comparison(service: Answering) -> Response:
    """Return the last comparison of the embedders, as `comparison.json` has it."""
    found = service.comparison()
    if found is None:
        raise NoTrackError(
            "no embedder has been compared", "run `musicflow run LIBRARY`", "no-comparison"
        )
    # Figures that are not numbers become null, as JSON knows none.
    return Response(TypeAdapter(Comparison).dump_json(found), media_type="application/json")


@router.get("/votes")
def votes(service: Answering) -> list[Standing]:
    """Return how each two embedders stand by the votes of the blind test."""
    return service.standings()


@router.get("/similar")
def similar(
    service: Answering,
    track: Annotated[str | None, _TRACK] = None,
    text: Description = None,
    *,
    wanted: Asked,
) -> Answers:
    """Find the tracks that sound most like a track or a description."""
    return _answers(service.similar(Question(track, text), wanted))


@router.post("/similar")
async def similar_to_file(
    service: Answering,
    file: Annotated[UploadFile, File(description="Any audio file.")],
    wanted: Asked,
) -> Answers:
    """Find the tracks that sound most like a file of yours."""
    upload = uploads.accept(file.filename or "", await file.read())
    question = Question(upload=upload)
    return _answers(await run_in_threadpool(service.similar, question, wanted))


@router.get("/compare")
def compare(
    service: Answering,
    track: Annotated[str | None, _TRACK] = None,
    text: Description = None,
    named: Annotated[
        Sequence[str],
        Query(
            alias="with",
            max_length=20,
            description="Embedders; repeatable, by default all.",
            examples=[["musicnn", "mfcc"]],
        ),
    ] = (),
    *,
    wanted: Asked,
) -> Compared:
    """Ask several embedders one question."""
    found, overlaps = service.compare(Question(track, text), wanted, named)
    shares = [Overlap(embedders=pair, overlap=share) for pair, share in overlaps.items()]
    return Compared(compared=[_answers(one) for one in found], overlaps=shares)


@router.get("/recommend")
def recommend(
    service: Answering,
    like: Names = (),
    dislike: Names = (),
    like_text: Words = (),
    strategy: Strategy = "average",
    diverse: Annotated[bool, Query(description="Prefer answers that differ.")] = False,
    *,
    wanted: Asked,
) -> Answers:
    """Recommend tracks like some, and unlike others; copies of one recording are folded."""
    return _answers(
        service.recommend(like, dislike, like_text, wanted, strategy=strategy, diverse=diverse)
    )


@router.get("/why")
def why(
    service: Answering,
    track: Track,
    other: Other,
    embedder: Embedder = None,
) -> WhyOut:
    """Tell what two tracks have in common, and which seconds of both sound most alike."""
    found = service.why(track, other, embedder)
    problem = None if found.error is None else problem_of(found.error)
    return WhyOut(problem=problem, **found.as_json)


@router.get("/path")
def path(
    service: Answering,
    start: Track,
    end: Other,
    steps: Annotated[int, Query(ge=1, le=MAX_STEPS)] = 8,
    *,
    wanted: Asked,
) -> Answers:
    """Make a playlist from one track to another, each more like the last one."""
    return _answers(service.path(start, end, steps, wanted))


@router.post("/playlist", response_class=Response)
def make_playlist(service: Answering, wanted: PlaylistIn, embedder: Embedder = None) -> Response:
    """Write a playlist of some tracks. The header ``X-Left-Out`` counts those that are gone."""
    paths = Paths.read(wanted.relative_to, wanted.map)
    written = playlist(service.payloads(wanted.tracks, embedder), wanted.form, paths)
    headers = {"x-left-out": str(len(written.left_out))}
    content = written.text.encode("utf-8", "surrogateescape")
    return Response(content, headers=headers, media_type=MEDIA_TYPES[wanted.form])


@router.post("/playlist/tracks")
def read_playlist(
    service: Answering,
    file: Annotated[UploadFile, File(description="An M3U, XSPF or JSON playlist, of any machine.")],
    embedder: Embedder = None,
) -> PlaylistOut:
    """Return the tracks that a playlist names, to extend it: `recommend` takes them as likes."""
    found, unknown = tracks_in(file.file.read(), service.open(embedder).collection)
    return PlaylistOut(tracks=found, unknown=unknown)


def _answers(answer: Answer) -> Answers:
    problem = None if answer.error is None else problem_of(answer.error)
    return Answers(embedder=answer.embedder, answers=answers_of(answer.hits), problem=problem)


# --- files ---------------------------------------------------------------------------------------


def _file(path: Place, request: Request) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if not path.is_file():
        advice = "`musicflow run` brings the library up to date"
        raise NoTrackError(f"the file {path.name!r} is gone", advice, "no-file")
    if not isinstance(path, Remote):
        return FileResponse(path, media_type=kind)
    size = path.stat().st_size
    part = _range(request.headers.get("range"), size)
    start, end = part or (0, size)
    headers = {"accept-ranges": "bytes", "content-length": str(end - start)}
    if part:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    content = _bytes(path, start, end) if request.method == "GET" else ()
    return StreamingResponse(content, 206 if part else 200, headers, media_type=kind)


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def _range(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte that is asked for, and the one behind the last; None for the whole.

    What is no single range is ignored, as RFC 9110 allows.

    Raises
    ------
    HTTPException
        If the file has no such bytes.
    """
    found = _RANGE.fullmatch(wanted or "")
    if found is None or found[0] == "bytes=-":
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:
        start, end = max(size - (last or 0), 0), size
    else:
        start, end = first, size if last is None else min(last + 1, size)
        if last is not None and last < first:
            return None
    if start >= size:
        raise HTTPException(416, headers={"content-range": f"bytes */{size}"})
    return start, end


def _bytes(path: Remote, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(_BLOCK, end - start))):
            start += len(block)
            yield block
