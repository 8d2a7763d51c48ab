"""The layout of FMA: ``fma_metadata/tracks.csv`` beside ``fma_small/000/000002.mp3``.

See github.com/mdeff/fma. The table has a header of three lines: the owner of a column (track,
album, artist, set), its name, and the name of the index.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import bases, below, joined, state_of
from musicflow.library.problems import (
    AUDIO_WITHOUT_LABELS,
    FOLDER_UNREADABLE,
    KNOWN_FAULT,
    OTHER_COPY,
    Problem,
)
from musicflow.library.track import UNKNOWN, LibraryError, Track, track_of
from musicflow.places import Place
from musicflow.text import normalized

SIZES = ("fma_full", "fma_large", "fma_medium", "fma_small")
"""Folders of the audio, each of which holds the tracks of the next."""

TABLE = "tracks.csv"
GENRES = "genres.csv"

_TABLES = (f"fma_metadata/{TABLE}", f"fma_metadata/fma_metadata/{TABLE}", TABLE)

_COLUMNS = {
    ("track", "title"): "name",
    ("track", "genre_top"): "genre",
    ("track", "genres"): "genres",
    ("track", "genres_all"): "genres_all",
    ("track", "number"): "track_number",
    ("artist", "name"): "artist",
    ("album", "title"): "album",
    ("album", "date_released"): "released",
    ("set", "split"): "split",
    ("set", "subset"): "subset",
}
_NEEDED = ("name", "genre", "artist", "album")

# fmt: off
_SHORT = frozenset((
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571,
    99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992,
))
# fmt: on
"""Tracks whose clips are empty or shorter than 30 s, since their lengths were wrong in the metadata
(FMA's wiki, and issue 8 of github.com/mdeff/fma)."""

_DISTORTED = frozenset((71826, 71827, 87435, 95253, 95259, 95263, 102144, 113025, 113604, 138485))
"""Tracks with damaged audio (the errata of OpenMIC-2018, and issue 27 of github.com/mdeff/fma)."""

_DIGITS = re.compile(r"\d+")


def detect(root: Place) -> Detection | None:
    """Detect the table of tracks beside a folder of audio, here or one folder deeper."""
    if (found := _find(root)) is None:
        return None
    return Detection(f"{found.table} lies beside {found.size}/", found.music)


def labels_state(root: Place) -> str:
    """Return size and time of the tables of tracks and genres as a text; empty without them."""
    if (found := _find(root)) is None:
        return ""
    table = root / found.table
    return f"{state_of(table)} {state_of(table.with_name(GENRES))}"


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each clip, with the fields of the table.

    The genre is the top genre, else the first of all. The subgenres are those that the artist
    chose, without that one. The split is the official one.

    Raises
    ------
    LibraryError
        If the table is missing, cannot be read or lacks a column.
    """
    if (found := _find(root)) is None:
        raise LibraryError(f"no {_TABLES[0]} lies beside {' or '.join(SIZES)} in {root}")
    table = root / found.table
    numbers = {file.path: _number(file.path) for file in files if below(file.path, found.music)}
    rows, names = _rows(table, set(numbers.values())), _genre_names(table.with_name(GENRES))
    tracks: list[Track] = []
    problems = _other_sizes(root, found)

    def report(subject: str, code: str, reason: str) -> None:
        problems.append(Problem(subject, "library", "warning", reason, code))

    for file in files:
        inner = below(file.path, found.music)
        if inner is None or file.code == FOLDER_UNREADABLE:
            continue
        number = numbers[file.path]
        if fault := _fault(number, is_clip=found.size != SIZES[0]):
            report(file.path, KNOWN_FAULT, f"a known fault of FMA: {fault}")
        if file.error:
            continue
        row = rows.get(number)
        if row is None:
            report(file.path, AUDIO_WITHOUT_LABELS, f"{TABLE} has no track of its name")
        tracks.append(track_of(root, file, track_id=inner, **_fields(row or {}, names)))
    return tracks, problems


@dataclass(frozen=True)
class _Found:
    """The parts of a data set: its folder and its table below the root, and its audio's name."""

    base: str
    table: str
    size: str
    music: str


def _find(root: Place) -> _Found | None:
    """Return the parts of the data set; of several folders of audio, the largest."""
    for base in bases(root):
        for table in _TABLES:
            if (root / base / table).is_file():
                for size in SIZES:
                    # Kaggle's archives hold each folder in one of its own name.
                    for audio in (f"{size}/{size}", size):
                        if (root / base / audio).is_dir():
                            return _Found(base, joined(base, table), size, joined(base, audio))
    return None


def _other_sizes(root: Place, found: _Found) -> list[Problem]:
    reason = f"left out, since {found.size}/ holds the same tracks"
    others = [joined(found.base, size) for size in SIZES if size != found.size]
    return [
        Problem(f"{other}/", "library", "warning", reason, OTHER_COPY)
        for other in others
        if (root / other).is_dir()
    ]


def _number(path: str) -> int:
    """Return the number of a track by the name of its file; -1 if it is none."""
    stem = PurePosixPath(path).stem
    return int(stem) if stem.isascii() and stem.isdigit() else -1


def _fault(number: int, is_clip: bool) -> str:
    if number in _SHORT and is_clip:
        return "the clip is empty or shorter than 30 s"
    return "the audio is damaged" if number in _DISTORTED else ""


def _rows(path: Place, numbers: set[int]) -> dict[int, dict[str, Any]]:
    """Return the columns that are wanted of some tracks."""
    import pandas as pd  # Not wanted where no FMA is read.

    places = _places(path)
    try:
        with path.open("rb") as file:
            table = pd.read_csv(
                file,
                header=None,
                skiprows=3,
                usecols=[0, *places.values()],
                dtype=str,
                keep_default_na=False,
                encoding="utf-8",
            )
        table.index = pd.Index(table[0].astype(int))
    except (OSError, ValueError) as error:
        raise LibraryError(f"{path} cannot be read: {error}") from error
    table = table[table.index.isin(numbers) & ~table.index.duplicated()]
    columns = {name: table[place].tolist() for name, place in places.items()}
    values = zip(*columns.values(), strict=True)
    rows = (dict(zip(columns, row, strict=True)) for row in values)
    return dict(zip(table.index.tolist(), rows, strict=True))


def _places(path: Place) -> dict[str, int]:
    """Return the place of each column that is wanted."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            owners, columns, index = next(reader), next(reader), next(reader)
    except (OSError, ValueError, csv.Error, StopIteration) as error:
        raise LibraryError(f"{path} has no header of three lines: {error}") from error
    pairs = list(zip(owners, columns, strict=False))
    if index[:1] != ["track_id"]:
        raise LibraryError(f'{path}, line 3: the first column must be "track_id", not {index[:1]}')
    found = {name: pairs.index(pair) for pair, name in _COLUMNS.items() if pair in pairs}
    if missing := [
        pair for pair, name in _COLUMNS.items() if name in _NEEDED and name not in found
    ]:
        raise LibraryError(f"{path} has no column {'/'.join(missing[0])}")
    return found


def _genre_names(path: Place) -> dict[str, str]:
    """Return the name of each genre by its number; none without the table of genres."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["genre_id"]: normalized(row["title"]) for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error, KeyError) as error:
        raise LibraryError(f"{path} cannot be read: {error!r}") from error


def _fields(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return what a row of the table says of its track."""
    said = {name: normalized(text) for name, text in row.items()}
    year, number = said.get("released", "")[:4], said.get("track_number", "")
    chosen, every = (_named(said.get(name, ""), names) for name in ("genres", "genres_all"))
    genres = tuple(dict.fromkeys(filter(None, (said.get("genre"), *(every or chosen)))))
    fields: dict[str, Any] = {
        "genre": genres[0] if genres else UNKNOWN,
        "genres": genres,
        "subgenres": tuple(name for name in chosen if name not in genres[:1]),
        "extra": {name: said[name] for name in ("split", "subset") if said.get(name)},
    }
    for name in ("name", "album"):
        if said.get(name):
            fields[name] = said[name]
    if said.get("artist"):
        fields["artists"] = (said["artist"],)
    if year.isdigit():
        fields["year"] = int(year)
    if number.isdigit() and int(number):
        fields["track_number"] = int(number)
    return fields


def _named(numbers: str, names: dict[str, str]) -> tuple[str, ...]:
    """Return the names of genres in a list such as ``[21, 811]``."""
    found = (names.get(number, "") for number in _DIGITS.findall(numbers))
    return tuple(dict.fromkeys(filter(None, found)))


LAYOUT = Layout("fma", detect, read, labels_state)
