"""What can be learned from: labels, tables of a person's own, and how much is enough."""

from pathlib import Path

import pytest

from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import labels_of
from musicflow.evaluation.votes import Vote, cast
from musicflow.tuning import TuningError
from musicflow.tuning.sources import read_likes, read_votes, usable
from musicflow_tests.evaluation.made_up import track

TRACKS = [track(n, "ab"[n % 2], artist=f"artist {n % 5}", subgenres=("x", "y")) for n in range(20)]


def test_too_few_labels_are_refused_with_their_number() -> None:
    with pytest.raises(TuningError) as refused:
        usable(Judgements(labels_of("genre", TRACKS[:9])), "genre")
    assert refused.value.code == "few-labels"
    assert "2 of 4 tracks or more, with 9 tracks in all" in refused.value.message
    assert "20 tracks" in refused.value.advice


def test_a_class_of_few_tracks_is_left_out() -> None:
    labels = [*labels_of("genre", TRACKS), ("rare",), ("rare",)]
    assert set(usable(Judgements(labels), "genre").labels) == {("a",), ("b",), ()}


def test_tracks_that_were_liked_together_are_pairs(tmp_path: Path) -> None:
    first = '{"like": ["0001", "0002"], "dislike": []}'
    last = '{"like": ["0001", "0003", "gone"], "dislike": ["0002"]}'
    path = tmp_path / "likes.jsonl"
    path.write_text(f'{first}\n{last}\n{{"like": ["0005"]}}\ntorn')
    assert read_likes(path, TRACKS).pairs.tolist() == [[1, 2], [1, 3]]
    assert read_likes(tmp_path / "none", TRACKS).count == 0


def test_what_only_the_winner_of_a_vote_answered_is_nearer(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    answers = [["0001", "0002"], ["0002", "0003"]]
    for winner in ("b", ""):
        cast(path, Vote("a", "b", winner, "0000", answers))
    cast(path, Vote("a", "b", "a", "upload", answers))
    cast(path, Vote("a", "b", "a", "0000", ()))
    assert read_votes(path, TRACKS).triplets.tolist() == [[0, 3, 1]]
