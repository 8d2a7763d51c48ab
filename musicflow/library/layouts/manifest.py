"""A folder with a table of its tracks: CSV, JSON lines or Parquet, a row per file.

The column ``path`` (or ``file_name``) names the file, below the table's folder or absolute. The
other columns are fields of a track, or values of its own; see `table`. ``manifest.*`` is detected,
and so is ``metadata.*`` as Hugging Face's audio folders have it. With ``--format manifest``, the
only table of the folder is read, whatever its name.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import bases, joined, state_of
from musicflow.library.layouts.table import PATH, Row, column_of, place_below, tracks_of
from musicflow.library.problems import Problem
from musicflow.library.track import LibraryError, Track
from musicflow.places import Place

SUFFIXES = (".csv", ".jsonl", ".parquet")
NAMES = tuple(f"{stem}{suffix}" for stem in ("manifest", "metadata") for suffix in SUFFIXES)


def detect(root: Place) -> Detection | None:
    """Detect tables of a known name, in the folder or in the folders in it."""
    tables = _named(root)
    if not tables:
        return None
    folders = {base for base, _ in tables}
    music = folders.pop() if len(folders) == 1 else ""
    return Detection(" and ".join(joined(*table) for table in tables) + " lists the tracks", music)


def labels_state(root: Place) -> str:
    """Return sizes and times of the tables as a text; empty without one."""
    return " ".join(state_of(root / base / name) for base, name in _tables(root))


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each listed file. A row that cannot be used is reported.

    Raises
    ------
    LibraryError
        If there is no table, or more than one that could be it, or one cannot be read or has no
        column of paths. The message names the line.
    """
    tables = _tables(root)
    if not tables:
        raise LibraryError(
            f"{root} holds no table of tracks: name it manifest.csv, .jsonl or .parquet"
        )
    rows: list[Row] = []
    problems: list[Problem] = []
    for base, name in tables:
        for place, values, fault in _READERS[Path(name).suffix](root / base / name):
            where = f"{joined(base, name)}, {place}"
            path = values.pop(PATH, "")
            inner = place_below(root, root / base, str(path))
            if fault := fault or _fault_of(path, inner):
                problems.append(Problem(where, "library", "warning", f"a row {fault[1]}", fault[0]))
            else:
                rows.append(Row(where, str(inner), values))
    tracks, found = tracks_of(root, files, rows)
    return tracks, [*problems, *found]


def _named(root: Place) -> list[tuple[str, str]]:
    """Return the folders and names of the tables of a known name: the root's, else all below."""
    home, *others = bases(root)
    for places in ([home], others):
        if found := [(base, names[0]) for base in places if (names := _in(root / base))]:
            return found
    return []


def _in(folder: Place) -> list[str]:
    return [name for name in NAMES if (folder / name).is_file() and _has_paths(folder / name)]


def _has_paths(path: Place) -> bool:
    """Return whether a table lists files. What is wrong with a manifest is told by reading it."""
    if path.stem == "manifest":
        return True
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as file:
                return PATH in map(column_of, pq.read_schema(file).names)
        _, values, _ = next(_READERS[path.suffix](path))
    except (LibraryError, StopIteration, OSError, pa.ArrowException):
        return False
    return PATH in values


def _tables(root: Place) -> list[tuple[str, str]]:
    """Return the tables to read: those of a known name, else the only one of the folder."""
    if found := _named(root):
        return found
    others = sorted(path.name for path in root.iterdir() if path.suffix in SUFFIXES)
    if len(others) > 1:
        raise LibraryError(
            f"{root} holds several tables ({', '.join(others[:5])}): name one manifest.csv, "
            ".jsonl or .parquet"
        )
    return [("", name) for name in others]


Fault = tuple[str, str] | None
"""The code of a fault of a row, and what follows "a row": first the kind, then what is of one."""


def _fault_of(path: object, inner: str | None) -> Fault:
    if not path or not isinstance(path, str):
        return "row-without-file", f"that names no file: column {PATH}"
    outside = f"whose file lies outside the library: column {PATH}, {path}"
    return None if inner else ("row-outside", outside)


Read = Iterator[tuple[str, dict[str, Any], Fault]]
"""The place of each row, its values without the empty ones, and its fault, if it cannot be read."""


def _rows_of_csv(path: Place) -> Read:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = [column_of(name) for name in next(reader, [])]
            if PATH not in names:
                raise LibraryError(f"{path}, line 1: no column {PATH}, but {', '.join(names)}")
            for cells in reader:
                place = f"line {reader.line_num}"
                if len(cells) > len(names):
                    counts = f"{len(cells)} for {len(names)} columns"
                    yield place, {}, ("row-too-long", f"with too many values: {counts}")
                elif cells:
                    pairs = zip(names, cells, strict=False)
                    yield place, {name: cell for name, cell in pairs if cell.strip()}, None
    except UnicodeDecodeError as error:
        raise LibraryError(f"{path} is not UTF-8: {error}") from error
    except csv.Error as error:
        raise LibraryError(f"{path}, line {reader.line_num}: {error}") from error
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error.strerror}") from error


def _rows_of_json_lines(path: Place) -> Read:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                place = f"line {number}"
                try:
                    values = json.loads(line)
                except ValueError as error:
                    why = f"column {getattr(error, 'colno', 1)}, {getattr(error, 'msg', error)}"
                    yield place, {}, ("row-not-json", f"that is not valid JSON: {why}")
                    continue
                if isinstance(values, dict):
                    yield place, _said(values), None
                else:
                    yield place, {}, ("row-no-object", "that is no object of JSON")
    except UnicodeDecodeError as error:
        raise LibraryError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error.strerror}") from error


def _rows_of_parquet(path: Place) -> Read:
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise LibraryError(f"{path} cannot be read: {error}") from error
    if PATH not in map(column_of, table.column_names):
        raise LibraryError(f"{path} has no column {PATH}, but {', '.join(table.column_names)}")
    for number, values in enumerate(table.to_pylist(), 1):
        yield f"row {number}", _said(values), None


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are set; NaN, as pandas has it, is not."""
    named = {column_of(name): value for name, value in values.items()}
    return {name: v for name, v in named.items() if v not in (None, "", [], {}) and v == v}


_READERS = {".csv": _rows_of_csv, ".jsonl": _rows_of_json_lines, ".parquet": _rows_of_parquet}


LAYOUT = Layout("manifest", detect, read, labels_state)
