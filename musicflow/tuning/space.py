"""A tuned space: what was learned beside what was there, in shares that are chosen in folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.protocol import Exclusion, drawn_rows, numbered
from musicflow.evaluation.retrieval import Similarity, cosine
from musicflow.tuning.goals import judged
from musicflow.tuning.learner import Scatters, scatters

VERSION = 1
"""Raised when the same judgements would give another space."""

FOLDS = 3
"""Folds that the choice is made in; those of its evidence are others."""

SEED = 0

WEIGHTS = (0.0, 0.3, 0.5, 0.7)
"""The shares of what is learned that are tried. None of it is one of them."""

SHRINKAGES = (None, 0.5, 0.8)
"""How far the scatter of alike tracks is shrunk: as Ledoit and Wolf say, or so far."""

MAX_TRACKS = 3000
"""Tracks that the choice is made by, at most."""

MAX_QUERIES = 300
"""Queries that the choice is made by, at most, in all folds together."""

_BALANCED_BY = 300
"""Tracks by which the shares of embedders are balanced, at most."""


@dataclass(frozen=True)
class Choice:
    """What is chosen in folds.

    Parameters
    ----------
    weight
        The share of what is learned in the cosine of two tracks.
    shrinkage
        See `Scatters.directions`.
    """

    weight: float
    shrinkage: float | None


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned: see the fields of `Projection`."""

    mean: np.ndarray
    directions: np.ndarray
    weight: float

    def similarity(self, joined: np.ndarray) -> Similarity:
        """Return the cosines of tracks in the tuned space."""
        as_it_is, learned = cosine(joined), cosine(_unit((joined - self.mean) @ self.directions))

        def blended(rows: np.ndarray) -> np.ndarray:
            both = (1 - self.weight) * as_it_is(rows)
            both += self.weight * learned(rows)
            return both

        return blended if self.weight else as_it_is


def balanced(units: Sequence[np.ndarray]) -> np.ndarray:
    """Return the shares of embedders by which each moves a ranking as much as another.

    Parameters
    ----------
    units
        The vectors of each, of length one, shapes ``(N, dim)``.
    """
    some = drawn_rows(len(units[0]), _BALANCED_BY, SEED)
    spreads = [(unit[some] @ unit[some].T).std() for unit in units]
    scale = 1 / np.maximum(spreads, 1e-12)
    shares: np.ndarray = scale / scale.sum()
    return shares


def learn(joined: np.ndarray, judgements: Judgements, choice: Choice) -> Learned:
    """Learn a space from judgements.

    Parameters
    ----------
    joined
        Vectors of length one, shape ``(N, dim)``.
    judgements
        Of these N.
    choice
        What was chosen in folds.
    """
    return _learned(scatters(joined, judgements), choice)


def choose(joined: np.ndarray, judgements: Judgements, groups: np.ndarray) -> Choice:
    """Choose the weight and the shrinkage by folds; of equals, the least that is learned.

    Parameters
    ----------
    joined
        Vectors of length one, each recording once, shape ``(N, dim)``.
    judgements
        Of these N.
    groups
        Tracks of one number stay in one fold; -1 is a group of its own. Shape ``(N,)``.
    """
    random = np.random.default_rng(SEED)
    drawn = np.sort(random.permutation(len(joined))[:MAX_TRACKS])
    joined, judgements, groups = joined[drawn], judgements.of(drawn), groups[drawn]
    exclusion = Exclusion(len(joined), [(group,) if group >= 0 else () for group in groups])
    sums = dict.fromkeys([Choice(w, s) for w in WEIGHTS for s in SHRINKAGES if w or s is None], 0.0)
    for fold in folds(groups, FOLDS, SEED + 1):
        known = np.setdiff1d(np.arange(len(joined)), fold)
        if not len(fold) or not judgements.of(known):
            continue
        asked = np.sort(random.permutation(fold)[: MAX_QUERIES // FOLDS])
        found = scatters(joined[known], judgements.of(known))
        as_it_is = cosine(joined)(asked)
        for share in SHRINKAGES:
            learned = _learned(found, Choice(1.0, share)).similarity(joined)(asked)
            for weight in WEIGHTS if share is None else WEIGHTS[1:]:
                blended = _known(asked, (1 - weight) * as_it_is + weight * learned)
                fit = judged(judgements, {"": blended}, exclusion, asked, is_rough=True)
                sums[Choice(weight, share)] += float(fit.values[""].sum())
    return max(sums, key=lambda choice: round(sums[choice], 9))


def _known(asked: np.ndarray, cosines: np.ndarray) -> Similarity:
    """Return the similarity of tracks that was computed before."""
    return lambda rows: cosines[np.searchsorted(asked, rows)]


def _learned(found: Scatters, choice: Choice) -> Learned:
    directions = found.directions(choice.shrinkage).astype(np.float32)
    weight = choice.weight if directions.shape[1] else 0.0
    return Learned(found.center, directions, weight)


def folds(groups: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Deal tracks into folds, those of one group into the same; -1 is no group."""
    _, own = np.unique(numbered(groups), return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(own.max(initial=-1) + 1) % count
    return [np.flatnonzero(dealt[own] == fold) for fold in range(count)]


def _unit(values: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: np.ndarray = values / np.where(lengths > 0, lengths, 1)
    return unit
