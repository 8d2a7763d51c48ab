import csv
import errno
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow.embedders import mfcc
from musicflow.evaluation import (
    Comparison,
    Dataset,
    Method,
    choice,
    compare,
    cost_of,
    is_up_to_date,
    projection,
    state_of,
)
from musicflow.evaluation.comparison import look_at_times
from musicflow.evaluation.metrics import MAIN, Metric
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.report import counts, html, markdown, problem_lines, score, write
from musicflow.evaluation.results import Row
from musicflow.index import EmbeddedIndex
from musicflow.library import Library, Problem, files, join, note_lines, scan
from musicflow.library.tags import Tags
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.store import Embedding, EmbeddingStore


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "embeddings")


@pytest.fixture
def index(tmp_path: Path) -> EmbeddedIndex:
    return EmbeddedIndex(tmp_path / "collections")


@pytest.fixture
def library(music: Path, tmp_path: Path) -> Library:
    return join(music, scan(music, tmp_path / "known"))


def evaluate(library: Library, store: EmbeddingStore, index: EmbeddedIndex) -> Comparison:
    embed_tracks(library.tracks, mfcc.SPEC, store, Path("unused"))
    build_collection(library.tracks, mfcc.SPEC, store, index)
    return compare(library, [mfcc.SPEC], store, index)


def test_a_track_that_could_not_be_read_is_named_and_counted(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex
) -> None:
    Path(library.tracks[0].path).unlink()
    comparison = evaluate(library, store, index)
    assert comparison.rows[0].n_failed == 1
    assert comparison.rows[0].n_queries == 11
    assert [problem.subject for problem in comparison.problems] == [library.tracks[0].track_id]
    assert comparison.dataset.failed == 1


def test_a_track_without_a_vector_says_why(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(replace(library, tracks=library.tracks[2:]), store, index)
    locked, opened = library.tracks[0].path, Path.open

    def open_(path: Path, *how: Any, **also: Any) -> Any:
        if str(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", locked)
        return opened(path, *how, **also)

    monkeypatch.setattr(Path, "open", open_)
    problems = compare(library, [mfcc.SPEC], store, index).problems
    assert [(problem.reason, problem.code) for problem in problems] == [
        ("not embedded: it cannot be read: Permission denied", "unreadable"),
        ("not embedded yet: the next run does so", "not-embedded"),
    ]


def test_vectors_that_were_not_published_yet_are_compared(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex
) -> None:
    """As after a run in which the embedder failed midway."""
    evaluate(replace(library, tracks=library.tracks[:8]), store, index)
    embed_tracks(library.tracks, mfcc.SPEC, store, Path("unused"))
    row, _ = compare(library, [mfcc.SPEC], store, index).rows
    assert (row.n_queries, row.error) == (12, "")
    assert row.agreement_at_10 is row.query_ms is None


def test_a_comparison_is_up_to_date_until_something_changes_that_it_follows_from(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex
) -> None:
    comparison = evaluate(library, store, index)
    given = library, [mfcc.SPEC], store, index
    method = Method()
    assert is_up_to_date(comparison, *given, method)
    assert not is_up_to_date(comparison, *given, Method("none"))
    fewer = replace(library, tracks=library.tracks[1:])
    assert not is_up_to_date(comparison, fewer, *given[1:], method)
    failed = replace(comparison.rows[0], n_failed=1)
    assert not is_up_to_date(replace(comparison, rows=(failed,)), *given, method)
    build_collection(fewer.tracks, mfcc.SPEC, store, index)
    assert not is_up_to_date(comparison, *given, method)


def test_the_time_to_load_a_model_is_that_of_the_passes_that_measured_it() -> None:
    rows = [Embedding(str(n), np.ones(60), wall_s=1.0, load_s=n) for n in (0.0, 0.0, 2.0, 3.0, 9.0)]
    assert cost_of(rows)["load_s"] == 3.0
    assert cost_of([replace(row, cpu_s=1.5) for row in rows])["cores"] == 1.5
    assert cost_of(rows)["cores"] is None
    assert cost_of(rows[:2])["load_s"] is None
    assert cost_of([]) == {}


@pytest.mark.parametrize(
    ("wall_s", "cpu_s", "asked_s", "granted", "is_told"),
    [
        (6.0, 9.0, 9.0, 1.0, False),
        (6.0, 5.0, 10.0, 0.5, True),
        # Too short to say, and where the system does not tell.
        (1.0, 0.5, 2.0, None, False),
        (6.0, 5.0, 0.0, None, False),
    ],
)
def test_times_of_a_busy_machine_are_told_to_be_such(
    wall_s: float, cpu_s: float, asked_s: float, granted: float | None, is_told: bool
) -> None:
    row = Embedding("a", np.ones(60), wall_s=wall_s, cpu_s=cpu_s, asked_s=asked_s)
    cost = cost_of([row, replace(row, content_hash="b")])
    assert cost["granted"] == granted
    faults = look_at_times(Row("mfcc", "embedder", "none", 60, **cost))
    assert [fault.code for fault in faults] == ["busy"] * is_told


@pytest.mark.parametrize(
    "form", ["{genre} {n}/Album/{n}.wav", "{genre} {n}.wav", "Data/x/{genre}/{n}.wav"]
)
def test_the_same_music_laid_out_otherwise_has_the_same_figures_without_embedding(
    form: str,
    library: Library,
    store: EmbeddingStore,
    index: EmbeddedIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = evaluate(library, store, index).rows[0]
    for track in library.tracks:
        genre, name = track.genre, Path(track.path).stem
        target = tmp_path / "other" / form.format(genre=genre, n=name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(track.path, target)
    made = {t.content_hash: t.genre for t in library.tracks}

    def tags(path: Path) -> Tags:
        who = path.relative_to(tmp_path / "other").parts[0].removesuffix(".wav")
        return Tags(artists=(who,), album="Album", genres=(who.partition(" ")[0],))

    if "Data" not in form:
        monkeypatch.setattr(files, "read_tags", tags)
    other = join(tmp_path / "other", scan(tmp_path / "other", tmp_path / "known other"))
    assert other.genre_source == ("folder" if "Data" in form else "tag")
    assert {track.content_hash: track.genre for track in other.tracks} == made
    assert embed_tracks(other.tracks, mfcc.SPEC, store, Path("unused")).embedded == 0
    compared = evaluate(other, store, index)
    assert compared.protocol.relevance == f"genres from {other.genre_origin}"
    after = compared.rows[0]
    assert {
        name: score.value for name, score in after.scores.items() if name != "probe_accuracy"
    } == {name: score.value for name, score in before.scores.items() if name != "probe_accuracy"}


def test_a_comparison_by_one_genre_is_void_and_ranks_nothing(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex, tmp_path: Path
) -> None:
    one = replace(
        library, tracks=tuple(replace(t, genre="x", genres=("x",)) for t in library.tracks)
    )
    comparison = evaluate(one, store, index)
    assert comparison.is_void
    assert [doubt.code for doubt in comparison.doubts] == ["few-genres"]
    assert comparison.rows[0].value(MAIN) == 1.0
    assert not any(row.meaningful for row in comparison.rows)
    assert not comparison.differences
    assert choice.rank_candidates(comparison.rows) == []
    assert {word.quality for word in choice.words(comparison.rows)} == {""}
    text = markdown(comparison)
    assert "## What it means" in text
    assert "This comparison means nothing" in text
    assert text.index("This comparison") < text.index("## Quality")
    comparison.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json") == comparison
    with index.open("mfcc") as collection:
        assert collection.count() == 12


def test_an_embedder_never_published_has_a_row_that_says_so(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex
) -> None:
    comparison = compare(library, [mfcc.SPEC], store, index)
    row, floor = comparison.rows
    assert (row.kind, row.value(MAIN), floor.kind) == ("embedder", None, "baseline")
    assert "no current collection" in row.error
    assert score(row, "map") == "–"
    assert floor.value(MAIN) is not None


def test_a_comparison_is_read_back_as_it_was(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex, tmp_path: Path
) -> None:
    comparison = evaluate(library, store, index)
    comparison.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json") == comparison
    assert Comparison.load(tmp_path / "none.json") is None


def test_a_comparison_of_an_earlier_version_counts_as_none(tmp_path: Path) -> None:
    """As that of version 3, whose rows had an attribute per metric."""
    row = {"embedder": "mfcc", "weights": "none", "dim": 60, "map": 0.5, "intervals": {}}
    old = {
        "dataset": {"name": "music", "fingerprint": "abc", "tracks": 1, "failed": 0},
        "protocol": {"exclude": "none", "gallery": 1, "copies": 0, "artists": 0},
        "rows": [row], "differences": [], "problems": [], "state": "s", "created": "2026",
    }  # fmt: skip
    (tmp_path / "comparison.json").write_text(json.dumps(old))
    assert Comparison.load(tmp_path / "comparison.json") is None


def test_many_warnings_of_one_kind_are_one_line_with_examples() -> None:
    bare = [
        Problem(f"s{i}", "library", "warning", f"no labels: of s{i}", "audio-without-labels")
        for i in range(5000)
    ]
    few = [Problem(f"f{i}", "library", "warning", "a fault", "known-fault") for i in range(3)]
    broken = [Problem("b|1", stage, "error", "cut off") for stage in ("mfcc", "musicnn")]
    lines = problem_lines([*bare, *few, *broken])
    assert lines == [
        ("b|1", "mfcc, musicnn", "cut off"),
        ("5000, such as s0, s1, s2", "library", "no labels"),
        *((f"f{i}", "library", "a fault") for i in range(3)),
    ]
    dataset = Dataset("music", "abc", 7, 1)
    protocol = Protocol("artist", 6, 0, 6)
    problems = (*bare, *broken)
    text = markdown(Comparison(dataset, protocol, (), (), (), problems, "state", "2026-01-01"))
    assert "| 5000, such as s0, s1, s2 | library | no labels |" in text
    assert r"| b\|1 | mfcc, musicnn | cut off |" in text
    assert len(text) < 4000


@pytest.mark.parametrize("count", [1, 2])
def test_each_kind_of_note_has_a_sentence(count: int) -> None:
    codes = ["short", "concealed", "longer-than-stated", "no-end", "channels-cancel", "one-sided"]
    codes += ["quiet", "over-full-scale", "of-a-later-version"]
    notes = [Problem(f"{i}", "mfcc", "note", "-", code) for code in codes for i in range(count)]
    lines = note_lines(notes)
    start = {1: "1 track ", 2: "2 tracks "}[count]
    assert len(lines) == len(set(lines)) == len(codes)
    assert all(line.startswith(start) and "{" not in line for line in lines)


def test_notes_and_skipped_kinds_are_counted_and_never_listed(tmp_path: Path) -> None:
    problems = [
        Problem(f"s{i}", stage, "note", f"short: 0.{i} s", "short")
        for stage, count in (("musicnn", 5), ("mfcc", 1))
        for i in range(count)
    ]
    problems += [
        Problem(f"q{i}", stage, "note", "quiet: -70 dB", "quiet")
        for stage in ("musicnn", "mfcc")
        for i in range(2)
    ]
    dataset = Dataset("music", "abc", 7, 1, {".mid": 2, ".sid": 1})
    protocol = Protocol("artist", 6, 0, 6)
    comparison = Comparison(dataset, protocol, (), (), (), tuple(problems), "state", "2026-01-01")
    lines = counts(comparison)
    assert lines == [
        "5 tracks are shorter than one window of musicnn and were padded",
        "1 track is shorter than one window of mfcc and was padded",
        "2 tracks are very quiet",
        "3 files of kinds that are not read: 2 .mid, 1 .sid",
    ]
    assert problem_lines(problems) == []
    for text in (markdown(comparison), html(comparison, {})):
        assert all(line in text for line in lines)
        assert "Problems" not in text
        assert "s1" not in text
    comparison.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json") == comparison


def test_the_page_holds_everything_it_shows(
    library: Library, store: EmbeddingStore, index: EmbeddedIndex, tmp_path: Path
) -> None:
    comparison = evaluate(library, store, index)
    with index.open("mfcc") as collection:
        projection.places(collection, tmp_path)
    names = {path.name for path in write(comparison, tmp_path)}
    assert names >= {"comparison.html", "comparison.md", "comparison.csv", "projection.png"}
    assert {f"{Path(name).stem}.svg" for name in names if name.endswith(".png")} <= names
    page = (tmp_path / "comparison.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,26})', page)
    assert sources == ["data:image/svg+xml;base64,"] * 4
    assert f"<h1>Embedders compared on {library.name}</h1>" in page
    # A published figure has the setup beside it.
    assert "<td>0.534</td><td>sklearn-audio-transfer-learning</td><td>an SVM, fault-filt" in page
    for part in ("Protocol: ", "tones", "mfcc", "neither confirmed nor contradicted (not run)"):
        assert part in page
    with (tmp_path / "comparison.csv").open() as file:
        [row, floor] = csv.DictReader(file)
    assert float(row["map_low"]) <= float(row["map"]) <= float(row["map_high"])
    assert floor["embedder"] == "random"


def test_a_duplicate_in_the_library_is_named_and_evaluated_once(
    music: Path, tmp_path: Path, store: EmbeddingStore, index: EmbeddedIndex
) -> None:
    shutil.copy(music / "tones" / "3.wav", music / "noises" / "wrong.wav")
    library = join(music, scan(music, tmp_path / "known"))
    comparison = evaluate(library, store, index)
    assert comparison.rows[0].n_queries == 12
    assert comparison.protocol.duplicates == 1
    [problem] = [p for p in comparison.problems if p.stage == "evaluation"]
    assert problem.subject == "tones/3.wav"
    assert "noises/wrong.wav, which has the genre noises" in problem.reason
    assert comparison.dataset.failed == 0


def test_other_rules_or_metrics_are_another_comparison(library: Library) -> None:
    one = Metric("one", "one", lambda ranked: ranked.hits[:, 0])
    methods = [Method("artist"), Method("duplicates"), Method("none"), Method(k=20)]
    methods += [Method(metrics=(one,)), Method(metrics=(replace(one, version=2),))]
    assert len({state_of(library, [], some) for some in methods}) == len(methods)
