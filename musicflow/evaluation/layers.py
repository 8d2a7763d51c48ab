"""The layers of an embedder, measured side by side.

A layer that is chosen by the tracks that judge it looks better than it is. So a nested choice
stands beside the best layer: queries are dealt into folds, and each is scored by the layer that was
best for the other folds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter, ValidationError

from musicflow.atomic import write_atomically
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import duplicates, retrieval, space, statistics
from musicflow.evaluation.choice import QUALITY
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Method, Protocol
from musicflow.evaluation.quality import Judge
from musicflow.evaluation.results import Dataset
from musicflow.evaluation.statistics import Score
from musicflow.index import normalize
from musicflow.library import Library, Track
from musicflow.library.recordings import Verdicts

if TYPE_CHECKING:
    import pandas as pd

METRICS = (MAIN, QUALITY)
"""The scores of a layer; the last one chooses."""

FOLDS = 5
SEED = 0

_MEAN, _NESTED = "mean of all", "nested choice"


@dataclass(frozen=True)
class Layer:
    """The scores of one layer, by the names of metrics."""

    name: str
    dim: int
    scores: dict[str, Score]


@dataclass(frozen=True)
class Sweep:
    """The scores of all layers of an embedder.

    Parameters
    ----------
    embedder, spec_hash
        The embedder.
    weights
        ``trained``, ``untrained`` (seeded: scores mean nothing), ``unknown`` or ``none``.
    dataset, protocol
        The tracks, and the rule that was followed.
    n_queries
        Queries with a relevant candidate.
    own
        The embedder's own layer.
    layers
        Lowest first.
    mean
        The scores of the mean of all layers' cosines.
    best
        The layer with the highest mAP on these tracks: an optimistic choice.
    nested
        The scores of a choice by mAP without the query's fold.
    chosen
        How many of the folds chose each layer.
    created
        When it was measured (ISO 8601).
    """

    embedder: str
    spec_hash: str
    weights: str
    dataset: Dataset
    protocol: Protocol
    n_queries: int
    own: str
    layers: tuple[Layer, ...]
    mean: dict[str, Score]
    best: str
    nested: dict[str, Score]
    chosen: dict[str, int] = field(default_factory=dict)
    created: str = ""

    @property
    def file(self) -> str:
        """The name of its file in the folder of reports, without an ending."""
        return f"layers-{self.embedder}"

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        write_atomically(folder / f"{self.file}.json", _STORED.dump_json(self, indent=2))

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a row per layer and score, with its 95 % interval; then the mean and the choice.

        The columns are ``layer``, ``dim``, ``metric``, ``value``, ``low`` and ``high``.
        """
        import pandas as pd

        of_layers = [(one.name, one.dim, one.scores) for one in self.layers]
        others = [(_MEAN, None, self.mean), (_NESTED, None, self.nested)]
        return pd.DataFrame(
            {"layer": name, "dim": dim, "metric": metric, **vars(score)}
            for name, dim, scores in (*of_layers, *others)
            for metric, score in scores.items()
        )

    @property
    def meaningful(self) -> bool:
        """Whether the scores say something: those of seeded weights do not."""
        return self.weights != "untrained"


_STORED = TypeAdapter(Sweep)


def load_all(folder: Path) -> list[Sweep]:
    """Return the sweeps in a folder of reports, by name; one of another version is left out."""
    found = []
    for path in sorted(folder.glob("layers-*.json")):
        try:
            found.append(_STORED.validate_json(path.read_bytes()))
        except ValidationError:
            continue
    return found


def sweep(
    library: Library,
    tracks: Sequence[Track],
    vectors: Mapping[str, np.ndarray],
    spec: EmbedderSpec,
    method: Method,
    verdicts: Verdicts | None = None,
) -> Sweep | None:
    """Measure the layers of an embedder on the same tracks.

    Parameters
    ----------
    library
        The library of the tracks.
    tracks
        Those with a vector of every layer, in the order of their ids.
    vectors
        By layer, lowest first, shape ``(N, dim)``.
    spec
        The embedder.
    method
        The method to follow.
    verdicts
        Of earlier comparisons by sound; see `duplicates.recordings`.

    Returns
    -------
    Sweep or None
        None if no query has a relevant candidate.
    """
    units = {name: normalize(values) for name, values in vectors.items()} if len(tracks) > 1 else {}
    first = _first(tracks, units, spec, method, verdicts)
    kept = np.flatnonzero(first == np.arange(len(tracks)))
    if len(kept) < 2:
        return None
    cuts = duplicates.cuts(tracks, first, verdicts)
    metrics = [metric for metric in method.metrics if metric.name in METRICS]
    judge = Judge(
        [tracks[row] for row in kept.tolist()],
        Method(method.exclude, method.k, tuple(metrics)),
        len(tracks) - len(kept),
        cuts=[cuts[row] for row in kept.tolist()],
    )
    judge.rank(
        {name: retrieval.cosine(unit[kept]) for name, unit in units.items()},
        {_MEAN: retrieval.Fusion(tuple(units), lambda _rows, cosines, _ranks: np.mean(cosines, 0))},
    )
    values = {name: ranked.values for name, ranked in judge.ranked.items()}
    queries = judge.ranked[_MEAN].rows
    if not len(queries):
        return None
    names = tuple(units)
    by_layer = {metric: np.stack([values[name][metric] for name in names]) for metric in METRICS}
    fold = _folds(judge.groups[queries])
    chosen = best_without(by_layer[QUALITY], fold)
    every = np.arange(len(queries))
    values[_NESTED] = {metric: by_layer[metric][chosen[fold], every] for metric in METRICS}
    scores = _scored(values)
    return Sweep(
        spec.label,
        spec.hash,
        spec.weights_state,
        Dataset(library.name, library.fingerprint, len(library.tracks), len(library.problems)),
        judge.protocol,
        len(queries),
        spec.layer,
        tuple(Layer(name, vectors[name].shape[1], scores[name]) for name in names),
        scores[_MEAN],
        max(names, key=lambda name: scores[name][QUALITY].value),
        scores[_NESTED],
        dict(Counter(names[number] for number in chosen.tolist()).most_common()),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def best_without(values: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the layer that is best for the queries outside each fold.

    Parameters
    ----------
    values
        The score of each query by each layer, shape ``(layers, Q)``.
    fold
        The fold of each query, shape ``(Q,)``.

    Returns
    -------
    numpy.ndarray
        The number of a layer for each fold, shape ``(FOLDS,)``.
    """
    sums = [values[:, fold != without].sum(axis=1) for without in range(FOLDS)]
    return np.argmax(np.round(sums, _DECIMALS), axis=1)


_DECIMALS = 9
"""Sums are rounded to this, so that equal layers tie: the lower one is taken."""


def _folds(groups: np.ndarray) -> np.ndarray:
    """Deal queries into folds, those of one group (an artist) into the same; -1 is no group."""
    random = np.random.default_rng(SEED)
    by_group = random.integers(0, FOLDS, groups.max(initial=-1) + 1)
    alone = random.integers(0, FOLDS, len(groups))
    return np.array([by_group[g] if g >= 0 else a for g, a in zip(groups, alone, strict=True)])


def _first(
    tracks: Sequence[Track],
    units: Mapping[str, np.ndarray],
    spec: EmbedderSpec,
    method: Method,
    verdicts: Verdicts | None,
) -> np.ndarray:
    """Return the row number of the first track with the same recording, shape ``(N,)``."""
    if method.exclude == "none" or len(tracks) < 2:
        return np.arange(len(tracks))
    near = [space.neighbours(units[spec.layer])] if spec.trained else []
    return duplicates.recordings(tracks, near, verdicts=verdicts)


def _scored(values: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, Score]]:
    """Return the means with their intervals; all scores are of the same queries."""
    found = statistics.scores_of({(n, m): values[n][m] for n in values for m in METRICS})
    return {name: {metric: found[name, metric] for metric in METRICS} for name in values}
