"""Every layer in one pass: each kept as an embedder of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow import embedders
from musicflow.embedders import Embedder, EmbedderEntry, EmbedderSpec, Inferred, Layers, layers_of
from musicflow.errors import MusicflowError
from musicflow.pipeline.layers import LayerStore, sweep_layers
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore
from musicflow_tests.conftest import noise, tone

ADDRESS = f"{__name__}:ENTRY"
SPEC = EmbedderSpec("loudness", "1", 8000, 2, 0.5, 0.5, "tens", "")


class Loudness(Embedder):
    """The loudness of a window's bands, with a tag."""

    tag_names = ("loud",)

    def infer(self, windows: np.ndarray) -> Inferred:
        vectors, tags = self.layers(windows)
        return Inferred(vectors[self.spec.layer], tags)

    def layers(self, windows: np.ndarray) -> Layers:
        bands = np.abs(np.fft.rfft(windows))[:, 1:]
        tens = np.stack([part.sum(axis=1) for part in np.array_split(bands, 10, axis=1)], axis=1)
        halves = np.stack([tens[:, :5].sum(axis=1), tens[:, 5:].sum(axis=1)], axis=1)
        return Layers(
            {"tens": tens.astype(np.float32), "halves": halves.astype(np.float32)},
            np.ones((len(windows), 1), np.float32),
        )


ENTRY = EmbedderEntry(
    replace(SPEC, layer="halves"), lambda spec, _: Loudness(spec), layers={"tens": 10, "halves": 2}
)


@pytest.fixture
def settings(music: Path, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", library=music)


def test_one_pass_keeps_every_layer_as_a_pass_of_its_own_would(settings: Settings) -> None:
    spec = embedders.spec_of(ADDRESS)
    found = sweep_layers(spec, settings)
    assert [(layer.name, layer.dim) for layer in found.layers] == [("tens", 10), ("halves", 2)]
    assert found.own == "halves"
    store = EmbeddingStore(settings.paths.embeddings)
    for name in (ADDRESS, f"{ADDRESS}#tens"):
        one = embedders.spec_for(name, settings)
        rows = store.read(one)
        assert len(rows) == 12
        alone = embedders.load(one, settings.cache)
        for path in sorted(Path(str(settings.library)).rglob("*.wav"))[:2]:
            vector = alone.embed(path)
            nearest = min(np.abs(row.vector - vector).max() for row in rows.values())
            assert nearest < 1e-3
        assert all(row.tags == ("loud",) for row in rows.values())


def test_a_sweep_is_judged_by_the_genres_that_the_settings_ask_for(
    settings: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "genres.csv"
    paths = sorted(Path(str(settings.library)).rglob("*.wav"))
    rows = [f"{path},{('even', 'odd')[n % 2]}" for n, path in enumerate(paths[:8])]
    table.write_text("\n".join(["path,genre", *rows]))
    asked = settings.model_copy(update={"genre": str(table)})
    spec = embedders.spec_of(ADDRESS)
    counts = [sweep_layers(spec, one).n_queries for one in (settings, asked)]
    assert counts == [12, 8]


def test_a_second_sweep_and_a_run_of_a_layer_embed_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from musicflow.library import Library, join, scan
    from musicflow.pipeline import to_embed

    spec = embedders.spec_of(ADDRESS)
    first = sweep_layers(spec, settings)
    monkeypatch.setattr(embedders, "load", None)
    assert replace(sweep_layers(spec, settings), created=first.created) == first
    files = scan(Path(str(settings.library)), settings.paths.library)
    library: Library = join(Path(str(settings.library)), files)
    layer = embedders.spec_for(f"{ADDRESS}#tens", settings)
    assert to_embed(library.tracks, layer, EmbeddingStore(settings.paths.embeddings)) == []


def row(content: str, *values: float) -> Embedding:
    return Embedding(content, np.array(values, np.float32))


@pytest.fixture
def layers() -> list[EmbedderSpec]:
    first, second = layers_of(embedders.spec_of(ADDRESS))
    return [replace(first, dim=1), second]


def test_a_layer_keeps_the_vectors_that_it_has(tmp_path: Path, layers: list[EmbedderSpec]) -> None:
    plain = EmbeddingStore(tmp_path)
    plain.add(layers[1], [row("a", 1.0, 2.0)])
    store = LayerStore(EmbeddingStore(tmp_path), layers)
    assert store.known(SPEC) == {}
    store.add(SPEC, [row("a", 7.0, 8.0, 9.0), row("b", 4.0, 5.0, 6.0)])
    np.testing.assert_array_equal(store.read(SPEC)["a"].vector, [7.0, 1.0, 2.0])
    np.testing.assert_array_equal(plain.read(layers[1])["b"].vector, [5.0, 6.0])
    assert len(list(tmp_path.rglob("part-*.parquet"))) == 3


def test_an_error_of_a_file_or_of_one_layer_is_that_of_the_row(
    tmp_path: Path, layers: list[EmbedderSpec]
) -> None:
    store = LayerStore(EmbeddingStore(tmp_path), layers)
    silent = Embedding("a", None, error="it is silent", code="silent")
    store.add(SPEC, [silent, row("b", 0.0, 1.0, 2.0), row("c", 1.0, 1.0, 2.0)])
    assert store.known(SPEC)["c"] == ""
    assert store.read(SPEC)["a"] == silent
    assert store.read(SPEC)["b"].code == "no-vector"
    np.testing.assert_array_equal(EmbeddingStore(tmp_path).read(layers[1])["b"].vector, [1.0, 2.0])


def test_a_library_without_two_of_a_genre_is_told_so(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    write("one/a.wav", tone(440))
    write("two/b.wav", noise(1))
    settings = Settings(home=tmp_path / "home", library=tmp_path / "music")
    with pytest.raises(MusicflowError, match="no two recordings of one genre"):
        sweep_layers(embedders.spec_of(ADDRESS), settings)
