"""A tuned space in a home: learned when it must be, published, and measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow import embedders
from musicflow.embedders.spec import EmbedderSpec
from musicflow.evaluation import compare, report
from musicflow.evaluation.report import tuned_sections
from musicflow.evaluation.verdict import of_tuned, verdict
from musicflow.index import TrackIndex, VectorError, normalize, tuned
from musicflow.index.fused import Fusions
from musicflow.library import UNKNOWN, Library, Track
from musicflow.pipeline import build_collection
from musicflow.pipeline import tune as pipeline
from musicflow.pipeline.tune import JoinedStore, Wanted, is_current, tune, wanted
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore
from musicflow.tuning import TuningError
from musicflow_tests.index.conftest import in_memory

DIM = 12


def spec(name: str, *, standardize: bool) -> EmbedderSpec:
    made_up = (name, "1", 8000, DIM, 1.0, 1.0, "all", "made up")
    return EmbedderSpec(*made_up, standardize=standardize)


ONE, OTHER = spec("one", standardize=False), spec("other", standardize=True)
WANTED = Wanted((ONE, OTHER), "genre")


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store")


@pytest.fixture
def index() -> TrackIndex:
    return in_memory()


def tracks_in(store: EmbeddingStore, numbers: Sequence[int]) -> list[Track]:
    """Tracks of two genres that one dimension tells apart, with their vectors stored."""
    found: list[Track] = []
    rows: dict[str, list[Embedding]] = {"one": [], "other": []}
    for n in numbers:
        genre = "ab"[n % 2]
        found.append(Track(f"t{n:03}", f"/t{n}", f"hash {n}", 100.0, 8000, genre=genre))
        for own in (ONE, OTHER):
            random = np.random.default_rng([n, len(own.name)])
            vector = random.standard_normal(DIM).astype(np.float32)
            vector[3] = (1.0 if genre == "a" else -1.0) + 0.2 * vector[3]
            tags = ("loud",) if own is OTHER else ()
            rows[own.name].append(Embedding(f"hash {n}", vector, tags, (0.5,) * len(tags)))
    store.add(ONE, rows["one"])
    store.add(OTHER, rows["other"])
    return found


def test_a_space_is_published_like_an_embedders_and_takes_new_songs(
    store: EmbeddingStore, index: TrackIndex
) -> None:
    tracks = tracks_in(store, range(60))
    manifest = tune(WANTED, tracks, store, index, Settings())
    assert manifest.embedder == "tuned:one+other@genre"
    assert (manifest.count, manifest.dim) == (60, 2 * DIM + 1)
    assert is_current(WANTED, tracks, store, index, Settings())
    rows = JoinedStore(store, WANTED.specs).read(None)
    with Fusions(index, {}).open(manifest.embedder) as collection:
        song = rows["hash 7"].vector
        assert song is not None
        placed = collection.normalize(song[None])
        np.testing.assert_allclose(placed, collection.vectors(["t007"]), atol=1e-6)
        [hits] = collection.query(placed, 10)
        assert {hit.payload["genre"][0] for hit in hits} == {"b"}
        assert hits[0].payload["tags"] == ["loud"]
    # One more song is projected, and nothing learned.
    more = [*tracks, *tracks_in(store, [60])]
    assert not is_current(WANTED, more, store, index, Settings())
    made = tune(WANTED, more, store, index, Settings())
    assert (made.count, made.spec_hash, made.changes) == (61, manifest.spec_hash, 1)
    assert index.rollback(manifest.embedder).count == 60


@pytest.mark.parametrize("change", ["label", "many", "vectors"])
def test_a_space_is_learned_anew_when_what_it_was_learned_from_changed(
    store: EmbeddingStore, index: TrackIndex, change: str
) -> None:
    tracks, one = tracks_in(store, range(60)), WANTED
    before = tune(one, tracks, store, index, Settings())
    if change == "label":
        tracks[5] = replace(tracks[5], genre="a")
    elif change == "many":
        tracks += tracks_in(store, range(60, 68))
    else:
        one = Wanted((replace(ONE, version="2"), OTHER), "genre")
        store.add(one.specs[0], store.read(ONE).values())
    assert not is_current(one, tracks, store, index, Settings())
    after = tune(one, tracks, store, index, Settings())
    assert tuned.identity_of(after.spec_hash) != tuned.identity_of(before.spec_hash)
    assert is_current(one, tracks, store, index, Settings())


def test_the_same_labels_and_vectors_give_the_same_space(
    store: EmbeddingStore, index: TrackIndex
) -> None:
    tracks = tracks_in(store, range(40))
    one = tune(WANTED, tracks, store, index, Settings())
    again = tune(WANTED, tracks[::-1], store, in_memory(), Settings())
    assert again.spec_hash == one.spec_hash


def test_a_projection_keeps_what_a_vector_of_no_use_is_refused_for(
    store: EmbeddingStore, index: TrackIndex
) -> None:
    manifest = tune(WANTED, tracks_in(store, range(40)), store, index, Settings())
    for bad in (np.zeros((1, DIM)), np.full((1, 2 * DIM), np.nan)):
        with pytest.raises(VectorError):
            normalize(bad, manifest)


def test_a_space_is_a_row_of_the_comparison_and_leaves_the_others_as_they_are(
    store: EmbeddingStore, index: TrackIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, specs, settings = tracks_in(store, range(60)), WANTED.specs, Settings()
    monkeypatch.setattr(pipeline, "all_wanted", lambda _settings: [WANTED])
    for spec in specs:
        build_collection(tracks, spec, store, index)
    library = Library("made up", "", "auto", tuple(tracks), ())
    before = compare(library, specs, store, index)
    given = library, specs, store, index, settings
    assert pipeline.with_tuned(before, *given) is before, "nothing is published"
    manifest = tune(WANTED, tracks, store, index, settings)
    found = pipeline.with_tuned(before, *given)
    assert pipeline.with_tuned(found, *given) is found, "it is measured once"
    row = found.rows[-2]
    assert found.rows == (*before.rows[:-1], row, before.rows[-1])
    assert (row.kind, row.embedder, row.dim) == ("tuned", manifest.embedder, manifest.dim)
    assert row.spec_hash == manifest.spec_hash
    own = row.tuned.known.scores[row.embedder].value
    assert row.scores["precision_at_10"].value == pytest.approx(own)
    assert row.tuned.known.is_surely_won_by(row.embedder)
    assert of_tuned(row) in verdict(found)
    assert "surely better" in of_tuned(row)
    assert not found.is_of(before)
    sections = {section.title for section in tuned_sections(row)}
    assert sections <= {section.title for section in report.sections(found)}


def test_too_few_labels_make_no_space(store: EmbeddingStore, index: TrackIndex) -> None:
    with pytest.raises(TuningError) as refused:
        tune(WANTED, tracks_in(store, range(10)), store, index, Settings())
    assert refused.value.code == "few-labels"
    assert index.names() == []
    tracks = tracks_in(store, range(60))
    tune(WANTED, tracks, store, index, Settings())
    unlabelled = [replace(track, genre=UNKNOWN) for track in tracks]
    assert not is_current(WANTED, unlabelled, store, index, Settings())


def test_a_name_tells_embedders_and_label(tmp_path: Path) -> None:
    found = wanted(Settings(), f"musicnn+mfcc@{tmp_path / 'moods.csv'}")
    assert found.name == "tuned:musicnn+mfcc@moods"
    assert wanted(Settings(), found.text) == found
    with pytest.raises(TuningError) as refused:
        wanted(Settings(), "musicnn@mood")
    assert refused.value.code == "unknown-label"
    with pytest.raises(embedders.EmbedderError):
        wanted(Settings(), "nobody@genre")
