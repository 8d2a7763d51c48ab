"""The commands as a person or a script runs them, on a library made up here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow import cli, embedders
from musicflow.embedders import weights
from musicflow.settings import Home
from musicflow_tests.conftest import tone

Run = Callable[..., tuple[int, str, str]]

ROW = {
    "embedder", "weights", "dim", "precision_at_1", "precision_at_5", "precision_at_10", "map",
    "chance", "n_queries", "n_failed", "tracks_per_s", "x_realtime", "peak_rss_mb",
    "mlflow_run_id",
}  # fmt: skip


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["musicflow", *arguments])
        capfd.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def compared(run: Run, music: Path) -> Path:
    code, _, errors = run("run", str(music), "--embedder", "mfcc")
    assert code == 0, errors
    return music


@pytest.mark.usefixtures("compared")
def test_a_run_ends_in_a_comparison_with_all_its_fields(run: Run, home: Home) -> None:
    code, printed, _ = run("compare", "--json")
    assert code == 0
    comparison = json.loads(printed)
    assert comparison["dataset"] | {"fingerprint": "-"} == {
        "name": "music", "fingerprint": "-", "tracks": 12, "failed": 0,
    }  # fmt: skip
    row, floor = comparison["rows"]
    assert row.keys() >= ROW
    assert (row["embedder"], row["weights"], row["dim"]) == ("mfcc", "none", 60)
    assert row["precision_at_1"] == 1.0
    assert row["precision_at_1"] > floor["precision_at_1"]
    assert row["chance"] == pytest.approx(5 / 11)
    assert row["agreement_at_10"] == 1.0
    assert floor["embedder"] == "random"
    assert json.loads((home.reports / "comparison.json").read_text()) == comparison
    for name in ("comparison.md", "comparison.csv"):
        assert "mfcc" in (home.reports / name).read_text()


def test_a_run_with_nothing_to_do_infers_nothing_and_shows_the_same(
    run: Run, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run("compare", "--json")[1]
    monkeypatch.setattr(cli, "_materialize", None)
    monkeypatch.setattr(embedders, "load", None)
    code, printed, errors = run("run", str(compared), "--embedder", "mfcc", "--json")
    assert (code, printed) == (0, before)
    assert "Nothing changed" in errors


def test_a_new_file_is_taken_up_by_the_next_run(run: Run, compared: Path, write: Any) -> None:
    write("tones/new.wav", tone(333))
    code, printed, _ = run("run", str(compared), "--embedder", "mfcc", "--json")
    assert code == 0
    assert json.loads(printed)["dataset"]["tracks"] == 13
    code, printed, _ = run("search", "--track", "tones/new.wav", "--json")
    assert json.loads(printed)[0]["genre"] == "tones"


@pytest.mark.usefixtures("compared")
def test_search_by_track_answers_with_ranks_and_fields(run: Run) -> None:
    code, printed, _ = run("search", "--track", "tones/3.wav", "-k", "4", "--json")
    answers = json.loads(printed)
    assert code == 0
    assert [answer["rank"] for answer in answers] == [1, 2, 3, 4]
    assert all(answer["genre"] == "tones" for answer in answers)
    assert "tones/3.wav" not in [answer["track_id"] for answer in answers]
    assert answers[0].keys() == {
        "rank", "track_id", "score", "artist", "name", "genre", "subgenres", "path",
    }  # fmt: skip


@pytest.mark.usefixtures("compared")
def test_search_by_a_file_from_outside(run: Run, write: Any) -> None:
    outside = write("../outside.wav", tone(255))
    code, printed, _ = run("search", str(outside), "-k", "3", "--json")
    assert code == 0
    assert {answer["genre"] for answer in json.loads(printed)} == {"tones"}


@pytest.mark.usefixtures("compared")
def test_search_with_filters(run: Run) -> None:
    arguments = ["search", "--track", "tones/3.wav", "--json", "--filter"]
    assert {a["genre"] for a in json.loads(run(*arguments, "genre=noises")[1])} == {"noises"}
    assert json.loads(run(*arguments, "genre=none such")[1]) == []
    assert "No track" in run(*arguments[:-2], "--filter", "genre=none such")[1]


@pytest.mark.usefixtures("compared")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search"], "say what to search with"),
        (["search", "--track", "tones/33.wav"], "the nearest are tones/3.wav"),
        (["search", "--track", "tones/3.wav", "-k", "0"], "at least 1"),
        (["search", "--track", "tones/3.wav", "--filter", "zip=3"], "is no filter"),
        (["search", "--track", "tones/3.wav", "--embedder", "nope"], "no embedder is called"),
        (["search", "nowhere.wav"], "No such file"),
        (["run", "nowhere"], "there is no folder"),
        (["demo"], "a home of its own"),
    ],
)
def test_questions_that_cannot_be_answered_exit_2_with_a_sentence(
    run: Run, arguments: list[str], sentence: str
) -> None:
    code, printed, errors = run(*arguments)
    assert code == 2
    assert sentence in " ".join(errors.split())
    assert "Traceback" not in errors
    assert printed == ""


def test_before_the_first_run_every_command_says_where_to_start(run: Run) -> None:
    for arguments in (["compare"], ["search", "--track", "x"]):
        code, _, errors = run(*arguments)
        assert code == 2
        assert "musicflow run LIBRARY" in errors


def test_an_empty_folder_exits_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, errors = run("run", str(tmp_path / "empty"))
    assert code == 2
    assert "no audio files" in errors


def test_text_from_files_is_shown_as_it_is(run: Run, music: Path) -> None:
    (music / "tones").rename(music / "[red]tones")
    assert run("run", str(music), "--embedder", "mfcc")[0] == 0
    _, printed, _ = run("search", "--track", "[red]tones/1.wav", "-k", "1")
    assert "[red]tones" in printed


def test_settings_are_remembered_and_comments_kept(run: Run, music: Path, home: Home) -> None:
    home.root.mkdir()
    home.settings_file.write_text("# mine\nembedders = ['mfcc']\n")
    assert run("run", str(music))[0] == 0
    text = home.settings_file.read_text()
    assert text.startswith("# mine")
    assert f'library = "{music}"' in text


def test_a_setting_that_is_not_valid_is_named(run: Run, music: Path, home: Home) -> None:
    home.root.mkdir()
    home.settings_file.write_text("library_format = 'zip'\n")
    code, _, errors = run("run", str(music))
    assert code == 2
    assert "library_format" in errors


def test_every_command_shows_an_example(run: Run) -> None:
    for command in ("demo", "run", "compare", "search", "init", "dagster", "mlflow", "app"):
        _, printed, _ = run(command, "--help")
        assert f"Example: musicflow {command}" in " ".join(printed.split())


def test_bad_files_leave_the_good_ones_searchable(run: Run, music: Path, write: Any) -> None:
    (music / "tones" / "text.mp3").write_text("not music " * 500)
    write("tones/silent.wav", np.zeros(22_050))
    code, printed, _ = run("run", str(music), "--embedder", "mfcc")
    assert code == 0
    assert "tones/text.mp3" in printed
    assert "tones/silent.wav" in printed
    assert run("search", "--track", "tones/1.wav")[0] == 0


def test_weights_are_listed_with_their_state(run: Run) -> None:
    rows = json.loads(run("weights", "list", "--json")[1])
    assert {row["embedder"] for row in rows} >= {"musicnn", "openl3"}
    assert all(row["state"] in ("missing", "unchecked", "checked") for row in rows)


def test_a_wrong_file_is_not_taken_for_weights(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "weights.h5.gz"
    wrong.write_bytes(b"not weights")
    code, printed, _ = run("weights", "add", "openl3", str(wrong), "--json")
    assert code == 1
    [row] = json.loads(printed)
    assert "is not openl3_audio_mel128" in row["error"]


def test_an_untrained_run_says_so_in_every_name(run: Run, music: Path, home: Home) -> None:
    code, printed, _ = run("run", str(music), "--embedder", "musicnn", "--untrained", "--json")
    assert code == 0
    row = json.loads(printed)["rows"][0]
    assert (row["embedder"], row["weights"]) == ("musicnn-untrained", "untrained")
    assert [path.name for path in home.collections.iterdir()] == ["musicnn-untrained"]
    _, printed, _ = run("compare")
    assert "(in brackets: seeded weights" in printed


def test_an_embedder_without_weights_fails_alone(
    run: Run, music: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path / "empty cache"))
    monkeypatch.setattr(weights.UrlWeights, "_download", _no_network)
    arguments = ["run", str(music), "--embedder", "mfcc", "--embedder", "openl3", "--json"]
    code, printed, _ = run(*arguments)
    assert code == 0
    good, bad, _floor = json.loads(printed)["rows"]
    assert good["precision_at_1"] == 1.0
    assert bad["precision_at_1"] is None
    assert "the cable is cut" in bad["error"]
    monkeypatch.setattr(cli, "_materialize", None)
    assert run(*arguments)[1] == printed, "nothing changed, so nothing is to be done"


def _no_network(_weights: weights.UrlWeights, _target: Path) -> None:
    raise OSError("the cable is cut")
