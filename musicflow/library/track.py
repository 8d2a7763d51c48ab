"""Tracks, and the library that they make."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from musicflow.atomic import parquet_of, told_of, write_atomically
from musicflow.errors import MusicflowError
from musicflow.library.audio_file import AudioFile
from musicflow.library.problems import Problem
from musicflow.library.rows import UNKNOWN, Extra, items_of, table_of
from musicflow.library.tags import Tags
from musicflow.places import Place, PlaceError, listed
from musicflow.text import folded, joined, normalized


class LibraryError(MusicflowError):
    """A folder that cannot be used as a library."""


def with_list(root: Place) -> Place:
    """Return a library; if it lies elsewhere, with a list of all of it.

    Raises
    ------
    LibraryError
        If it cannot be listed. It does not follow that its files were deleted.
    """
    try:
        return listed(root)
    except PlaceError as error:
        raise LibraryError(error.message, error.advice, error.code) from error


@dataclass(frozen=True)
class Track:
    """One piece of music.

    Parameters
    ----------
    track_id
        Ludwig's id, or the path below the library's root.
    path
        Absolute path of the audio file, or its address.
    content_hash
        SHA-256 of the file's packets of audio; the key of its vectors.
    duration_s, sample_rate
        Of the file's header, in seconds and hertz.
    artists
        Every artist, in order; empty if not known.
    name, album, genre
        `UNKNOWN` if not known. The genre is the first of `genres`.
    subgenres
        May be empty.
    album_artist
        The artist of the album; empty if the tags do not name one.
    genres
        Every genre, the main one first. They are the labels that make tracks alike.
    year
        The year of release.
    track_number, disc_number
        The place on the album, from 1.
    compilation
        Whether the album gathers tracks of several artists.
    replaygain_db
        The gain that ReplayGain adds to the track's level, in decibels.
    former_hash
        The hash that an earlier version gave to the same content; empty if there was none.
    extra
        Values of the layout's own, by name: texts, which can be filtered by value, or numbers. A
        name has one kind of value in all tracks.
    marks
        Where packets lie in a file elsewhere; see `audio.Marks`.
    """

    track_id: str
    path: str
    content_hash: str
    duration_s: float
    sample_rate: int
    artists: tuple[str, ...] = ()
    name: str = UNKNOWN
    genre: str = UNKNOWN
    subgenres: tuple[str, ...] = ()
    album: str = UNKNOWN
    album_artist: str = ""
    genres: tuple[str, ...] = ()
    year: int | None = None
    track_number: int | None = None
    disc_number: int | None = None
    compilation: bool = False
    replaygain_db: float | None = None
    former_hash: str = ""
    extra: Extra = field(default_factory=dict, hash=False)
    marks: str = field(default="", repr=False)

    @property
    def artist(self) -> str:
        """Return all artists in one text, or `UNKNOWN`."""
        return joined(self.artists) or UNKNOWN

    @property
    def labels(self) -> tuple[str, ...]:
        """Return all genres, the main one first; empty if none is known."""
        if self.genre == UNKNOWN:
            return ()
        return self.genres if self.genre in self.genres else (self.genre,)

    @property
    def decade(self) -> str | None:
        """Return the decade of release, such as "1980s"; None if the year is not known."""
        return None if self.year is None else f"{self.year // 10 * 10}s"


def known_artists(names: Iterable[str]) -> tuple[str, ...]:
    """Return the artists as they are matched, without words such as "Unknown"."""
    found = dict.fromkeys(map(folded, names))
    return tuple(name for name in found if name not in _NO_ARTIST)


def track_of(root: Place, file: AudioFile, **fields: Any) -> Track:
    """Return the track of a file, with the fields of its tags.

    Parameters
    ----------
    root
        The folder of music.
    file
        A usable file of it.
    **fields
        Fields that the layout decides instead of the tags, such as `genre`. Genres that it does
        not name are not taken from the tags. Its extra values stand beside those of the tags.
    """
    own: dict[str, Any] = {
        "track_id": file.path,
        "path": f"{root}/{file.path}",
        "content_hash": file.content_hash,
        "former_hash": file.former_hash,
        "duration_s": file.duration_s,
        "sample_rate": file.sample_rate,
        "marks": file.marks,
        "name": file.title or normalized(_stem(file.path)) or UNKNOWN,
    }
    extra = {"bpm": file.bpm, "key": file.key}
    known = {name: value for name, value in extra.items() if value} | fields.pop("extra", {})
    return Track(**own | fields_from(file) | fields | _genres(**fields), extra=known)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _genres(genre: str = "", genres: Iterable[str] = (), **_fields: Any) -> dict[str, Any]:
    """Return the fields of the main genre and of all, by what a layout gave of the two."""
    several = dict.fromkeys(name for name in (genre, *genres) if name not in ("", UNKNOWN))
    return {"genre": next(iter(several), UNKNOWN), "genres": tuple(several)}


def fields_from(tags: Tags) -> dict[str, Any]:
    """Return the fields of a track that tags decide. The layout decides its name."""
    said = {name: getattr(tags, name) for name in _OF_TAGS}
    return said | {"album": tags.album or UNKNOWN}


_OF_TAGS = tuple(field.name for field in fields(Tags) if field.name not in ("title", "bpm", "key"))


def _seen(track: Track) -> bytes:
    """Return what an evaluation sees of a track."""
    seen = (track.track_id, track.content_hash, track.genre, track.subgenres)
    credit = (track.artists, track.album_artist, track.compilation)
    # A single artist or genre gives the digits of earlier versions, which knew only one.
    more = credit if len(track.artists) > 1 or track.album_artist else ()
    genres = (track.labels,) if len(track.labels) > 1 else ()
    return json.dumps((*seen, track.artist, track.album, *more, *genres)).encode()


@dataclass(frozen=True)
class Library:
    """A folder of music as it was last scanned."""

    name: str
    root: str
    format: str
    tracks: tuple[Track, ...]
    problems: tuple[Problem, ...]
    labels: str = ""
    """The state of the file of labels at the scan: a text that changes when the file does."""
    skipped: dict[str, int] = field(default_factory=dict)
    """The number of files of each kind that is not read, most frequent first."""
    layout_reason: str = ""
    """What tells the layout."""
    genre_source: str = ""
    """Where genres come from: ``layout``, ``folder``, ``tag`` or ``table``."""
    genre_reason: str = ""
    """Why they come from there."""
    genre_origin: str = ""
    """The very place: "the folders of level 1"."""
    partitions: Mapping[str, list[AudioFile]] = field(
        default_factory=dict, compare=False, repr=False
    )
    """The files of each partition, if they were just scanned; they are not saved with it."""

    @property
    def reading(self) -> str:
        """Return how the folder was read, and why, in one line."""
        if not self.layout_reason:
            return f"read as {self.format}"
        return f"read as {self.format} ({self.layout_reason}); genres: {self.genre_reason}"

    @cached_property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that identify the library to an evaluation.

        It depends on ids, contents and labels, and not on the files' folders.
        """
        digest = hashlib.sha256()
        for track in sorted(self.tracks, key=lambda track: track.track_id):
            digest.update(_seen(track))
        return digest.hexdigest()[:16]

    @cached_property
    def marks(self) -> np.ndarray:
        """Return a number per track that identifies it to an evaluation: uint64, shape ``(N,)``."""
        digests = (hashlib.blake2b(_seen(track), digest_size=8).digest() for track in self.tracks)
        return np.frombuffer(b"".join(digests), np.uint64)

    def save(self, folder: Path) -> None:
        """Write the library into `folder`, whole or not at all."""
        about = {"name": self.name, "root": self.root, "format": self.format, "labels": self.labels}
        about |= {name: getattr(self, name) for name in _REASONS}
        about["skipped"] = json.dumps(self.skipped)
        about["problems"] = json.dumps([asdict(problem) for problem in self.problems])
        table = table_of(Track, self.tracks)
        write_atomically(folder / _FILE, parquet_of(table.replace_schema_metadata(about)))

    @staticmethod
    def root_in(folder: Path) -> str:
        """Return the root of the library that was saved in `folder`; empty if there is none."""
        try:
            with told_of(folder / _FILE):
                about = pq.read_schema(folder / _FILE).metadata or {}
        except FileNotFoundError:
            return ""
        return about.get(b"root", b"").decode()

    @staticmethod
    def first_id_in(folder: Path) -> str:
        """Return the id of the first track of the library that was saved in `folder`."""
        with told_of(folder / _FILE), pq.ParquetFile(folder / _FILE) as file:
            [track_id] = next(file.iter_batches(1, columns=["track_id"]))["track_id"].to_pylist()
        return str(track_id)

    @classmethod
    def load(cls, folder: Path) -> "Library":
        """Read what `save` wrote.

        Raises
        ------
        LibraryError
            If nothing was written.
        DamagedError
            If the file is damaged.
        """
        if not (folder / _FILE).exists():
            home = folder.parent
            raise LibraryError(
                f"no library has been read yet in the home {home}"
                if home.is_dir()
                else f"there is no home {home}",
                "name another home, or start with `musicflow run LIBRARY`",
            )
        with told_of(folder / _FILE):
            table = pq.read_table(folder / _FILE)
        about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        problems = tuple(Problem(**row) for row in json.loads(about["problems"]))
        tracks = tuple(items_of(Track, table))
        where = about["name"], about["root"], about["format"]
        skipped = json.loads(about.get("skipped", "{}"))
        layout, source, genre, origin = (about.get(name, "") for name in _REASONS)
        labels = about.get("labels", "")
        return cls(*where, tracks, problems, labels, skipped, layout, source, genre, origin)


_FILE = "tracks.parquet"
_REASONS = ("layout_reason", "genre_source", "genre_reason", "genre_origin")
_NO_ARTIST = frozenset({"", folded(UNKNOWN), "unknown artist", "various artists", "various"})
