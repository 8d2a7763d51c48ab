"""Sweeps over layers: side by side, by one protocol, with a choice that is not optimistic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import Comparison, Dataset, Method, Row, report
from musicflow.evaluation.layers import FOLDS, Sweep, best_without, load_all, sweep
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.quality import measure
from musicflow.library import Library
from musicflow_tests.evaluation.made_up import MEASURES, around, track

GENRES = ["Rock", "Jazz", "Folk"] * 20
TRACKS = [track(number, genre, f"artist {number // 2}") for number, genre in enumerate(GENRES)]
LIBRARY = Library("music", "/music", "folders", tuple(TRACKS), ())
SPEC = EmbedderSpec("made-up", "1", 8000, 8, 1.0, 1.0, "good", "")
VECTORS = {
    "poor": around(GENRES, 1, spread=3.0),
    "good": around(GENRES, 2, spread=0.9),
    "other": 5 * around(GENRES, 3, spread=0.9, dim=5),
}


@pytest.fixture(scope="module")
def found() -> Sweep:
    swept = sweep(LIBRARY, TRACKS, VECTORS, SPEC, Method())
    assert swept is not None
    return swept


def test_each_layer_has_the_scores_of_an_embedder_alone(found: Sweep) -> None:
    assert [(layer.name, layer.dim) for layer in found.layers] == [
        ("poor", 8),
        ("good", 8),
        ("other", 5),
    ]
    for layer in found.layers:
        unit = VECTORS[layer.name] / np.linalg.norm(VECTORS[layer.name], axis=1, keepdims=True)
        alone = measure(TRACKS, {"it": unit.astype(np.float32)}, [], Method()).figures["it"]
        assert found.n_queries == alone.n_queries
        for metric, score in layer.scores.items():
            assert score.value == pytest.approx(alone.scores[metric].value)
            assert score.low is not None
            assert score.high is not None
            assert score.low <= score.value <= score.high


def test_the_mean_of_all_is_that_of_cosines_whatever_the_dims(found: Sweep) -> None:
    units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in VECTORS.values()]
    beside = np.concatenate(units, axis=1) / np.sqrt(3)
    alone = measure(TRACKS, {"it": beside.astype(np.float32)}, [], Method()).figures["it"]
    assert found.mean["map"].value == pytest.approx(alone.scores["map"].value, abs=1e-6)


def test_the_nested_choice_is_no_better_than_the_best_layer(found: Sweep) -> None:
    best = next(layer for layer in found.layers if layer.name == found.best)
    assert found.best in ("good", "other")
    assert found.nested["map"].value <= best.scores["map"].value + 1e-12
    assert sum(found.chosen.values()) == FOLDS
    assert "poor" not in found.chosen


def test_a_folds_own_queries_do_not_choose_its_layer() -> None:
    fold = np.arange(10) % FOLDS
    values = np.zeros((2, 10))
    values[0] = 0.5
    values[1, fold == 3] = 9.0
    assert best_without(values, fold).tolist() == [1, 1, 1, 0, 1]


def test_of_equal_layers_the_lower_is_taken() -> None:
    assert best_without(np.ones((3, 10)), np.arange(10) % FOLDS).tolist() == [0] * FOLDS


@pytest.mark.parametrize("tracks", [[], TRACKS[:1], TRACKS[:3]], ids=["none", "one", "no genre"])
def test_without_a_query_there_is_no_sweep(tracks: list) -> None:
    vectors = {name: values[: len(tracks)] for name, values in VECTORS.items()}
    assert sweep(LIBRARY, tracks, vectors, SPEC, Method()) is None


def test_a_sweep_survives_the_disk(found: Sweep, tmp_path: Path) -> None:
    found.save(tmp_path)
    replace(found, embedder="another").save(tmp_path)
    (tmp_path / "layers-old.json").write_text("{}")
    assert load_all(tmp_path) == [replace(found, embedder="another"), found]


def test_the_report_has_a_table_and_a_picture_of_the_layers(found: Sweep, tmp_path: Path) -> None:
    page, *others = report.write_sweep(found, tmp_path)
    assert {path.suffix for path in others} == {".png", ".svg", ".json"}
    text = page.read_text("utf-8")
    assert "Layers of made-up" in text
    assert "data:image/svg+xml;base64" in text
    assert "optimistic" in text
    lines = report.layer_lines(found)
    assert [line[0] for line in lines[-3:]] == [
        "mean of all",
        "best of these tracks",
        "nested choice",
    ]


def test_the_report_of_a_comparison_holds_the_sweeps_of_its_home(
    found: Sweep, tmp_path: Path
) -> None:
    rows = (Row("random", "baseline", "none", 128),)
    dataset, protocol = Dataset("music", "abc", 60, 0), Protocol("artist", 60, 0, 30)
    report.write(Comparison(dataset, protocol, MEASURES, rows, (), (), "s", "2026-01-01"), tmp_path)
    assert "Layers of" not in (tmp_path / "comparison.html").read_text("utf-8")
    report.write_sweep(found, tmp_path)
    for name in ("comparison.html", "comparison.md"):
        assert "Layers of made-up" in (tmp_path / name).read_text("utf-8")


def test_scores_of_seeded_weights_stand_in_brackets(found: Sweep) -> None:
    untrained = replace(found, weights="untrained")
    assert report.layer_lines(untrained)[0][2].startswith("(")
    assert report.UNTRAINED_NOTE in report.layer_notes(untrained)
