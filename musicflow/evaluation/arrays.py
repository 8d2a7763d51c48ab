"""Evaluation of arrays: vectors and labels in, scores with intervals out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.evaluation import metrics, retrieval
from musicflow.evaluation.labels import relabelled
from musicflow.evaluation.metrics import Measure
from musicflow.evaluation.protocol import Method, Protocol
from musicflow.evaluation.quality import Judge
from musicflow.evaluation.statistics import Score
from musicflow.index import normalize
from musicflow.library import UNKNOWN, Track
from musicflow.text import normalized

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

_SHOWN = 5
"""Rows that an error names at most."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The scores of some vectors.

    Parameters
    ----------
    scores : dict of str to Score
        By the metric's name: `value`, and `low` and `high`, the ends of its 95 % interval.
    n_queries : int
        Vectors whose label another candidate has.
    chance : float
        The mean precision of a random ranking.
    protocol : Protocol
        The rule that was followed, and what took part.
    measures : tuple of Measure
        What the scores are called and mean, in order.
    """

    scores: dict[str, Score]
    n_queries: int
    chance: float
    protocol: Protocol
    measures: tuple[Measure, ...]

    def to_dataframe(self) -> "pd.DataFrame":
        """Return the scores as a table: `title`, `value`, `low` and `high` by metric."""
        # Imported here: it takes half a second, which a caller without tables need not wait for.
        import pandas as pd

        rows = [(m.name, m.title, *vars(self.scores[m.name]).values()) for m in self.measures]
        columns = ["metric", "title", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns).set_index("metric")

    def __repr__(self) -> str:
        shown = [measure for measure in self.measures if measure.shown != "files"]
        width = max(len(measure.title) for measure in shown)
        lines = [f"{self.n_queries} queries, chance {self.chance:.3f}"]
        for measure in shown:
            score = self.scores[measure.name]
            lines.append(
                f"{measure.title:{width}}  {score.value:.3f}  [{score.low:.3f}, {score.high:.3f}]"
            )
        note = f"; {self.protocol.note}" if self.protocol.note else ""
        return "\n".join([*lines, f"{self.protocol}{note}"])


def evaluate(
    vectors: "ArrayLike",
    labels: Iterable[Any],
    *,
    artists: Iterable[Any] | None = None,
    albums: Iterable[Any] | None = None,
    k: int = 10,
    seed: int = 0,
) -> Evaluation:
    """Evaluate how well vectors bring together what shares a label.

    Each vector is a query, and the others are ranked by cosine; a hit has the query's label. The
    code is that of `musicflow run`: the same vectors give the same scores.

    Parameters
    ----------
    vectors : array_like
        One per track, of any float or integer type and any length but 0, shape ``(N, dim)``.
    labels : sequence
        One per vector, texts or numbers, such as genres; several labels of one vector are a list,
        and a hit shares one. None, NaN, "" and "Unknown" are no label: such a vector is a
        candidate, but neither a query nor a hit.
    artists, albums : sequence, optional
        One per vector; several artists of one vector are a list. A query excludes candidates that
        share an artist or the album with it, unless fewer than half of the queries would keep a
        relevant candidate. `Evaluation.protocol` says which rule was followed.
    k : int
        The depth of one more precision, beside 1, 5 and 10.
    seed : int
        Of the bootstrap behind intervals, and of the 10 000 queries that are drawn of more.

    Returns
    -------
    Evaluation
        Scores by metric, each with its 95 % interval.

    Raises
    ------
    ValueError
        If an argument has the wrong shape or length, a vector is not finite or zero, there are
        fewer than two labels, or no label occurs twice.

    Examples
    --------
    >>> vectors = [[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]]
    >>> found = evaluate(vectors, ["jazz", "jazz", "rock", "rock"])
    >>> found.scores["precision_at_1"]
    Score(value=1.0, low=1.0, high=1.0)
    >>> found.n_queries, round(found.chance, 3)
    (4, 0.333)
    >>> found.to_dataframe().loc["map", "title"]
    'mAP'
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a whole number from 1, not {k}")
    values = _checked(vectors)
    count = len(values)
    genres = [
        tuple(name for name in own if name != UNKNOWN) for own in _several("labels", labels, count)
    ]
    makers = [[]] * count if artists is None else _several("artists", artists, count)
    records = [UNKNOWN] * count if albums is None else _texts("albums", albums, count)
    known = {name for own in genres for name in own}
    if len(known) < 2:
        raise ValueError(f"labels must hold at least two different labels, not {len(known)}")
    tracks = [
        # The place as an id, so that ties go to the first.
        Track(f"{row:012}", "", "", 0.0, 0, artists=tuple(names), album=album)
        for row, (names, album) in enumerate(zip(makers, records, strict=True))
    ]
    tracks = relabelled(tracks, genres)
    method = Method("none" if artists is None and albums is None else "artist", k)
    judge = Judge(tracks, method, seed=seed)
    judge.rank({"": retrieval.cosine(normalize(values))})
    judge.add_intervals()
    found = judge.figures[""]
    if found.chance is None:
        raise ValueError(f"no label of {len(known)} occurs twice, so no query can have a hit")
    measures = tuple(m for m in metrics.measures(method.metrics, k) if m.name in found.scores)
    return Evaluation(found.scores, found.n_queries, found.chance, judge.protocol, measures)


def _checked(vectors: "ArrayLike") -> np.ndarray:
    """Return vectors as float64, shape ``(N, dim)``, or raise `ValueError`."""
    given = np.asarray(vectors)
    if given.ndim != 2 or not given.shape[1]:
        raise ValueError(f"vectors must have the shape (N, dim), not {given.shape}")
    if given.dtype.kind not in "fiu":
        raise ValueError(f"vectors must be floating-point numbers, not {given.dtype}")
    values = given.astype(np.float64)
    _refuse(~np.isfinite(values).all(axis=1), "hold a value that is not finite")
    peaks = np.abs(values).max(axis=1, initial=0.0)
    _refuse(peaks == 0, "are zero, and a cosine needs a length")
    # Squares of such values leave the range of float64.
    extreme = (peaks > 1e100) | (peaks < 1e-100)
    values[extreme] /= peaks[extreme, None]
    return values


def _refuse(bad: Any, what: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        named = ", ".join(map(str, rows[:_SHOWN]))
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        raise ValueError(f"rows {named}{more} of vectors {what}")


def _entries(name: str, given: Iterable[Any], count: int) -> list[Any]:
    if isinstance(given, str):
        raise ValueError(f"{name} must be a sequence with one entry per vector, not {given!r}")
    entries = list(given)
    if len(entries) != count:
        raise ValueError(f"{name} must have one entry per vector: {count}, not {len(entries)}")
    return entries


def _texts(name: str, given: Iterable[Any], count: int) -> list[str]:
    """Return one text per vector, `UNKNOWN` where there is none."""
    entries = _entries(name, given, count)
    for row, entry in enumerate(entries):
        if isinstance(entry, Iterable) and not (isinstance(entry, str) or entry is np.ma.masked):
            kind = type(entry).__name__
            raise ValueError(f"{name} must be texts or numbers, but entry {row} is a {kind}")
    return [UNKNOWN if _is_missing(entry) else normalized(str(entry)) for entry in entries]


def _several(name: str, given: Iterable[Any], count: int) -> list[list[str]]:
    """Return the texts of each vector, any number of them."""
    entries = _entries(name, given, count)
    several = [list(e) if isinstance(e, list | tuple | set) else [e] for e in entries]
    found = _texts(name, [one for own in several for one in own], sum(map(len, several)))
    texts = iter(found)
    return [[next(texts) for _ in own] for own in several]


def _is_missing(entry: Any) -> bool:
    """Return whether an entry is None, masked, empty, NaN, or pandas' NA."""
    if entry is None or entry is np.ma.masked:
        return True
    is_itself = entry == entry
    # NaN is not, and NA does not even say.
    return not isinstance(is_itself, bool | np.bool_) or not is_itself or bool(entry == "")
