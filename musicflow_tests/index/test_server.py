"""The server engine's own: aliases, leftovers, and homes that share a server."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from musicflow.index import NoCollectionError, Point, TrackIndexError, VectorError
from musicflow.index.connection import Server
from musicflow.index.owner import Owner
from musicflow.index.server import Layout, ServerIndex
from musicflow.library import Library, Track
from musicflow.settings import Home, Settings
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
    index = ServerIndex(Server(client))
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


class Mortal(Server):
    """A connection whose process ends before a call that a test chooses."""

    def __init__(self, client: QdrantClient, calls: int) -> None:
        super().__init__(client)
        self._left = calls

    def __call__(self, ask: Callable[[QdrantClient], Any]) -> Any:
        self._live()
        return super().__call__(ask)

    def at_once(self, ask: Callable[[QdrantClient], Any]) -> Any:
        self._live()
        return super().at_once(ask)

    def _live(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1


def test_a_writer_killed_at_any_step_of_an_update_loses_nothing(client: QdrantClient) -> None:
    first = points(vectors(60))
    held = {point.track_id: point for point in first}
    index = ServerIndex(Server(client))
    index.publish("toy", MANIFEST, first)
    for number in range(3):
        update(index, "toy", held, *round_of(number))
    wanted, killed = dict(held), 0
    for calls in itertools.count():
        try:
            update(ServerIndex(Mortal(client, calls)), "toy", wanted, *round_of(3))
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
    index = ServerIndex(Server(client))
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
    ServerIndex(Server(client)).publish("toy", MANIFEST, points(vectors(3)))
    assert collections(client) >= {young, other}
    assert old not in collections(client)


def home_at(root: Path, tracks: int = 0, namespace: str | None = None) -> Owner:
    """A home, with tracks named as those of `points` in its library."""
    home = Home(root)
    if tracks:
        made = tuple(
            Track(f"t{i}", f"/music/t{i}.wav", f"h{i}", 1.0, 22_050) for i in range(tracks)
        )
        Library("music", "/music", "folders", made, ()).save(home.library)
    return Owner.of(Settings(home=root, qdrant_namespace=namespace))


def leave_half(client: QdrantClient, owner: Owner, name: str) -> None:
    """Leave what a writer leaves that is killed."""
    made = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-00000000"
    client.create_collection(f"{owner.namespace}.{name}.{made}", {}, metadata=owner.mark)


def test_a_half_version_is_cleared_by_the_next_run_whatever_it_publishes(
    client: QdrantClient, tmp_path: Path
) -> None:
    mine, other = home_at(tmp_path / "a"), home_at(tmp_path / "b")
    for whose, name in ((mine, "toy"), (mine, "gone"), (mine, "busy"), (other, "toy")):
        leave_half(client, whose, name)
    assert len(collections(client)) == 4
    with mine.alone("busy"):
        ServerIndex(Server(client), mine).publish("toy", MANIFEST, points(vectors(3)))
    left = {name.rpartition(".")[0] for name in collections(client)}
    assert left == {
        f"{mine.namespace}.toy",  # the new version
        f"{mine.namespace}.busy",  # another writer of this home has its lock
        f"{other.namespace}.toy",  # another home's
    }


def test_two_homes_on_one_server_never_meet(client: QdrantClient, tmp_path: Path) -> None:
    homes = [ServerIndex(Server(client), home_at(tmp_path / name)) for name in "ab"]
    for count, index in enumerate(homes, 3):
        index.publish("toy", MANIFEST, points(vectors(count)))
        index.publish("toy", MANIFEST, points(vectors(count + 10)))
    for count, index in enumerate(homes, 3):
        assert index.names() == ["toy"]
        assert index.rollback("toy").count == count
        with index.open("toy") as collection:
            assert collection.count() == count
    assert ServerIndex(Server(client), home_at(tmp_path / "c")).names() == []


def test_a_collection_of_another_home_is_not_touched_and_the_sentence_says_whose_it_is(
    client: QdrantClient, tmp_path: Path
) -> None:
    first, second, reader = (
        ServerIndex(Server(client), home_at(tmp_path / name, tracks, namespace="jazz"))
        for name, tracks in (("a", 5), ("b", 5), ("searches only", 0))
    )
    first.publish("toy", MANIFEST, points(vectors(3)))
    first.publish("toy", MANIFEST, points(vectors(4)))
    before = collections(client)
    for forbidden in (
        lambda: second.publish("toy", MANIFEST, points(vectors(5))),
        lambda: second.rollback("toy"),
        lambda: second.open("toy"),
    ):
        with pytest.raises(TrackIndexError, match=r"'toy' .*'jazz' .* home .*/a on ") as error:
            forbidden()
        assert error.value.code == "foreign"
    assert collections(client) == before
    # A home without music of its own is there to search in others'.
    with reader.open("toy") as collection:
        assert collection.count() == 4


@pytest.mark.parametrize("namespace", [None, "musicflow"])
def test_collections_from_before_are_adopted_once_by_the_home_that_has_their_tracks(
    client: QdrantClient, tmp_path: Path, namespace: str | None
) -> None:
    former = ServerIndex(Server(client))
    for count in (3, 4):
        former.publish("toy", MANIFEST, points(vectors(count)))

    stranger = ServerIndex(Server(client), home_at(tmp_path / "stranger", namespace=namespace))
    if namespace is None:
        assert stranger.names() == []
    else:
        with pytest.raises(TrackIndexError, match="names no home, and holds none of the tracks"):
            stranger.publish("toy", MANIFEST, points(vectors(5)))

    home = ServerIndex(Server(client), home_at(tmp_path / "home", 4, namespace))
    assert home.names() == ["toy"]
    assert home.rollback("toy").count == 3
    assert home.rollback("toy").count == 4
    for count in (5, 6, 7):
        home.publish("toy", MANIFEST, points(vectors(count)))
    assert len(collections(client)) == 3

    twin = ServerIndex(Server(client), home_at(tmp_path / "twin", 4, namespace))
    if namespace is None:
        assert twin.names() == []
    with pytest.raises((NoCollectionError, TrackIndexError)):
        twin.rollback("toy")


def test_a_key_that_only_reads_cannot_adopt_and_the_sentence_says_what_to_do(
    client: QdrantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ServerIndex(Server(client)).publish("toy", MANIFEST, points(vectors(3)))

    def forbidden(*_: object, **__: object) -> bool:
        raise UnexpectedResponse(403, "Forbidden", b"{}", None)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "update_collection", forbidden)
    home = ServerIndex(Server(client), home_at(tmp_path, 3))
    for _ in range(2):
        with pytest.raises(TrackIndexError, match="`musicflow index list` once with a key that"):
            home.names()


def test_the_settings_of_a_cluster_reach_the_server(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    create = client.create_collection

    def spy(name: str, vectors: models.VectorParams, **how: object) -> bool:
        asked.update(how, on_disk=vectors.on_disk)
        return create(name, vectors)

    monkeypatch.setattr(client, "create_collection", spy)
    layout = Layout(replication_factor=2, shard_number=3, write_consistency_factor=2, on_disk=True)
    index = ServerIndex(Server(client), layout=layout)
    index.publish("toy", MANIFEST, points(vectors(3)))
    assert (
        asked.items()
        >= {
            "replication_factor": 2,
            "shard_number": 3,
            "write_consistency_factor": 2,
            "on_disk": True,
        }.items()
    )


@pytest.mark.parametrize(("wait_s", "looks"), [(3600.0, 3), (0.0, 0)])
def test_a_version_is_switched_in_when_its_index_is_complete(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch, wait_s: float, looks: int
) -> None:
    statuses = iter(["yellow", "grey", "green"])
    seen: list[list[str]] = []
    get, index = (
        client.get_collection,
        ServerIndex(Server(client), layout=Layout(index_wait_s=wait_s)),
    )

    def slowly(name: str) -> models.CollectionInfo:
        seen.append(list(index.names()))
        status = models.CollectionStatus(next(statuses))
        return get(name).model_copy(update={"status": status})

    monkeypatch.setattr(client, "get_collection", slowly)
    index.publish("toy", MANIFEST, points(vectors(3)))
    assert seen == [[]] * looks


def test_a_collection_moves_to_a_server_without_embedding_again(
    client: QdrantClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from musicflow.index import EmbeddedIndex

    source, target = EmbeddedIndex(tmp_path_factory.mktemp("index")), ServerIndex(Server(client))
    source.publish("toy", MANIFEST, points(vectors(300)))
    with source.open("toy") as collection:
        target.publish("toy", collection.manifest, collection.scroll())
        expected = collection.query(vectors(5, seed=3), 10)
    with target.open("toy") as copy:
        assert copy.manifest == collection.manifest
        for hits, same in zip(copy.query(vectors(5, seed=3), 10), expected, strict=True):
            assert [hit.track_id for hit in hits] == [hit.track_id for hit in same]
