"""Tracks from rows of a table: which column is which field, and of what type the others are.

A row names a file and what its track is to say. A text with semicolons holds several values where a
field takes several. Columns that are no field of a track are kept as its extra values, each of one
type: whole numbers, numbers, ``true`` or ``false``, else texts.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.problems import LABELS_WITHOUT_AUDIO, NOT_LISTED, Problem
from musicflow.library.rows import Extra
from musicflow.library.track import Track, track_of
from musicflow.places import Place, Remote, is_elsewhere
from musicflow.text import normalized

Value = str | float | tuple[str, ...]
"""A value of a track that is no field."""

PATH = "path"

ALIASES = {
    "file_name": PATH,
    "filename": PATH,
    "file": PATH,
    "filepath": PATH,
    "file_path": PATH,
    "id": "track_id",
    "title": "name",
    "artist": "artists",
    "subgenre": "subgenres",
    "albumartist": "album_artist",
    "track": "track_number",
    "disc": "disc_number",
}
"""Other names of columns."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    place
        Where it stands, for people: "manifest.csv, line 3".
    path
        The file below the library's root.
    values
        The values by the name of their column, without those that are empty.
    """

    place: str
    path: str
    values: dict[str, Any] = field(default_factory=dict)


def column_of(name: object) -> str:
    """Return the name of a column as it is matched."""
    plain = "_".join(normalized(str(name)).lower().split())
    return ALIASES.get(plain, plain)


def place_below(root: Place, folder: Place, path: str) -> str | None:
    """Return a path, absolute or below a folder, as it is below the root; None if it is not."""
    path = path.replace("\\", "/")
    if isinstance(root, Remote):
        return _below_address(str(root), str(folder), path)
    whole = os.path.normpath(os.path.join(str(folder), path))  # noqa: PTH118
    for home in (str(root), os.path.realpath(root)):
        if whole.startswith(f"{home.rstrip('/')}/"):
            return whole[len(home.rstrip("/")) + 1 :]
    return None


def _below_address(root: str, folder: str, path: str) -> str | None:
    whole = path if is_elsewhere(path) else f"{folder}/{path}"
    home, scheme = f"{root}/", root.partition("://")[0]
    plain = f"{scheme}://{posixpath.normpath(whole.partition('://')[2])}"
    same = whole.startswith(f"{scheme}://") and not path.startswith("/")
    return plain[len(home) :] if same and plain.startswith(home) else None


def tracks_of(
    root: Place, files: Iterable[AudioFile], rows: Iterable[Row]
) -> tuple[list[Track], list[Problem]]:
    """Make a track of each file that a row names. Other files are counted, and left out.

    Parameters
    ----------
    root
        The library.
    files
        Its audio files.
    rows
        The rows of the table. Of two for one file, the first counts.
    """
    known: dict[str, Row] = {}
    problems: list[Problem] = []
    for row in rows:
        if row.path in known:
            problems.append(_warning(row.path, f"listed twice: {row.place}", "same-id"))
        known.setdefault(row.path, row)
    # Names may be composed in the table and not on the disk, or the other way round.
    alike = {normalized(path): path for path in known}
    extras = _extras(known)
    tracks: list[Track] = []
    for file in files:
        path = file.path if file.path in known else alike.get(normalized(file.path), "")
        if (listed := known.pop(path, None)) is None:
            if not file.error:
                reason = "no row of the table names it; left out"
                problems.append(Problem(file.path, "library", "note", reason, NOT_LISTED))
        elif not file.error:
            fields = _fields(file, listed, problems)
            tracks.append(track_of(root, file, **fields, extra=extras.get(path, {})))
    problems += [
        _warning(row.path, f"no such audio file: {row.place}", LABELS_WITHOUT_AUDIO)
        for row in known.values()
    ]
    return tracks, problems


def typed(values: Iterable[Any]) -> list[Value]:
    """Return values of one type: int, float, ``true`` and ``false``, texts, or tuples of texts."""
    values = list(values)
    if any(isinstance(value, list | tuple) for value in values):
        return [_texts(value) for value in values]
    kinds: tuple[Callable[[Any], Any], ...] = (_whole, _number, _truth_word)
    for kind in kinds:
        found = [kind(value) for value in values]
        if None not in found:
            return found
    return [normalized(str(value)) for value in values]


def _extras(rows: dict[str, Row]) -> dict[str, Extra]:
    """Return the values that are no fields of a track, by path, typed by column."""
    columns: dict[str, dict[str, Any]] = {}
    for path, row in rows.items():
        for name, value in row.values.items():
            if name not in _KINDS:
                columns.setdefault(name, {})[path] = value
    found: dict[str, Extra] = {}
    for name, values in columns.items():
        for path, value in zip(values, typed(values.values()), strict=True):
            found.setdefault(path, {})[name] = value
    return found


def _fields(file: AudioFile, row: Row, problems: list[Problem]) -> dict[str, Any]:
    """Return the fields of a track that a row names."""
    fields: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if (value := row.values.get(name)) is None:
            continue
        if (found := kind(value)) is None:
            code, wrong = _WRONG[kind]
            reason = f"a value that is {wrong}: {value!r} in {row.place}, column {name}"
            problems.append(_warning(file.path, reason, code))
        else:
            fields[name] = found
    genres = fields.get("genres", ())
    if genre := fields.pop("genre", ()) or genres[:1] or fields.pop("label", ()):
        fields["genre"] = genre[0]
        fields["genres"] = tuple(dict.fromkeys((*genre, *genres)))
    fields.pop("label", None)
    return fields


def _warning(subject: str, reason: str, code: str) -> Problem:
    return Problem(subject, "library", "warning", reason, code)


def _text(value: Any) -> str | None:
    return normalized(str(value)) or None


def _texts(value: Any) -> tuple[str, ...]:
    parts = value.split(";") if isinstance(value, str) else value
    parts = parts if isinstance(parts, list | tuple) else [parts]
    return tuple(dict.fromkeys(filter(None, (normalized(str(part)) for part in parts))))


def _whole(value: Any) -> int | None:
    """Return a whole number, written as people write it: neither 7.0 nor 007."""
    if isinstance(value, bool | float) or not _WHOLE.fullmatch(str(value).strip()):
        return None
    return int(value)


def _place(value: Any) -> int | None:
    """Return the number of a place, whatever wrote it: 7, 7.0, 07 and 7/12 are one."""
    match = _PLACE.fullmatch(str(value).strip())
    return int(match[1]) if match else None


def _year(value: Any) -> int | None:
    """Return the year of a number or a date such as 1999-05-03."""
    match = _YEAR.match(str(value).strip())
    return int(match[1]) if match else None


def _number(value: Any) -> float | None:
    """Return a number. A text such as 007 is none: its zeros would be lost."""
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value).strip()):
        return None
    return float(value)


def _truth(value: Any) -> bool | None:
    return _TRUTHS.get(str(value).strip().lower())


def _truth_word(value: Any) -> str | None:
    truth = None if str(value) in ("0", "1") else _truth(value)
    return None if truth is None else str(truth).lower()


_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_PLACE = re.compile(r"(\d{1,9})(\.0)?(/\d{1,9})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d{1,2})?", re.ASCII | re.IGNORECASE)
_YEAR = re.compile(r"(\d{4})(\.0)?(?!\d)", re.ASCII)
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_KINDS: dict[str, Callable[[Any], Any]] = {
    "track_id": _text,
    "name": _text,
    "artists": _texts,
    "album": _text,
    "album_artist": _text,
    "genre": _texts,
    "genres": _texts,
    "label": _texts,
    "subgenres": _texts,
    "year": _year,
    "track_number": _place,
    "disc_number": _place,
    "compilation": _truth,
    "replaygain_db": _number,
}
"""The fields of a track that a table can name, and what makes a value of each."""

_WRONG: dict[Callable[[Any], Any], tuple[str, str]] = {
    _text: ("value-no-text", "no text"),
    _texts: ("value-no-text", "no text"),
    _year: ("value-no-year", "no year"),
    _place: ("value-no-whole-number", "no whole number"),
    _number: ("value-no-number", "no number"),
    _truth: ("value-no-truth", "neither true nor false"),
}
"""The code of a value that is not of its kind, and its reason."""
