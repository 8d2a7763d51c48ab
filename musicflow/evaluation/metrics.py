"""The metrics of retrieval: one table, which code, reports and MLflow follow.

A metric of another package joins the table by an entry point in the group ``musicflow.metrics``,
by its address ``package.module:NAME`` in the setting `metrics`, or by `register`.

Terms are those of information retrieval: Manning, Raghavan and Schütze, *Introduction to
Information Retrieval*, chapter 8; nDCG as in Järvelin and Kekäläinen (2002), with linear gains.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from musicflow.errors import MusicflowError, described
from musicflow.registry import Registry

MAIN = "precision_at_10"
"""The metric that stands for quality where there is room for one."""

MAP = "map"
"""Mean average precision: where a track has several labels, a hit shares one."""

NDCG_DEPTH = 10

Shown = Literal["console", "report", "files"]
"""The tables with a column for a score: all, those of the report, or only files and MLflow."""

_log = logging.getLogger(__name__)


class MetricError(MusicflowError):
    """A metric that cannot be used."""

    code = "metric"


class RankedRelevance:
    """The relevance of the ranked candidates of some queries.

    Parameters
    ----------
    relevance : numpy.ndarray
        Of each candidate, best ranked first, in [0, 1]; 0 is not relevant. Each query has at
        least one relevant candidate. Behind a query's last candidate there are zeros. Float64,
        shape ``(Q, N)``.
    candidates : numpy.ndarray
        Candidates per query, shape ``(Q,)``.
    k : int
        The depth that the setting `k` asks for.
    """

    def __init__(self, relevance: np.ndarray, candidates: np.ndarray, k: int = 10) -> None:
        self._depth = relevance.shape[1]
        self.relevance, self.candidates, self.k = relevance, candidates, k

    @classmethod
    def of_hits(
        cls,
        counts: np.ndarray,
        places: np.ndarray,
        gains: np.ndarray,
        candidates: np.ndarray,
        depth: int,
        k: int = 10,
    ) -> "RankedRelevance":
        """Return that of queries whose hits alone are known: far fewer than candidates.

        Parameters
        ----------
        counts, places, gains
            As `Labels.hits` returns them.
        candidates
            Candidates per query, shape ``(Q,)``.
        depth
            Candidates of a ranking, and those that its query excludes.
        k
            The depth that the setting `k` asks for.
        """
        found = cls.__new__(cls)
        found._depth, found.candidates, found.k = depth, candidates, k
        found.relevant, found.gains = counts, gains
        found.places = np.repeat(np.arange(len(counts)), counts), places
        return found

    @cached_property
    def relevance(self) -> np.ndarray:
        """The relevance of each candidate, shape ``(Q, N)``. Costs more than what hits tell."""
        return self.gains_at(self._depth)

    @cached_property
    def hits(self) -> np.ndarray:
        """Whether each candidate is relevant. Bool, shape ``(Q, N)``."""
        return self.relevance > 0

    @cached_property
    def relevant(self) -> np.ndarray:
        """Relevant candidates per query, shape ``(Q,)``."""
        return self.hits.sum(axis=1)

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """The query and the place (from 0) of each hit, in order. Shapes ``(H,)``."""
        query, place = np.nonzero(self.hits)
        return query, place

    @cached_property
    def gains(self) -> np.ndarray:
        """The relevance of each hit, in the order of `places`. Shape ``(H,)``."""
        return self.relevance[self.hits]

    @cached_property
    def precisions(self) -> np.ndarray:
        """The precision down to each hit, in the order of `places`. Shape ``(H,)``."""
        query, place = self.places
        return (np.arange(len(query)) - self.first[query] + 1) / (place + 1)

    @cached_property
    def first(self) -> np.ndarray:
        """The number of each query's first hit among all hits. Shape ``(Q,)``."""
        return np.cumsum(self.relevant) - self.relevant

    def hits_at(self, k: int) -> np.ndarray:
        """Count the hits among the first k candidates. Shape ``(Q,)``."""
        query, place = self.places
        return self.per_query(query[place < k])

    def gains_at(self, k: int) -> np.ndarray:
        """Return the relevance of the first k candidates, shape ``(Q, k)``; less if N is less."""
        query, place = self.places
        found = np.zeros((len(self.candidates), min(k, self._depth)))
        early = place < k
        found[query[early], place[early]] = self.gains[early]
        return found

    def per_query(self, which: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Count the hits of each query, or add up their weights. Shape ``(Q,)``."""
        return np.bincount(which, weights, minlength=len(self.candidates))


@dataclass(frozen=True)
class Measure:
    """The name and the meaning of a score, as a table shows them.

    Parameters
    ----------
    name : str
        The key in `Row.scores`, JSON, CSV and MLflow.
    title : str
        The head of its column.
    help : str
        One sentence.
    shown : {"console", "report", "files"}
        The least table that has a column for it.
    compared : bool
        Whether differences between embedders are tested, and intervals go to MLflow.
    labels : {"genre", "subgenre", "words"}
        The labels that make a candidate relevant; ``words`` where the query is a text.
    """

    name: str
    title: str
    help: str = ""
    shown: Shown = "console"
    compared: bool = False
    labels: Literal["genre", "subgenre", "words"] = "genre"


@dataclass(frozen=True)
class Metric:
    """A score of each query, from the relevance of its ranked candidates.

    Parameters
    ----------
    name : str
        A word of letters, digits and underscores.
    title : str
        The head of its column; ``{k}`` stands for the setting `k`.
    function : callable
        Given a `RankedRelevance`, returns one finite number per query, shape ``(Q,)``; more is
        better. It is called from several threads.
    help : str
        One sentence.
    shown : {"console", "report", "files"}
        The least table that has a column for it.
    compared : bool
        Whether differences between embedders are tested.
    subgenres : bool
        Whether it is also computed with shared subgenres as relevance.
    version : int
        Raised when its values change for the same ranking: what was measured before is then
        measured again.

    Examples
    --------
    >>> last = Metric("last", "last", lambda ranked: ranked.hits[:, -1].astype(float), "A hit last")
    >>> last.scores(RankedRelevance(np.array([[1.0, 0.0], [0.0, 0.5]]), np.array([2, 2])))
    array([0., 1.])
    """

    name: str
    title: str
    function: Callable[[RankedRelevance], np.ndarray]
    help: str = ""
    shown: Shown = "console"
    compared: bool = False
    subgenres: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise MetricError(f"{self.name!r} is no name of a metric", "use letters and _")

    def scores(self, ranked: RankedRelevance) -> np.ndarray:
        """Compute the score of each query, float64, shape ``(Q,)``.

        Raises
        ------
        MetricError
            If the function fails, or returns something else.
        """
        if not len(ranked.candidates):
            return np.zeros(0)
        try:
            values = np.asarray(self.function(ranked), np.float64)
        except Exception as error:
            what = f"the metric {self.name} failed with {described(error)}"
            raise MetricError(what) from error
        if values.shape != (len(ranked.candidates),):
            shapes = f"{values.shape} for {len(ranked.candidates)} queries"
            raise MetricError(f"the metric {self.name} returned the shape {shapes}")
        if not np.isfinite(values).all():
            raise MetricError(f"the metric {self.name} returned a value that is not finite")
        return values


def precision_at(k: int | None = None) -> Callable[[RankedRelevance], np.ndarray]:
    """Return precision at k, or at the k of the ranking where none is given."""

    def precision(ranked: RankedRelevance) -> np.ndarray:
        depth = ranked.k if k is None else k
        return ranked.hits_at(depth) / np.minimum(depth, ranked.candidates)

    return precision


def hit_at(k: int) -> Callable[[RankedRelevance], np.ndarray]:
    """Return whether there is a hit among the first k."""
    return lambda ranked: (ranked.hits_at(k) > 0).astype(np.float64)


def r_precision(ranked: RankedRelevance) -> np.ndarray:
    """Return precision at the number of relevant candidates."""
    query, place = ranked.places
    return ranked.per_query(query[place < ranked.relevant[query]]) / ranked.relevant


def average_precision(ranked: RankedRelevance) -> np.ndarray:
    """Return the mean of the precision down to each relevant candidate."""
    query, _ = ranked.places
    return ranked.per_query(query, ranked.precisions) / ranked.relevant


def reciprocal_rank(ranked: RankedRelevance) -> np.ndarray:
    """Return one over the rank of the first hit."""
    return ranked.precisions[ranked.first]


def ndcg(ranked: RankedRelevance) -> np.ndarray:
    """Return the discounted gain of the first candidates over the best there could be."""
    found = ranked.gains_at(NDCG_DEPTH)
    depth = found.shape[1]
    discounts = 1 / np.log2(np.arange(depth) + 2)
    best = np.zeros(found.shape)
    gains = np.split(ranked.gains, ranked.first[1:])
    for query, own in enumerate(gains):
        largest = np.partition(own, len(own) - depth)[-depth:] if len(own) > depth else own
        best[query, : len(largest)] = -np.sort(-largest)
    return found @ discounts / (best @ discounts)


_TABLE: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("precision_at_1", "P@1", precision_at(1), "Share of hits among the first 1."),
        Metric(
            "precision_at_5", "P@5", precision_at(5), "Share of hits among the first 5.", "report"
        ),
        Metric(
            MAIN,
            "P@10",
            precision_at(10),
            "Share of hits among the first 10.",
            compared=True,
            subgenres=True,
        ),
        Metric("precision_at_k", "P@{k}", precision_at(), "Share of hits among the first k."),
        Metric(
            "r_precision",
            "R-prec",
            r_precision,
            "Share of hits among the first R, R being the number of relevant candidates.",
            "report",
        ),
        Metric(
            MAP,
            "mAP",
            average_precision,
            "Average precision over the whole ranking.",
            compared=True,
            subgenres=True,
        ),
        Metric("mrr", "MRR", reciprocal_rank, "One over the rank of the first hit.", "report"),
        Metric(
            "ndcg_at_10",
            "nDCG@10",
            ndcg,
            "Discounted gain of the first 10 over the best possible gain.",
            "report",
            subgenres=True,
        ),
        Metric("hit_at_5", "hit@5", hit_at(5), "Share of queries with a hit in 5.", "files"),
        Metric("hit_at_10", "hit@10", hit_at(10), "Share of queries with a hit in 10.", "report"),
    )
}

KNN = Measure("knn_accuracy", "10-NN", "Accuracy of a vote of the 10 nearest neighbours.", "report")
PROBE = Measure(
    "probe_accuracy",
    "probe",
    "Accuracy of logistic regression on the vectors, 5 folds, artists kept together where the rule "
    "excludes them.",
    "report",
)

FEW_SHOTS = Measure(
    "few_shot_accuracy",
    "8 shots",
    "Accuracy of logistic regression trained on 8 tracks per genre: the mean of 10 draws.",
    "files",
)
V_MEASURE = Measure(
    "v_measure",
    "V-measure",
    "Agreement of k-means with the genres, 1 at most: the mean of 10 runs.",
    "files",
)


REGISTRY = Registry("metric", "musicflow.metrics", Metric, {}, MetricError)
"""The metrics of other packages. Those that ship stand in the table above."""


def register(metric: Metric) -> Metric:
    """Add a metric to the table of this process.

    Raises
    ------
    MetricError
        If another metric has its name.
    """
    known = _TABLE.setdefault(metric.name, metric)
    if known != metric:
        raise MetricError(f"a metric is called {metric.name!r} already", "choose another name")
    return metric


def get(name: str) -> Metric:
    """Return a metric that ships, or was registered in this process, by its name."""
    return _TABLE[name]


def table(addresses: Sequence[str] = ()) -> tuple[Metric, ...]:
    """Return all metrics.

    Those that ship come first, then those registered, of entry points, and named here.

    Parameters
    ----------
    addresses : sequence of str
        More metrics, each ``package.module:NAME``, or the name of an entry point.

    Raises
    ------
    MetricError
        If an address leads to no metric. An entry point that does is left out, with a warning
        in the log.
    """
    found = dict(_TABLE)
    for name in REGISTRY.names():
        try:
            _add(found, REGISTRY.get(name))
        except MetricError as error:
            _log.warning("%s; it is left out", error)
    for address in addresses:
        _add(found, REGISTRY.get(address))
    return tuple(found.values())


def measures(metrics: Sequence[Metric], k: int) -> tuple[Measure, ...]:
    """Return the measures of all scores, in the order of tables.

    Parameters
    ----------
    metrics : sequence of Metric
        The table.
    k : int
        The setting `k`. A metric whose title is then that of another gets no column.
    """
    found: list[Measure] = []
    for metric in metrics:
        title = metric.title.format(k=k)
        twice = title != metric.title and title in {other.title for other in metrics}
        shown: Shown = "files" if twice else metric.shown
        found.append(Measure(metric.name, title, metric.help, shown, metric.compared))
    found += [KNN, PROBE, FEW_SHOTS, V_MEASURE]
    found += [
        Measure(f"subgenre_{metric.name}", metric.title, metric.help, "report", labels="subgenre")
        for metric in metrics
        if metric.subgenres
    ]
    return tuple(found)


def _add(found: dict[str, Metric], metric: Metric) -> None:
    if found.setdefault(metric.name, metric) != metric:
        raise MetricError(f"two metrics are called {metric.name!r}", "rename one of them")
