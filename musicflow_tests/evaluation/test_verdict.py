"""The verdict: three sentences that must not promise more than the figures."""

from dataclasses import replace
from typing import Literal

import pytest

from musicflow.evaluation import Comparison, Dataset, Row, Score
from musicflow.evaluation.choice import rank_candidates
from musicflow.evaluation.labelled import Disagreement, Label
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.results import Contest, Tuned
from musicflow.evaluation.statistics import Difference
from musicflow.evaluation.verdict import of_tuned, verdict
from musicflow.library import Doubt
from musicflow_tests.evaluation.made_up import MEASURES


def row(name: str, kind: str, score: float, **more: object) -> Row:
    scores = {n: Score(score, score - 0.02, score + 0.02) for n in ("precision_at_10", "map")}
    return Row(name, kind, "trained", 200, scores, chance=0.1, **more)  # type: ignore[arg-type]


ROWS = (
    row("musicnn", "embedder", 0.68, tracks_per_s=3.0, peak_rss_mb=620.0, licence="ISC"),
    row("mfcc", "embedder", 0.44),
    row("fusion:musicnn+mfcc", "fusion", 0.7),
    row("random", "baseline", 0.1),
)


def difference(better: str, worse: str, p: float) -> Difference:
    return Difference(better, worse, "precision_at_10", 0.02, (0.01, 0.03), p)


def compared(*differences: Difference, rows: tuple[Row, ...] = ROWS) -> Comparison:
    dataset, protocol = Dataset("music", "abc", 12, 1), Protocol("artist", 12, 0, 5)
    return Comparison(dataset, protocol, MEASURES, rows, differences, (), "state", "2026-01-01")


def test_the_best_is_named_with_its_lead_its_cost_and_its_licence() -> None:
    found = verdict(compared(difference("musicnn", "mfcc", 0.0002)))
    assert found == [
        "Take musicnn: P@10 0.680 [0.66–0.70]; a random order has 0.100.",
        "It is surely better than mfcc, the next embedder: by 0.020 [0.01–0.03], p < 0.001.",
        "It embeds 10,800 tracks an hour on this machine and takes 0.6 GB of memory; licence: ISC.",
    ]


@pytest.mark.parametrize(("code", "is_told"), [("reversed", True), ("unsure", False)])
def test_an_order_that_a_label_reverses_is_told_where_both_are_sure(
    code: Literal["reversed", "unsure"], *, is_told: bool
) -> None:
    by_genre, by_label = difference("musicnn", "mfcc", 0.01), difference("mfcc", "musicnn", 0.02)
    label = Label("playlist", disagreements=(Disagreement(code, by_genre, by_label),))
    said = verdict(replace(compared(by_genre), labels=(label,)))
    assert (len(said) == 4) == is_told
    if is_told:
        assert said[3] == (
            "By playlist, mfcc is better than musicnn (P@10 +0.020, p = 0.020), and by genre "
            "musicnn is (+0.020, p = 0.010)."
        )


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.01, "Search with tuned:musicnn@genre: P@10 by genre 0.750, surely better than musicnn"),
        (0.2, "tuned:musicnn@genre is not recommended: P@10 by genre 0.750 is not surely better"),
    ],
)
def test_a_tuned_space_is_recommended_only_where_it_is_surely_better(p: float, said: str) -> None:
    name, scores = "tuned:musicnn@genre", {"tuned:musicnn@genre": 0.75, "musicnn": 0.68}
    values = {one: Score(value, value - 0.02, value + 0.02) for one, value in scores.items()}
    contest = Contest(12, values, (difference(name, "musicnn", p),))
    tuned = row(
        *(name, "tuned", 0.75),
        tuned=Tuned("genre", 12, "tracks", 2, 0.5, None, contest, contest),
        tracks_per_s=3.0,
        bytes_per_vector=800,
    )
    found = verdict(compared(rows=(*ROWS[:2], tuned, ROWS[-1])))
    assert found[0].startswith("Take musicnn:"), "an embedder is chosen beside it"
    assert found[-1].startswith(said)
    assert bool(rank_candidates([tuned])) == (p < 0.05)


def test_a_tuned_space_of_embedders_without_meaning_stands_alone() -> None:
    name = "tuned:musicnn@genre"
    contest = Contest(12, {name: Score(0.75, 0.7, 0.8)}, ())
    alone = Tuned("genre", 12, "tracks", 2, 0.5, None, contest, contest)
    assert of_tuned(row(name, "tuned", 0.75, tuned=alone)) == (
        "tuned:musicnn@genre is not recommended: P@10 by genre 0.750 has nothing to be compared "
        "with."
    )


@pytest.mark.parametrize(("p", "taken"), [(0.01, "fusion:musicnn+mfcc"), (0.2, "musicnn")])
def test_a_fusion_is_taken_only_where_it_is_surely_better(p: float, taken: str) -> None:
    found = verdict(compared(difference("fusion:musicnn+mfcc", "musicnn", p)))
    assert found[0].startswith(f"Take {taken}:")


def test_a_lead_that_may_be_chance_is_said_to_be_unsure() -> None:
    assert "not surely better than mfcc" in verdict(compared(difference("musicnn", "mfcc", 0.3)))[1]


def test_what_is_no_better_than_chance_is_not_recommended() -> None:
    rows = tuple(replace(one, chance=0.67) for one in ROWS)
    [sentence] = verdict(compared(rows=rows))
    assert "No embedder is surely better than a random order: the best, musicnn" in sentence


def test_what_is_no_better_than_the_random_ranking_is_not_recommended() -> None:
    rows = (*ROWS[:3], row("random", "baseline", 0.68))
    [sentence] = verdict(compared(rows=rows))
    assert "chance is 0.100, and a random ranking has 0.680" in sentence


def test_without_figures_that_mean_something_there_is_no_choice() -> None:
    untrained = tuple(replace(one, weights="untrained") for one in ROWS)
    assert "no choice" in " ".join(verdict(compared(rows=untrained)))
    doubt = Doubt("one-genre", "there is one genre", "name more", voids=True)
    assert verdict(replace(compared(), doubts=(doubt,))) == [
        "These figures allow no choice: the doubts below say why."
    ]
