"""Sources of judgements to learn from: labels, likes and votes, and how many it takes."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import of_rows
from musicflow.library import Track
from musicflow.tuning.errors import TuningError

LABELS = ("genre", "subgenre", "artist", "playlist")
"""The labels that tracks of a library have."""

PREFERENCES = ("likes", "votes")
"""What the app was told: tracks that were liked together, and votes of the blind test."""

MIN_CLASSES, MIN_TRACKS, MIN_JUDGEMENTS = 2, 4, 20
"""The least to learn from: so many classes of so many tracks, and so many tracks, pairs or triplets
in all. With fewer, nothing was gained in any library that was tried."""


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
