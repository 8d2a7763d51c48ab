from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from musicflow.app import projection
from musicflow.app.map import figure
from musicflow.index import Collection, EmbeddedIndex, Manifest, Point
from musicflow.index.fields import payload_of
from musicflow.library import Track


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Three genres, each round a direction of its own; one is named like markup."""
    random = np.random.default_rng(0)
    index = EmbeddedIndex(tmp_path / "collections")
    points = []
    for number in range(60):
        vector = np.eye(8)[number % 3] + 0.1 * random.standard_normal(8)
        genre = ("jazz", "rock", "<b>pop</b>")[number % 3]
        track = Track(f"track {number}", f"/{number}.mp3", "", 60.0, 44_100, genre=genre)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        points.append(Point(track.track_id, unit, payload_of(track)))
    index.publish("mfcc", Manifest("mfcc", "spec", 8, "state"), points)
    return index.open("mfcc")


@pytest.mark.parametrize("few", [3000, 10])
def test_what_sounds_alike_lies_close(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(projection, "FEW", few)
    points = projection.places(collection, tmp_path / "map")
    plane = points[["x", "y"]].to_numpy()
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    genres = points["genre"].to_numpy()
    assert (genres[distances.argmin(axis=1)] == genres).mean() > 0.95


def test_places_are_kept_until_the_collection_changes(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "map"
    stale = folder / "mfcc" / "before.parquet"
    stale.parent.mkdir(parents=True)
    stale.touch()
    first = projection.places(collection, folder)
    assert [path.name for path in folder.glob("*/*")] == ["state.parquet"]
    monkeypatch.setattr(projection, "flatten", None)
    pd.testing.assert_frame_equal(projection.places(collection, folder), first)


def test_new_tracks_are_placed_in_the_picture_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One track goes, one comes: it lies among its like, and the others stay where they are."""
    random = np.random.default_rng(0)
    index, points = EmbeddedIndex(tmp_path / "collections"), []
    for number in range(62):
        vector = np.eye(8)[number % 3] + 0.1 * random.standard_normal(8)
        track = Track(f"{number:02}", f"/{number}.mp3", f"hash {number}", 60.0, 44_100)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        points.append(Point(track.track_id, unit, payload_of(track)))

    def drawn(state: str, some: list[Point]) -> pd.DataFrame:
        index.publish("mfcc", Manifest("mfcc", "spec", 8, state), some)
        with index.open("mfcc") as collection:
            return projection.places(collection, tmp_path / "map").set_index("track_id")

    first = drawn("first", points[:61])
    monkeypatch.setattr(projection, "flatten", None)
    second = drawn("second", points[1:])
    stayed = [f"{number:02}" for number in range(1, 61)]
    pd.testing.assert_frame_equal(second.loc[stayed], first.loc[stayed])
    assert second.index.tolist() == [*stayed, "61"]
    assert second.loc["61", "placed"]
    like = second.loc[[f"{number:02}" for number in range(1, 61, 3)], ["x", "y"]]
    assert (second.loc["61", ["x", "y"]].to_numpy() >= like.min().to_numpy()).all()
    assert (second.loc["61", ["x", "y"]].to_numpy() <= like.max().to_numpy()).all()
    # Of many changes, all is laid out anew.
    with pytest.raises(TypeError):
        drawn("third", points[:50])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_the_smallest_libraries_have_a_map(count: int) -> None:
    vectors = np.eye(6, dtype=np.float32)[:count]
    plane = projection.flatten(vectors)
    assert plane.shape == (count, 2)
    assert np.isfinite(plane).all()


def test_the_same_tracks_have_the_same_places() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 8))
    np.testing.assert_array_equal(projection.flatten(vectors), projection.flatten(vectors))


def test_the_figure_shows_what_is_wanted_by_genre_and_a_path(
    collection: Collection, tmp_path: Path
) -> None:
    points = projection.places(collection, tmp_path / "map")
    whole = figure(points, None, [])
    assert sorted(trace.name for trace in whole.data) == ["&lt;b&gt;pop&lt;/b&gt;", "jazz", "rock"]
    wanted = {"track 0", "track 1", "track 3"}
    some = figure(points, wanted, ["track 0", "track 3", "gone"])
    *genres, line = some.data
    assert {track_id for trace in genres for track_id in trace.customdata} == wanted
    assert len(line.x) == 2
