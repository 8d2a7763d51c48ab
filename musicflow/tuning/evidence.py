"""Evidence of a tuned space: its scores on tracks that it did not learn from.

Tracks are dealt into folds; those of one recording, and by the protocol those of one artist or
album, stay in one. Each fold is ranked in a space that was learned, weight and shrinkage chosen,
from the others alone. Two figures stand beside each other: with the tracks that were learned from
among the candidates, as its user has them, and without, as a library of new songs has them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicflow.evaluation import blend, retrieval, space, statistics
from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import labels_of, relabelled, rule_for
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import (
    Exclusion,
    Keys,
    Labels,
    Method,
    album_keys,
    all_keys,
    artist_keys,
    blocks,
    drawn_rows,
    groups,
    numbered,
    protocol_for,
)
from musicflow.evaluation.quality import MAX_QUERIES, Figures, Judge
from musicflow.evaluation.results import Contest, Moved, Tuned
from musicflow.evaluation.retrieval import Similarity, cosine
from musicflow.evaluation.statistics import Score, scores_of
from musicflow.index import fused
from musicflow.index.tuned import Projection, parts, side_by_side
from musicflow.library import Track
from musicflow.tuning.goals import judged
from musicflow.tuning.sources import LABELS
from musicflow.tuning.space import Learned, balanced, choose, folds, learn

FOLDS = 5
SEED = 0

MOVED = 10
"""Tracks that are named as having come closer, and as having moved away."""

_ASKED = 1000
"""Tracks whose neighbours are looked at for those that moved, at most."""

AS_IT_IS = "as it is"
"""The name of the embedders' vectors side by side, without anything learned."""


@dataclass(frozen=True)
class Ground:
    """What tuned spaces are measured on.

    Parameters
    ----------
    tracks
        Each recording once, in the order of their ids.
    units
        By embedder, vectors of length one, shape ``(N, dim)``.
    rivals
        The embedders that a tuned space is measured against: those with meaningful scores.
    method
        The method of the comparison.
    duplicates
        Tracks that were left out before.
    """

    tracks: Sequence[Track]
    units: Mapping[str, np.ndarray]
    rivals: Sequence[str]
    method: Method
    duplicates: int = 0
    cuts: Keys = ()
    """The keys that cuts of one recording share, per track."""


def measure(
    name: str, ground: Ground, judgements: Judgements, published: Projection
) -> tuple[Figures, Tuned]:
    """Measure a tuned space.

    Parameters
    ----------
    name
        Its name.
    ground
        What it is measured on.
    judgements
        Of the ground's tracks.
    published
        The space that is published.

    Returns
    -------
    figures
        Its scores by genre, in folds, as a row of the comparison has them.
    tuned
        Its scores by its own label, and what it did.
    """
    label = parts(name)[1]
    joined = joined_of(name, ground, published)
    crossed, known, new = contests(name, ground, judgements, joined)
    judge = Judge(ground.tracks, ground.method, ground.duplicates, cuts=ground.cuts)
    judge.rank({name: crossed.similarity})
    judge.add_intervals()
    after = published.of_unit(joined).astype(np.float32)
    closer, away = moves(joined, after, [track.track_id for track in ground.tracks])
    tuned = Tuned(
        label,
        judgements.count,
        judgements.kind,
        len({one for own in judgements.labels for one in own}),
        published.weight,
        None if np.isnan(published.shrinkage) else published.shrinkage,
        known,
        new,
        _others(label, ground, crossed, cosine(joined)),
        _hubness(joined, after, ground.tracks),
        closer,
        away,
    )
    return judge.figures[name], tuned


def contests(
    name: str, ground: Ground, judgements: Judgements, joined: np.ndarray
) -> tuple["Crossed", Contest, Contest]:
    """Measure a tuned space against the best embedder alone and the fusion, in folds.

    Returns
    -------
    crossed
        The spaces of the folds.
    known, new
        With the corpus that was learned from, and without; see `Tuned`.
    """
    exclusion, kin = rules(ground, judgements, parts(name)[1])
    crossed = Crossed(joined, judgements, kin)
    rivals = _rivals(ground, judgements, exclusion)
    queries = drawn_rows(len(joined), MAX_QUERIES, SEED)
    known = judged(judgements, {name: crossed.similarity, **rivals(None)}, exclusion, queries)
    by_fold = [
        judged(
            judgements.of(fold),
            {name: learned.similarity(joined[fold]), **rivals(fold)},
            Exclusion(len(fold), [exclusion.keys[row] for row in fold] if exclusion.keys else ()),
            np.flatnonzero(np.isin(fold, queries)),
        )
        for fold, learned in zip(crossed.folds, crossed.learned, strict=True)
    ]
    rows = [fold[fit.rows] for fold, fit in zip(crossed.folds, by_fold, strict=True)]
    new = {one: np.concatenate([fit.values[one] for fit in by_fold]) for one in known.values}
    of_kin = numbered(kin)
    return (
        crossed,
        _contest(name, known.values, of_kin[known.rows]),
        _contest(name, new, of_kin[np.concatenate(rows)]),
    )


def joined_of(name: str, ground: Ground, published: Projection) -> np.ndarray:
    """Return the vectors of a tuned space's embedders side by side: float32, length one."""
    units = [ground.units[member] for member in parts(name)[0]]
    return side_by_side(units, published.shares).astype(np.float32)


def rules(ground: Ground, judgements: Judgements, label: str) -> tuple[Exclusion, np.ndarray]:
    """Return what a query excludes, and the tracks that stay in one fold, shape ``(N,)``.

    The protocol is that of the comparison, with the judgements' classes for genres, and the rule
    that suits the label. Artists that are the label exclude nothing, but stay in one fold.
    """
    tracks = ground.tracks
    keys: list[Keys] = [ground.cuts] if any(ground.cuts) else []
    if judgements.kind != "tracks":
        kin = groups(all_keys(*keys, artist_keys(tracks), album_keys(tracks)))
        return Exclusion(len(tracks), *keys), kin
    method = replace(ground.method, exclude=rule_for(label, ground.method.exclude))
    own = relabelled(tracks, judgements.labels)
    exclusion, protocol = protocol_for(own, method, cuts=ground.cuts)
    if protocol.exclude == "artist" or label == "artist":
        keys.append(artist_keys(tracks))
    if protocol.exclude in ("album", "artist"):
        keys.append(album_keys(tracks))
    return exclusion, groups(all_keys(*keys)) if keys else np.full(len(tracks), -1)


class Crossed:
    """Spaces that were learned from all folds but one, as one similarity.

    Parameters
    ----------
    joined
        Vectors of length one, shape ``(N, dim)``.
    judgements
        Of these N.
    kin
        Tracks of one number stay in one fold; -1 is a group of its own. Shape ``(N,)``.
    """

    def __init__(self, joined: np.ndarray, judgements: Judgements, kin: np.ndarray) -> None:
        self.folds = [fold for fold in folds(kin, FOLDS, SEED) if len(fold)]
        self.learned = [_learned_without(fold, joined, judgements, kin) for fold in self.folds]
        self._similar = [learned.similarity(joined) for learned in self.learned]
        self._fold = np.zeros(len(joined), int)
        for number, fold in enumerate(self.folds):
            self._fold[fold] = number

    def similarity(self, rows: np.ndarray) -> np.ndarray:
        """Return the similarities of some tracks, each in the space that did not learn from it."""
        found = np.empty((len(rows), len(self._fold)))
        for number, similar in enumerate(self._similar):
            mine = self._fold[rows] == number
            if mine.any():
                found[mine] = similar(rows[mine])
        return found


def _learned_without(
    fold: np.ndarray, joined: np.ndarray, judgements: Judgements, kin: np.ndarray
) -> Learned:
    known = np.setdiff1d(np.arange(len(joined)), fold)
    own = judgements.of(known)
    if not own:
        return Learned(joined.mean(axis=0), np.zeros((joined.shape[1], 0), np.float32), 0.0)
    return learn(joined[known], own, choose(joined[known], own, kin[known]))


def _rivals(
    ground: Ground, judgements: Judgements, exclusion: Exclusion
) -> Callable[[np.ndarray | None], dict[str, Similarity]]:
    """Return a function that gives the rivals among some tracks, or all.

    The fusion's weights are chosen on all queries, its own among them: that favours it.
    """
    units = {name: ground.units[name] for name in ground.rivals}
    weights: dict[str, float] = {}
    if len(units) > 1:
        if judgements.kind == "tracks":
            spaces = {name: cosine(unit) for name, unit in units.items()}
            _, weights = blend.weighted(spaces, Labels(judgements.labels), exclusion)
        else:
            shares = balanced(list(units.values())).tolist()
            weights = dict(zip(units, shares, strict=True))

    def among(rows: np.ndarray | None) -> dict[str, Similarity]:
        found = {n: cosine(unit if rows is None else unit[rows]) for n, unit in units.items()}
        if weights:
            alone = dict(found)
            found[fused.WEIGHTED + "+".join(units)] = lambda asked: np.sum(
                [weight * alone[name](asked) for name, weight in weights.items()], axis=0
            )
        return found

    return among


def by_kin(values: np.ndarray, kin: np.ndarray) -> np.ndarray:
    """Return one value per group of kin, whose mean is that of all values.

    Tracks of one artist fare alike: they are one draw, to tests and intervals, not many.
    """
    _, group = np.unique(kin, return_inverse=True)
    sums: np.ndarray = np.bincount(group, values) * (group.max() + 1) / len(values)
    return sums


def _contest(name: str, values: Mapping[str, np.ndarray], kin: np.ndarray) -> Contest:
    """Return the scores of a space, of the best embedder alone, and of the fusion."""
    queries = len(values[name])
    if not queries:
        return Contest(0, {}, ())
    rivals = [one for one in values if one != name]
    alone = [one for one in rivals if not fused.is_fusion(one)]
    best = max(alone, key=lambda one: values[one].mean(), default="")
    kept = [name, *(one for one in rivals if one == best or fused.is_fusion(one))]
    shown = {one: by_kin(values[one], kin) for one in kept}
    return Contest(queries, scores_of(shown), tuple(statistics.differences(MAIN, shown)))


def _others(
    label: str, ground: Ground, crossed: Crossed, as_it_is: Similarity
) -> dict[str, tuple[Score, Score]]:
    """Return P@10 by each label of the library but its own, before tuning and after, in folds."""
    found = {}
    queries = drawn_rows(len(ground.tracks), MAX_QUERIES, SEED)
    for other in LABELS:
        judgements = Judgements(labels_of(other, ground.tracks))
        if other == label or not judgements:
            continue
        exclusion, _ = rules(ground, judgements, other)
        spaces = {AS_IT_IS: as_it_is, label: crossed.similarity}
        fit = judged(judgements, spaces, exclusion, queries)
        if len(fit.rows):
            before, after = scores_of(fit.values).values()
            found[other] = (before, after)
    return found


def _hubness(
    before: np.ndarray, after: np.ndarray, tracks: Sequence[Track]
) -> tuple[float, float] | None:
    if len(tracks) < 3:
        return None
    ids = [track.track_id for track in tracks]
    one, other = (space.health(unit, space.neighbours(unit), ids) for unit in (before, after))
    return one.hubness, other.hubness


def moves(
    before: np.ndarray, after: np.ndarray, ids: Sequence[str]
) -> tuple[tuple[Moved, ...], tuple[Moved, ...]]:
    """Return the tracks that came closer and that moved away most, one per query.

    One that came closer is among the ten nearest after; one that moved away was among them before.
    """
    count = len(ids)
    asked = drawn_rows(count, _ASKED, SEED)
    closer: list[Moved] = []
    away: list[Moved] = []
    for block in blocks(len(asked)):
        rows = asked[block]
        old, new = (_ranks(unit, rows) for unit in (before, after))
        for number, row in enumerate(rows.tolist()):
            change = new[number] - old[number]
            for found, able, sign in ((closer, new, -1), (away, old, 1)):
                near = np.flatnonzero((able[number] >= 1) & (able[number] <= retrieval.NEAREST))
                other = near[np.argmax(sign * change[near])] if len(near) else row
                if sign * change[other] > 0:
                    ranks = int(old[number, other]), int(new[number, other])
                    found.append(Moved(ids[row], ids[other], *ranks))
    return tuple(_largest(closer)), tuple(_largest(away))


def _ranks(unit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the rank of every track in the answers to some, 0 for the query itself."""
    cosines = cosine(unit)(rows)
    cosines[np.arange(len(rows)), rows] = 2.0  # Above every cosine.
    order = retrieval.order(cosines)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1], dtype=order.dtype)[None], axis=1)
    return ranks


def _largest(found: list[Moved]) -> list[Moved]:
    return sorted(found, key=lambda one: -abs(one.after - one.before))[:MOVED]
