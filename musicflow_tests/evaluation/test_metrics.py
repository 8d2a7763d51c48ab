"""The door for metrics: what joins the table, what is refused, and all that follows from it."""

import doctest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow.evaluation import Comparison, Dataset, Method, Row, metrics, report
from musicflow.evaluation.metrics import Metric, MetricError, RankedRelevance
from musicflow.evaluation.protocol import Labels, Protocol
from musicflow.evaluation.quality import measure
from musicflow.evaluation.report import plain
from musicflow.settings import Settings
from musicflow_tests.evaluation.made_up import around, scores, track

RANKED = RankedRelevance(np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]]), np.array([3, 2]), k=2)
LAST = Metric("last", "last", lambda ranked: ranked.hits[:, -1], "Whether the last is a hit.")

PLUGIN = """
from musicflow.evaluation.metrics import Metric
FIRST = Metric("first", "first", lambda ranked: ranked.hits[:, 0], "Whether the first is a hit.")
NUMBER = 7
TAKEN = Metric("map", "mAP", lambda ranked: ranked.hits[:, 0])
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with a metric on the path, and an entry point that leads to some address."""
    (tmp_path / "a_metric_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(address: str) -> None:
        about = tmp_path / "a_metric_plugin-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: a-metric-plugin\nVersion: 1\n"
        )
        (about / "entry_points.txt").write_text(f"[musicflow.metrics]\nfirst = {address}\n")

    return install


def names(*addresses: str) -> set[str]:
    return {metric.name for metric in metrics.table(addresses)}


def test_a_metric_joins_by_its_address_in_the_settings(install: Install) -> None:
    assert install
    assert "first" not in names()
    method = Method.of(Settings(metrics=("a_metric_plugin:FIRST",)))
    assert method.metrics[-1].name == "first"
    assert method.metrics[-1].scores(RANKED).tolist() == [0.0, 1.0]


def test_a_metric_joins_by_an_entry_point(install: Install) -> None:
    install("a_metric_plugin:FIRST")
    assert "first" in names()
    assert "first" in names("a_metric_plugin:FIRST"), "the same twice is one"


def test_a_metric_joins_by_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_TABLE", dict(metrics._TABLE))
    assert metrics.register(LAST) is LAST
    assert metrics.register(LAST) is LAST
    assert "last" in names()
    with pytest.raises(MetricError, match="a metric is called 'last' already"):
        metrics.register(replace(LAST, version=2))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("first", "no metric is called 'first': name one of your own as package.module:NAME"),
        (
            "a_metric_plugin:GONE",
            "cannot be imported: module 'a_metric_plugin' has no attribute 'GONE'",
        ),
        ("no_such_package:X", "cannot be imported: No module named 'no_such_package'"),
        ("a_metric_plugin:NUMBER", "a_metric_plugin:NUMBER is of type int, not of type Metric"),
        ("a_metric_plugin:TAKEN", "two metrics are called 'map': rename one of them"),
    ],
)
@pytest.mark.usefixtures("install")
def test_an_address_that_leads_to_no_metric_is_one_sentence(address: str, said: str) -> None:
    with pytest.raises(MetricError) as caught:
        metrics.table([address])
    assert said in str(caught.value)


def test_a_broken_plugin_is_left_out_with_a_warning(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("a_metric_plugin:GONE")
    assert "map" in names()
    assert "the metric first (a_metric_plugin:GONE) cannot be imported" in caplog.text


def test_a_name_must_be_a_word() -> None:
    with pytest.raises(MetricError, match="'hit @ 3' is no name of a metric"):
        replace(LAST, name="hit @ 3")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda _: 1 / 0, "the metric last failed with ZeroDivisionError"),
        (lambda ranked: ranked.hits, "returned the shape (2, 3) for 2 queries"),
        (lambda _: np.array([1.0, np.nan]), "returned a value that is not finite"),
    ],
)
def test_a_metric_that_fails_is_named(
    function: Callable[[RankedRelevance], np.ndarray], said: str
) -> None:
    with pytest.raises(MetricError) as caught:
        replace(LAST, function=function).scores(RANKED)
    assert said in str(caught.value)


def test_rankings_offer_what_metrics_are_made_of() -> None:
    assert RANKED.relevant.tolist() == [2, 1]
    assert RANKED.hits_at(2).tolist() == [1, 1]
    assert [part.tolist() for part in RANKED.places] == [[0, 0, 1], [1, 2, 0]]
    assert RANKED.precisions.tolist() == [1 / 2, 2 / 3, 1.0]
    assert metrics.get("precision_at_k").scores(RANKED).tolist() == [1 / 2, 1 / 2]
    assert metrics.get("map").scores(RANKED).tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1.0])


def test_the_examples_of_the_documentation_run() -> None:
    assert doctest.testmod(metrics).failed == 0


def test_everything_follows_from_the_table() -> None:
    """A metric of one definition is measured, with its interval, and shown wherever others are."""
    first = Metric("first", "1st", lambda ranked: ranked.hits[:, 0], "A hit.", compared=True)
    method = Method(metrics=(*metrics.table(), first))
    genres = [genre for genre in "ab" for _ in range(12)]
    tracks = [track(n, genre, artist=f"artist {n}") for n, genre in enumerate(genres)]
    spaces = {"one": around(genres, 0), "two": around(genres, 1, spread=2.0)}
    found = measure(tracks, spaces, list(spaces), method, same=lambda _a, _b: False)
    score = found.figures["one"].scores["first"]
    assert score.value == found.figures["one"].scores["precision_at_1"].value
    assert score.low is not None
    assert {d.metric for d in found.differences} == {"precision_at_10", "map", "first"}
    rows = tuple(Row(name, "embedder", "none", 8, f.scores) for name, f in found.figures.items())
    made = comparison(metrics.measures(method.metrics, 10), *rows)
    assert "1st" in report.markdown(made)
    assert "first,first_low,first_high" in plain.as_csv(made)
    assert [m.title for m in report.columns(made, "console")] == ["P@1", "P@10", "mAP", "1st"]


def comparison(measures: tuple[metrics.Measure, ...], *rows: Row) -> Comparison:
    dataset, protocol = Dataset("music", "abc", 24, 0), Protocol("artist", 24, 0, 24)
    return Comparison(dataset, protocol, measures, rows, (), (), "state", "2026-01-01")


def test_precision_at_k_has_a_column_where_no_other_has_its_k() -> None:
    def shown(k: int) -> list[str]:
        made = comparison(metrics.measures(metrics.table(), k))
        return [measure.title for measure in report.columns(made, "console")]

    assert shown(10) == shown(1) == shown(5) == ["P@1", "P@10", "mAP"]
    assert shown(20) == ["P@1", "P@10", "P@20", "mAP"]


def test_scores_of_seeded_weights_are_in_brackets() -> None:
    row = Row("x", "embedder", "untrained", 8, scores(map=0.5), chance=0.1)
    assert (report.score(row, "map"), report.interval(row, "map")) == ("(0.500)", "")
    assert report.score(replace(row, weights="trained"), "map") == "0.500"


def test_hits_alone_give_the_scores_of_the_whole_ranking() -> None:
    """Labels of several kinds, some candidates excluded: by dense relevance, and by its hits."""
    random = np.random.default_rng(0)
    labels = Labels([random.choice(list("abcde"), 2, replace=False).tolist() for _ in range(40)])
    rows, candidates = np.array([3, 0, 17, 17]), np.array([40, 12, 9, 1])
    ranking = np.argsort(random.random((4, 40)), axis=1).astype(np.int32)
    relevance = np.take_along_axis(labels.relevance(rows), ranking, axis=1)
    relevance[np.arange(40) >= candidates[:, None]] = 0.0
    counts, places, gains = labels.hits(rows, ranking, candidates)
    assert counts.tolist() == (relevance > 0).sum(axis=1).tolist()
    able = counts > 0
    dense = RankedRelevance(relevance[able], candidates[able], k=3)
    of = counts[able], places, gains, candidates[able]
    sparse = RankedRelevance.of_hits(*of, depth=40, k=3)
    for metric in (*metrics.table(), LAST):
        assert metric.scores(sparse).tolist() == metric.scores(dense).tolist()
    assert np.array_equal(sparse.relevance, dense.relevance)
