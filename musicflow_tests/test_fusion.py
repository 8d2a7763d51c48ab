from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from musicflow import fusion
from musicflow.index import Collection, EmbeddedIndex, Filters, Manifest, Point
from musicflow_tests.evaluation.made_up import unit

COUNT = 60
SPACES = {"a": unit(COUNT, 0), "b": unit(COUNT, 1, dim=4)}


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[dict[str, Collection]]:
    index = EmbeddedIndex(tmp_path)
    with ExitStack() as opened:
        found = {}
        for name, vectors in SPACES.items():
            # The second does not hold the last track.
            rows = range(COUNT if name == "a" else COUNT - 1)
            points = [
                Point(
                    f"t{row:02}", vectors[row], {"track_id": f"t{row:02}", "genre": "xy"[row % 2]}
                )
                for row in rows
            ]
            index.publish(name, Manifest(name, "hash", vectors.shape[1], "state"), points)
            found[name] = opened.enter_context(index.open(name))
        yield found


def queries(row: int) -> dict[str, np.ndarray]:
    return {name: vectors[row] for name, vectors in SPACES.items()}


def test_weighted_answers_are_those_of_all_weighted_cosines(
    collections: dict[str, Collection],
) -> None:
    weights = {"a": 0.7, "b": 0.3}
    hits = fusion.search(collections, queries(5), 10, weights, without=["t05"])
    scores = sum(weights[name] * vectors @ vectors[5] for name, vectors in SPACES.items())
    expected = [row for row in np.argsort(-scores) if row not in (5, COUNT - 1)][:10]
    assert [hit.track_id for hit in hits] == [f"t{row:02}" for row in expected]
    assert [hit.score for hit in hits] == pytest.approx(scores[expected].tolist(), abs=1e-5)


def test_by_rank_no_weights_are_needed(collections: dict[str, Collection]) -> None:
    hits = fusion.search(collections, queries(5), COUNT, without=["t05"])
    held = [row for row in range(COUNT - 1) if row != 5]
    ranks = []
    for vectors in SPACES.values():
        cosines = vectors[held] @ vectors[5]
        ranks.append(np.argsort(np.argsort(-cosines)) + 1)
    scores = 1 / (60 + ranks[0]) + 1 / (60 + ranks[1])
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True))


def test_filters_hold_for_every_answer(collections: dict[str, Collection]) -> None:
    hits = fusion.search(collections, queries(5), 10, filters=Filters.parse(["genre=x"]))
    assert {hit.payload["genre"] for hit in hits} == {"x"}
    assert fusion.search(collections, queries(5), 10, filters=Filters.parse(["genre=z"])) == []


def test_a_name_tells_the_members() -> None:
    assert fusion.members("fusion:musicnn+mfcc") == ("musicnn", "mfcc")
    assert fusion.members("rrf:a+b+c") == ("a", "b", "c")
    assert fusion.members("musicnn") == ()
