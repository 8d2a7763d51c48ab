"""Sources of judgements: the labels of a library, and tables of a person's own."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.evaluation.protocol import artist_keys
from musicflow.library import UNKNOWN, Track
from musicflow.tuning.errors import TuningError
from musicflow.tuning.judgements import Judgements

LABELS = ("genre", "subgenre", "artist", "playlist")
"""The labels that tracks of a library have."""

PREFERENCES = ("likes", "votes")
"""What the app was told: tracks that were liked together, and votes of the blind test."""

MIN_CLASSES, MIN_TRACKS, MIN_JUDGEMENTS = 2, 4, 20
"""The least to learn from: so many classes of so many tracks, and so many tracks, pairs or triplets
in all. With fewer, nothing was gained in any library that was tried."""

_COLUMNS = (("track", "nearer", "farther"), ("track", "alike"), ("track", "label"))
"""The columns of a table, by what it holds: triplets, pairs or classes."""


def labels_of(label: str, tracks: Sequence[Track]) -> list[tuple[str, ...]]:
    """Return the classes that a label of the library gives each track."""
    if label == "genre":
        return [track.labels for track in tracks]
    if label == "subgenre":
        return [track.subgenres for track in tracks]
    if label == "artist":
        return [tuple(map(str, names)) for names in artist_keys(tracks)]
    return [_texts(track.extra.get("playlists", ())) for track in tracks]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def read_table(path: Path, tracks: Sequence[Track]) -> Judgements:
    """Read judgements from a table in CSV.

    Its columns say what it holds: ``track,label`` classes, ``track,alike`` pairs, and
    ``track,nearer,farther`` triplets. A track is named by its id or its path; rows that name
    another are left out.

    Raises
    ------
    TuningError
        If it cannot be read, has other columns, or names no track of the library.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise TuningError(f"{path} cannot be read: {error}", code="bad-labels") from error
    columns = next((names for names in _COLUMNS if {*names} <= {*head}), None)
    if columns is None:
        known = " or ".join(",".join(names) for names in reversed(_COLUMNS))
        raise TuningError(
            f"{path} has the columns {','.join(head)}", f"name them {known}", "bad-labels"
        )
    places = {name: n for n, track in enumerate(tracks) for name in (track.path, track.track_id)}
    cells = [[row[head.index(name)] for name in columns] for row in rows if len(row) >= len(head)]
    if columns == _COLUMNS[-1]:
        found: dict[int, list[str]] = {}
        for name, label in cells:
            if name in places and label:
                found.setdefault(places[name], []).append(label)
        judged = Judgements([tuple(dict.fromkeys(found.get(n, ()))) for n in range(len(tracks))])
    else:
        known_rows = [[places[name] for name in row] for row in cells if {*row} <= places.keys()]
        judged = of_rows(known_rows, len(columns), len(tracks))
    if not judged.count:
        advice = "name tracks by their ids or their paths"
        raise TuningError(f"{path} names no track of this library", advice, "bad-labels")
    return judged


def read_likes(path: Path, tracks: Sequence[Track]) -> Judgements:
    """Read the pairs of tracks that were liked together in the app."""
    places = {track.track_id: n for n, track in enumerate(tracks)}
    pairs = [
        pair
        for line in _lines(path)
        for pair in combinations([places[one] for one in line.get("like", ()) if one in places], 2)
    ]
    return of_rows(pairs, 2, len(tracks))


def read_votes(path: Path, tracks: Sequence[Track]) -> Judgements:
    """Read triplets from the votes of the blind test.

    What only the winner answered is nearer to the query than what only the loser did.
    """
    places = {track.track_id: n for n, track in enumerate(tracks)}
    triplets = []
    for vote in _lines(path):
        names, answers = (vote.get("first"), vote.get("second")), vote.get("answers", ())
        if vote.get("winner") not in names or vote.get("query") not in places or len(answers) < 2:
            continue
        won, lost = answers if vote["winner"] == names[0] else reversed(answers)
        triplets += [
            (places[vote["query"]], places[near], places[far])
            for near in won
            for far in lost
            if near not in lost and far not in won and {near, far} <= places.keys()
        ]
    return of_rows(triplets, 3, len(tracks))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the readable lines of a file of JSON lines; none if there is no file."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def of_rows(rows: Sequence[Sequence[int]], width: int, count: int) -> Judgements:
    """Return rows of two tracks as pairs, and of three as triplets; each once."""
    values = np.array([row for row in rows if len({*row}) == width], int).reshape(-1, width)
    values = np.unique(np.sort(values, axis=1) if width == 2 else values, axis=0)
    none: list[tuple[str, ...]] = [()] * count
    return Judgements(none, pairs=values) if width == 2 else Judgements(none, triplets=values)


def usable(judgements: Judgements, name: str) -> Judgements:
    """Return judgements without classes of too few tracks.

    Raises
    ------
    TuningError
        If too few are left; it says how many there are and how many it takes.
    """
    if judgements.kind != "tracks" or name in PREFERENCES:
        if judgements.count < MIN_JUDGEMENTS:
            reason = f"{name} gives {judgements.count} {judgements.kind} to learn from"
            raise TuningError(reason, f"it takes {MIN_JUDGEMENTS} or more", "few-labels")
        return judgements
    sizes = Counter(name for own in judgements.labels for name in own)
    large = {name for name, size in sizes.items() if size >= MIN_TRACKS}
    found = replace(
        judgements, labels=[tuple(n for n in own if n in large) for own in judgements.labels]
    )
    if len(large) < MIN_CLASSES or found.count < MIN_JUDGEMENTS:
        counts = Counter(sizes.values())
        largest = f", the largest of {max(counts)}" if counts else ""
        raise TuningError(
            f"{name} gives {len(sizes)} classes{largest}: {len(large)} of {MIN_TRACKS} tracks or "
            f"more, with {found.count} tracks in all",
            f"it takes {MIN_CLASSES} such classes and {MIN_JUDGEMENTS} tracks",
            "few-labels",
        )
    return found


def relabelled(tracks: Sequence[Track], judgements: Judgements, is_artist: bool) -> list[Track]:
    """Return tracks whose genres are the classes of judgements, for a protocol to go by.

    Where the classes are artists, these are what is asked for, and exclude nothing.
    """
    found = [
        replace(track, genre=own[0] if own else UNKNOWN, genres=own)
        for track, own in zip(tracks, judgements.labels, strict=True)
    ]
    return [replace(one, artists=(), album_artist="") for one in found] if is_artist else found
