"""Corrections of hubness against slow versions of their definitions, on a hub made on purpose."""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from musicflow.evaluation import quality
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.quality import measure
from musicflow.library import Track
from musicflow_tests.evaluation.made_up import track

GENRES = [genre for genre in "abcd" for _ in range(15)]
HUBS = [7, 22, 37]


@pytest.fixture(scope="module")
def unit() -> np.ndarray:
    """Four genres about the axes, and three tracks in the middle of all, near to everything."""
    random = np.random.default_rng(0)
    values = np.eye(4)[[ord(genre) - ord("a") for genre in GENRES]] + 0.3
    values = np.hstack([values, np.zeros((60, 20))]) + 0.3 * random.standard_normal((60, 24))
    values[HUBS] = np.hstack([np.ones((3, 4)), np.zeros((3, 20))])
    values[HUBS] += 0.01 * random.standard_normal((3, 24))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def tracks() -> list[Track]:
    # Two tracks of an artist each: these do not answer each other.
    return [track(n, genre, artist=f"artist {n // 2}") for n, genre in enumerate(GENRES)]


def slow_scores(unit: np.ndarray, correction: str) -> list[list[float]]:
    """The score of each track for each query, by loops over the definitions."""
    count = len(unit)
    cosine = [[float(np.dot(a, b)) for b in unit.astype(float)] for a in unit.astype(float)]
    others = [[cosine[i][j] for j in range(count) if j != i] for i in range(count)]
    mean = [sum(values) / len(values) for values in others]
    deviation = [
        math.sqrt(sum((value - m) ** 2 for value in values) / len(values))
        for values, m in zip(others, mean, strict=True)
    ]
    near = [sum(sorted(values)[-10:]) / 10 for values in others]

    def share_below(track: int, value: float) -> float:
        return 0.5 * math.erfc(-(value - mean[track]) / deviation[track] / math.sqrt(2))

    def score(i: int, j: int) -> float:
        if correction == "csls":
            return 2 * cosine[i][j] - near[j]
        return share_below(i, cosine[i][j]) * share_below(j, cosine[i][j])

    return [[score(i, j) for j in range(count)] for i in range(count)]


def ten_nearest(scores: list[list[float]], queries: Iterable[int]) -> list[list[int]]:
    def nearest(i: int) -> list[int]:
        others = (j for j in range(60) if j // 2 != i // 2)
        return sorted(others, key=lambda j: (-scores[i][j], j))[:10]

    return [nearest(i) for i in queries]


@pytest.mark.parametrize(("place", "correction"), [(0, "csls"), (1, "mutual-proximity")])
def test_a_hub_made_on_purpose_loses_its_place_as_the_definition_says(
    unit: np.ndarray, tracks: list[Track], place: int, correction: str
) -> None:
    found = measure(tracks, {"space": unit}, ["space"], same=lambda _a, _b: False)
    figures = found.figures["space"]
    one = figures.corrected[place]
    assert one.correction == correction
    scores = slow_scores(unit, correction)
    nearest = ten_nearest(scores, range(60))
    hits = [sum(GENRES[j] == GENRES[i] for j in row) / 10 for i, row in enumerate(nearest)]
    assert one.scores[MAIN].value == pytest.approx(float(np.mean(hits)), abs=1e-12)
    change = one.changes[MAIN]
    before = figures.scores[MAIN].value
    assert change.change == pytest.approx(one.scores[MAIN].value - before, abs=1e-12)
    assert change.interval[0] <= change.change <= change.interval[1]
    counts = np.bincount(np.ravel(nearest), minlength=60)
    assert one.orphans[1] == pytest.approx(float((counts == 0).mean()))
    apart = counts - counts.mean()
    assert one.hubness[1] == pytest.approx(float((apart**3).mean() / counts.std() ** 3))
    assert {int(name) for name, _, _ in one.hubs} == set(HUBS)
    assert [after for _, _, after in one.hubs] == [int(counts[int(n)]) for n, _, _ in one.hubs]
    assert all(after < before for _, before, after in one.hubs)
    assert one.hubness[1] < one.hubness[0]
    assert change.change > 0
    assert change.p < 0.05


def test_without_corrections_all_other_figures_are_the_same(
    unit: np.ndarray, tracks: list[Track]
) -> None:
    given = tracks, {"space": unit}, ["space"]
    both = [
        measure(*given, method, same=lambda _a, _b: False).figures["space"]
        for method in (Method(), Method(hubness="as-is"))
    ]
    assert both[1].corrected == ()
    both[0].corrected = ()
    assert both[0] == both[1]


@pytest.mark.parametrize(("place", "correction"), [(0, "csls"), (1, "mutual-proximity")])
def test_of_many_queries_corrections_are_measured_on_some_and_say_so(
    unit: np.ndarray,
    tracks: list[Track],
    place: int,
    correction: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality, "MAX_QUERIES", 50)
    monkeypatch.setattr(quality, "MAX_CORRECTED", 20)
    found = measure(tracks, {"space": unit}, ["space"], same=lambda _a, _b: False)
    one = found.figures["space"].corrected[place]
    assert one.drawn == 20
    queries = np.sort(np.random.default_rng(0).permutation(60)[:50])
    queries = queries[np.sort(np.random.default_rng(0).permutation(50)[:20])].tolist()
    cosines = (unit.astype(float) @ unit.astype(float).T).tolist()
    hits, orphans = [], []
    for scores in (cosines, slow_scores(unit, correction)):
        nearest = ten_nearest(scores, queries)
        rows = zip(queries, nearest, strict=True)
        hits.append(np.mean([sum(GENRES[j] == GENRES[i] for j in row) / 10 for i, row in rows]))
        orphans.append(1 - len({j for row in nearest for j in row}) / 60)
    assert one.scores[MAIN].value == pytest.approx(hits[1])
    assert one.changes[MAIN].change == pytest.approx(hits[1] - hits[0])
    assert one.orphans == pytest.approx(tuple(orphans))
