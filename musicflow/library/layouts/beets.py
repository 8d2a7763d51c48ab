"""The library of beets: its SQLite database, ``library.db``, is read and never written.

The database is looked for in the folder of music and in the folders in it. With ``--format beets``,
it is also looked for where beets keeps it: ``$BEETSDIR`` or ``~/.config/beets``.
"""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import bases, joined, state_of
from musicflow.library.layouts.table import Row, place_below, tracks_of
from musicflow.library.problems import Problem
from musicflow.library.track import LibraryError, Track
from musicflow.places import Place, Remote

NAMES = ("library.db", "musiclibrary.db", "musiclibrary.blb")

_COLUMNS = {
    "title": "name",
    "artist": "artists",
    "artists": "artists",
    "album": "album",
    "albumartist": "album_artist",
    # Older versions have one genre.
    "genre": "genre",
    "genres": "genres",
    "year": "year",
    "track": "track_number",
    "disc": "disc_number",
    "comp": "compilation",
    "rg_track_gain": "replaygain_db",
    "bpm": "bpm",
    "initial_key": "key",
    "label": "record_label",
    "language": "language",
    "country": "country",
    "grouping": "grouping",
    "style": "style",
}
"""The columns of the table ``items`` that are read, and the values that they give."""

_MANY = re.compile(r"\\␀|\0")
_SEPARATED = {"artists": _MANY, "genres": _MANY, "genre": re.compile(r"\\␀|\0|[,;] ")}
"""Columns of several values, and the signs that beets and its plugins put between them."""


def detect(root: Place) -> Detection | None:
    """Detect a database of beets in the folder, or in the folders in it."""
    if (place := _below(root)) is None:
        return None
    return Detection(f"{joined(*place)} is a library of beets")


def labels_state(root: Place) -> str:
    """Return size and time of the database as a text; empty without one."""
    path = _database(root)
    # What was written last may lie in the log beside the database.
    return f"{state_of(path)} {state_of(path.with_name(f'{path.name}-wal'))}" if path else ""


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each file in the database.

    Raises
    ------
    LibraryError
        If there is no database, or it cannot be read.
    """
    path = _database(root)
    if path is None and isinstance(root, Remote):
        raise LibraryError(
            f"a library of beets is a database, which cannot be read at {root}",
            "let beets export its fields into a manifest.csv there, or read it with --format auto",
        )
    if path is None:
        raise LibraryError(f"no library of beets ({NAMES[0]}) lies in {root} or in {_home()}")
    try:
        rows = list(_rows(path))
    except sqlite3.Error as error:
        raise LibraryError(f"{path} cannot be read as a library of beets: {error}") from error
    folder = root / _folder([row.path for row in rows], [file.path for file in files])
    placed = (replace(r, path=place_below(root, folder, r.path) or r.path) for r in rows)
    return tracks_of(root, files, placed)


def _folder(named: list[str], found: list[str]) -> str:
    """Return the folder that beets' paths are below, which the database does not name.

    It is the one below which most of its paths are found. Older versions have absolute paths.
    """
    by_name: dict[str, list[str]] = {}
    for path in found:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    folders = Counter(
        path.removesuffix(name)
        for name in named
        for path in by_name.get(name.rpartition("/")[2], ())
        if f"/{path}".endswith(f"/{name}")
    )
    return folders.most_common(1)[0][0] if folders else ""


def _below(root: Place) -> tuple[str, str] | None:
    places = ((base, name) for base in bases(root) for name in NAMES)
    return next(((base, name) for base, name in places if _is_beets(root / base / name)), None)


def _database(root: Place) -> Path | None:
    if not isinstance(root, Remote) and (place := _below(root)):
        return root.joinpath(*place)
    return next((_home() / name for name in NAMES if _is_beets(_home() / name)), None)


def _home() -> Path:
    return Path(os.environ.get("BEETSDIR") or "~/.config/beets").expanduser()


def _is_beets(path: Place) -> bool:
    if isinstance(path, Remote) or not path.is_file():
        return False
    try:
        with closing(_opened(path)) as database:
            return {"path", "title"} <= {name for _, name, *_ in _columns_of(database)}
    except sqlite3.Error:
        return False


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _columns_of(database: sqlite3.Connection) -> list[Any]:
    return database.execute("PRAGMA table_info(items)").fetchall()


def _rows(path: Path) -> Iterator[Row]:
    with closing(_opened(path)) as database:
        there = [name for _, name, *_ in _columns_of(database)]
        columns = [name for name in _COLUMNS if name in there]
        flexible = _flexible(database)
        names = ", ".join(["id", "path", *columns])
        for number, where, *values in database.execute(f"SELECT {names} FROM items ORDER BY id"):
            said = dict(flexible.get(number, {}))
            for column, value in zip(columns, values, strict=True):
                if (value := _value(column, value)) is not None:
                    said[_COLUMNS[column]] = value
            where = os.fsdecode(where) if isinstance(where, bytes) else str(where)
            yield Row(f"{path.name}, item {number}", where, said)


def _flexible(database: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    """Return the attributes that the user or a plugin added, by the number of the item."""
    found: dict[int, dict[str, Any]] = {}
    query = "SELECT entity_id, key, value FROM item_attributes ORDER BY id"
    for number, key, value in database.execute(query):
        if value not in (None, ""):
            found.setdefault(number, {})[f"beets_{key}" if key in _TAKEN else key] = value
    return found


_TAKEN = frozenset(_COLUMNS.values()) | {"path", "track_id"}
"""Names of an attribute that would stand for another value."""


def _value(column: str, value: Any) -> Any:
    """Return a value of a column; None where beets has none, which may be 0 or an empty text."""
    if column == "comp":
        return bool(value)
    if column == "rg_track_gain":
        return value
    if not value:
        return None
    if column == "artist":
        return [value]  # A name is never split.
    return _SEPARATED[column].split(str(value)) if column in _SEPARATED else value


LAYOUT = Layout("beets", detect, read, labels_state)
