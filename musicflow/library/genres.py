"""Names of genres: a text split into its genres, and spellings of one genre brought together."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from musicflow.text import folded, normalized

Genres = tuple[str, ...]
"""The genres of a track, the main one first."""

_TEXTS = 10_000
"""The texts that are remembered: most tracks name genres that others name."""


@lru_cache(_TEXTS)
def split(text: str) -> Genres:
    """Return the genres that a text names: ``Rock; Pop / Funk`` are three.

    Names with a slash that stand for one genre stay whole; see `_WHOLE`. Words that say that
    there is no genre, such as "Other", and numbers are left out.
    """
    if (whole := normalized(text)) and key(whole) in _WHOLE:
        return (whole,)
    found: list[str] = []
    for part in whole.split(";"):
        names = [part] if key(part) in _WHOLE | _NONE else part.split("/")
        found += [name for each in names if (name := normalized(each)) and key(name) not in _NONE]
    return tuple(dict.fromkeys(name for name in found if not name.strip("()").isdecimal()))


@lru_cache(_TEXTS)
def key(name: str) -> str:
    """Return the form by which spellings of one genre are the same: "Hip-Hop" and "hip hop"."""
    text = _AND.sub("n", folded(name))
    text = re.sub(r"[\W_]+", "", text) or text
    return _SAME.get(text, text)


def unified(
    labels: Sequence[Iterable[str]], names: Mapping[str, str] | None = None
) -> list[Genres]:
    """Return the genres of each track under one spelling per genre.

    Parameters
    ----------
    labels
        The genres of each track, as they are written.
    names
        The user's own names, by the spellings that they stand for, whose case, spaces and hyphens
        do not matter. A name that is empty leaves the genre out; ``;`` separates several.

    Returns
    -------
    list of tuple of str
        In the same order. A genre has the user's name, else its most frequent spelling.
    """
    own = {key(written): split(meant) for written, meant in (names or {}).items()}
    counts = Counter(name for several in labels for name in dict.fromkeys(several))
    spelled: dict[str, str] = {}
    for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        spelled.setdefault(key(name), name)
    shown = {name: own.get(key(name), (spelled[key(name)],)) for name in counts}
    return [tuple(dict.fromkeys(g for name in several for g in shown[name])) for several in labels]


_AND = re.compile(r"\s*(?:&|\band\b|'n'|\bn\b'?|\+)\s*")

_SAME = {
    "dnb": "drumnbass",
    "rhythmnblues": "rnb",
    "electronicmusic": "electronic",
    "altrock": "alternativerock",
    "progrock": "progressiverock",
    "gothrock": "gothicrock",
    "shoegazer": "shoegaze",
    "shoegazing": "shoegaze",
}
"""Short and other forms of a genre, as beets' lastgenre brings them together (``aliases.yaml``).
Broader ones, such as "alternative" for "alternative rock", are left to the user."""

_WHOLE = frozenset(map(key, ("R&B/Soul", "Hip-Hop/Rap", "Singer/Songwriter", "Pop/Funk")))
"""Genres with a slash in their name, of iTunes and of ID3."""

_NONE = frozenset(
    map(
        key,
        ("", "Unknown", "Unknown genre", "Other", "Others", "None", "No genre", "N/A", "Undefined",
         "Not set", "Misc", "Misc.", "Miscellaneous", "Unclassifiable", "Genre"),
    )
)  # fmt: skip
