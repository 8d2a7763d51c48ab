"""Labels: the genres of tracks, from the layout, from folders, from tags or from a table.

``auto`` takes the source that tells most. Every source gives any number of genres per track.
"""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal

from musicflow.library import genres
from musicflow.library.audio_file import AudioFile
from musicflow.library.genres import Genres
from musicflow.library.track import UNKNOWN, LibraryError, Track, known_artists
from musicflow.places import Place, place
from musicflow.settings import Settings
from musicflow.text import counted, folded, joined, normalized

_log = logging.getLogger("musicflow")

AUTO = "auto"

Source = Literal["layout", "folder", "tag", "table"]
"""Where genres come from."""

MANY = 300
"""The most names that the genres of a folder level may have."""

MOST = 0.5
"""The share of tracks that counts as most of them."""


@dataclass(frozen=True)
class Rule:
    """Where labels come from, as a person asks for it.

    Parameters
    ----------
    source
        ``auto``, ``tag``, ``folder``, or the path of a table in CSV.
    level
        The level of the folders that are genres, from 1; None for the first one that can be.
    names
        The user's own names of genres; see `genres.unified`.
    """

    source: str = AUTO
    level: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Rule":
        """Return the rule that the settings name."""
        return cls(settings.genre, settings.genre_level, settings.genre_names)

    @property
    def table(self) -> Place | None:
        """Return the path of the table of labels, if there is one."""
        return None if self.source in (AUTO, "tag", "folder") else place(self.source).expanduser()

    @property
    def state(self) -> str:
        """Return a text that changes when the rule or its table does; empty for the default."""
        if self == Rule():
            return ""
        parts = [self.source, self.level, sorted(self.names.items())]
        if self.table is not None:
            try:
                status = self.table.stat()
                parts += [status.st_size, status.st_mtime_ns]
            except OSError:
                parts.append("missing")
        return repr(parts)


@dataclass(frozen=True)
class Labels:
    """The genres of each track, and where they come from.

    Parameters
    ----------
    genres
        In the order of the tracks.
    source
        The kind of place that they come from.
    origin
        The place: "the folders of level 1".
    reason
        Why, as a sentence without its stop.
    """

    genres: list[Genres]
    source: Source
    origin: str
    reason: str


def label(
    tracks: Sequence[Track],
    files: Sequence[AudioFile],
    root: Place,
    rule: Rule = Rule(),
    own: Source | None = None,
) -> tuple[list[Track], Labels]:
    """Give tracks the genres that a rule asks for.

    Parameters
    ----------
    tracks
        As the layout read them.
    files
        The files of the library.
    root
        The folder of music.
    rule
        Where genres come from.
    own
        The source that the layout stands for, which is taken if it tells anything; None for
        whichever tells most.

    Raises
    ------
    LibraryError
        If the table cannot be used.
    """
    prefix = f"{root}/"
    paths = [track.path.removeprefix(prefix) for track in tracks]
    by_path = {file.path: file for file in files}
    said = [by_path[path].genres if path in by_path else () for path in paths]
    found = _chosen(tracks, paths, said, root, rule, own)
    labelled = [
        replace(track, genre=several[0] if several else UNKNOWN, genres=several)
        for track, several in zip(tracks, found.genres, strict=True)
    ]
    return labelled, found


def _chosen(
    tracks: Sequence[Track],
    paths: Sequence[str],
    said: Sequence[Genres],
    root: Place,
    rule: Rule,
    own: Source | None,
) -> Labels:
    if rule.table is not None:
        given = from_table(rule.table, tracks, paths, root)
        named = genres.unified(given, rule.names)
        origin = rule.table.name
        return Labels(named, "table", origin, f"from {origin}, {_told(named)}")
    by_folder, level = from_folders(paths, rule.level)
    candidates: dict[Source, list[Genres]] = {
        "folder": genres.unified(by_folder, rule.names),
        "tag": genres.unified([split_all(several) for several in said], rule.names),
    }
    about: dict[Source, str] = {"folder": f"the folders of level {level}", "tag": "the tags"}
    if own == "layout":
        listed = [track.labels for track in tracks]
        named = genres.unified(listed, rule.names) if rule.names else listed
        candidates["layout"] = named
        about["layout"] = "the layout's own labels"
    if rule.source != AUTO:
        source: Source = "tag" if rule.source == "tag" else "folder"
        named, origin = candidates[source], about[source]
        return Labels(named, source, origin, f"from {origin}, {_told(named)}")
    covered = {source: coverage(several) for source, several in candidates.items()}
    are_names = own != "folder" and rule.level is None and are_artists(tracks, by_folder)
    if are_names:
        covered["folder"] = 0
    # Names that repeat below the topmost folders may be those of discs: "CD 1".
    first = own or ("folder" if level == 1 or rule.level is not None else "tag")
    source = max(covered, key=lambda name: (covered[name], name == first))
    if own and (covered[own] or (own == "layout" and any(candidates[own]))):
        source = own
    reason = f"from {about[source]}, {_told(candidates[source])}"
    if are_names and source != "layout":
        reason += "; the folders are called after artists or albums"
    return Labels(candidates[source], source, about[source], reason)


def split_all(texts: Iterable[str]) -> Genres:
    """Return all genres that some texts name."""
    return tuple(dict.fromkeys(name for text in texts for name in genres.split(text)))


def from_folders(paths: Sequence[str], level: int | None = None) -> tuple[list[Genres], int]:
    """Return the folder that is the genre of each file, and its level.

    Parameters
    ----------
    paths
        Below the library's root.
    level
        The level to take, from 1. If it is None, it is the first one at which most files lie in
        folders of 2 to `MANY` names that hold at least two files; the first of all, if there is
        no such.
    """
    parts = [path.split("/")[:-1] for path in paths]
    deepest = max(map(len, parts), default=0)
    if level is None:
        can_be = (
            n for n in range(1, deepest + 1) if _are_genres([own[n - 1 : n] for own in parts])
        )
        level = next(can_be, 1)
    names = [normalized(own[level - 1]) if len(own) >= level else "" for own in parts]
    return [(name,) if name else () for name in names], level


def _are_genres(names: Sequence[Sequence[str]]) -> bool:
    counts = Counter(name for own in names for name in own)
    repeated = [count for count in counts.values() if count > 1]
    return 2 <= len(repeated) <= MANY and sum(repeated) >= MOST * len(names)


def coverage(labels: Sequence[Genres]) -> int:
    """Return the tracks with a genre that another has; 0 where fewer than two genres are shared."""
    counts = Counter(name for several in labels for name in several)
    shared = {name for name, count in counts.items() if count > 1}
    return sum(not shared.isdisjoint(several) for several in labels) if len(shared) > 1 else 0


def are_artists(tracks: Sequence[Track], labels: Sequence[Genres]) -> bool:
    """Return whether most labels are called after the track's artist, or its album."""
    named = [(track, several) for track, several in zip(tracks, labels, strict=True) if several]
    alike = sum(
        any(
            folded(name) in _makers(track.artists, track.album_artist, track.album)
            for name in several
        )
        for track, several in named
    )
    return bool(named) and alike > MOST * len(named)


@lru_cache(10_000)
def _makers(artists: tuple[str, ...], album_artist: str, album: str) -> tuple[str, ...]:
    return known_artists((joined(artists), *artists, album_artist, album))


def _told(labels: Sequence[Genres]) -> str:
    known = sum(map(bool, labels))
    count = len({name for several in labels for name in several})
    return f"{counted(count, 'genre')} for {counted(known, 'track')} of {len(labels):,}"


# --- tables --------------------------------------------------------------------------------------

_PATHS = ("path", "file", "filename", "file_name", "track_id", "id")
_GENRES = ("genre", "genres", "label", "labels")


def from_table(
    table: Place, tracks: Sequence[Track], paths: Sequence[str], root: Place
) -> list[Genres]:
    """Return the genres of each track by a table in CSV.

    A column `path`, `file` or `track_id` names the track: by the path below the library's root, by
    the absolute path, by its id, or by the file's name where no other file has it. A column `genre`
    or `label` has the genres.

    Raises
    ------
    LibraryError
        If the table cannot be read or has no such columns, or names none of the tracks.
    """
    said = _rows_of(table)
    files = Counter(PurePosixPath(path).name for path in paths)
    found: list[Genres] = []
    used = set[str]()
    for track, path in zip(tracks, paths, strict=True):
        name = PurePosixPath(path).name
        keys = [path, str(root / path), track.track_id, *([name] if files[name] == 1 else [])]
        texts = next((said[key] for key in keys if key in said), None)
        used.update(key for key in keys if key in said)
        found.append(split_all(texts or ()))
    if not used:
        raise LibraryError(
            f"{table} names no track of the library: its column of paths should hold paths below "
            f"{root}, such as {paths[0]}"
        )
    if left := sorted(said.keys() - used):
        some = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
        _log.warning(
            "%s: %d of %d names are no track of the library: %s", table, len(left), len(said), some
        )
    return found


def _rows_of(table: Place) -> dict[str, list[str]]:
    """Return the texts of genres by what names the track; rows of one track add up."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = [name.strip().casefold() for name in next(reader, [])]
            rows = [row for row in reader if row]
    except OSError as error:
        raise LibraryError(
            f"the table of genres {table} cannot be read: {error.strerror}"
        ) from error
    except (ValueError, csv.Error) as error:
        raise LibraryError(f"the table of genres {table} is no CSV in UTF-8: {error}") from error
    place = next((head.index(name) for name in _PATHS if name in head), None)
    genre = next((head.index(name) for name in _GENRES if name in head), None)
    if place is None or genre is None:
        raise LibraryError(
            f"the table of genres {table} needs a column path and a column genre; it has "
            f"{', '.join(head) or 'none'}"
        )
    said: dict[str, list[str]] = {}
    for row in rows:
        if len(row) > max(place, genre):
            said.setdefault(row[place].strip(), []).append(row[genre])
    return said
