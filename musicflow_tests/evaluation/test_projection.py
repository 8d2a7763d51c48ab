from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from musicflow.app.map import escaped, figure
from musicflow.evaluation import figures, projection
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


@pytest.mark.parametrize("most", [1000, 30])
def test_what_sounds_alike_lies_close(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also where only half of the tracks are laid out by t-SNE."""
    monkeypatch.setattr(projection, "MAX_TRACKS", most)
    points = projection.places(collection, tmp_path)
    assert points["placed"].sum() == max(60 - most, 0)
    plane = points[["x", "y"]].to_numpy()
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    genres = points["genre"].to_numpy()
    assert (genres[distances.argmin(axis=1)] == genres).mean() > 0.95


def test_a_map_is_computed_once_for_report_and_app(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / projection.FOLDER / "mfcc.parquet"
    path.parent.mkdir()
    path.write_bytes(b"of another version")
    first = projection.places(collection, tmp_path)
    written = path.stat().st_mtime_ns
    monkeypatch.setattr(projection, "tsne", None)
    pd.testing.assert_frame_equal(projection.places(collection, tmp_path), first)
    assert path.stat().st_mtime_ns == written
    kept = projection.load(tmp_path, ["mfcc", "not measured"])
    assert kept["embedder"].unique().tolist() == ["mfcc"]
    pd.testing.assert_frame_equal(kept[["track_id", "x", "y"]], first[["track_id", "x", "y"]])


def test_report_and_app_have_the_same_colours(collection: Collection, tmp_path: Path) -> None:
    points = projection.places(collection, tmp_path)
    drawn = {trace.name: trace.marker.color for trace in figure(points, None, []).data}
    colours = projection.colours(points["genre"])
    assert {escaped(genre): colour for genre, colour in colours.items()} == drawn
    page = figures.projection(points.assign(embedder="mfcc"))[".svg"].decode()
    assert all(colour in page for colour in colours.values())
    assert "&lt;b&gt;pop&lt;/b&gt;" in page


def test_ten_genres_have_a_colour_whatever_their_order() -> None:
    genres = pd.Series([f"g{n:02}" for n in range(12) for _ in range(2 if n < 2 else 3)])
    found = projection.colours(genres)
    assert list(found) == [f"g{n:02}" for n in range(2, 12)]
    assert projection.colours(genres[::-1]) == found


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
            return projection.places(collection, tmp_path).set_index("track_id")

    first = drawn("first", points[:61])
    monkeypatch.setattr(projection, "tsne", None)
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_smallest_libraries_have_a_map(count: int) -> None:
    plane = projection.tsne(np.eye(6, dtype=np.float32)[:count])
    assert plane.shape == (count, 2)
    assert np.isfinite(plane).all()


def test_the_same_tracks_have_the_same_places() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 8))
    np.testing.assert_array_equal(projection.tsne(vectors), projection.tsne(vectors))


def test_the_figure_shows_what_is_wanted_by_genre_and_a_path(
    collection: Collection, tmp_path: Path
) -> None:
    points = projection.places(collection, tmp_path)
    whole = figure(points, None, [])
    assert sorted(trace.name for trace in whole.data) == ["&lt;b&gt;pop&lt;/b&gt;", "jazz", "rock"]
    wanted = {"track 0", "track 1", "track 3"}
    some = figure(points, wanted, ["track 0", "track 3", "gone"])
    *genres, line = some.data
    assert {track_id for trace in genres for track_id in trace.customdata} == wanted
    assert len(line.x) == 2
