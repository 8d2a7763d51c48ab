"""When a changed library is evaluated again, and what is said until then."""

import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from musicflow.embedders import mfcc
from musicflow.evaluation import Comparison, report
from musicflow.evaluation.results import AsOf
from musicflow.index import open_index
from musicflow.library import Library
from musicflow.pipeline import Plan, build_collection, embed_tracks, plan_of
from musicflow.pipeline.evaluate import evaluate_library
from musicflow.pipeline.plan import still_stands
from musicflow.pipeline.run import run_plan
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore
from musicflow.worker import WorkerError
from musicflow_tests.conftest import tone

Write = Callable[..., Path]


@pytest.fixture
def settings(music: Path) -> Settings:
    return Settings(library=music, embedders=("mfcc",), evaluate="when 20 % changed")


def run(settings: Settings) -> tuple[Plan, Comparison]:
    plan = plan_of(settings)
    home = settings.paths
    store, index = EmbeddingStore(home.embeddings), open_index(settings)
    plan.library.save(home.library)
    embed_tracks(plan.library.tracks, mfcc.SPEC, store, settings.cache)
    build_collection(plan.library.tracks, mfcc.SPEC, store, index)
    comparison = evaluate_library(plan.library, [mfcc.SPEC], store, index, settings)
    report.write(comparison, home.reports)
    return plan, comparison


@pytest.mark.parametrize(
    ("failing", "error", "told"),
    [
        ("embed.embed_tracks", WorkerError("the worker was killed", "add memory", "killed"),
         ("the worker was killed", "add memory", "killed")),
        ("publish.build_collection", KeyError("x"), ("KeyError: 'x'", "", "unexpected")),
        ("publish.build_collection", OSError(errno.ENOSPC, "full", "/home/x"),
         ("/home/x: the disk is full: make room. All finished work is kept: then run it again.",
          "", "system")),
    ],
)  # fmt: skip
def test_a_failed_embedder_has_its_own_error_in_the_report(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    error: Exception,
    told: tuple[str, str, str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"musicflow.pipeline.{failing}", fail)
        assert [*run_plan(plan_of(settings), settings)] == ["embeddings/mfcc"]
    comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
    assert comparison is not None
    row = comparison.rows[0]
    assert (row.error, row.advice, row.code) == told
    assert run_plan(plan_of(settings), settings) == {}
    comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
    assert comparison is not None
    assert comparison.rows[0].error == ""
    assert not [*settings.paths.failures.iterdir()]


def stands(last: Comparison, library: Library, settings: Settings) -> bool:
    given = EmbeddingStore(settings.paths.embeddings), open_index(settings)
    return still_stands(last, library, [mfcc.SPEC], *given, settings) is not None


def test_an_evaluation_is_put_off_until_enough_changed_and_says_of_what_it_is(
    settings: Settings, write: Write, music: Path
) -> None:
    _, first = run(settings)
    assert first.as_of is None
    pictures = {path: path.read_bytes() for path in settings.paths.reports.glob("*.png")}
    write("tones/new.wav", tone(999))
    (music / "noises" / "broken.wav").write_bytes(b"RIFF")
    plan, second = run(settings)
    assert [step.kind for step in plan.steps] == ["embed", "publish"]
    assert plan.as_of == second.as_of == AsOf(12, 13, 12)
    assert str(second.as_of) == "as of 12 of 13 tracks"
    assert (second.rows, second.created, second.state) == (first.rows, first.created, first.state)
    assert "noises/broken.wav" in {problem.subject for problem in second.problems}
    for name in ("comparison.md", "comparison.html"):
        assert "as of 12 of 13 tracks" in (settings.paths.reports / name).read_text()
    assert pictures == {path: path.read_bytes() for path in settings.paths.reports.glob("*.png")}
    again = plan_of(settings)
    assert again.steps == ()
    assert again.comparison is not None
    assert again.comparison.as_of == second.as_of
    for number in range(2):
        write(f"tones/more {number}.wav", tone(1100 + 70 * number))
    plan, third = run(settings)
    assert plan.steps[-1].kind == "evaluate"
    assert third.as_of is None
    assert third.dataset.tracks == 15
    assert "as of" not in (settings.paths.reports / "comparison.md").read_text()


def test_only_changes_of_tracks_are_put_off_and_daily_is_once_a_day(
    settings: Settings, write: Write
) -> None:
    _, last = run(settings)
    write("tones/new.wav", tone(999))
    library = plan_of(settings).library
    assert stands(last, library, settings)
    assert not stands(last, library, settings.model_copy(update={"evaluate": "always"}))
    assert not stands(last, library, settings.model_copy(update={"k": 20}))
    assert not stands(replace(last, frame="of other embedders"), library, settings)
    failed = tuple(replace(row, error="no collection") for row in last.rows)
    assert not stands(replace(last, rows=failed), library, settings)
    assert not stands(replace(last, state="of other tracks"), library, settings)
    daily, now = settings.model_copy(update={"evaluate": "daily"}), datetime.now().astimezone()
    assert stands(replace(last, created=now.isoformat()), library, daily)
    assert not stands(replace(last, created=(now - timedelta(1)).isoformat()), library, daily)


@pytest.mark.parametrize(
    ("now", "before", "shared", "share", "text"),
    [
        (50_012, 49_980, 49_980, 32 / 50_012, "as of 49,980 of 50,012 tracks"),
        (90, 100, 90, 0.1, "as of 90 of 90 tracks; 10 are gone or changed"),
        (100, 100, 99, 0.01, "as of 99 of 100 tracks; 1 is gone or changed"),
    ],
)
def test_a_replaced_track_counts_as_one_change(
    now: int, before: int, shared: int, share: float, text: str
) -> None:
    as_of = AsOf(shared, now, before)
    assert as_of.changed == pytest.approx(share)
    assert str(as_of) == text


@pytest.mark.parametrize("when", ["sometimes", "when % changed", "when 1 changed", ""])
def test_another_time_is_no_setting(when: str) -> None:
    with pytest.raises(ValidationError, match="none of always, daily, when N % changed"):
        Settings(evaluate=when)


def test_labels_of_a_table_stand_in_the_report_and_are_measured_again_when_it_changes(
    settings: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    settings = settings.model_copy(update={"labels": (str(table), "genr")})

    def label(name: str) -> None:
        ids = [f"{folder}/{n}.wav" for folder in ("tones", "noises") for n in range(6)]
        table.write_text("track,label\n" + "".join(f"{one},{name}\n" for one in ids))

    label("calm")
    _, first = run(settings)
    assert first.rows[0].by_label["mine"].by_value == {"calm": 1.0}
    assert [(one.name, one.code) for one in first.labels] == [("mine", ""), ("genr", "no-label")]
    page = (settings.paths.reports / "comparison.md").read_text()
    assert "## By mine" in page
    assert "no track has the label genr: name a label" in page
    assert plan_of(settings).steps == ()
    label("loud")
    _, second = run(settings)
    assert second.rows[0].by_label["mine"].by_value == {"loud": 1.0}
