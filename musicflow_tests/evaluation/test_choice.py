from musicflow.evaluation import Comparison, Dataset, Row
from musicflow.evaluation.choice import rank_candidates, reason, words
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.statistics import Difference
from musicflow_tests.evaluation.made_up import MEASURES, scores


def row(name: str, score: float, speed: float, size: int, weights: str = "trained") -> Row:
    return Row(
        name, "embedder", weights, size // 4, scores(precision_at_10=score, map=score), chance=0.1,
        tracks_per_s=speed, x_realtime=30 * speed, bytes_per_vector=size,
    )  # fmt: skip


ROWS = [
    row("openl3", 0.75, 1.0, 2048),
    row("panns", 0.80, 8.0, 8192),
    row("wav2vec2", 0.55, 2.5, 3072),
    row("mfcc", 0.40, 90.0, 240, "none"),
    Row("random", "baseline", "none", 128, scores(precision_at_10=0.1, map=0.1), chance=0.1),
]


def test_the_words_of_the_common_table_are_judged_by_the_figures() -> None:
    found = {one.embedder: one for one in words(ROWS)}
    assert {name: (one.quality, one.speed) for name, one in found.items()} == {
        "openl3": ("high", "slow"),
        "panns": ("highest", "fast"),
        "wav2vec2": ("medium", "medium"),
        "mfcc": ("lower", ""),
    }
    assert found["panns"].verdict == "quality highest: confirmed; speed fast: confirmed"
    assert found["wav2vec2"].verdict == "quality lower: contradicted; speed medium: confirmed"
    assert found["mfcc"].verdict == ""


def test_seeded_weights_get_no_word_for_quality_and_what_did_not_run_gets_none() -> None:
    untrained = row("panns-untrained", 0.99, 8.0, 8192, "untrained")
    found = {one.embedder: one for one in words([untrained, ROWS[0]])}
    assert (found["panns-untrained"].quality, found["openl3"].quality) == ("", "highest")
    assert found["panns-untrained"].verdict == (
        "quality highest: neither confirmed nor contradicted (seeded weights); "
        "speed fast: confirmed"
    )
    assert found["wav2vec2"].verdict.count("(not run)") == 2


def test_the_choice_follows_the_weights() -> None:
    def best(**weights: float) -> str:
        return rank_candidates(ROWS, **weights)[0].row.embedder

    assert best(quality=1, speed=0, size=0) == "panns"
    assert best(quality=0, speed=1, size=0) == "mfcc"
    assert best(quality=0, speed=0, size=1) == "mfcc"
    assert best(quality=1, speed=0.2, size=0.6) == "openl3"


def test_the_front_holds_what_nothing_else_beats_in_everything() -> None:
    slower = row("slower", 0.74, 0.9, 4096)
    found = {c.row.embedder: c.on_front for c in rank_candidates([*ROWS, slower])}
    assert found == {
        "panns": True, "openl3": True, "wav2vec2": True, "mfcc": True, "slower": False,
    }  # fmt: skip


def test_random_and_seeded_weights_are_no_candidates() -> None:
    assert rank_candidates([ROWS[-1], row("x-untrained", 1.0, 1.0, 4, "untrained")]) == []


def test_the_reason_names_what_the_next_best_would_give() -> None:
    difference = Difference("panns", "openl3", "map", 0.05, (0.01, 0.09), 0.2)
    comparison = Comparison(
        Dataset("music", "abc", 9, 0), Protocol("artist", 9, 0, 9), MEASURES, tuple(ROWS),
        (difference,), (), "state", "2026-01-01",
    )  # fmt: skip
    text = reason(comparison, rank_candidates(ROWS[:2], quality=1, speed=0, size=0))
    assert text.startswith("panns: mAP 0.800, 8.0 tracks/s.")
    assert "openl3 has mAP 0.050 lower, p = 0.200: no sure difference, and is 8.0 times" in text
