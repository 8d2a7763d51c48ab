"""Hubness corrected: each space ranked by the scores of `index.hubness`, beside its cosines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from musicflow.evaluation import space, statistics
from musicflow.evaluation.metrics import Metric
from musicflow.evaluation.retrieval import Fusion, Ranked
from musicflow.evaluation.statistics import Change, Score
from musicflow.index.hubness import CORRECTIONS, Correction, Crowd, csls, mutual_proximity

_HUBS = 3


@dataclass(frozen=True)
class Corrected:
    """The results of one space under one correction, beside those without.

    Parameters
    ----------
    correction
        Its name.
    scores
        By the names of the metrics whose differences are tested.
    changes
        Of these scores, by the correction. The p are corrected for all spaces and corrections.
    hubness, orphans
        Before and after, of the first ten candidates of all queries; see `space.Health`.
    hubs
        The tracks that are most often among these before, and how often before and after.
    drawn
        Queries drawn at random, where it was measured on fewer than the space was; else 0.
    """

    correction: Correction
    scores: dict[str, Score] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    hubness: tuple[float, float] = (0.0, 0.0)
    orphans: tuple[float, float] = (0.0, 0.0)
    hubs: tuple[tuple[str, int, int], ...] = ()
    drawn: int = 0


def named(name: str, correction: Correction) -> str:
    """Return the name of a space's ranking under a correction."""
    return f"{name} {correction}"


def rankings(
    crowds: Mapping[str, Crowd], metrics: Sequence[Metric], queries: np.ndarray | None = None
) -> dict[str, Fusion]:
    """Return the ranking of each space under each correction, by `named`.

    Parameters
    ----------
    crowds
        By the name of the space.
    metrics
        Of these, the ones whose differences are tested are computed.
    queries
        Row numbers, rising; all, if not given.
    """
    few = tuple(metric for metric in metrics if metric.compared)
    return {
        named(name, correction): replace(_ranking(name, crowd, correction, few), queries=queries)
        for name, crowd in crowds.items()
        for correction in CORRECTIONS
    }


def _ranking(name: str, crowd: Crowd, correction: Correction, few: tuple[Metric, ...]) -> Fusion:
    def combine(
        rows: np.ndarray, similarities: list[np.ndarray], _rankings: list[np.ndarray]
    ) -> np.ndarray:
        [cosines] = similarities
        if correction == "csls":
            return csls(cosines, crowd)
        return mutual_proximity(cosines, crowd.of(rows), crowd)

    return Fusion((name,), combine, few)


def corrected(
    ranked: Mapping[str, Ranked], names: Sequence[str], ids: Sequence[str], seed: int
) -> dict[str, tuple[Corrected, ...]]:
    """Return the results of spaces under each correction, by name.

    Parameters
    ----------
    ranked
        The rankings of the spaces, and those of `rankings`.
    names
        The spaces.
    ids
        Of all tracks.
    seed
        Of the resamples.
    """
    pairs = [(name, one) for name in names for one in CORRECTIONS]
    if not pairs:
        return {}
    after = [ranked[named(*pair)].scores[0].values for pair in pairs]
    asked, whole = (ranked[one].scores[0].rows for one in (named(*pairs[0]), pairs[0][0]))
    if not len(asked):
        return {}
    some = np.isin(whole, asked)
    before = [
        {metric: values[some] for metric, values in ranked[name].scores[0].values.items()}
        for name, _ in pairs
    ]
    results = [Corrected(one, **_hubs(ranked, name, one, ids)) for name, one in pairs]
    for metric in after[0]:
        both = [(b[metric], a[metric]) for b, a in zip(before, after, strict=True)]
        scores = statistics.scores_of(dict(enumerate(a for _, a in both)), seed).values()
        for one, score, change in zip(results, scores, statistics.changes(both), strict=True):
            one.scores[metric], one.changes[metric] = score, change
    found: dict[str, tuple[Corrected, ...]] = {}
    for (name, _), one in zip(pairs, results, strict=True):
        found[name] = (*found.get(name, ()), one)
    return found


def _hubs(
    ranked: Mapping[str, Ranked], name: str, correction: Correction, ids: Sequence[str]
) -> dict:
    """Return what is told of hubs, orphans and queries, as fields of `Corrected`."""
    whole, some = ranked[name], ranked[named(name, correction)]
    before, after = (_occurrence(one.nearest, some.queries) for one in (whole, some))
    most = np.argsort(-before, kind="stable")[:_HUBS].tolist()
    return {
        "hubness": (space.skewness(before), space.skewness(after)),
        "orphans": (float((before == 0).mean()), float((after == 0).mean())),
        "hubs": tuple((ids[row], int(before[row]), int(after[row])) for row in most),
        "drawn": len(some.queries) if len(some.queries) < len(whole.queries) else 0,
    }


def _occurrence(nearest: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return how often each track is among the first candidates of some queries, ``(N,)``."""
    found = nearest[queries]
    return np.bincount(found[found >= 0], minlength=len(nearest))
