"""Variety: how often an artist or an album may answer, and what may follow what."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from musicflow.index import Hit
from musicflow.library import UNKNOWN, known_artists
from musicflow.search.errors import QueryError
from musicflow.search.lookup import artists_of


@dataclass(frozen=True)
class Variety:
    """What a list of answers may hold.

    Parameters
    ----------
    max_per_artist, max_per_album
        The most answers by one known artist, and of one known album; None for any number. An answer
        counts for each of its artists.
    apart
        Whether a track by an artist must not follow another of the same.

    Raises
    ------
    QueryError
        If a number is below 1.
    """

    max_per_artist: int | None = None
    max_per_album: int | None = None
    apart: bool = False

    def __post_init__(self) -> None:
        for what in ("artist", "album"):
            most = getattr(self, f"max_per_{what}")
            if most is not None and most < 1:
                raise QueryError(f"the answers per {what} must be at least 1, not {most}")

    @property
    def asks_nothing(self) -> bool:
        """Return whether every list is varied enough."""
        return self == Variety()

    def choose(self, hits: Iterable[Hit], k: int) -> list[Hit]:
        """Return the first k answers that may stand in one list, in an order that may be.

        Parameters
        ----------
        hits
            The answers, best first. With `apart`, one that may not follow waits for its turn.
        k
            How many at most.
        """
        chosen: list[Hit] = []
        waiting: list[Hit] = []
        count = _Count(self)
        for hit in hits:
            if len(chosen) == k:
                break
            waiting.append(hit)
            while (place := self._next(waiting, chosen, count)) is not None and len(chosen) < k:
                chosen.append(waiting.pop(place))
                count.add(chosen[-1].payload)
        return chosen

    def surplus(
        self, payloads: Sequence[dict[str, Any]], given: Sequence[dict[str, Any]]
    ) -> int | None:
        """Return the place of the first track that is one too many; None if there is none.

        Parameters
        ----------
        payloads
            The tracks.
        given
            Those that stand in the list whatever it may hold; they count.
        """
        count = _Count(self)
        for payload in given:
            count.add(payload)
        for place, payload in enumerate(payloads):
            if not count.takes(payload):
                return place
            count.add(payload)
        return None

    def _next(self, waiting: list[Hit], chosen: list[Hit], count: "_Count") -> int | None:
        """Return the place of the best answer that may come next; None if none may."""
        # What the counts rule out stays out.
        waiting[:] = [hit for hit in waiting if count.takes(hit.payload)]
        before = chosen[-1].payload if self.apart and chosen else None
        places = (at for at, hit in enumerate(waiting) if not follows(before, hit.payload))
        return next(places, None)


class _Count:
    """The answers so far, by artist and album."""

    def __init__(self, variety: Variety) -> None:
        self._variety = variety
        self._taken: Counter[tuple[str, str]] = Counter()

    def takes(self, payload: dict[str, Any]) -> bool:
        """Return whether one more answer may come."""
        return all(self._taken[key] < most for key, most in self._keys(payload))

    def add(self, payload: dict[str, Any]) -> None:
        """Count an answer."""
        self._taken.update(key for key, _ in self._keys(payload))

    def _keys(self, payload: dict[str, Any]) -> Iterator[tuple[tuple[str, str], int]]:
        if (most := self._variety.max_per_artist) is not None:
            yield from ((("artist", name), most) for name in artists(payload))
        if (most := self._variety.max_per_album) is not None and (name := album(payload)):
            yield ("album", name), most


def varied(ask: Callable[[int], list[Hit]], k: int, variety: Variety) -> list[Hit]:
    """Return the best k answers that may stand in one list.

    Parameters
    ----------
    ask
        A function of how many answers to give at most, best first.
    k
        How many.
    variety
        What the list may hold.
    """
    if variety.asks_nothing:
        return ask(k)
    return until_enough(ask, lambda hits: variety.choose(hits, k), k)


def until_enough(
    ask: Callable[[int], list[Hit]], choose: Callable[[list[Hit]], list[Hit]], k: int
) -> list[Hit]:
    """Return k chosen answers, or all that there are.

    Parameters
    ----------
    ask
        A function of how many answers to give at most, best first.
    choose
        A function of answers, that leaves some out.
    k
        How many.
    """
    # What is left out costs candidates; how many is known only afterwards.
    limit = 4 * k
    while True:
        hits = ask(limit)
        chosen = choose(hits)
        if len(chosen) == k or len(hits) < limit:
            return chosen
        limit *= 4


def follows(before: dict[str, Any] | None, payload: dict[str, Any]) -> bool:
    """Return whether a track follows another of the same known artist."""
    return before is not None and not artists(before).isdisjoint(artists(payload))


def artists(payload: dict[str, Any]) -> frozenset[str]:
    """Return the known artists of a track."""
    return frozenset(known_artists(artists_of(payload)))


def album(payload: dict[str, Any]) -> str:
    """Return the known album of a track, with the artist it is of; empty if not known."""
    name = payload.get("album") or UNKNOWN
    return "" if name == UNKNOWN else f"{payload.get('album_artist') or ''}\0{name}"
