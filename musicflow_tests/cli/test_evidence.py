"""The commands that measure and choose, as a person runs them."""

import json
from pathlib import Path

import pytest

from musicflow import cli, estimate
from musicflow.evaluation import Comparison, Dataset, Row
from musicflow.evaluation.protocol import Protocol
from musicflow.settings import Home


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["musicflow", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def compared(home: Home) -> None:
    rows = (
        Row("musicnn", "trained", 200, map=0.54, tracks_per_s=4.0, bytes_per_vector=800),
        Row("mfcc", "none", 60, map=0.33, tracks_per_s=90.0, bytes_per_vector=240),
        Row("panns-untrained", "untrained", 2048, map=0.9, tracks_per_s=2.0, bytes_per_vector=8192),
        Row("random", "none", 128, map=0.1),
    )
    protocol = Protocol("duplicates", 9, 1, 0, "no artist is known")
    comparison = Comparison(Dataset("music", "abc", 10, 0), protocol, rows, (), (), "s", "2026")
    comparison.save(home.reports / "comparison.json")


@pytest.mark.usefixtures("compared")
def test_a_choice_follows_what_matters_and_gives_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, printed, _ = run(capsys, "recommend-embedder", "--json")
    chosen = json.loads(printed)
    assert code == 0
    assert chosen["choice"] == "musicnn"
    assert [one["embedder"] for one in chosen["candidates"]] == ["musicnn", "mfcc"]
    assert "22.5 times as fast" in chosen["reason"]
    _, printed, _ = run(capsys, "recommend-embedder", "--quality", "0.2", "--speed", "1")
    assert printed.splitlines()[1].startswith("mfcc")


@pytest.mark.usefixtures("compared")
def test_a_choice_by_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = ("--quality", "0", "--speed", "0", "--size", "0")
    code, _, errors = run(capsys, "recommend-embedder", *nothing)
    assert code == 2
    assert "cannot all be 0" in errors


def test_without_a_comparison_there_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(capsys, "recommend-embedder")
    assert code == 2
    assert "musicflow run LIBRARY" in errors


def test_an_estimate_tells_time_memory_and_disk(
    capsys: pytest.CaptureFixture[str], music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = estimate.Estimate(
        "mfcc", "none", "cpu", 50_000, 24, 1, 0.5, 7300.0, (6900.0, 8000.0), 2500.0, 500.0, 120.0
    )
    monkeypatch.setattr(estimate, "estimate", lambda *_: [made])
    code, printed, _ = run(capsys, "estimate", str(music), "--embedder", "mfcc")
    assert code == 0
    assert "50000 files, about 2500.0 hours; 24 measured, 1 of them of no use" in printed
    assert "2.0 h 1.9 h – 2.2 h" in printed
    assert "500" in printed
    _, printed, _ = run(capsys, "estimate", str(music), "--embedder", "mfcc", "--json")
    assert json.loads(printed)[0]["interval_s"] == [6900.0, 8000.0]
