"""The Python API: what a notebook can do, and what it is told when it asks for too much."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import musicflow as mf
from musicflow import extras, runs, tracking
from musicflow.audio import AudioError
from musicflow.index import FilterError
from musicflow.library import LibraryError
from musicflow.search.errors import QueryError
from musicflow_tests.conftest import noise, tone
from musicflow_tests.evaluation.made_up import SWEEP

Write = Callable[..., Path]

HEAVY = {"torch", "dagster", "mlflow", "nicegui", "fastapi", "pandas", "numpy", "av", "pydantic"}


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, musicflow; print(*(sys.modules.keys() & set(sys.argv[1:])))"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True)
    assert done.stdout.split() == []


def test_every_name_it_offers_is_there() -> None:
    for name in mf.__all__:
        assert getattr(mf, name) is not None
        assert name in dir(mf)
    with pytest.raises(AttributeError, match="nothing"):
        mf.nothing  # noqa: B018


def test_a_file_and_an_array_of_it_have_one_vector(write: Write) -> None:
    path = write("a.wav", tone(440), subtype="PCM_16")
    model = mf.load_embedder("mfcc")
    samples, rate = soundfile.read(path, dtype="int16")
    vector = model.embed(path)
    assert vector.shape == (model.spec.dim,)
    np.testing.assert_allclose(model.embed(samples, rate), vector, atol=1e-4)
    np.testing.assert_allclose(model.embed(np.stack([samples] * 2), rate), vector, atol=1e-4)
    frames = model.frames(str(path))
    assert (frames.vectors.shape, frames.times_s.tolist()) == ((1, 60), [0.0])


def test_what_cannot_be_embedded_is_one_sentence(write: Write) -> None:
    model = mf.load_embedder("mfcc")
    with pytest.raises(ValueError, match="sample rate"):
        model.embed(tone(440))
    with pytest.raises(mf.MusicflowError, match="silent"):
        model.embed(write("a.wav", np.zeros(22_050)))
    with pytest.raises(FileNotFoundError):
        model.embed("nowhere.wav")
    with pytest.raises(mf.MusicflowError, match="mfccc"):
        mf.load_embedder("mfccc")


def test_an_error_of_a_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    model = mf.load_embedder("mfcc", home=tmp_path / "lab")
    for embed in (model.embed, model.frames):
        with pytest.raises(AudioError, match=r"empty\.mp3: the file is empty") as refused:
            embed(tmp_path / "empty.mp3")
        assert refused.value.code == "empty"


def test_files_are_embedded_once_however_they_are_called(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(f"{n}.wav", tone(300 + 50 * n)) for n in range(3)]
    bad = write("bad.wav", np.zeros(22_050))
    first = mf.embed_files([*paths, bad, tmp_path / "gone.wav"], "mfcc", home=tmp_path / "lab")
    assert first.vectors.shape == (5, 60)
    assert np.isfinite(first.vectors).all(axis=1).tolist() == [True] * 3 + [False] * 2
    assert {(Path(p.subject).name, p.code) for p in first.problems if p.severity == "error"} == {
        ("bad.wav", "silent"),
        ("gone.wav", "unreadable"),
    }
    paths[0] = paths[0].rename(tmp_path / "renamed.wav")
    # Whoever loads a model now fails.
    monkeypatch.setattr("musicflow.pipeline.isolate.embed_and_keep", None)
    again = mf.embed_files(paths, "mfcc", home=tmp_path / "lab")
    np.testing.assert_array_equal(again.vectors, first.vectors[:3])


@pytest.mark.workers
@pytest.mark.slow
def test_a_library_is_compared_and_searched(music: Path, tmp_path: Path) -> None:
    compared = mf.compare(music, ["mfcc"], labels=["genre"], home=tmp_path / "lab")
    assert [*compared.rows[0].by_label["genre"].by_value] == ["noises", "tones"]
    table = compared.to_dataframe()
    assert {"map", "genre/map", "genre/macro_map"} <= set(table["metric"])
    assert {"mfcc", "random"} <= set(table["embedder"])
    best = table[(table.embedder == "mfcc") & (table.metric == "precision_at_1")]
    assert best["value"].item() == 1.0
    assert mf.compare(music, ["mfcc"], home=tmp_path / "lab") == compared
    with mf.open_collection("mfcc", home=tmp_path / "lab") as collection:
        assert len(collection) == 12
        for query in (music / "tones" / "0.wav", "tones/0.wav"):
            hits = collection.search(query, k=3, filters={"genre": ["tones"]})
            assert len(hits) == 3
            assert all(hit.payload["genre"] == ["tones"] for hit in hits)
        assert len(collection.search("tones/0.wav", filters="duration_s<1")) == 0
        corrected = collection.search("tones/0.wav", k=3, correct="mutual-proximity")
        assert all(hit.payload["genre"] == ["tones"] for hit in corrected)
        for nobody in ("nobody knows it", "~Ambient", "x" * 300, "a\0b"):
            with pytest.raises(QueryError, match="no track"):
                collection.search(nobody)
        with pytest.raises(mf.MusicflowError, match="zip"):
            collection.search("tones/0.wav", filters={"zip": 3})
        for odd in ({"duration_s<": 1}, {"genre": []}, {"genre": None}):
            with pytest.raises(FilterError):
                collection.search("tones/0.wav", filters=odd)
        with pytest.raises(QueryError, match="no correction"):
            collection.search("tones/0.wav", correct="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("recorded", [True, False])
def test_layers_are_measured_reported_and_recorded_where_mlflow_is(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[object] = []
    monkeypatch.setattr(runs, "sweep_layers", lambda *_: SWEEP)
    monkeypatch.setattr(extras, "are_installed", lambda *_: recorded)
    monkeypatch.setattr(tracking, "log_sweep", lambda *given: logged.append(given[1]))
    found = mf.layers(tmp_path, "musicnn", home=tmp_path / "home")
    assert logged == [SWEEP] * recorded
    assert (tmp_path / "home" / "reports" / "layers-musicnn.html").is_file()
    table = found.to_dataframe()
    names = ["cnn1", "penultimate", "mean of all", "nested choice"]
    assert table["layer"].drop_duplicates().tolist() == names
    assert table.query("metric == 'map'")["value"].tolist() == [0.3, 0.5, 0.3, 0.5]


def test_a_collection_or_a_library_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(mf.MusicflowError, match="mfcc"):
        mf.open_collection("mfcc", home=tmp_path)
    with pytest.raises(LibraryError, match="there is no folder"):
        mf.compare(tmp_path / "music", home=tmp_path / "lab")


def test_arrays_are_evaluated() -> None:
    vectors = np.concatenate([noise(1, 1.0).reshape(-1, 50) for _ in range(1)])[:40]
    vectors[:20] += 1
    found = mf.evaluate(vectors, ["a"] * 20 + ["b"] * 20)
    assert found.scores["precision_at_1"].value > 0.8
    assert {"value", "low", "high"} <= set(found.to_dataframe().columns)


def test_one_text_is_one_item_and_none_is_no_library(music: Path, tmp_path: Path) -> None:
    one = str(music / "tones" / "0.wav")
    found = mf.embed_files(one, "mfcc", home=tmp_path / "lab")
    assert found.vectors.shape == (1, 60)
    compared = mf.compare(music, "mfcc", labels="genre", home=tmp_path / "lab")
    assert [row.embedder for row in compared.rows] == ["mfcc", "random"]
    for library, names in (("", ["mfcc"]), (music, [])):
        with pytest.raises(ValueError, match=r"empty|at least 1"):
            mf.compare(library, names, home=tmp_path / "lab")
