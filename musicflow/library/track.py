"""Tracks, and the library that they make."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.errors import MusicflowError
from musicflow.library.problems import Problem
from musicflow.settings import write_atomically

UNKNOWN = "Unknown"


class LibraryError(MusicflowError):
    """A folder that is no library; the message says what was looked for and where."""


@dataclass(frozen=True)
class Track:
    """One piece of music.

    Parameters
    ----------
    track_id
        Ludwig's id, or the path below the library's root.
    path
        Absolute path of the audio file.
    content_hash
        SHA-256 of the file's bytes: what vectors are kept by.
    duration_s, sample_rate
        As the file's header has them, in seconds and hertz.
    artist, name, album, genre
        `UNKNOWN` where not known.
    subgenres
        Possibly none.
    """

    track_id: str
    path: str
    content_hash: str
    duration_s: float
    sample_rate: int
    artist: str = UNKNOWN
    name: str = UNKNOWN
    genre: str = UNKNOWN
    subgenres: tuple[str, ...] = ()
    album: str = UNKNOWN


@dataclass(frozen=True)
class Library:
    """A folder of music as it was last read."""

    name: str
    root: str
    format: str
    tracks: tuple[Track, ...]
    problems: tuple[Problem, ...]
    labels: str = ""
    """The state of the file of labels when it was read: what changes when it does."""
    skipped: dict[str, int] = field(default_factory=dict)
    """The number of files of each kind that is not read, most frequent first."""

    @property
    def fingerprint(self) -> str:
        """A name for what an evaluation sees of the library: 16 hexadecimal digits.

        Ids, contents and labels count; where the files lie does not.
        """
        digest = hashlib.sha256()
        for track in sorted(self.tracks, key=lambda track: track.track_id):
            seen = (track.track_id, track.content_hash, track.genre, track.subgenres)
            digest.update(json.dumps((*seen, track.artist, track.album)).encode())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write the library into `folder`, whole or not at all."""
        about = {"name": self.name, "root": self.root, "format": self.format, "labels": self.labels}
        about["skipped"] = json.dumps(self.skipped)
        about["problems"] = json.dumps([asdict(problem) for problem in self.problems])
        table = pa.Table.from_pylist([asdict(track) for track in self.tracks], _SCHEMA)
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(about), sink)
        write_atomically(folder / _FILE, sink.getvalue().to_pybytes())

    @classmethod
    def load(cls, folder: Path) -> "Library":
        """Read what `save` wrote.

        Raises
        ------
        LibraryError
            If nothing was.
        """
        if not (folder / _FILE).exists():
            raise LibraryError("no library has been read yet: start with `musicflow run LIBRARY`")
        table = pq.read_table(folder / _FILE)
        about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        problems = tuple(Problem(**row) for row in json.loads(about["problems"]))
        tracks = tuple(
            Track(**row | {"subgenres": tuple(row["subgenres"])}) for row in table.to_pylist()
        )
        where = about["name"], about["root"], about["format"]
        skipped = json.loads(about.get("skipped", "{}"))
        return cls(*where, tracks, problems, about.get("labels", ""), skipped)


_FILE = "tracks.parquet"
_TYPES: dict[object, pa.DataType] = {
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
    tuple[str, ...]: pa.list_(pa.string()),
}
_SCHEMA = pa.schema([(field.name, _TYPES[field.type]) for field in fields(Track)])
