"""The commands that measure and choose, as a person runs them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from musicflow.cli import evidence
from musicflow.evaluation import Comparison, Dataset, Row
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.report import markdown
from musicflow.index.fused import save_weights
from musicflow.library import Doubt
from musicflow.pipeline import estimate
from musicflow.settings import Home, remember
from musicflow_tests.conftest import Run
from musicflow_tests.evaluation.made_up import MEASURES, scores


def row(name: str, weights: str, dim: int, quality: float, speed: float) -> Row:
    found = scores(map=quality)
    return Row(name, "embedder", weights, dim, found, tracks_per_s=speed, bytes_per_vector=4 * dim)


@pytest.fixture
def figures(home: Home) -> None:
    rows = (
        row("musicnn", "trained", 200, 0.54, 4.0),
        row("mfcc", "none", 60, 0.33, 90.0),
        row("panns-untrained", "untrained", 2048, 0.9, 2.0),
        Row("random", "baseline", "none", 128, scores(map=0.1)),
    )
    protocol = Protocol("duplicates", 9, 1, 0, "no artist is known")
    dataset = Dataset("music", "abc", 10, 0)
    comparison = Comparison(dataset, protocol, MEASURES, rows, (), (), "s", "2026-01-01")
    comparison.save(home.reports / "comparison.json")


@pytest.mark.usefixtures("figures")
def test_a_choice_follows_what_matters_and_gives_its_reason(run: Run) -> None:
    code, printed, _ = run("recommend-embedder", "--json")
    chosen = json.loads(printed)
    assert code == 0
    assert chosen["choice"] == "musicnn"
    assert [one["embedder"] for one in chosen["candidates"]] == ["musicnn", "mfcc"]
    assert "22.5 times as fast" in chosen["reason"]
    _, printed, _ = run("recommend-embedder", "--quality", "0.2", "--speed", "1")
    assert printed.splitlines()[1].startswith("mfcc")


@pytest.mark.usefixtures("figures")
def test_what_is_not_for_commercial_use_has_a_star_on_the_screen_and_in_the_report(
    home: Home, capsys: pytest.CaptureFixture
) -> None:
    comparison = Comparison.load(home.reports / "comparison.json")
    assert comparison is not None
    evidence.show(comparison)
    assert "commercial" not in capsys.readouterr().out + markdown(comparison)
    named = (("musicnn", "ISC"), ("mert", "CC-BY-NC-4.0"))
    rows = [replace(row("a", "trained", 2, 0.1, 1.0), embedder=n, licence=of) for n, of in named]
    both = replace(rows[0], embedder="rrf:musicnn+mert", kind="fusion", licence="CC-BY-NC-4.0, ISC")
    starred = replace(comparison, rows=(*rows, both))
    evidence.show(starred)
    printed = capsys.readouterr().out
    assert "Licences: musicnn ISC, mert CC-BY-NC-4.0 *\n* not for commercial use" in printed
    text = markdown(starred)
    assert "* not for commercial use" in text
    for line in ("| musicnn | trained | ISC |", "| CC-BY-NC-4.0 * |", "| CC-BY-NC-4.0, ISC * |"):
        assert line in text


@pytest.mark.usefixtures("figures")
def test_a_choice_by_nothing_is_refused(run: Run) -> None:
    nothing = ("--quality", "0", "--speed", "0", "--size", "0")
    code, _, errors = run("recommend-embedder", *nothing)
    assert code == 2
    assert "cannot all be 0" in errors


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize("option", ["--quality", "--speed", "--size"])
@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "-1", "1e999"])
def test_a_weight_that_is_no_number_to_weigh_with_is_refused(
    run: Run, option: str, number: str
) -> None:
    code, printed, errors = run("recommend-embedder", f"{option}={number}", "--json")
    assert (code, printed) == (2, "")
    assert option in errors


@pytest.mark.usefixtures("figures")
def test_large_weights_weigh_as_small_ones_do(run: Run) -> None:
    options = ("--quality", "1e308", "--speed", "1e308", "--size", "0", "--json")
    large = json.loads(run("recommend-embedder", *options)[1])
    small = json.loads(run("recommend-embedder", *(o.replace("1e308", "1") for o in options))[1])
    assert large == small


@pytest.mark.usefixtures("figures")
def test_nothing_is_chosen_by_a_comparison_that_means_nothing(run: Run, home: Home) -> None:
    path = home.reports / "comparison.json"
    comparison = Comparison.load(path)
    assert comparison is not None
    doubt = Doubt("few-genres", "all have one genre", "name another", voids=True)
    replace(comparison, doubts=(doubt,)).save(path)
    code, _, errors = run("recommend-embedder")
    assert code == 1
    assert "This comparison means nothing" in errors
    assert "all have one genre; name another" in errors


def test_without_a_comparison_there_is_no_choice(run: Run) -> None:
    code, _, errors = run("recommend-embedder")
    assert code == 2
    assert "musicflow run LIBRARY" in errors


def test_an_estimate_tells_time_memory_and_disk(
    run: Run, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = estimate.Estimate(
        "mfcc", "none", "cpu", 50_000, 24, 1, 0.5, 7300.0, (6900.0, 8000.0), 2500.0, 500.0, 120.0
    )
    monkeypatch.setattr(estimate, "estimate", lambda *_, **__: [made])
    code, printed, _ = run("estimate", str(music), "--embedder", "mfcc")
    assert code == 0
    assert "50000 files, about 2500.0 hours; 24 measured, 1 of them unusable" in printed
    assert "2.0 h 1.9 h – 2.2 h" in printed
    assert "500" in printed
    _, printed, _ = run("estimate", str(music), "--embedder", "mfcc", "--json")
    assert json.loads(printed)[0]["interval_s"] == [6900.0, 8000.0]


@pytest.mark.usefixtures("figures")
def test_a_fusion_without_weights_says_how_to_get_some(run: Run) -> None:
    code, _, errors = run("search", "--track", "x", "--embedder", "fusion:musicnn+mfcc")
    assert code == 2
    assert "no weights for fusion:musicnn+mfcc" in errors


@pytest.mark.slow
@pytest.mark.usefixtures("ready")
def test_a_fusion_is_searched_like_an_embedder(run: Run, music: Path, home: Home) -> None:
    names = ("mfcc", "musicnn-untrained")
    options = [word for name in names for word in ("--embedder", name)]
    assert run("run", str(music), *options)[0] == 0
    arguments = ["--embedder", f"rrf:{'+'.join(names)}", "-k", "3", "--json"]
    code, printed, _ = run("search", "--track", "tones/3.wav", *arguments)
    assert code == 0
    assert [hit["genre"] for hit in json.loads(printed)] == [["tones"]] * 3
    assert "tones/3.wav" not in printed
    code, printed, _ = run("search", str(music / "noises" / "1.wav"), *arguments)
    assert json.loads(printed)[0]["track_id"] == "noises/1.wav"
    weighted = f"fusion:{'+'.join(names)}"
    save_weights(home.fusions, {weighted: {"mfcc": 0.8, "musicnn-untrained": 0.2}})
    for label in (arguments[1], weighted):
        arguments[1] = label
        for question in (
            ("search", "--track", "tones/3.wav"),
            ("recommend", "--like", "tones/3.wav", "--like", str(music / "tones" / "1.wav")),
            ("path", "tones/3.wav", "tones/1.wav", "--steps", "2"),
        ):
            options = arguments if question[0] != "path" else [*arguments[:2], "--json"]
            code, printed, errors = run(*question, *options)
            assert code == 0, errors
            assert json.loads(printed)[0]["genre"] == ["tones"]


def test_layers_are_measured_and_reported(run: Run, music: Path, home: Home) -> None:
    code, printed, errors = run("layers", str(music), "--embedder", "mfcc", "--json")
    assert code == 0, errors
    [sweep] = json.loads(printed)
    assert [layer["dim"] for layer in sweep["layers"]] == [60]
    assert sweep["n_queries"] == 12
    assert (home.reports / "layers-mfcc.html").exists()
    address = "musicflow_tests.pipeline.test_layers:ENTRY"
    remember(home, library=music, embedders=("mfcc", address))
    code, printed, errors = run("layers", str(music), "--embedder", "loudness")
    assert code == 0, errors
    assert "optimistic" in printed


def test_a_layer_that_is_not_there_stops_the_command(run: Run, music: Path) -> None:
    code, _, errors = run("layers", str(music), "--embedder", "mfcc#7")
    assert code != 0
    assert "has no layer '7'" in errors
