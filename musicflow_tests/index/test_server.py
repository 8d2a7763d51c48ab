"""The server engine's own: aliases, leftovers, and a server that is away, busy or refuses."""

import http.server
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from qdrant_client import QdrantClient

from musicflow.index import Point, TrackIndexError, VectorError
from musicflow.index.server import ServerIndex
from musicflow_tests.index.conftest import (
    MANIFEST,
    Held,
    assert_holds,
    points,
    round_of,
    update,
    vectors,
)


@pytest.fixture
def client() -> QdrantClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return QdrantClient(":memory:")


def collections(client: QdrantClient) -> set[str]:
    return {one.name for one in client.get_collections().collections}


def test_only_the_last_two_publications_and_a_spare_one_are_kept(client: QdrantClient) -> None:
    index = ServerIndex(client)
    client.create_collection("someone else's", vectors_config={})
    for count in range(2, 7):
        index.publish("toy", MANIFEST, points(vectors(count)))
    index.publish("toy-mel256", MANIFEST, points(vectors(2)))
    assert len(collections(client)) == 3 + 1 + 1
    assert index.names() == ["toy", "toy-mel256"]
    index.publish("toy", replace(MANIFEST, spread=0.5), points(vectors(7)))
    assert len(collections(client)) == 2 + 1 + 1, "the spare one is of another build"


class Killed(BaseException):
    """The end of a process, at a moment that a test chooses."""


def killed_after(calls: int, index: ServerIndex) -> ServerIndex:
    server = index._server
    left = iter(range(calls))

    def ask(question: Callable[[QdrantClient], object]) -> object:
        if next(left, None) is None:
            raise Killed
        return server(question)

    index._server = ask  # type: ignore[assignment]
    return index


def test_a_writer_killed_at_any_step_of_an_update_loses_nothing(client: QdrantClient) -> None:
    first = points(vectors(60))
    held = {point.track_id: point for point in first}
    index = ServerIndex(client)
    index.publish("toy", MANIFEST, first)
    for number in range(3):
        update(index, "toy", held, *round_of(number))
    wanted, killed = dict(held), 0
    for calls in itertools.count():
        try:
            update(killed_after(calls, ServerIndex(client)), "toy", wanted, *round_of(3))
            break
        except Killed:
            killed += 1
            assert_holds_either(index, held, wanted)
            index.rollback("toy")
            index.rollback("toy")
            wanted = dict(held)
    assert killed > 10
    with index.open("toy") as collection:
        assert_holds(collection, wanted)


def assert_holds_either(index: ServerIndex, held: Held, wanted: Held) -> None:
    with index.open("toy") as collection:
        new = "t14" not in {payload["track_id"] for payload in collection.payloads()}
        assert_holds(collection, wanted if new else held)


def test_a_failed_publication_leaves_nothing_behind(client: QdrantClient) -> None:
    index = ServerIndex(client)
    index.publish("toy", MANIFEST, points(vectors(3)))
    before = collections(client)
    with pytest.raises(VectorError):
        index.publish("toy", MANIFEST, [*points(vectors(3)), Point("x", 2 * vectors(1)[0], {})])
    assert collections(client) == before


def test_what_a_killed_writer_left_is_cleared_but_not_what_another_builds(
    client: QdrantClient,
) -> None:
    old, young = "musicflow.toy.20200101T000000-00000000", "musicflow.toy.29990101T000000-00000000"
    other = "musicflow.toy-mel256.20200101T000000-00000000"
    for name in (old, young, other):
        client.create_collection(name, vectors_config={})
    ServerIndex(client).publish("toy", MANIFEST, points(vectors(3)))
    assert collections(client) >= {young, other}
    assert old not in collections(client)


def test_a_collection_moves_to_a_server_without_embedding_again(
    client: QdrantClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from musicflow.index import EmbeddedIndex

    source, target = EmbeddedIndex(tmp_path_factory.mktemp("index")), ServerIndex(client)
    source.publish("toy", MANIFEST, points(vectors(300)))
    with source.open("toy") as collection:
        target.publish("toy", collection.manifest, collection.scroll())
        expected = collection.query(vectors(5, seed=3), 10)
    with target.open("toy") as copy:
        assert copy.manifest == collection.manifest
        for hits, same in zip(copy.query(vectors(5, seed=3), 10), expected, strict=True):
            assert [hit.track_id for hit in hits] == [hit.track_id for hit in same]


@contextmanager
def answering(answer: Callable[[int], tuple[int, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that gives the n-th request the n-th answer; and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("api-key", ""))
            status, body = answer(len(asked))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


NO_ALIASES = b'{"result": {"aliases": []}, "status": "ok", "time": 0}'


def over_http(address: str, key: str | None = None) -> ServerIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = QdrantClient(url=address, api_key=key, check_compatibility=False)
    return ServerIndex(client, address)


def test_a_busy_server_is_asked_again() -> None:
    with answering(lambda n: (503, b"busy") if n < 3 else (200, NO_ALIASES)) as (address, asked):
        assert over_http(address).names() == []
        assert len(asked) == 3


def test_a_refused_key_is_not_tried_again_and_says_so() -> None:
    with answering(lambda _: (403, b"forbidden")) as (address, asked):
        with pytest.raises(TrackIndexError, match="MUSICFLOW_QDRANT_API_KEY"):
            over_http(address, "wrong").names()
        assert asked == ["wrong"]


@pytest.mark.slow
def test_a_server_that_is_away_is_named_with_what_to_do() -> None:
    with pytest.raises(TrackIndexError, match=r"127\.0\.0\.1:9.*does not answer.*QDRANT_URL"):
        over_http("http://127.0.0.1:9").names()
    with pytest.raises(TrackIndexError, match=r"127\.0\.0\.1:9.*does not answer.*QDRANT_URL"):
        ServerIndex.connect("http://127.0.0.1:9", timeout_s=2).names()
