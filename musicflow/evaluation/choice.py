"""Words for results by a stated rule, and a choice of an embedder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from musicflow.embedders import UNTRAINED
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.results import Comparison, Row

RULE = (
    "quality, as a share of the best lift of P@10 above chance: highest is the best, high at "
    "least 85 %, medium at least 60 %, lower less; speed, as a share of the fastest network: fast "
    "at least a half, medium at least a quarter, slow less"
)

SEED_TABLE = {
    "openl3": ("high", "slow"),
    "panns": ("highest", "fast"),
    "wav2vec2": ("lower", "medium"),
}
"""The common opinion of three embedders: quality and speed."""


QUALITY = "map"
"""The metric that a choice goes by."""


@dataclass(frozen=True)
class Words:
    """A row in words; empty where its scores do not allow one."""

    embedder: str
    quality: str
    speed: str
    verdict: str
    """Whether the scores confirm the common opinion of it; empty if there is none."""


def words(rows: Sequence[Row]) -> list[Words]:
    """Put the scores and the speed of each embedder into words by `RULE`."""
    single = [row for row in rows if row.kind == "embedder"]
    lifts = {row.embedder: _lift(row) for row in single}
    best = max((lift for lift in lifts.values() if lift is not None), default=0.0)
    networks = [row.x_realtime for row in single if row.weights != "none" and row.x_realtime]
    found = []
    for row in single:
        quality = _quality_word(lifts[row.embedder], best)
        speed = ""
        if row.weights != "none" and row.x_realtime:
            share = row.x_realtime / max(networks)
            speed = "fast" if share >= 1 / 2 else "medium" if share >= 1 / 4 else "slow"
        verdict = _verdict(row.embedder, quality, speed, row.weights == "untrained")
        found.append(Words(row.embedder, quality, speed, verdict))
    run = {_name(row.embedder) for row in single}
    return found + [Words(n, "", "", _verdict(n, "", "")) for n in SEED_TABLE if n not in run]


def _lift(row: Row) -> float | None:
    """Return how far a meaningful row is above chance."""
    score = row.scores.get(MAIN)
    if not row.meaningful or score is None or row.chance is None:
        return None
    return score.value - row.chance


def _quality_word(lift: float | None, best: float) -> str:
    if lift is None or best <= 0:
        return ""
    if lift == best:
        return "highest"
    share = lift / best
    return "high" if share >= 0.85 else "medium" if share >= 0.6 else "lower"


def _name(label: str) -> str:
    return label.removesuffix(UNTRAINED)


def _verdict(label: str, quality: str, speed: str, untrained: bool = False) -> str:
    said = SEED_TABLE.get(_name(label))
    if said is None:
        return ""
    parts = []
    for what, word, found in zip(("quality", "speed"), said, (quality, speed), strict=True):
        if found:
            parts.append(f"{what} {word}: {'confirmed' if found == word else 'contradicted'}")
        else:
            why = "seeded weights" if untrained else "not run"
            parts.append(f"{what} {word}: neither confirmed nor contradicted ({why})")
    return "; ".join(parts)


@dataclass(frozen=True)
class Candidate:
    """An embedder to choose.

    Parameters
    ----------
    row
        Its results.
    score
        The weighted mean of its quality, speed and size, each from 0 (the worst candidate) to 1
        (the best).
    on_front
        Whether no other is at least as good in all three and better in one (Pareto).
    """

    row: Row
    score: float
    on_front: bool


def rank_candidates(
    rows: Sequence[Row], quality: float = 1.0, speed: float = 0.25, size: float = 0.1
) -> list[Candidate]:
    """Rank embedders, fusions and recommended spaces by quality, speed and size, best first.

    Quality is mean average precision, speed tracks per second, size bytes per vector. The latter
    two are compared by their logarithms, so that twice as fast is worth the same anywhere.

    Parameters
    ----------
    rows
        Of a comparison. Those without meaningful scores or without costs are no candidates.
    quality, speed, size
        How much each matters; not negative, not all 0.
    """
    able = [
        row
        for row in rows
        if row.meaningful and QUALITY in row.scores and row.tracks_per_s and row.bytes_per_vector
        if row.tuned is None or row.tuned.is_recommended(row.embedder)
    ]
    if not able:
        return []
    axes = [
        _scaled([row.scores[QUALITY].value for row in able]),
        _scaled([math.log(row.tracks_per_s or 1.0) for row in able]),
        _scaled([-math.log(row.bytes_per_vector or 1) for row in able]),
    ]
    # Of numbers near the largest there are, the sum is infinite.
    most = max(quality, speed, size)
    weights = [weight / most for weight in (quality, speed, size)]
    points = list(zip(*axes, strict=True))
    candidates = [
        Candidate(
            row,
            sum(w * value for w, value in zip(weights, point, strict=True)) / sum(weights),
            not any(_dominates(other, point) for other in points),
        )
        for row, point in zip(able, points, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.score)


def reason(comparison: Comparison, candidates: Sequence[Candidate]) -> str:
    """Return why the first of some candidates is the choice, beside the next two."""
    best, *others = candidates
    quality, speed = best.row.scores[QUALITY].value, best.row.tracks_per_s
    parts = [f"{best.row.embedder}: mAP {quality:.3f}, {speed:.1f} tracks/s."]
    tested = {
        frozenset((d.better, d.worse)): d.p for d in comparison.differences if d.metric == QUALITY
    }
    for other in others[:2]:
        p = tested.get(frozenset((best.row.embedder, other.row.embedder)))
        parts.append(_beside(best.row, other.row, p))
    return " ".join(parts)


def _beside(best: Row, other: Row, p: float | None) -> str:
    assert best.tracks_per_s
    assert other.tracks_per_s
    apart = other.scores[QUALITY].value - best.scores[QUALITY].value
    sure = "" if p is None else f", p {format_p(p)}" + ("" if p < 0.05 else ": no sure difference")
    how = "higher" if apart > 0 else "lower"
    ratio = other.tracks_per_s / best.tracks_per_s
    pace = f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
    if 0.95 < ratio < 1.05:
        pace = "as fast"
    return f"{other.embedder} has mAP {abs(apart):.3f} {how}{sure}, and is {pace}."


def format_p(p: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 1.0 for value in values]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
