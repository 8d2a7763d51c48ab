import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.app import votes
from musicflow.app.votes import Vote


def vote(winner: str, first: str = "a", second: str = "b") -> Vote:
    return Vote(first, second, winner, "a track", 5)


def test_votes_come_back_in_order_and_say_when(tmp_path: Path) -> None:
    path = tmp_path / "new" / "votes.jsonl"
    for winner in ("a", "", "b"):
        votes.cast(path, vote(winner))
    kept, unreadable = votes.read(path)
    assert [one.winner for one in kept] == ["a", "", "b"]
    assert all(one.time for one in kept)
    assert unreadable == 0


def test_there_are_no_votes_before_the_first(tmp_path: Path) -> None:
    assert votes.read(tmp_path / "votes.jsonl") == ([], 0)
    assert votes.standings([]) == []


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


def test_a_tie_is_half_a_win() -> None:
    [best, other] = votes.standings([vote("a"), vote("")])
    assert (best.embedder, best.wins, best.ties, best.share) == ("a", 1, 1, 0.75)
    assert (other.embedder, other.wins, other.ties, other.share) == ("b", 0, 1, 0.25)


def test_an_embedder_is_judged_by_the_votes_it_took_part_in() -> None:
    by_name = {s.embedder: s for s in votes.standings([vote("a"), vote("c", "b", "c")])}
    assert {name: s.votes for name, s in by_name.items()} == {"a": 1, "b": 2, "c": 1}


def test_the_interval_is_wilsons() -> None:
    # Its ends are the shares from which 7 of 10 lies just 1.96 standard errors away.
    for end in votes.wilson(7, 10):
        assert abs(0.7 - end) == pytest.approx(1.959964 * (end * (1 - end) / 10) ** 0.5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, 2 * n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_bounds(case: tuple[int, int]) -> None:
    halves, count = case
    low, high = votes.wilson(halves / 2, count)
    assert 0 <= low <= halves / 2 / count + 1e-12
    assert halves / 2 / count - 1e-12 <= high <= 1
