import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.evaluation import votes
from musicflow.evaluation.votes import Vote

VERSIONS = {"a": "1", "b": "2", "c": "3"}


def vote(winner: str, first: str = "a", second: str = "b") -> Vote:
    versions = [VERSIONS[first], VERSIONS[second]]
    return Vote(first, second, winner, "a track", (["x"], ["y"]), versions, ["genre=jazz"])


def test_votes_come_back_in_order_and_say_when(tmp_path: Path) -> None:
    path = tmp_path / "new" / "votes.jsonl"
    for winner in ("a", "", "b"):
        votes.cast(path, vote(winner))
    kept, unreadable = votes.read(path)
    assert [one.winner for one in kept] == ["a", "", "b"]
    assert all(one.time for one in kept)
    assert (kept[0].answers, kept[0].filters, kept[0].versions) == (
        [["x"], ["y"]],
        ["genre=jazz"],
        ["1", "2"],
    )
    assert unreadable == 0


def test_there_are_no_votes_before_the_first(tmp_path: Path) -> None:
    assert votes.read(tmp_path / "votes.jsonl") == ([], 0)
    assert votes.standings([], VERSIONS) == []


def test_only_what_was_shown_can_win() -> None:
    with pytest.raises(ValueError, match="not up for a vote"):
        vote("c")


@pytest.mark.parametrize(
    "line",
    [b'{"first": "a", "sec', b"\xff\xfe", b"[]", b"null", b'{"first": "a"}', b'"' + b"x" * 10**6],
)
def test_a_torn_line_costs_itself_only(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "votes.jsonl"
    votes.cast(path, vote("a"))
    with path.open("ab") as file:
        file.write(line)
    votes.cast(path, vote("b"))
    kept, unreadable = votes.read(path)
    assert [one.winner for one in kept] == ["a", "b"]
    assert unreadable == 1


@pytest.mark.slow
def test_votes_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(votes.cast, [path] * 60, [vote("a")] * 60))
    lines = path.read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 60


def test_votes_on_lists_and_on_other_versions_are_read_and_do_not_stand(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    old = {"first": "a", "second": "b", "winner": "a", "query": "t", "k": 2, "time": "now"}
    lines = [old, old | {"answers": [["1", "2"], ["2", "3"]]}]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    votes.cast(path, replace(vote("a"), versions=("0", "2")))
    votes.cast(path, vote("b"))
    kept, unreadable = votes.read(path)
    assert (len(kept), unreadable) == (4, 0)
    [one] = votes.standings(kept, VERSIONS)
    assert (one.better, one.wins, one.losses) == ("b", 1, 0)


def test_a_standing_counts_each_pair_whatever_their_order_and_ties_apart() -> None:
    cast = [vote("a"), vote("a", "b", "a"), vote("b"), vote(""), vote("c", "c", "b")]
    [first, second] = votes.standings(cast, VERSIONS)
    assert not first.is_settled
    assert (first.better, first.worse) == ("a", "b")
    assert (first.wins, first.losses, first.ties) == (2, 1, 1)
    assert first.share == 2 / 3
    assert (second.better, second.wins, second.needed) == ("c", 1, 7)
    assert "7 more would settle it" in str(second)


@pytest.mark.parametrize(("wins", "losses"), [(1, 0), (8, 0), (9, 3), (30, 20), (0, 12)])
def test_the_interval_is_that_of_robbins_mixture(wins: int, losses: int) -> None:
    """A share is within where the binomial chance is more than 5 % of one over n + 1."""
    count = wins + losses

    def is_within(share: float) -> bool:
        chance = math.comb(count, wins) * share**wins * (1 - share) ** losses
        return (count + 1) * chance > 0.05

    shares = [n / 2000 for n in range(2001)]
    inside = [share for share in shares if is_within(share)]
    low, high = votes.interval(wins, losses)
    assert low == pytest.approx(min(inside), abs=1 / 2000)
    assert high == pytest.approx(max(inside), abs=1 / 2000)


def test_what_settles_a_pair_is_told_and_then_does() -> None:
    assert votes.needed(0, 0) == votes.needed(1, 0) + 1 == 8
    assert votes.needed(5, 5) is None
    further = votes.needed(9, 3)
    assert further is not None
    assert votes.needed(9 + 0.75 * further, 3 + 0.25 * further) == 0
    assert votes.standing("a", "b", {"a": 8}).is_settled
    assert votes.interval(9 + 0.75 * further, 3 + 0.25 * further)[0] > 0.5


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_interval_holds_the_share_and_mirrors_it(wins: int, losses: int) -> None:
    low, high = votes.interval(wins, losses)
    share = wins / (wins + losses) if wins + losses else 0.5
    assert 0 <= low <= share <= high <= 1
    mirrored = votes.interval(losses, wins)
    assert mirrored == pytest.approx((1 - high, 1 - low))


interval = lru_cache(None)(votes.interval)


def settled(random: np.random.Generator, preference: float, most: int) -> tuple[str, bool]:
    """Vote until it is settled; who won, and whether the interval held the truth all along."""
    wins, losses, held = 0, 0, True
    for chosen in random.random(most):
        wins, losses = wins + (chosen < preference), losses + (chosen >= preference)
        low, high = interval(wins, losses)
        held &= low <= preference <= high
        if low > 0.5 or high < 0.5:
            return "a" if low > 0.5 else "b", held
    return "", held


def test_a_known_preference_is_recovered_at_the_promised_count_and_within_the_interval() -> None:
    """80 % of votes for one: 24 are promised, and 4 of 5 listeners need no more than 34."""
    promised = next(n for n in range(100) if votes.needed(0.8 * n, 0.2 * n) == 0 and n)
    assert promised == 24
    random = np.random.default_rng(1)
    at_once = [settled(random, 0.8, promised) for _ in range(300)]
    assert sum(winner == "a" for winner, _ in at_once) > 0.5 * 300
    later = [settled(random, 0.8, 34) for _ in range(300)]
    assert sum(winner == "a" for winner, _ in later) > 0.75 * 300
    assert sum(winner == "b" for winner, _ in later) <= 0.05 * 300
    assert sum(held for _, held in later) >= 0.95 * 300


def test_without_a_preference_looking_after_each_vote_settles_wrongly_in_few_runs() -> None:
    random = np.random.default_rng(2)
    found = [settled(random, 0.5, 150) for _ in range(400)]
    assert sum(winner != "" for winner, _ in found) <= 0.05 * 400
    assert sum(held for _, held in found) >= 0.95 * 400
