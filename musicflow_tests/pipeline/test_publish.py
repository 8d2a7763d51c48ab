"""Publication by difference: what is new, changed or gone is all that is written."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Collection, EmbeddedIndex, Manifest, Revision, TrackIndex
from musicflow.library import Track
from musicflow.pipeline import build_collection
from musicflow.store import Embedding, EmbeddingStore
from musicflow_tests.index.conftest import in_memory

DIM = 16
SPEC = EmbedderSpec(
    name="toy",
    version="1",
    sample_rate=8000,
    dim=DIM,
    window_s=1.0,
    hop_s=1.0,
    layer="all",
    pooling="mean",
    summary="made up",
    standardize=True,
)


class Watched:
    """An index that keeps what it was asked to write."""

    def __init__(self, index: TrackIndex) -> None:
        self.index = index
        self.written: list[str] | None = None
        self.gone: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.index, name)

    def update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        def kept(base: Collection) -> Revision | None:
            self.written, self.gone = None, []
            if (revision := revise(base)) is None:
                return None
            points = list(revision.points)
            self.written, self.gone = [p.track_id for p in points], list(revision.gone)
            return replace(revision, points=points)

        return self.index.update(name, kept)


@pytest.fixture
def index() -> Watched:
    return Watched(in_memory())


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store")


def tracks_in(store: EmbeddingStore, numbers: Sequence[int], **fields: object) -> list[Track]:
    """Made-up tracks, whose vectors are stored."""
    tracks = []
    rows = []
    for number in numbers:
        track = Track(f"t{number}", f"/t{number}", f"hash {number}", 1.0, 8000, ("Anna",))
        tracks.append(replace(track, **fields))  # type: ignore[arg-type]
        vector = 5 + np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
        rows.append(Embedding(f"hash {number}", vector, ("a", "b"), (0.7, 0.1), audio_s=1.5))
    store.add(SPEC, rows)
    return tracks


def published(tracks: Sequence[Track], store: EmbeddingStore, index: Watched) -> Manifest:
    return build_collection(tracks, SPEC, store, index)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_known", [True, False])
def test_only_what_differs_is_written(
    index: Watched, store: EmbeddingStore, is_known: bool
) -> None:
    tracks = tracks_in(store, range(100))
    whole = published(tracks, store, index)
    if not is_known:
        # As of a version that an earlier release published.
        [kept] = store.root.rglob("*.marks")
        kept.unlink()
    assert (whole.count, whole.changes) == (100, 0)
    tracks = [*tracks[2:], *tracks_in(store, [100])]
    tracks[0] = replace(tracks[0], artists=("Otto",))
    tracks[1] = replace(tracks[1], content_hash="hash 100")
    made = published(tracks, store, index)
    assert sorted(index.written or ()) == ["t100", "t2", "t3"]
    assert sorted(index.gone) == ["t0", "t1"]
    assert (made.count, made.changes) == (99, 5)
    assert made.is_like(whole), "points that stay keep what they were standardized with"
    with index.index.open("toy") as collection:
        assert collection.payload("t2")["artist"] == ["Otto"]
        np.testing.assert_allclose(*collection.vectors(["t3", "t100"]), atol=1e-6)
    assert index.index.rollback("toy").count == 100


def test_too_many_changes_since_the_last_whole_one_build_it_as_a_whole(
    index: Watched, store: EmbeddingStore
) -> None:
    tracks = tracks_in(store, range(100))
    before = published(tracks, store, index)
    changes = []
    for number in range(3):
        tracks += tracks_in(store, range(100 + 4 * number, 104 + 4 * number))
        changes.append(published(tracks, store, index).changes)
    assert changes == [4, 8, 0]
    after = index.index.manifest("toy")
    assert after is not None
    assert after.center != before.center


@pytest.mark.parametrize("change", ["layout", "quantization", "fields"])
def test_a_collection_that_was_built_otherwise_is_built_as_a_whole(
    index: Watched, store: EmbeddingStore, change: str
) -> None:
    tracks = tracks_in(store, range(20))
    made = published(tracks, store, index)
    if change == "layout":
        with index.index.open("toy") as collection:
            older = replace(made, layout=0, state="older")
            index.index.publish("toy", older, list(collection.scroll()))
    elif change == "quantization":
        index.index.quantization = "int8"
    else:
        tracks[0] = replace(tracks[0], extra={"bpm": 120.0})
    made = published(tracks, store, index)
    assert index.written is None
    assert (made.count, made.changes) == (20, 0)
    published([*tracks, *tracks_in(store, [20])], store, index)
    assert index.written == ["t20"]


def test_a_published_version_without_its_count_of_operations_is_updated_all_the_same(
    tmp_path: Path, store: EmbeddingStore
) -> None:
    """An embedded collection that was copied in part, say."""
    index = Watched(EmbeddedIndex(tmp_path / "index"))
    tracks = tracks_in(store, range(40))
    published(tracks, store, index)
    [file] = (tmp_path / "index").rglob("operations")
    file.unlink()
    published([replace(tracks[1], artists=("Otto",)), *tracks[2:]], store, index)
    assert (index.written, index.gone) == (["t1"], ["t0"])
    with index.index.open("toy") as collection:
        assert collection.count() == 39
        assert collection.payload("t1")["artist"] == ["Otto"]


def test_what_the_last_versions_were_published_of_is_kept(
    index: Watched, store: EmbeddingStore
) -> None:
    states = []
    for count in range(20, 26):
        states.append(published(tracks_in(store, range(count)), store, index).state)
    kept = [store.published(SPEC, state) for state in states]
    assert kept[:2] == [None, None]
    assert [len(marks or ()) for marks in kept[2:]] == [22, 23, 24, 25]
