"""Doubts: reasons why a comparison by a library's genres would mean little or nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from musicflow.library.labels import MOST, are_artists
from musicflow.library.track import Library, Track
from musicflow.places import place

FEW_GENRES = "few-genres"
CHANCE_HIGH = "chance-high"
CHANCE_LOW = "chance-low"
FEW_LABELS = "few-labels"
LONE_GENRES = "lone-genres"
FEW_TRACKS = "few-tracks"
ARTISTS = "artists-as-genres"
"""Codes of doubts."""

HIGH, LOW = 0.9, 0.02
"""The precision of a random ranking beyond which scores say little."""

FEW = 20
"""The tracks up to which the ten nearest, by which embedders are ranked, are half of the others."""

_QUERIES = 300
"""The sets of genres, at most, that chance is estimated by."""

_ASK = "name where genres come from: --genre tag, --genre folder or --genre FILE.csv"


@dataclass(frozen=True)
class Doubt:
    """A reason why a comparison by genres means little.

    Parameters
    ----------
    code
        The kind of doubt.
    sentence
        What is odd, without its stop.
    advice
        What to do about it.
    voids
        Whether the comparison means nothing at all, so that nothing is ranked by it.
    """

    code: str
    sentence: str
    advice: str
    voids: bool = False

    def __str__(self) -> str:
        return f"{self.sentence}; {self.advice}"


def doubts(library: Library) -> tuple[Doubt, ...]:
    """Return all doubts about comparing embedders by a library's genres."""
    tracks = library.tracks
    labels = [track.labels for track in tracks]
    counts = Counter(name for several in labels for name in several)
    known = sum(map(bool, labels))
    if len(counts) < 2:
        named = f"have the one genre {next(iter(counts))}" if counts else "have a genre"
        what = f"{known} of {len(tracks)} tracks {named}"
        return (Doubt(FEW_GENRES, what, _where_else(library) or _ASK, voids=True),)
    found = []
    chance = expected_precision(labels)
    if chance > HIGH:
        name, most = counts.most_common(1)[0]
        what = f"a random ranking has a precision of {chance:.2f}: {most} of {known} have {name}"
        found.append(Doubt(CHANCE_HIGH, what, _where_else(library) or _ASK, voids=True))
    if chance < LOW:
        what = f"a random ranking has a precision of {chance:.3f}: there are {len(counts)} genres"
        found.append(Doubt(CHANCE_LOW, what, _ASK))
    if known <= MOST * len(tracks):
        what = f"only {known} of {len(tracks)} tracks have a genre"
        found.append(Doubt(FEW_LABELS, what, _ASK))
    lone = sum(count == 1 for count in counts.values())
    if lone > MOST * len(counts):
        what = f"{lone} of {len(counts)} genres have one track"
        found.append(Doubt(LONE_GENRES, what, _ASK))
    if len(tracks) <= FEW:
        what = f"there are only {len(tracks)} tracks, and the ten nearest are most of them"
        found.append(Doubt(FEW_TRACKS, what, "look at P@1 and mAP, or add music"))
    if library.genre_source == "folder" and are_artists(tracks, labels):
        what = "the folders that genres come from are called after artists or albums"
        found.append(Doubt(ARTISTS, what, _ASK, voids=True))
    return tuple(found)


def expected_precision(labels: Sequence[tuple[str, ...]]) -> float:
    """Return the mean precision of a random ranking; 0 where no two tracks share a genre.

    Queries are the tracks that share a genre with another. Of many sets of genres, some are taken.
    """
    counts = Counter(frozenset(several) for several in labels if several)
    sets = sorted(counts, key=sorted)
    total = weight = 0.0
    for asked in sets[:: max(1, len(sets) // _QUERIES)]:
        relevant = sum(counts[other] for other in sets if not asked.isdisjoint(other)) - 1
        if relevant:
            total += counts[asked] * relevant / (len(labels) - 1)
            weight += counts[asked]
    return total / weight if weight else 0.0


def _where_else(library: Library) -> str:
    """Return which other folder may be the library; empty if none suggests itself."""
    folders = [_folder(library, track) for track in library.tracks]
    shared = folders[0].parts
    for folder in folders:
        alike = (a == b for a, b in zip(shared, folder.parts, strict=False))
        shared = shared[: next((n for n, same in enumerate(alike) if not same), len(folder.parts))]
    inner = PurePosixPath(*shared)
    if shared and len(set(folders)) > 1:
        count = f"{len(folders):,}"
        return f"all {count} tracks lie below {shared[0]}: is {inner} the library?"
    if len(set(folders)) == 1:
        outer = place(library.root).joinpath(str(inner)).parent
        return f"all tracks lie in one folder: is {outer.name or outer} the library? Or {_ASK}"
    return ""


def _folder(library: Library, track: Track) -> PurePosixPath:
    return PurePosixPath(track.path.removeprefix(f"{library.root}/")).parent
