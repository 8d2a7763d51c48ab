"""Labels that make tracks alike: those of a library, and tables of a person's own."""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from musicflow.errors import MusicflowError
from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.protocol import album_keys, artist_keys
from musicflow.library import UNKNOWN, LibraryError, Track
from musicflow.library.layouts import playlists
from musicflow.places import place
from musicflow.settings import Exclude, is_file
from musicflow.text import normalized

_COLUMNS = (
    ("track", "nearer", "farther"),
    ("track", "alike"),
    ("track", "label"),
    ("track", "session"),
)
"""The columns of a table, by what it holds: triplets, pairs, or classes."""

_RULES: tuple[Exclude, ...] = ("none", "duplicates", "album", "artist")
"""What a query excludes; each rule excludes what the one before does."""

_STRICTEST: Mapping[str, Exclude] = {"artist": "album", "album": "duplicates"}
"""The strictest rule that leaves a label something to find; of others, every rule does."""

_OF_TRACKS: Mapping[str, Callable[[Sequence[Track]], list[tuple[str, ...]]]] = {
    "genre": lambda tracks: [track.labels for track in tracks],
    "subgenre": lambda tracks: [track.subgenres for track in tracks],
    "artist": lambda tracks: [tuple(map(str, names)) for names in artist_keys(tracks)],
    "album": lambda tracks: [
        tuple("/".join(map(str, key)) for key in own)  # type: ignore[call-overload]
        for own in album_keys(tracks)
    ],
    "decade": lambda tracks: [(track.decade,) if track.decade else () for track in tracks],
}
"""Labels that are fields of a track. Any other is a value of the library's own."""

TAGS = "tags"
"""The label that embedders predict, where the library has none of its own."""


class LabelError(MusicflowError):
    """Labels that cannot be read, or that no track has."""

    code = "bad-labels"


@dataclass(frozen=True)
class Labelling:
    """The labels of tracks by one source.

    Parameters
    ----------
    source
        A label of the library, the path of a table, or a folder of playlists.
    sets
        The labels of each track: tracks that share one are alike.
    embedder
        The one that predicted them; empty if none did.
    are_named
        Whether a label says something by itself, as that of a pair or a session does not.
    """

    source: str
    sets: Sequence[tuple[str, ...]]
    embedder: str = ""
    are_named: bool = True

    @property
    def name(self) -> str:
        """Return the name of the label; that of a table is the table's name."""
        return name_of(self.source)

    def of(self, rows: np.ndarray) -> "Labelling":
        """Return the labels of some tracks alone."""
        return replace(self, sets=[self.sets[row] for row in rows.tolist()])


def name_of(source: str) -> str:
    """Return the name of the labels of a source; that of a file or folder is its own."""
    path = Path(source)
    return path.stem if path.suffix.lower() == ".csv" else path.name


def rule_for(source: str, exclude: Exclude) -> Exclude:
    """Return the rule for a label where `exclude` is asked for: the weaker of two.

    Where artists are the label, their tracks must stay candidates: those of one album go. Where
    albums are, only duplicates do.
    """
    return min(exclude, _STRICTEST.get(source, exclude), key=_RULES.index)


def read(
    source: str, tracks: Sequence[Track], predicted: Mapping[str, Sequence[tuple[str, ...]]] = {}
) -> Labelling:
    """Read the labels of tracks.

    Parameters
    ----------
    source
        A label of the library, the path of a table, or a folder of playlists.
    tracks
        The tracks.
    predicted
        By embedder, the tags that it predicted for each track.

    Raises
    ------
    LabelError
        If no track has such a label, or the table cannot be read or holds triplets.
    """
    judged = judgements(source, tracks)
    if judged.kind == "triplets":
        advice = "give a table of classes or pairs; triplets can be learned from"
        raise LabelError(f"{source} holds triplets, which rank nothing", advice)
    if judged.kind == "pairs":
        return Labelling(source, _of_pairs(judged.pairs, len(tracks)), are_named=False)
    sets = judged.labels
    embedder = ""
    if source == TAGS and not any(sets):
        embedder = next((name for name, several in predicted.items() if any(several)), "")
        sets = predicted.get(embedder, sets)
    if not any(sets):
        advice = "name a label that the library has, or a table FILE.csv"
        raise LabelError(f"no track has the label {source}", advice, "no-label")
    return Labelling(source, sets, embedder, judged.are_named)


def judgements(source: str, tracks: Sequence[Track]) -> Judgements:
    """Return what a source says of tracks.

    Raises
    ------
    LabelError
        If its table or its playlists cannot be read, or name no track.
    """
    if not is_file(source):
        return Judgements(labels_of(source, tracks))
    path = Path(source)
    is_table = path.suffix.lower() == ".csv"
    return read_table(path, tracks) if is_table else read_playlists(path, tracks)


def mark(source: str, tracks: Sequence[Track]) -> str:
    """Return a text that changes when the labels of a source do, 16 hexadecimal digits.

    Predicted tags are not part of it: they follow from the embedder.
    """
    if is_file(source):
        path = Path(source)
        files = [path] if path.is_file() else playlists.playlists_in(place(source))
        content = b"".join(file.read_bytes() for file in files)
    else:
        content = json.dumps(labels_of(source, tracks)).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def labels_of(label: str, tracks: Sequence[Track]) -> list[tuple[str, ...]]:
    """Return the classes that a label of the library gives each track."""
    if label in _OF_TRACKS:
        return _OF_TRACKS[label](tracks)
    names = (label, f"{label}s", label.removesuffix("s"))
    values = [
        next((track.extra[name] for name in names if name in track.extra), ()) for track in tracks
    ]
    return [_texts(value) for value in values]


def _texts(value: object) -> tuple[str, ...]:
    texts = map(str, value) if isinstance(value, tuple) else [str(value)]
    return tuple(dict.fromkeys(text for text in texts if text))


def read_table(path: Path, tracks: Sequence[Track]) -> Judgements:
    """Read judgements from a table in CSV.

    Its columns say what it holds: ``track,label`` classes, ``track,session`` what was heard
    together, ``track,alike`` pairs, and ``track,nearer,farther`` triplets. A track is named by its
    id or its path; rows that name another are left out.

    Raises
    ------
    LabelError
        If it cannot be read, has other columns, or names no track of the library.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read: {error}") from error
    columns = next((names for names in _COLUMNS if {*names} <= {*head}), None)
    if columns is None:
        known = " or ".join(",".join(names) for names in reversed(_COLUMNS))
        raise LabelError(f"{path} has the columns {','.join(head)}", f"name them {known}")
    places = {name: n for n, track in enumerate(tracks) for name in (track.path, track.track_id)}
    cells = [[row[head.index(name)] for name in columns] for row in rows if len(row) >= len(head)]
    if columns[-1] in ("label", "session"):
        found: dict[int, list[str]] = {}
        for name, label in cells:
            if name in places and label:
                found.setdefault(places[name], []).append(label)
        sets = [tuple(dict.fromkeys(found.get(n, ()))) for n in range(len(tracks))]
        judged = Judgements(sets, are_named=columns[-1] == "label")
    else:
        known_rows = [[places[name] for name in row] for row in cells if {*row} <= places.keys()]
        judged = of_rows(known_rows, len(columns), len(tracks))
    if not judged.count:
        raise LabelError(
            f"{path} names no track of this library", "name tracks by their ids or their paths"
        )
    return judged


def read_playlists(folder: Path, tracks: Sequence[Track]) -> Judgements:
    """Read the playlists of a folder: the tracks of one are alike.

    Raises
    ------
    LabelError
        If there is no playlist, one cannot be read, or they name no track of the library.
    """
    places = {normalized(track.path): n for n, track in enumerate(tracks)}
    found: list[list[str]] = [[] for _ in tracks]
    lists = playlists.playlists_in(place(str(folder)))
    for path in lists:
        try:
            name, entries = playlists.read_playlist(path)
        except LibraryError as error:
            raise LabelError(error.message, error.advice) from error
        for _, entry in entries:
            whole = os.path.normpath(folder / entry.replace("\\", "/"))
            if (row := places.get(normalized(whole))) is not None:
                found[row].append(name)
    if not any(found):
        what = "no track of this library" if lists else "no playlist"
        advice = f"it takes {' or '.join(playlists.SUFFIXES)} with paths of tracks"
        raise LabelError(f"{folder} names {what}", advice)
    return Judgements([tuple(dict.fromkeys(own)) for own in found])


def of_rows(rows: Sequence[Sequence[int]], width: int, count: int) -> Judgements:
    """Return rows of two tracks as pairs, and of three as triplets; each once."""
    values = np.array([row for row in rows if len({*row}) == width], int).reshape(-1, width)
    values = np.unique(np.sort(values, axis=1) if width == 2 else values, axis=0)
    none: list[tuple[str, ...]] = [()] * count
    return Judgements(none, pairs=values) if width == 2 else Judgements(none, triplets=values)


def _of_pairs(pairs: np.ndarray, count: int) -> list[tuple[str, ...]]:
    """Return a label per pair, which its two tracks share."""
    found: list[list[str]] = [[] for _ in range(count)]
    for number, pair in enumerate(pairs.tolist()):
        for row in pair:
            found[row].append(str(number))
    return [tuple(own) for own in found]


def relabelled(tracks: Sequence[Track], sets: Sequence[tuple[str, ...]]) -> list[Track]:
    """Return tracks whose genres are other labels, for a protocol to go by."""
    return [
        replace(track, genre=own[0] if own else UNKNOWN, genres=own)
        for track, own in zip(tracks, sets, strict=True)
    ]
