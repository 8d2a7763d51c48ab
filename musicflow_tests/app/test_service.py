"""The JSON API: it answers as the command line does, and tells errors as problems."""

import io
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import schemathesis
import soundfile
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.exceptions import HTTPException
from typer.testing import CliRunner

from musicflow import open_collection
from musicflow.app.api import _range, api
from musicflow.app.catalogue import SORTS, Sort
from musicflow.app.gate import COOKIE, Bounded, Gate
from musicflow.app.problems import MEDIA_TYPE
from musicflow.app.server import gated
from musicflow.app.service import Service
from musicflow.cli import app as program
from musicflow.index.fused import save_weights
from musicflow.library.artwork import KINDS
from musicflow.places import asking
from musicflow.search.playlist import MEDIA_TYPES
from musicflow.settings import Home
from musicflow_tests.app.conftest import publish_without
from musicflow_tests.conftest import RATE, tone

FUSION = "fusion:mfcc+musicnn-untrained"


@pytest.fixture(scope="module")
def home(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = Path(shutil.copytree(filled, tmp_path_factory.mktemp("api") / "home"))
    save_weights(Home(copy).fusions, {FUSION: {"mfcc": 0.5, "musicnn-untrained": 0.5}})
    return copy


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    with TestClient(api(Service(home)), raise_server_exceptions=False) as client:
        yield client


def answered(client: TestClient, address: str, **query: object) -> dict:
    response = client.get(address, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def printed(home: Path, *arguments: str) -> list[dict]:
    """What the command line says as JSON."""
    result = CliRunner().invoke(program, [*arguments, "--home", str(home), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


QUESTIONS = {
    "similar": (
        {"track": "Tone 3", "k": 4, "filter": "genre=tones"},
        ("search", "--track", "Tone 3", "-k", "4", "--filter", "genre=tones"),
    ),
    "recommend": (
        {"like": "tones/1.flac", "dislike": "noises/2.flac", "diverse": True, "k": 5},
        (
            "recommend",
            "--like",
            "tones/1.flac",
            "--dislike",
            "noises/2.flac",
            "--diverse",
            "-k",
            "5",
        ),
    ),
    "path": (
        {"start": "Tone 0", "end": "Noise 5", "steps": 3},
        ("path", "Tone 0", "Noise 5", "--steps", "3"),
    ),
    "similar with variety": (
        {"track": "Tone 3", "max_per_artist": 2, "max_per_album": 3, "apart": True},
        (
            *("search", "--track", "Tone 3", "--max-per-artist", "2"),
            *("--max-per-album", "3", "--apart"),
        ),
    ),
}


@pytest.mark.parametrize("embedder", ["mfcc", FUSION])
@pytest.mark.parametrize("what", QUESTIONS)
def test_it_answers_as_the_command_line_does(
    client: TestClient, home: Path, what: str, embedder: str
) -> None:
    query, arguments = QUESTIONS[what]
    said = answered(client, f"/{what.partition(' ')[0]}", **query, embedder=embedder)
    expected = printed(home, *arguments, "--embedder", embedder)
    assert said["answers"] == expected
    assert (said["embedder"], said["problem"]) == (embedder, None)


def test_duplicates_are_those_of_the_command_line(client: TestClient, home: Path) -> None:
    groups = answered(client, "/duplicates")["groups"]
    assert groups == printed(home, "duplicates")
    assert {one["track_id"] for one in groups[0]["answers"]} == {
        "noises/0.flac",
        "noises/again.flac",
    }


def test_a_file_is_answered_as_its_track_would_be(client: TestClient) -> None:
    content = io.BytesIO()
    soundfile.write(content, tone(280), RATE, format="FLAC")
    files = {"file": ("song.flac", content.getvalue())}
    said = client.post("/similar", files=files, params={"k": 1}).json()
    [best] = said["answers"]
    assert best["name"] == "Tone 3"
    assert best["score"] == pytest.approx(1, abs=1e-4)


def test_it_tells_what_makes_two_tracks_alike(client: TestClient, home: Path) -> None:
    two = {"track": "Tone 3", "other": "tones/4.flac"}
    why = answered(client, "/why", **two, embedder="mfcc")
    assert (why["embedder"], why["problem"], why["tags"]) == ("mfcc", None, [])
    [passage] = why["passages"]
    assert (passage["query_s"], passage["answer_s"]) == (0, 0)
    # Both are one window long, and so as alike as the tracks.
    hits = answered(client, "/similar", track="Tone 3", embedder="mfcc")["answers"]
    [score] = [hit["score"] for hit in hits if hit["track_id"] == "tones/4.flac"]
    assert passage["score"] == pytest.approx(score, abs=1e-3)
    of_fusion = answered(client, "/why", **two, embedder=FUSION)
    assert of_fusion["embedder"] == "mfcc"
    said = printed(home, "why", *two.values(), "--embedder", "mfcc")
    assert said == {key: value for key, value in why.items() if key != "problem"}


def test_one_question_goes_to_all_embedders(client: TestClient) -> None:
    said = answered(client, "/compare", track="Tone 3", k=3)
    names = [each["embedder"] for each in said["compared"]]
    assert names == ["mfcc", "musicnn-untrained", FUSION]
    ids = {e["embedder"]: {a["track_id"] for a in e["answers"]} for e in said["compared"]}
    shares = {tuple(each["embedders"]): each["overlap"] for each in said["overlaps"]}
    assert shares == {
        (a, b): pytest.approx(len(ids[a] & ids[b]) / 3) for a, b in itertools.combinations(names, 2)
    }


@pytest.mark.parametrize("sign", ["=", "!="])
def test_predicted_tags_filter_under_an_embedder_that_predicts_none(
    client: TestClient, home: Path, sign: str
) -> None:
    tags = answered(client, "/facets/tags", embedder="musicnn-untrained")
    assert answered(client, "/facets/tags", embedder="mfcc") == tags
    tag = min(tags, key=lambda one: abs(tags[one] - 6))
    given = {"filter": f"tag{sign}{tag}", "k": 20}
    ids = [
        {one["track_id"] for one in answered(client, "/tracks", **given, embedder=name)["tracks"]}
        for name in ("musicnn-untrained", "mfcc", FUSION)
    ]
    assert 0 < len(ids[0]) < 13
    assert ids[0] == ids[1] == ids[2]
    said = answered(client, "/similar", track="Tone 3", embedder="mfcc", **given)["answers"]
    assert {one["track_id"] for one in said} == ids[0] - {"tones/3.flac"}
    asked = ("--track", "Tone 3", "-k", "20", "--filter", given["filter"], "--embedder", "mfcc")
    assert printed(home, "search", *asked) == said
    with open_collection("mfcc", home=home) as collection:
        hits = collection.search("Tone 3", 20, [given["filter"]])
    assert [hit.track_id for hit in hits] == [one["track_id"] for one in said]


def test_an_embedder_that_cannot_take_a_filter_says_so(filled: Path, tmp_path: Path) -> None:
    """It is published from fewer tracks: no overlap is told of answers that are not there."""
    home = Home(shutil.copytree(filled, tmp_path / "home"))
    publish_without(home, "mfcc", "noises")
    client = TestClient(api(Service(home.root)))
    said = answered(client, "/compare", track="Tone 3", filter="genre=noises")
    problems = {each["embedder"]: each["problem"] for each in said["compared"]}
    assert problems["mfcc"]["code"] == "filter-value"
    assert problems["musicnn-untrained"] is None
    assert said["overlaps"] == []


def test_tracks_are_listed_by_words_and_filters_a_page_at_a_time(client: TestClient) -> None:
    found = answered(client, "/tracks", words="tone", filter="genre=tones", limit=4)
    assert found["total"] == 6
    pages = [answered(client, "/tracks", limit=5, offset=offset) for offset in (0, 5, 10)]
    ids = [one["track_id"] for page in pages for one in page["tracks"]]
    assert ids == sorted(set(ids))
    assert len(ids) == pages[0]["total"] == 13
    assert answered(client, "/tracks/tones/3.flac")["name"] == "Tone 3"
    assert answered(client, "/facets/genre") == {"noises": 7, "tones": 6}


@pytest.mark.parametrize("sort", SORTS)
def test_tracks_are_sorted(client: TestClient, sort: Sort) -> None:
    found = answered(client, "/tracks", sort=sort, words="noise")["tracks"]
    by = {"path": "track_id", "duration": "duration_s"}.get(sort, sort)
    values = [track.get(by) for track in found]
    assert len(found) == 7
    assert values == sorted(values, key=lambda value: (value is None, value))


def test_a_track_is_heard_from_any_place(client: TestClient) -> None:
    whole = client.get("/audio/tones/3.flac")
    assert whole.headers["content-type"] == "audio/flac"
    samples, _ = soundfile.read(io.BytesIO(whole.content))
    np.testing.assert_allclose(samples, tone(280), atol=1e-3)
    head = client.head("/audio/tones/3.flac")
    assert (head.content, head.headers) == (b"", whole.headers)
    part = client.get("/audio/tones/3.flac", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])


@pytest.mark.parametrize(
    "wanted",
    [
        *(None, "bytes=0-", "bytes=100-199", "bytes=-50", "bytes=9-999999", "bytes=999999999-"),
        *("bytes=0-0", "bytes=-999999"),
    ],
)
def test_a_track_that_lies_elsewhere_is_played_as_a_local_one(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    headers = {} if wanted is None else {"range": wanted}
    here = client.get("/audio/tones/3.flac", headers=headers)
    track = Service(home).track("tones/3.flac")
    address = "memory://played/3.flac"
    asking.filesystem(address).pipe_file("/played/3.flac", Path(track.path).read_bytes())
    monkeypatch.setattr(Service, "track", lambda *_: replace(track, path=address))
    there = client.get("/audio/tones/3.flac", headers=headers)
    assert there.status_code == here.status_code
    assert there.headers.get("content-range") == here.headers.get("content-range")
    if there.status_code != 416:
        assert there.content == here.content
        shared = ("accept-ranges", "content-length", "content-type")
        assert [there.headers.get(name) for name in shared] == [here.headers[n] for n in shared]
        head = client.head("/audio/tones/3.flac", headers=headers)
        assert (head.status_code, head.content) == (here.status_code, b"")
        assert [head.headers[name] for name in shared] == [here.headers[n] for n in shared]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=\xb2-", None),
        ("bytes=0-4,6-9", None),
        ("items=0-4", None),
        ("bytes=-3", (7, 10)),
        ("bytes=9-", (9, 10)),
    ],
)
def test_a_range_is_one_or_is_ignored(wanted: str, found: tuple[int, int] | None) -> None:
    assert _range(wanted, 10) == found


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_a_range_of_no_bytes_is_refused(wanted: str) -> None:
    with pytest.raises(HTTPException) as refused:
        _range(wanted, 10)
    assert refused.value.status_code == 416


def test_a_track_without_cover_art_shows_its_sound(client: TestClient) -> None:
    picture = client.get("/cover/tones/3.flac")
    assert picture.headers["content-type"] == "image/png"
    assert any(picture.content.startswith(first) for first in KINDS)


def test_the_map_has_a_place_for_each_track(client: TestClient) -> None:
    found = answered(client, "/map")
    assert len(found["track_ids"]) == len(found["x"]) == len(found["y"]) == 13
    assert np.isfinite([*found["x"], *found["y"]]).all()


def test_tracks_become_a_playlist(client: TestClient) -> None:
    wanted = {"tracks": ["Tone 1", "tones/2.flac"]}
    said = client.post("/playlist", json=wanted)
    lines = said.text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert [Path(line).name for line in lines[2::2]] == ["1.flac", "2.flac"]
    folder = Path(lines[2]).parents[1]
    paths = {"relative_to": "/there", "map": f"{folder}=/there/music"}
    said = client.post("/playlist", json=wanted | paths | {"form": "xspf"})
    assert said.headers["content-type"] == MEDIA_TYPES["xspf"]
    assert "<location>music/tones/1.flac</location>" in said.text
    for wrong in ({"relative_to": "here"}, {"map": "/music"}):
        problem = client.post("/playlist", json=wanted | wrong)
        assert (problem.status_code, problem.json()["code"]) in {
            (422, "relative-to"),
            (422, "mapping"),
        }


def test_a_playlist_of_another_machine_is_read_to_be_extended(client: TestClient) -> None:
    content = b"#EXTM3U\nC:\\Music\\tones\\1.flac\n/music/none.mp3\n"
    said = client.post("/playlist/tracks", files={"file": ("mine.m3u8", content)}).json()
    assert said == {"tracks": ["tones/1.flac"], "unknown": ["/music/none.mp3"]}


def test_settings_are_read_again_when_their_file_changes(tmp_path: Path) -> None:
    service, file = Service(tmp_path), Home(tmp_path).settings_file
    assert (service.settings.k, service.settings.k) == (10, 10)
    assert service.settings is service.settings
    for k in (7, 123):
        file.write_text(f"k = {k}\n")
        assert service.settings.k == k


# --- errors --------------------------------------------------------------------------------------

ERRORS = {
    "/similar?track=Tone+33": (404, "no-track", "Tone 3"),
    "/similar": (422, "no-question", "a track, a text or a file"),
    "/similar?track=a&text=b": (422, "no-question", "one source"),
    "/similar?track=Tone+3&k=0": (422, "parameter", "greater than or equal to 1"),
    "/similar?track=Tone+3&k=1e9": (422, "parameter", "1e9"),
    "/similar?track=Tone+3&filter=genre=tonse": (422, "filter-value", "tones"),
    "/similar?track=Tone+3&filter=gerne=tones": (422, "filter-key", "genre"),
    "/similar?track=Tone+3&embedder=muiscnn": (404, "unknown-name", "musicnn"),
    "/similar?track=Tone+3&embedder=panns": (404, "no-collection", "published: mfcc"),
    "/similar?track=Tone+3&embedder=antigravity:fly": (404, "no-collection", "published: mfcc"),
    "/similar?track=Tone+3&embedder=hub:a/b": (404, "no-collection", "published: mfcc"),
    "/similar?text=rain": (422, "no-text-side", "CLAP"),
    "/similar?track=Tone+3&correct=csls": (422, "no-crowd", "musicflow run"),
    "/recommend": (422, "query", "at least one track"),
    "/recommend?like=Tone+3&strategy=best": (422, "parameter", "average"),
    "/path?start=Tone+3&end=Tone+3": (422, "query", "two different tracks"),
    "/path?start=Tone+3": (422, "parameter", "end"),
    "/facets/gerne": (422, "filter-key", "genre"),
    "/facets/duration": (422, "no-facet", "number"),
    "/tracks/none": (404, "no-track", "none"),
    "/audio/none": (404, "no-track", "none"),
    "/comparison": (404, "no-comparison", "musicflow run"),
    "/nowhere": (404, "address", "/docs"),
}


@pytest.mark.parametrize("address", ERRORS)
def test_an_error_is_a_problem_with_a_code_and_advice(client: TestClient, address: str) -> None:
    status, code, words = ERRORS[address]
    response = client.get(address)
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert words in f"{problem['detail']} {problem['advice']}"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("song.exe", b"MZ" * 100, "no audio file"),
        ("song.mp3", b"", "is empty"),
        ("song.mp3", b"not music" * 1000, "song.mp3"),
        ("../../etc/passwd", b"root" * 100, "no audio file"),
    ],
)
def test_a_file_that_is_no_music_is_told_off(
    client: TestClient, name: str, content: bytes, words: str
) -> None:
    response = client.post("/similar", files={"file": (name, content)})
    assert response.status_code == 422
    assert words in response.json()["detail"]


OUTSIDE = ("../settings.toml", "../../etc/passwd", "/etc/passwd", "tones/../../secret.flac", "~")


@pytest.mark.parametrize("track_id", OUTSIDE)
@pytest.mark.parametrize("what", ["audio", "cover", "tracks"])
def test_no_address_leaves_the_library(client: TestClient, what: str, track_id: str) -> None:
    response = client.get(f"/{what}/{quote(track_id, safe='')}")
    assert (response.status_code, response.json()["code"]) == (404, "no-track")


TEXTS = ("\x00", "\ud7ff", "'; DROP TABLE", "%", "a" * 1000, "{{7*7}}", "<script>", "\u202e", "-1")


def test_hostile_requests_end_in_problems(client: TestClient) -> None:
    """200 of them: none is the server's fault, each says what is wrong."""
    names = ("track", "text", "embedder", "filter", "k", "strategy", "like", "steps")
    asked = [
        (path, {name: text} if name != "filter" else {"track": "Tone 3", name: text})
        for path in ("similar", "recommend", "path", "compare")
        for name in names
        for text in TEXTS[:7]
    ][:200]
    assert len(asked) == 200
    for path, query in asked:
        response = client.get(f"/{path}", params=query)
        assert 400 <= response.status_code < 500, (path, query, response.text)
        assert response.json()["code"]


# --- the description -----------------------------------------------------------------------------


def operations(home: Path) -> Iterator[APIOperation]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", api(Service(home)))
    return (found.ok() for found in schema.get_all_operations())


def test_answers_are_as_the_description_says(home: Path) -> None:
    """Requests are made up from the description, right ones and wrong ones."""
    checked = 0
    for operation in operations(home):

        @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            # No description can say which tracks and filters there are.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
        checked += 1
    assert checked > 12


def test_the_description_has_examples(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        for parameter in (p for one in operations.values() for p in one.get("parameters", ())):
            schema = parameter["schema"]
            kinds = {one.get("type") for one in schema.get("anyOf", [schema])}
            if kinds & {"string", "array"} and "enum" not in str(schema) and "{" not in path:
                assert schema.get("examples"), (path, parameter["name"])
    assert described["components"]["schemas"]["Answers"]["examples"]


def test_the_description_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for address in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert client.get(f"/static-offline-docs/{address}").status_code == 200


# --- the gate ------------------------------------------------------------------------------------


def behind(home: Path, token: str, **how: object) -> TestClient:
    return TestClient(Gate(api(Service(home)), token), **how)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8501", "[::1]:8501"])
def test_this_machine_may_ask(home: Path, host: str) -> None:
    assert behind(home, "").get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8501", ""])
def test_a_name_that_was_bound_to_this_machine_may_not(home: Path, host: str) -> None:
    response = behind(home, "").get("/health", headers={"host": host})
    assert (response.status_code, response.json()["code"]) == (421, "host")


def test_with_a_token_only_those_who_know_it_may_ask(home: Path) -> None:
    client = behind(home, "secret")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
        response = client.get("/health", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "token")
    assert client.get("/health", headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get("/health").status_code == 401
    assert client.get("/health", params={"token": "secret"}).status_code == 200
    assert client.cookies[COOKIE] == "secret"
    assert client.get("/health").status_code == 200


def test_pages_of_other_sites_may_ask_if_they_are_named(home: Path) -> None:
    site = "https://player.example"
    asks = {"origin": site, "access-control-request-method": "GET", "host": "localhost"}
    named = TestClient(gated(api(Service(home)), "secret", [site]), base_url="http://localhost")
    assert named.options("/health", headers=asks).status_code == 200
    allowed = named.get("/health", headers=asks | {"authorization": "Bearer secret"})
    assert allowed.headers["access-control-allow-origin"] == site
    assert named.get("/health", headers=asks).status_code == 401
    for origins, origin in (([site], "https://evil.example"), ([], site)):
        other = TestClient(gated(api(Service(home)), "", origins))
        said = other.get("/health", headers=asks | {"origin": origin})
        assert "access-control-allow-origin" not in said.headers


def test_a_body_that_is_too_large_or_of_no_length_is_not_read(home: Path) -> None:
    client = TestClient(Bounded(api(Service(home)), 1000))
    large = client.post("/similar", files={"file": ("song.mp3", b"x" * 2000)})
    assert (large.status_code, large.json()["code"]) == (413, "too-large")
    endless = client.post("/similar", content=iter([b"x"] * 10))
    assert (endless.status_code, endless.json()["code"]) == (411, "length")


def test_the_radio_of_the_docs_plays_over_the_real_service(app: str, tmp_path: Path) -> None:
    """A second program, in a process of its own, that knows the docs alone."""
    player, played = tmp_path / "player.py", tmp_path / "played"
    player.write_text(
        "import sys, urllib.request as u\n"
        f"with open({str(played)!r}, 'ab') as file:\n"
        "    file.write(u.urlopen(sys.argv[1]).read(4) + b' ')\n"
    )
    program = [sys.executable, str(Path(__file__).parents[2] / "docs" / "radio.py"), "Tone 3"]
    options = ["--songs", "4", "--api", f"{app}/api/v1", "--player", f"{sys.executable} {player}"]
    said = subprocess.run([*program, *options], capture_output=True, text=True, check=True).stdout
    assert len(set(said.splitlines())) == len(said.splitlines()) == 4
    assert played.read_bytes() == b"fLaC " * 4


def test_votes_are_told_alike_by_the_command_line_and_the_api(
    client: TestClient, home: Path
) -> None:
    service, pair = Service(home), ("mfcc", "musicnn-untrained")
    ballot = service.ballot(pair, ["genre=tones"])
    assert ballot is not None
    found = ballot.triplet
    ids = {found.query, found.first, found.second}
    assert len(ids) == 3
    assert all(one.startswith("tones/") for one in ids)
    service.vote(ballot, "mfcc")
    [standing] = answered(client, "/votes")
    assert [standing] == printed(home, "votes")
    assert (standing["better"], standing["wins"], standing["needed"]) == ("mfcc", 1, 7)


def test_clusters_are_told_alike_by_the_command_line_and_the_api(
    client: TestClient, home: Path
) -> None:
    found = answered(client, "/clusters", embedder="mfcc")
    assert found == printed(home, "clusters", "--embedder", "mfcc")
    assert sum(len(one["track_ids"]) for one in found["clusters"]) == 13
    assert (found["embedder"], found["source"]) == ("mfcc", "labels")
