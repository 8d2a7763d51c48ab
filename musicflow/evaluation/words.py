"""How well words find music: recall@k of texts as queries.

The texts are what the library knows: captions and tags of its tracks, and the names of genres. A
track is relevant to its own captions, tags and genres. Only an embedder with a text side takes
part.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from musicflow.evaluation import retrieval, statistics
from musicflow.evaluation.metrics import Measure
from musicflow.evaluation.protocol import blocks, drawn_rows
from musicflow.evaluation.statistics import SEED, Score
from musicflow.library import Track

VERSION = 1
"""Raised when results would change for the same vectors."""

DEPTHS = (1, 5, 10)

MOST = 10_000
"""Of more texts of one kind, so many are drawn."""

_CAPTIONS = ("caption", "captions", "description")
_TAGS = ("tags", "tag")
_LIST = re.compile(r"[;,]")


@dataclass(frozen=True)
class Queries:
    """Texts of one kind as queries.

    Parameters
    ----------
    kind
        ``caption``, ``tag`` or ``genre``.
    relevant
        The row numbers of the relevant tracks, by text; at least one, and never all.
    count
        The number of tracks.
    """

    kind: str
    relevant: Mapping[str, np.ndarray]
    count: int

    @property
    def measures(self) -> list[Measure]:
        """Return a score per depth; its help says what is possible."""
        found = []
        for k in DEPTHS:
            sizes = np.array([len(rows) for rows in self.relevant.values()])
            best = float(np.mean(np.minimum(sizes, k) / sizes))
            text = f"{len(sizes)} queries; at best {best:.3f}, by chance {self.chance(k):.3f}."
            found.append(
                Measure(self._name(k), f"{self.kind}s, R@{k}", text, "report", labels="words")
            )
        return found

    def chance(self, k: int) -> float:
        """Return the recall that a random ranking has on average."""
        return min(k, self.count) / self.count

    def scores(self, values: Mapping[int, np.ndarray]) -> dict[str, Score]:
        """Return the means of recalls of each query, by depth, with their intervals."""
        return statistics.scores_of({self._name(k): values[k] for k in DEPTHS})

    @property
    def by_chance(self) -> dict[str, Score]:
        """Return the scores of a random ranking."""
        return {self._name(k): Score(self.chance(k)) for k in DEPTHS}

    def _name(self, k: int) -> str:
        return f"words_{self.kind}_recall_at_{k}"


@dataclass(frozen=True)
class Words:
    """The scores of all kinds of queries.

    Parameters
    ----------
    measures
        In the order of tables.
    scores
        By embedder, and by the name of a measure.
    chance
        Those of a random ranking.
    """

    measures: tuple[Measure, ...] = ()
    scores: Mapping[str, dict[str, Score]] = field(default_factory=dict)
    chance: dict[str, Score] = field(default_factory=dict)


def texts_of(tracks: Sequence[Track]) -> list[str]:
    """Return the texts to embed for all queries about some tracks."""
    return [text for queries in queries_of(tracks) for text in queries.relevant]


def queries_of(tracks: Sequence[Track], known: Iterable[str] | None = None) -> list[Queries]:
    """Return the queries that tracks allow, a kind each.

    Parameters
    ----------
    tracks
        The candidates.
    known
        The texts that have a vector; all, if not given.
    """
    allowed = None if known is None else set(known)
    texts = {
        "caption": [_texts(track, _CAPTIONS) for track in tracks],
        "tag": [
            [part.strip() for text in _texts(track, _TAGS) for part in _LIST.split(text)]
            for track in tracks
        ],
        "genre": [list(track.labels) for track in tracks],
    }
    found = []
    for kind, of_tracks in texts.items():
        rows: dict[str, list[int]] = {}
        for row, own in enumerate(of_tracks):
            for text in dict.fromkeys(filter(None, own)):
                rows.setdefault(text, []).append(row)
        asked = {
            text: np.array(which)
            for text, which in rows.items()
            if len(which) < len(tracks) and (allowed is None or text in allowed)
        }
        if asked:
            found.append(Queries(kind, _drawn(asked), len(tracks)))
    return found


def measure(
    tracks: Sequence[Track],
    spaces: Mapping[str, np.ndarray],
    texts: Mapping[str, Mapping[str, np.ndarray]],
) -> Words:
    """Measure how well each embedder's text side finds the tracks that texts belong to.

    Parameters
    ----------
    tracks
        The candidates, each recording once.
    spaces
        By embedder, their vectors of length one, shape ``(N, dim)``.
    texts
        By embedder, the vector of each text, of length one, shape ``(dim,)``.
    """
    both = spaces.keys() & texts.keys()
    if not both:
        return Words()
    asked = queries_of(tracks, set.intersection(*(set(texts[name]) for name in both)))
    scores: dict[str, dict[str, Score]] = {name: {} for name in both}
    for name in both:
        for queries in asked:
            units = np.stack([texts[name][text] for text in queries.relevant])
            values = recalls(units, spaces[name], list(queries.relevant.values()))
            scores[name] |= queries.scores(values)
    measures = tuple(one for queries in asked for one in queries.measures)
    chance = {name: one for queries in asked for name, one in queries.by_chance.items()}
    return Words(measures, scores, chance)


def recalls(
    texts: np.ndarray, tracks: np.ndarray, relevant: Sequence[np.ndarray]
) -> dict[int, np.ndarray]:
    """Return the share of each text's relevant tracks among the first k, by k.

    Parameters
    ----------
    texts, tracks
        Vectors of length one, shapes ``(Q, dim)`` and ``(N, dim)``.
    relevant
        The row numbers of each text's relevant tracks.

    Returns
    -------
    dict of int to numpy.ndarray
        Shape ``(Q,)``. Of tracks that are equally near, the first comes first.
    """
    found: dict[int, list[float]] = {k: [] for k in DEPTHS}
    values = tracks.astype(np.float64)
    for rows in blocks(len(texts)):
        cosines = texts[rows].astype(np.float64) @ values.T
        ranking = retrieval.order(cosines)
        for row, ranked in zip(rows.tolist(), ranking, strict=True):
            hits = np.isin(ranked[: max(DEPTHS)], relevant[row])
            for k in DEPTHS:
                found[k].append(hits[:k].sum() / len(relevant[row]))
    return {k: np.array(shares) for k, shares in found.items()}


def _texts(track: Track, names: Sequence[str]) -> list[str]:
    """Return the texts that a track has under some names."""
    found: list[str] = []
    for name in names:
        value = track.extra.get(name, ())
        found += [value] if isinstance(value, str) else value if isinstance(value, tuple) else []
    return found


def _drawn(asked: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    texts = sorted(asked)
    numbers = drawn_rows(len(texts), MOST, SEED).tolist()
    return {texts[number]: asked[texts[number]] for number in numbers}
