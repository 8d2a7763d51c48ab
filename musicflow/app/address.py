"""The address of a page: all that a view shows, so that it can be shared, and Back works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from musicflow.app.catalogue import SORTS, Sort
from musicflow.index.hubness import CORRECTIONS, Correction
from musicflow.search.recommend import STRATEGIES

MAX_K = 100
"""The most answers that a page shows."""

MAX_PREFERENCES = 50
"""The most likes, and the most dislikes, that are read from an address."""

MAX_STEPS = 30
"""The most tracks between two ends of a path."""


class Query(Protocol):
    """The query of an address, as web frameworks give it."""

    def getlist(self, key: str) -> list[str]:
        """Return all values of a key."""
        ...


@dataclass(frozen=True)
class Address:
    """A page and what it shows; what is not given is the default.

    Parameters
    ----------
    page
        Its path, such as ``/compare``.
    embedder
        The embedder or fusion; the home's first if empty.
    k
        The number of answers.
    filters
        As the command line takes them.
    track, text, upload
        The question: a track's id, a description, or an upload by its key.
    likes, dislikes
        Track ids, or uploads by their keys.
    strategy, diverse
        How likes become answers; see `musicflow.search.recommend.recommend`.
    most, most_of_album, apart
        The most answers per artist and per album, 0 for any number, and whether those of one
        artist must not follow each other; see `musicflow.search.variety`.
    correct
        A correction of hubness; none if empty.
    against
        The embedders that are compared.
    blind
        Whether they are compared without names.
    start, end, steps
        A path on the map.
    words, sort
        The list of the library: words to look for, and its order.
    twice
        Whether duplicates are shown.
    """

    page: str = "/"
    embedder: str = ""
    k: int = 10
    filters: tuple[str, ...] = ()
    track: str = ""
    text: str = ""
    upload: str = ""
    likes: tuple[str, ...] = ()
    dislikes: tuple[str, ...] = ()
    strategy: str = STRATEGIES[0]
    diverse: bool = False
    most: int = 0
    most_of_album: int = 0
    apart: bool = False
    correct: Correction | Literal[""] = ""
    against: tuple[str, ...] = ()
    blind: bool = False
    start: str = ""
    end: str = ""
    steps: int = 6
    words: str = ""
    sort: Sort = "path"
    twice: bool = False

    @classmethod
    def parse(cls, page: str, query: Query) -> "Address":
        """Read an address. A value that cannot be one is left out, or brought within bounds."""
        values: dict[str, Any] = {}
        for field in fields(cls)[1:]:
            given = [value for value in query.getlist(_NAMES.get(field.name, field.name)) if value]
            value = _read(field.name, getattr(_DEFAULT, field.name), given) if given else None
            if value is not None:
                values[field.name] = value
        return cls(page=page or "/", **values)

    @property
    def url(self) -> str:
        """Return the address as text; defaults are left out."""
        query: list[tuple[str, str]] = []
        for field in fields(self)[1:]:
            value, name = getattr(self, field.name), _NAMES.get(field.name, field.name)
            if value == getattr(_DEFAULT, field.name):
                continue
            several = value if isinstance(value, tuple) else (value,)
            query += [(name, "yes" if each is True else str(each)) for each in several]
        return f"{self.page}?{urlencode(query)}" if query else self.page

    def to(self, **changes: Any) -> "Address":
        """Return the address of another view."""
        return replace(self, **changes)

    def preferring(self, kind: str, key: str) -> "Address":
        """Return the address with something liked or disliked; again, and it is taken back.

        Parameters
        ----------
        kind
            ``likes`` or ``dislikes``.
        key
            A track id, or an upload's key.
        """
        kept = {
            each: tuple(other for other in getattr(self, each) if other != key)
            for each in ("likes", "dislikes")
        }
        if key not in getattr(self, kind):
            kept[kind] = (*kept[kind], key)[-MAX_PREFERENCES:]
        return self.to(**kept)


_DEFAULT = Address()

_NAMES: Mapping[str, str] = {
    "filters": "filter",
    "likes": "like",
    "dislikes": "dislike",
    "against": "with",
}
"""Names in addresses, where they differ."""

_BOUNDS = {"k": (1, MAX_K), "most": (0, 10), "most_of_album": (0, 10), "steps": (1, MAX_STEPS)}

_CHOICES: Mapping[str, Sequence[str]] = {
    "strategy": STRATEGIES,
    "correct": CORRECTIONS,
    "sort": SORTS,
}

_MAX_TEXT = 1000
_MAX_FILTERS = 50


def _read(name: str, default: Any, given: list[str]) -> Any:
    """Return a value of the kind of a default; None if the texts are none."""
    if isinstance(default, bool):
        return given[0] == "yes"
    if isinstance(default, int):
        low, high = _BOUNDS[name]
        try:
            return min(max(int(given[0]), low), high)
        except ValueError:
            return None
    if isinstance(default, tuple):
        most = _MAX_FILTERS if name == "filters" else MAX_PREFERENCES
        return tuple(value[:_MAX_TEXT] for value in dict.fromkeys(given))[:most]
    if name in _CHOICES and given[0] not in _CHOICES[name]:
        return None
    return given[0][:_MAX_TEXT]
