"""Honesty: luck, copies, and what comes from one artist or album gain nothing."""

from collections.abc import Sequence

import numpy as np
import pytest

from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import labels_of
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.results import Contest
from musicflow.index.tuned import name_of
from musicflow.library import Track
from musicflow.tuning.evidence import Ground, by_kin, contests, moves
from musicflow_tests.evaluation.made_up import track, unit
from musicflow_tests.tuning.test_learner import judgements_of, one_dimension

NAME = name_of(["toy"], "genre")
METHOD = Method()


def judge(tracks: list[Track], values: np.ndarray, cuts: Sequence[tuple] = ()) -> tuple:
    ground = Ground(tracks, {"toy": values}, ["toy"], METHOD, cuts=cuts)
    return contests(NAME, ground, Judgements(labels_of("genre", tracks)), values)[1:]


def drawn(count: int, seed: int) -> list[Track]:
    """Tracks with genres drawn at random, each by an artist of its own."""
    genres = np.random.default_rng(seed).choice(list("abc"), count)
    return [track(n, genre, artist=f"artist {n}") for n, genre in enumerate(genres)]


@pytest.mark.slow
def test_labels_drawn_at_random_seldom_win() -> None:
    """Of 30 draws, at most the promised share: 5 %."""
    won = sum(
        judge(drawn(40, seed), unit(40, 1000 + seed, 5))[0].is_surely_won_by(NAME)
        for seed in range(30)
    )
    assert won <= 1


def test_a_label_that_is_there_wins_with_and_without_what_was_learned_from() -> None:
    random = np.random.default_rng(0)
    genres = random.choice(list("ab"), 160)
    values = random.standard_normal((160, 10))
    values[:, 3] += np.where(genres == "a", 1.0, -1.0)
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    tracks = [track(n, genre, artist=f"artist {n}") for n, genre in enumerate(genres)]
    for contest in judge(tracks, values):
        assert contest.is_surely_won_by(NAME)
        assert contest.queries > 150


@pytest.mark.parametrize("kind", ["pairs", "triplets"])
def test_pairs_and_triplets_are_judged_by_those_that_were_not_learned_from(kind: str) -> None:
    values, sides = one_dimension(200)
    tracks = [track(n, artist=f"artist {n}") for n in range(200)]
    ground = Ground(tracks, {"toy": values}, ["toy"], METHOD)
    for contest in contests(NAME, ground, judgements_of(kind, sides), values)[1:]:
        assert contest.is_surely_won_by(NAME)
        assert gain(contest) > 0.05
    by_chance = np.random.default_rng(2).permutation(sides)
    known = contests(NAME, ground, judgements_of(kind, by_chance), values)[1]
    assert not known.is_surely_won_by(NAME)


@pytest.mark.parametrize("kin", ["artist", "album", "cut"])
def test_what_kin_have_in_common_gains_nothing(kin: str) -> None:
    """Each artist has a sound, and one genre by chance: a leak looks like a gain.

    So has each album, and each recording that is there in several cuts.
    """

    def contest(seed: int, *, is_known: bool) -> Contest:
        random = np.random.default_rng(seed)
        makers = np.repeat(np.arange(40), 4)
        sounds = random.standard_normal((40, 40))[makers]
        values = sounds + 0.5 * random.standard_normal(sounds.shape)
        genres = random.choice(list("ab"), 40)[makers]
        names = [str(maker) if is_known else f"{n} alone" for n, maker in enumerate(makers)]
        fields = [{} if kin == "cut" else {kin: name} for name in names]
        tracks = [
            track(n, genre, **own)
            for n, (genre, own) in enumerate(zip(genres, fields, strict=True))
        ]
        cuts = [(name,) for name in names] if kin == "cut" else []
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        return judge(tracks, values.astype(np.float32), cuts)[0]

    for seed in (0, 2, 3):
        assert gain(contest(seed, is_known=False)) > 0.08, "the leak is real"
        caught = contest(seed, is_known=True)
        assert not caught.is_surely_won_by(NAME)
        assert gain(caught) < 0.07


def gain(contest: Contest) -> float:
    own, other = (score.value for score in contest.scores.values())
    return own - other


def test_tracks_of_one_artist_are_one_draw() -> None:
    values = by_kin(np.array([1.0, 0.0, 1.0, 1.0]), np.array([0, 0, 0, 1]))
    assert len(values) == 2
    assert values.mean() == 0.75


def test_moves_name_the_tracks_whose_ranks_changed_most() -> None:
    before = unit(60, 0)
    after = before.copy()
    # Where 7 was the nearest of 3, 50 is now.
    far = int(np.argmin(before @ before[3]))
    after[far] = before[3] + 0.01
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    closer, away = moves(before, after, [str(n) for n in range(60)])
    assert {closer[0].query, closer[0].track} == {"3", str(far)}
    assert closer[0].before > 50
    assert closer[0].after == 1
    assert all(one.after > one.before for one in away)
