"""The commands as a person or a script runs them, on a library made up here."""

import io
import json
import logging
import math
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import typer
from sqlalchemy.exc import OperationalError

from musicflow import cli, embedders
from musicflow.cli import console, program
from musicflow.cli.console import settings_of
from musicflow.cli.run import typed_program
from musicflow.embedders import weights
from musicflow.errors import MusicflowError
from musicflow.orchestration.run import prepare_dagster
from musicflow.settings import Home, HomeError, Settings, remember
from musicflow_tests.cli.conftest import ingest
from musicflow_tests.conftest import Run, tone

ROW = {
    "embedder", "kind", "weights", "dim", "scores", "chance", "n_queries", "n_failed",
    "tracks_per_s", "x_realtime", "load_s",
    "peak_rss_mb", "mlflow_run_id",
}  # fmt: skip


@pytest.mark.parametrize(("module", "names"), program.COMMANDS.items())
def test_the_program_names_each_command_of_a_module(module: str, names: tuple[str, ...]) -> None:
    assert tuple(program.commands_of(module)) == names


def test_a_search_waits_for_nothing_that_a_run_imports() -> None:
    code = "from musicflow.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "search", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "musicflow.search" in told
    assert "musicflow.pipeline" not in told
    assert "musicflow.evaluation" not in told


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/site/musicflow/__main__.py", [sys.executable, "-m", "musicflow"]),
        ("/no where/musicflow", ["/no where/musicflow"]),
        ("/no where/python3", ["python3"]),
    ],
)
def test_what_is_printed_to_be_typed_starts_the_program(
    typed: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: name != "musicflow" and found(name))
    assert shlex.split(typed_program()) == words


@pytest.mark.usefixtures("ready")
def test_a_run_is_whole_the_next_has_nothing_to_do_and_another_takes_up_a_new_file(
    run: Run, music: Path, home: Home, write: Any
) -> None:
    command = ["run", str(music), "--embedder", "mfcc", "--json"]
    code, printed, _ = run(*command)
    assert code == 0
    assert_it_is_whole(printed, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("musicflow.runs.carry_out", None)
        patch.setattr(embedders, "load", None)
        code, again, errors = run(*command)
    assert (code, again) == (0, printed)
    assert "Nothing changed" in errors
    assert run("compare", "--json")[:2] == (0, printed)
    write("a b/it's.wav", tone(333))
    code, printed, errors = run(*command)
    assert code == 0
    assert json.loads(printed)["dataset"]["tracks"] == 13
    assert_each_step_is_told(errors)
    track = ["--track", "tones/1.wav", "-k", "3"]
    for command in (["search", *track], ["recommend", "--like", "tones/1.wav", "-k", "3"]):
        code, printed, _ = run(*command, "--correct", "mutual-proximity")
        assert (code, printed.count("tones/")) == (0, 3)
        assert "the score is that of mutual-proximity" in " ".join(printed.split())
    assert_what_is_to_be_pasted_is_quoted(
        run, shutil.copytree(home.root, home.root.with_name("it's a copy"))
    )


def assert_each_step_is_told(errors: str) -> None:
    """Without a terminal, progress is plain lines to the very end."""
    steps = ["Evaluating 13 tracks", "Drawing the map", "Logging to MLflow", "Done in "]
    told = [line for line in errors.splitlines() if line.startswith(tuple(steps))]
    assert [line.startswith(step) for line, step in zip(told, steps, strict=True)] == [True] * 4


def assert_what_is_to_be_pasted_is_quoted(run: Run, copy: Path) -> None:
    _, printed, _ = run("compare", "--home", str(copy))
    [line] = [line for line in printed.splitlines() if line.startswith("Search")]
    words = shlex.split(line)[2:]
    assert words == ["search", "--track", "a b/it's.wav", "--home", str(copy)]
    assert run(*words, "--json")[0] == 0


def assert_it_is_whole(printed: str, home: Home) -> None:
    comparison = json.loads(printed)
    assert comparison["dataset"] | {"fingerprint": "-"} == {
        "name": "music", "fingerprint": "-", "tracks": 12, "failed": 0, "skipped": {},
    }  # fmt: skip
    row, floor = comparison["rows"]
    assert row.keys() >= ROW
    assert (row["embedder"], row["weights"], row["dim"]) == ("mfcc", "none", 60)
    assert row["scores"].keys() >= {"precision_at_1", "precision_at_5", "precision_at_10", "map"}
    assert row["scores"]["precision_at_1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert floor["scores"]["precision_at_1"]["value"] < 1.0
    assert row["chance"] == pytest.approx(5 / 11)
    assert row["agreement_at_10"] == 1.0
    assert [row["kind"], floor["kind"]] == ["embedder", "baseline"]
    assert json.loads((home.reports / "comparison.json").read_text()) == comparison
    for name in ("comparison.md", "comparison.csv"):
        assert "mfcc" in (home.reports / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere"], "there is no folder"),
        (["demo"], "a home of its own"),
    ],
)
def test_questions_that_cannot_be_answered_exit_2_with_a_sentence(
    run: Run, home: Home, music: Path, arguments: list[str], sentence: str
) -> None:
    remember(home, library=music)
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


@pytest.mark.usefixtures("ready")
def test_text_from_files_is_shown_as_it_is(run: Run, music: Path) -> None:
    (music / "tones").rename(music / "[red]tones")
    assert run("run", str(music), "--embedder", "mfcc")[0] == 0
    _, printed, _ = run("search", "--track", "[red]tones/1.wav", "-k", "1")
    assert "[red]tones" in printed


HOSTILE = "\x1b[31m\u202e\u2066\u200f\x9b1m\x07\r\n\u2028[red]x[/]:smile:\udcff"


def test_texts_on_a_terminal_are_one_line_and_command_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = "\\x1b[31m\\u202e\\u2066\\u200f\\x9b1m\\x07 [red]x[/]:smile:\\udcff"
    assert console.plain(HOSTILE) == told
    console.show_log()
    console.say(HOSTILE)
    console.out.print(HOSTILE)
    for fold in (True, False):
        table = console.table_of(HOSTILE, ["a"], fold)
        table.add_row(HOSTILE)
        console.out.print(table)
    log = logging.getLogger("musicflow")
    # Half a character, were it kept with the test's result, cannot be sent by a worker of pytest.
    log.propagate = False
    log.warning("%s", HOSTILE)
    list(console.progress([1], HOSTILE, 1))
    with pytest.raises(SystemExit):
        console.stop(HOSTILE, 1)
    printed, errors = capfd.readouterr()
    assert [line.strip() for line in printed.splitlines()] == [told, told, *2 * [told, "a", told]]
    assert errors.splitlines() == [told, f"{told} …", f"error: {told}"]


@pytest.mark.usefixtures("ready")
def test_names_of_files_command_no_terminal_and_stay_as_they_are_in_json(
    run: Run, music: Path
) -> None:
    odd = "\x1b[31m\u202e\x07"
    (music / "tones").rename(music / f"tones{odd}")
    (music / "noises" / "1.wav").rename(music / "noises" / f"a\nb{odd}.wav")
    (music / "noises" / f"bad{odd}.wav").write_text("no sound")
    (music / "noises" / f"copy{odd}.wav").write_bytes((music / "noises" / "2.wav").read_bytes())
    track = ["--track", "noises/3.wav"]
    for words in (
        ["library", "check", str(music), "--embedder", "mfcc"],
        ["run", str(music), "--embedder", "mfcc", "--dry-run"],
        ["run", str(music), "--embedder", "mfcc"],
        ["compare"],
        ["search", *track],
        ["search", str(music / "noises" / f"bad{odd}.wav")],
        ["search", "--track", f"tone{odd}"],
        ["recommend", "--like", "noises/3.wav"],
        ["path", "noises/3.wav", "noises/0.wav"],
        ["duplicates"],
        ["clusters"],
        ["index", "list"],
    ):
        _, printed, errors = run(*words)
        assert not set(printed + errors) & {*odd[0], *odd[-2:]}, words
    assert any(odd in hit["track_id"] for hit in json.loads(run("search", *track, "--json")[1]))


@pytest.mark.usefixtures("ready")
def test_settings_are_remembered_and_comments_kept(run: Run, music: Path, home: Home) -> None:
    home.settings_file.write_text("# mine\nembedders = ['mfcc']\n")
    assert run("run", str(music))[0] == 0
    text = home.settings_file.read_text()
    assert text.startswith("# mine")
    assert f'library = "{music}"' in text


def test_a_home_that_is_ready_stays_as_it_is_and_init_says_where_it_differs(
    run: Run, home: Home
) -> None:
    assert run("init")[0] == 0
    code, _, errors = run("init")
    assert (code, errors) == (0, "")
    configuration = home.dagster / "dagster.yaml"
    configuration.write_text("# mine\ntelemetry:\n  enabled: false\n")
    code, _, errors = run("init")
    assert code == 0
    assert f"{configuration} differs from this version's" in errors
    assert configuration.read_text().startswith("# mine")


def test_a_run_beside_another_says_what_it_may_wait_for(run: Run, music: Path, home: Home) -> None:
    prepare_dagster(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        other = instance.create_run_for_job(
            dg.JobDefinition(graph_def=dg.GraphDefinition("other")),
            status=dg.DagsterRunStatus.STARTED,
        )
    code, _, errors = run("run", str(music), "--embedder", "mfcc")
    assert code == 0
    assert f"Also running: {other.run_id[:8]}" in errors


@pytest.mark.usefixtures("ready")
def test_what_a_run_was_given_is_what_dagster_works_with_from_then_on(
    run: Run, music: Path
) -> None:
    options = ["--hop", "mfcc=1", "--precision", "fp32", "--exclude", "duplicates", "-k", "3"]
    options += ["--coverage", "1"]
    code, printed, _ = run("run", str(music), "--embedder", "mfcc", *options, "--json")
    assert code == 0
    row, _ = json.loads(printed)["rows"]
    settings = Settings()
    assert (settings.hop_s, settings.precision) == ({"mfcc": 1.0}, "fp32")
    assert settings.coverage_s == 1.0
    assert (settings.exclude, row["exclude"]) == ("duplicates", "duplicates")
    # Six tones and six noises, told apart at sight.
    assert row["scores"]["precision_at_k"]["value"] == 1.0
    assert "P@3" in run("compare")[1]
    assert row["spec_hash"] == embedders.spec_for("mfcc", settings).hash
    assert row["spec_hash"] != embedders.spec_of("mfcc").hash
    assert run("search", str(music / "tones/1.wav"), "-k", "1")[0] == 0


def test_a_zero_that_is_given_takes_the_place_of_what_the_home_remembers(home: Home) -> None:
    home.root.mkdir()
    home.settings_file.write_text("coverage_s = 30.0\nstress = 5\nloudness_lufs = -14\n")
    settings = settings_of(home=home.root, coverage_s=0.0, stress=0)
    with pytest.raises(ValueError, match="finite number"):
        settings_of(home=home.root, coverage_s=float("inf"))
    assert (settings.coverage_s, settings.stress, settings.loudness_lufs) == (0.0, 0, -14)


def test_an_empty_value_unsets_what_the_home_remembers(
    run: Run, music: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "musicflow.cli.run._run", lambda one, *_: remember(one.paths, **one.remembered)
    )
    given = {
        "--loudness": "-14",
        "--genre-level": "2",
        "--label": "playlist",
        "--tag": "calm",
        "--ignore": "*.tmp",
        "--hop": "mfcc=1",
        "--metric": "musicflow_tests.plugin:METRIC",
    }
    for flag, value in given.items():
        assert run("run", str(music), "--embedder", "mfcc", flag, value)[0] == 0
    assert Settings().loudness_lufs == -14
    kept = home.settings_file.read_text()
    for flag in given:
        assert run("run", str(music), flag, "")[0] == 0
    before = Settings.model_fields
    for name in ("loudness_lufs", "genre_level", "labels", "tags", "ignore", "hop_s", "metrics"):
        assert name in kept
        assert name not in home.settings_file.read_text()
        assert getattr(Settings(), name) == before[name].default
    assert Settings().embedders == ("mfcc",)
    assert run("run", str(music), "--embedder", "")[0] == 0
    assert Settings().embedders == before["embedders"].default
    code, _, errors = run("run", str(music), "--loudness", "loud")
    assert (code, "'loudness_lufs' is not valid" in errors) == (2, True)
    _, printed, _ = run("run", "--help")
    assert " ".join(printed.replace("│", " ").split()).count('"" unsets it') == len(given) + 1


def test_a_setting_that_is_not_valid_is_named(run: Run, music: Path, home: Home) -> None:
    home.root.mkdir()
    home.settings_file.write_text("library_format = 'zip'\n")
    code, _, errors = run("run", str(music))
    assert code == 2
    told = f"the setting 'library_format' in {home.settings_file} is not valid: 'zip' is none of"
    assert told in " ".join(errors.split())
    home.settings_file.unlink()
    code, _, errors = run("run", str(music), "--precision", "fp17")
    told = "the setting 'precision' is not valid: 'fp17' is none of 'auto', 'fp32' or 'bf16'"
    assert (code, " ".join(errors.split())) == (2, f"error: {told}")


def test_a_library_that_shrank_is_asked_about_on_a_terminal(
    run: Run, music: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(music, home.root)
    (music / "tones").rename(music.parent / "unmounted")
    done: list[str] = []
    monkeypatch.setattr("musicflow.runs.carry_out", lambda *_: done.append("") or {})
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, arguments, carried_out in (("n", [], 0), ("y", [], 1), ("", ["--yes"], 2)):
        monkeypatch.setattr("typer.confirm", lambda *_, answer=answer, **__: answer == "y")
        code, _, errors = run("run", str(music), *arguments)
        assert "The library has 6 tracks; 12 are published." in " ".join(errors.split())
        assert len(done) == carried_out
        assert code == 1, "nothing was done, or nothing was compared"
        assert ("nothing was done" in errors) == (answer == "n")


def test_a_broken_settings_file_or_variable_is_named(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.root.mkdir()
    home.settings_file.write_text("k = = 3\n")
    code, _, errors = run("compare")
    assert code == 1
    assert f"{home.settings_file} is not valid TOML" in " ".join(errors.split())
    home.settings_file.write_text("qdrant = 'http://qdrant:6333'\n")
    code, _, errors = run("compare")
    told = f"{home.settings_file}: qdrant = 'http://qdrant:6333' is no table: write qdrant_url ="
    assert (code, told in " ".join(errors.split())) == (1, True)
    home.settings_file.unlink()
    monkeypatch.setenv("MUSICFLOW_EMBEDDERS", "mfcc")
    code, _, errors = run("compare")
    told = "the variable MUSICFLOW_EMBEDDERS is no JSON: 'mfcc': write a list as in [\"mfcc\"]"
    assert (code, told in " ".join(errors.split())) == (2, True)


@pytest.mark.parametrize(
    ("written", "variables", "told"),
    [
        ("k = 'many'", {}, "'k' in {file} is not valid"),
        ("kk = 3", {}, "'kk' in {file} is not valid: there is no setting of this name"),
        ("library = 3", {}, "'library' in {file} is not valid: 3 is neither a folder nor an"),
        ("hop_s = {mfcc = -1}", {}, "'hop_s.mfcc' in {file} is not valid"),
        ("[aliases.x]\nfrom = 'nowhere'", {}, "'aliases.x.from' in {file} is not valid"),
        ("k = 3", {"K": "many"}, "'k' in the variable MUSICFLOW_K is not valid"),
        (
            "hop_s = {mfcc = 1}",
            {"HOP_S": '{"musicnn": -1}'},
            "'hop_s.musicnn' in the variable MUSICFLOW_HOP_S is not valid",
        ),
        (
            "hop_s = {mfcc = -1}",
            {"HOP_S": '{"musicnn": 1}'},
            "'hop_s.mfcc' in {file} is not valid",
        ),
    ],
)
def test_a_setting_that_is_not_valid_says_where_it_stands(
    run: Run,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    variables: dict[str, str],
    told: str,
) -> None:
    home.root.mkdir()
    home.settings_file.write_text(f"{written}\n")
    for name, value in variables.items():
        monkeypatch.setenv(f"MUSICFLOW_{name}", value)
    code, _, errors = run("compare")
    assert code == 2
    assert told.format(file=home.settings_file) in " ".join(errors.split())


def failing(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_error_that_nobody_foresaw_is_a_sentence_and_its_traceback_is_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("musicflow.cli.run.Comparison.load", failing(KeyError("[red]x" * 999)))
    home = tmp_path / "another"
    for _ in range(2):
        code, printed, errors = run("compare", "--home", str(home))
        assert (code, printed) == (1, "")
        assert errors.startswith("error: KeyError: '[red]x")
        assert len(errors) < 700
        assert "Traceback" not in errors
        assert f"its traceback is in {home / 'logs' / 'error.log'}" in errors
    log = (home / "logs" / "error.log").read_text()
    assert log.count("Traceback (most recent call last)") == 2
    assert log.count("compare --home") == 2
    (home / "logs" / "error.log").unlink()
    (home / "logs" / "error.log").mkdir()
    code, _, errors = run("compare", "--home", str(home))
    assert code == 1
    assert "Its traceback could not be written" in errors


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_of_a_database_is_a_sentence_without_sql(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Home, wrapped: bool
) -> None:
    sql, values = "INSERT INTO runs VALUES (?)", {"run": "x" * 100_000}
    error: Exception = OperationalError(sql, values, sqlite3.OperationalError("disk is full"))
    if wrapped:
        cause, error = error, RuntimeError(f"BAD_REQUEST: {error}")
        error.__cause__ = cause
    monkeypatch.setattr("musicflow.cli.run.Comparison.load", failing(error))
    code, _, errors = run("compare")
    assert code == 1
    assert f"a database in {home.root} cannot be used: disk is full" in errors
    assert "INSERT" not in errors
    assert len(errors) < 500


def test_what_others_write_to_standard_error_goes_to_the_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, music: Path, home: Home
) -> None:
    def carry_out(*_: object) -> dict[str, str]:
        print("INSERT INTO event_logs", file=sys.stderr)
        logging.getLogger("musicflow").warning("half of it is done")
        return {"track_metadata": "the tape is torn"}

    monkeypatch.setattr("musicflow.runs.carry_out", carry_out)
    for is_writable in (True, False):
        code, _, errors = run("run", str(music), "--embedder", "mfcc")
        assert code == 1
        assert "INSERT" not in errors
        assert errors.splitlines()[-3:] == [
            "half of it is done",
            "track_metadata failed: the tape is torn",
            "error: the run failed; all finished work is kept for the next one",
        ]
        if is_writable:
            assert home.error_log.read_text() == "INSERT INTO event_logs\n"
            shutil.rmtree(home.error_log.parent)
            home.error_log.parent.touch()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_FULL, "{home.root}: the disk is full: make room."),
        (sqlite3.SQLITE_NOTADB, "{home.mlflow}/mlflow.db is damaged: put it aside"),
        (sqlite3.SQLITE_CORRUPT, "{home.mlflow}/mlflow.db is damaged: put it aside"),
        (sqlite3.SQLITE_BUSY, "Dagster cannot keep its records: make a wish"),
    ],
)
def test_an_error_of_sqlite_says_what_helps(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Home, code: int, told: str
) -> None:
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_text("no database " * 100)
    with sqlite3.connect(home.mlflow / "whole.db") as whole:
        whole.execute("CREATE TABLE runs (id)")
    raised = sqlite3.OperationalError("words")
    raised.sqlite_errorcode = code
    error = HomeError("Dagster cannot keep its records", "make a wish")
    error.__cause__ = OperationalError("INSERT", {}, raised)
    monkeypatch.setattr("musicflow.cli.run.Comparison.load", failing(error))
    exit_code, _, errors = run("compare")
    assert exit_code == 1
    assert f"error: {told.format(home=home)}" in errors


def test_an_error_for_people_is_its_sentence_and_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = MusicflowError("the tape is torn", "mend it")
    monkeypatch.setattr("musicflow.cli.run.Comparison.load", failing(error))
    code, _, errors = run("compare")
    assert (code, errors) == (2, "error: the tape is torn: mend it\n")


def test_mlflow_that_cannot_be_had_is_a_sentence(run: Run, home: Home) -> None:
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_text("no database " * 100)
    code, _, errors = run("mlflow")
    assert code == 1
    assert f"{home.mlflow / 'mlflow.db'} is damaged: put it aside" in errors
    assert "Traceback" not in errors


def test_every_command_shows_an_example(run: Run) -> None:
    program: Any = typer.main.get_command(cli.app)
    for name, command in program.commands.items():
        for words in [[name], *([name, each] for each in getattr(command, "commands", ()))]:
            _, printed, _ = run(*words, "--help")
            assert f"Example: musicflow {' '.join(words)}" in " ".join(printed.split())


@pytest.mark.usefixtures("ready")
def test_bad_files_leave_the_good_ones_searchable(run: Run, music: Path, write: Any) -> None:
    (music / "tones" / "text.mp3").write_text("not music " * 500)
    write("tones/silent.wav", np.zeros(22_050))
    write("tones/short.wav", tone(440, 0.3))
    for name in ("a.mid", "b.sid", "cover.jpg"):
        (music / "tones" / name).touch()
    os.mkfifo(music / "tones" / "pipe.wav")
    code, printed, _ = run("run", str(music), "--embedder", "mfcc")
    assert code == 0
    assert "tones/text.mp3" in printed
    assert "tones/silent.wav" in printed
    assert "\n1 track is shorter than one window of mfcc and was padded\n" in printed
    assert "\n2 files of kinds that are not read: 1 .mid, 1 .sid\n" in printed
    assert "pipe.wav" in printed
    assert run("search", "--track", "tones/1.wav")[0] == 0


@pytest.mark.usefixtures("ready")
def test_what_is_to_be_ignored_is_remembered(run: Run, music: Path) -> None:
    arguments = ["run", str(music), "--embedder", "mfcc", "--ignore", "[1-4].wav"]
    code, printed, _ = run(*arguments, "--ignore", "noises/0.*", "--json")
    assert code == 0
    assert json.loads(printed)["dataset"]["tracks"] == 3
    assert Settings().ignore == ("[1-4].wav", "noises/0.*")
    code, _, errors = run("run", str(music), "--embedder", "mfcc", "--json")
    assert (code, "Nothing changed" in errors) == (0, True)
    code, _, errors = run(*arguments, "--ignore", "!")
    assert (code, "'!'" in errors) == (2, True)


def test_weights_are_listed_with_their_state(run: Run) -> None:
    rows = json.loads(run("weights", "list", "--json")[1])
    assert {row["embedder"] for row in rows} >= {"musicnn", "openl3"}
    assert all(row["state"] in ("missing", "unchecked", "checked") for row in rows)


def test_verified_weights_say_what_was_compared_with_what(run: Run) -> None:
    code, printed, _ = run("weights", "verify", "--json")
    rows = json.loads(printed)
    assert code == 0
    [checksum, vectors] = [row for row in rows if row["embedder"] == "musicnn"]
    assert (checksum["reference"], checksum["found"]) == ("its published sha256", "equal")
    assert vectors["compared"] == "vectors of 1 window of a tone"
    assert vectors["reference"] == "figures that musicnn 0.1.0 made"
    [missing] = [row for row in rows if row["embedder"] == "openl3"]
    assert missing["found"] == "its weights are not here"


def test_weights_that_are_named_and_missing_fail_their_check(run: Run) -> None:
    code, printed, _ = run("weights", "verify", "openl3", "--json")
    assert code == 1
    assert "cannot be read" in json.loads(printed)[0]["error"]


def test_a_wrong_file_is_not_taken_for_weights(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "weights.h5.gz"
    wrong.write_bytes(b"not weights")
    code, printed, _ = run("weights", "add", "openl3", str(wrong), "--json")
    assert code == 1
    [row] = json.loads(printed)
    assert "is not openl3_audio_mel128" in row["error"]


@pytest.mark.usefixtures("ready")
def test_an_untrained_run_says_so_in_every_name(run: Run, music: Path, home: Home) -> None:
    code, printed, _ = run("run", str(music), "--embedder", "musicnn", "--untrained", "--json")
    assert code == 0
    row = json.loads(printed)["rows"][0]
    assert (row["embedder"], row["weights"]) == ("musicnn-untrained", "untrained")
    assert [path.name for path in home.collections.iterdir()] == ["musicnn-untrained"]
    _, printed, _ = run("compare")
    assert "(in brackets: seeded weights" in printed


@pytest.mark.usefixtures("ready")
def test_an_embedder_without_weights_fails_alone(
    run: Run, music: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path / "empty cache"))
    monkeypatch.setattr(weights.UrlWeights, "_download", _no_network)
    arguments = ["run", str(music), "--embedder", "mfcc", "--embedder", "openl3", "--json"]
    code, printed, _ = run(*arguments)
    assert code == 0
    good, bad, _floor = json.loads(printed)["rows"]
    assert good["scores"]["precision_at_1"]["value"] == 1.0
    assert bad["scores"] == {}
    assert "the cable is cut" in bad["error"]
    monkeypatch.setattr("musicflow.runs.carry_out", None)
    assert run(*arguments)[1] == printed, "nothing changed, so nothing is to be done"


def _no_network(_weights: weights.UrlWeights, _target: Path) -> None:
    raise OSError("the cable is cut")


def test_a_warning_is_a_plain_line_on_standard_error(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run("--version")
    logging.getLogger("musicflow").warning("still reading %s after 30 s", "[red]x[/red].wav")
    assert capfd.readouterr() == ("", "still reading [red]x[/red].wav after 30 s\n")


@pytest.mark.parametrize("sign", ["?", "%"])
def test_a_home_that_databases_cannot_be_found_under_is_refused(
    run: Run, music: Path, tmp_path: Path, sign: str
) -> None:
    home = tmp_path / f"50{sign} off"
    code, printed, errors = run("run", str(music), "--embedder", "mfcc", "--home", str(home))
    assert (code, printed) == (1, "")
    assert f"{home} has '{sign}' in its name" in " ".join(errors.split())
    assert {path.name for path in tmp_path.iterdir()} <= {home.name, "music", "home"}


def test_a_user_without_a_folder_is_told_what_to_set(run: Run, monkeypatch: Any) -> None:
    def unknown(_self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    code, _, errors = run("compare")
    assert code == 1
    assert "knows no folder of this user: set HOME, or MUSICFLOW_HOME" in " ".join(errors.split())


def test_json_is_utf_8_and_tables_replace_what_a_terminal_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    console.show_what_can_be_shown()
    console.print_json(["é\udcff", {"a": (math.nan, 1.5)}])
    console.out.print("é")
    sys.stdout.flush()
    assert terminal.getvalue() == (
        '[\n  "é\\udcff",\n  {\n    "a": [\n      null,\n      1.5\n    ]\n  }\n]\n?\n'.encode()
    )
