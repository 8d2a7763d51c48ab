"""Triplets that two embedders order differently, and tell most by the answer."""

import numpy as np

from musicflow.evaluation.abx import NEAREST, Triplet, triplet
from musicflow_tests.evaluation.made_up import track, unit

COUNT = 40
TRACKS = [track(n, "rock", artist=f"artist {n // 2}") for n in range(COUNT)]
IDS = [one.track_id for one in TRACKS]


def ranks(vectors: np.ndarray, query: int) -> dict[str, int]:
    """The rank of each candidate, by a plain sort; the query's artist is none."""
    exact = vectors.astype(np.float64)
    others = [row for row in range(COUNT) if row // 2 != query // 2]
    others.sort(key=lambda row: (-round(float(exact[query] @ exact[row]), 10), row))
    return {IDS[row]: place for place, row in enumerate(others)}


def widest(spaces: tuple[np.ndarray, np.ndarray], query: int) -> float:
    """The widest margin of a query, by trying all pairs of the first answers."""
    one, other = (ranks(space, query) for space in spaces)
    margins = [
        min(one[c] - one[b], other[b] - other[c])
        for b, at in one.items()
        if at < NEAREST
        for c, there in other.items()
        if there < NEAREST
    ]
    return max(margins) / (len(one) - 1)


def test_the_question_is_the_one_with_the_widest_margin_in_both_orders() -> None:
    spaces = unit(COUNT, 1), unit(COUNT, 2)
    found = triplet(TRACKS, spaces, seed=3)
    assert found is not None
    query = IDS.index(found.query)
    one, other = (ranks(space, query) for space in spaces)
    assert one[found.first] < one[found.second]
    assert other[found.second] < other[found.first]
    assert found.margin == max(widest(spaces, row) for row in range(COUNT))


def test_a_query_that_was_asked_is_not_asked_again() -> None:
    spaces = unit(COUNT, 1), unit(COUNT, 2)
    asked: list[str] = []
    for seed in range(5):
        found = triplet(TRACKS, spaces, asked, seed)
        assert isinstance(found, Triplet)
        assert found.query not in asked
        asked.append(found.query)
    assert triplet(TRACKS, spaces, IDS) is None


def test_two_spaces_that_order_alike_have_nothing_to_ask() -> None:
    assert triplet(TRACKS, (unit(COUNT, 1), unit(COUNT, 1))) is None
    assert triplet(TRACKS[:2], (unit(2, 1), unit(2, 2))) is None
