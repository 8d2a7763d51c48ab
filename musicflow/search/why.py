"""Why two tracks are alike: what both carry, and the seconds that sound most alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from musicflow.embedders import EmbedderError
from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Collection
from musicflow.search import lookup
from musicflow.search.errors import QueryError
from musicflow.settings import Settings

PASSAGES = 3
"""The most pairs of passages that are told."""

Listen = Callable[[EmbedderSpec, Mapping[str, Any]], np.ndarray]
"""Given an embedder and a track's payload, returns the normalized vectors of its windows in order.

Shape ``(N, dim)``.
"""


@dataclass(frozen=True)
class Passage:
    """A window of each of two tracks that sound alike.

    Parameters
    ----------
    query_s, answer_s
        Where they begin in the tracks, in seconds.
    seconds
        How long both last. A window is padded before a track, and where it is longer than what is
        left of one.
    score
        Their likeness, as that of tracks.
    """

    query_s: float
    answer_s: float
    seconds: float
    score: float


@dataclass(frozen=True)
class Why:
    """What speaks for an answer; each pair is the query's and the answer's, None if not known.

    Parameters
    ----------
    embedder
        The one that hears the passages.
    tags
        Predicted tags of both.
    bpm, key
        Tempo and key, as the library has them.
    passages
        The most alike, best first; no two overlap.
    error
        What stood against hearing them.
    """

    embedder: str
    tags: tuple[str, ...]
    bpm: tuple[float | None, float | None]
    key: tuple[str | None, str | None]
    passages: tuple[Passage, ...] = ()
    error: EmbedderError | QueryError | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """Return what is told to programs."""
        told = asdict(replace(self, error=None)) | {"lines": self.lines()}
        del told["error"]
        return told

    def lines(self) -> list[str]:
        """Return what both tracks carry, for people; nothing of what is not known of both."""
        tags = f"Both sound like: {', '.join(self.tags)} (predicted)." if self.tags else ""
        bpm = "" if None in self.bpm else f"Tempo: {self.bpm[0]:g} and {self.bpm[1]:g} BPM."
        key = "" if None in self.key else f"Key: {self.key[0]} and {self.key[1]}."
        return [line for line in (tags, bpm, key) if line]


def why(collection: Collection, track: str, other: str, settings: Settings, listen: Listen) -> Why:
    """Return what makes two tracks alike.

    Parameters
    ----------
    collection
        The one that answered; of a fusion, the first member tells the passages.
    track, other
        The query and the answer, by id or name.
    settings
        Those of its home.
    listen
        Hears a track; it may be called in vain.

    Raises
    ------
    QueryError
        If there is no such track.
    """
    payloads = [collection.payload(lookup.find_track(collection, name)) for name in (track, other)]
    spec = lookup.specs_of(collection, settings)[0]
    known = known_of(spec.label, *payloads)
    try:
        query, answer = (listen(spec, payload) for payload in payloads)
    except (EmbedderError, QueryError) as error:
        return replace(known, error=error)
    lengths_s = [payload.get("duration_s") or math.inf for payload in payloads]
    return replace(known, passages=passages_of(query, answer, spec, lengths_s))


def known_of(embedder: str, query: Mapping[str, Any], answer: Mapping[str, Any]) -> Why:
    """Return what the payloads of two tracks tell, without passages."""
    predicted = answer.get("tags") or ()
    tags = tuple(tag for tag in query.get("tags") or () if tag in predicted)
    return Why(
        embedder,
        tags,
        bpm=(query.get("bpm"), answer.get("bpm")),
        key=(query.get("key"), answer.get("key")),
    )


def passages_of(
    query: np.ndarray,
    answer: np.ndarray,
    spec: EmbedderSpec,
    lengths_s: Sequence[float] = (math.inf, math.inf),
    most: int = PASSAGES,
) -> tuple[Passage, ...]:
    """Return the pairs of windows that are most alike, best first.

    Parameters
    ----------
    query, answer
        Normalized vectors of the windows of two tracks, in order, shapes ``(N, dim)`` and
        ``(M, dim)``.
    spec
        The embedder, which says where windows lie.
    lengths_s
        The length of each track in seconds.
    most
        The most pairs. Windows of two pairs do not overlap.
    """
    scores = query @ answer.T
    reach = max(1, round(spec.window_s / spec.hop_s))
    found: list[Passage] = []
    while len(found) < most and np.isfinite(scores).any():
        row, column = np.unravel_index(int(np.nanargmax(scores)), scores.shape)
        starts = [float(n) * spec.hop_s - spec.pad_s[0] for n in (row, column)]
        at = [min(max(0.0, s), length) for s, length in zip(starts, lengths_s, strict=True)]
        ends = [min(s + spec.window_s, n) for s, n in zip(starts, lengths_s, strict=True)]
        seconds = max(0.0, min(end - start for start, end in zip(at, ends, strict=True)))
        found.append(Passage(at[0], at[1], seconds, float(scores[row, column])))
        scores[max(0, row - reach + 1) : row + reach] = np.nan
        scores[:, max(0, column - reach + 1) : column + reach] = np.nan
    return tuple(found)
