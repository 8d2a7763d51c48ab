"""Tags of one's own: predicted at publication by an embedder with a text side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow import embedders
from musicflow.embedders import Embedder, EmbedderEntry, EmbedderError, EmbedderSpec, Inferred
from musicflow.evaluation.report import markdown
from musicflow.index import open_index
from musicflow.pipeline import embed_for, plan_of, publish_for
from musicflow.pipeline.evaluate import MEASURED, evaluate_library
from musicflow.pipeline.words import predict, tags_for, vectors_of_texts
from musicflow.search.query import filters_for
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore

ADDRESS = f"{__name__}:ENTRY"
SPEC = EmbedderSpec("loudness", "1", 8000, 2, 1.0, 1.0, "none", "", text=True)
WORDS = {"steady": (1.0, 0.1), "rough": (0.1, 1.0), "loud": (1.0, 1.0)}
GENRES = {"tones": (1.0, 0.1), "noises": (0.1, 1.0)}
loads: list[str] = []


class Loudness(Embedder):
    """How like a tone a window is, and how like noise; it tags all as its own."""

    tag_names = ("own",)

    def infer(self, windows: np.ndarray) -> Inferred:
        powers = np.abs(np.fft.rfft(windows)) ** 2
        peak = powers.max(axis=1) / powers.sum(axis=1)
        vectors = np.stack([peak, 1 - peak], axis=1).astype(np.float32)
        return Inferred(vectors, np.ones((len(windows), 1), np.float32))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([(WORDS | GENRES)[text] for text in texts])


def load(spec: EmbedderSpec, _: Path) -> Embedder:
    loads.append(spec.label)
    return Loudness(spec)


ENTRY = EmbedderEntry(SPEC, load)


@pytest.fixture
def settings(music: Path, tmp_path: Path) -> Settings:
    loads.clear()
    return Settings(home=tmp_path / "home", library=music, embedders=(ADDRESS,))


def with_tags(settings: Settings, *tags: str) -> Settings:
    return settings.model_copy(update={"tags": tags})


def publish(settings: Settings) -> dict[str, dict[str, Any]]:
    """Embed and publish; return all payloads by track."""
    tracks = plan_of(settings).library.tracks
    store, index = EmbeddingStore(settings.paths.embeddings), open_index(settings)
    spec = embedders.spec_of(ADDRESS)
    embed_for(settings, tracks, spec, store)
    publish_for(settings, tracks, spec, store, index)
    with index.open(spec.label) as collection:
        return {one["track_id"]: one for one in collection.payloads()}


def test_tags_are_those_whose_words_suit_a_track_more_than_the_mean(settings: Settings) -> None:
    found = publish(with_tags(settings, *WORDS))
    assert all("steady" in found[name]["tags"] for name in found if name.startswith("tones"))
    assert all("rough" in found[name]["tags"] for name in found if name.startswith("noises"))
    store = EmbeddingStore(settings.paths.embeddings)
    tracks = plan_of(settings).library.tracks
    rows = store.read(SPEC)
    for word, vector in WORDS.items():
        cosines = {}
        for track in tracks:
            own = rows[track.content_hash].vector
            lengths = np.linalg.norm(own) * np.linalg.norm(vector)
            cosines[track.track_id] = float(own @ np.array(vector) / lengths)
        mean = sum(cosines.values()) / len(cosines)
        deviation = (sum((x - mean) ** 2 for x in cosines.values()) / len(cosines)) ** 0.5
        for name, cosine in cosines.items():
            said = dict(zip(found[name]["tags"], found[name]["tag_scores"], strict=True))
            assert said.get(word, 0) == pytest.approx(max(0, (cosine - mean) / deviation), abs=1e-2)
    asked = with_tags(settings, *WORDS)
    with open_index(asked).open("loudness") as collection:
        assert collection.count(filters_for(collection, ["tag=ROUGH"])) == 6
        assert collection.count(filters_for(collection, ["tag!=rough"])) == 6


def test_other_tags_are_published_again_and_nothing_is_embedded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {tuple(payload["tags"]) for payload in publish(settings).values()} == {("own",)}
    asked = with_tags(settings, "steady", "rough")
    assert [step.kind for step in plan_of(asked).steps] == ["publish", "evaluate"]
    found = publish(asked)
    assert [step.kind for step in plan_of(asked).steps] == ["evaluate"]
    assert loads == ["loudness"] * 2, "once for the audio, once for the words"
    store = EmbeddingStore(settings.paths.embeddings)
    assert vectors_of_texts(["rough"], SPEC, store, settings.cache)["rough"][1] == 1
    assert len(loads) == 2, "known words load no model"
    monkeypatch.setattr(Loudness, "text", lambda *_: np.zeros((1, 3)))
    with pytest.raises(EmbedderError, match="for texts instead of"):
        publish(with_tags(settings, "loud"))
    with open_index(asked).open("loudness") as collection:
        assert {one["track_id"]: one for one in collection.payloads()} == found


def test_without_a_text_side_an_embedder_keeps_its_own_tags(settings: Settings) -> None:
    asked = with_tags(settings, "steady")
    assert tags_for(SPEC, asked) == ("steady",)
    assert tags_for(replace(SPEC, text=False), asked) == ()


def test_a_comparison_says_how_well_names_of_genres_find_their_tracks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings)
    library, specs = plan_of(settings).library, [embedders.spec_of(ADDRESS)]
    given = EmbeddingStore(settings.paths.embeddings), open_index(settings), settings

    def told() -> tuple[dict[str, float | None], list[str], str]:
        found = evaluate_library(library, specs, *given)
        values = {row.embedder: row.value("words_genre_recall_at_5") for row in found.rows}
        return values, [problem.reason for problem in found.problems], markdown(found)

    with monkeypatch.context() as broken:
        broken.setattr(Loudness, "text", lambda *_: np.zeros((1, 3)))
        values, [reason], report = told()
    assert values == {"loudness": None, "random": None}
    assert "its text side was not measured: loudness returned vectors of shape" in reason
    assert "Words as queries" not in report
    (settings.paths.reports / MEASURED).unlink()
    values, reasons, report = told()
    assert values == {"loudness": pytest.approx(5 / 6), "random": pytest.approx(5 / 12)}
    assert reasons == []
    assert "## Words as queries" in report
    assert "genres, R@5: 2 queries; at best 0.833" in report


def test_words_that_tell_no_tracks_apart_are_no_tags() -> None:
    assert predict(["a"], np.zeros((0, 1))) == []
    assert predict(["a"], np.array([[0.3]])) == [((), ())]
    alike = np.array([[0.5, 0.1], [0.5 + 1e-8, 0.3]])
    assert predict(["a", "b"], alike) == [((), ()), (("b",), (1.0,))]


@pytest.mark.parametrize("tags", [("",), ("calm", " ")])
def test_an_empty_tag_is_an_error_of_the_settings(tags: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a tag is empty"):
        Settings(tags=tags)
    assert Settings(tags=(" calm  sea", "calm sea")).tags == ("calm sea",)


def test_the_worker_reads_the_words(music: Path, tmp_path: Path) -> None:
    assert music.is_dir()
    spec = embedders.spec_of(ADDRESS)
    store = EmbeddingStore(tmp_path / "store")
    found = vectors_of_texts(["rough", "steady", "rough"], spec, store, tmp_path)
    np.testing.assert_allclose(np.stack([found["rough"], found["steady"]])[:, 1], [1.0, 0.1])
