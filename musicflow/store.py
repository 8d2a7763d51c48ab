"""Vectors on disk: Parquet files, by embedder and content.

A vector belongs to the bytes of an audio file and to everything that decides what an embedder
makes of them. So ``<root>/<embedder>/<spec hash>/`` holds rows by content hash: a renamed file
keeps its vector, a copy shares it, and another version of an embedder starts a folder of its own.
Beside them lie the vectors of texts that were asked for, of an embedder with a text side.

Rows are only ever added. They may lie elsewhere, at an address that several homes share: see
`parts`.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.atomic import parquet_of, write_atomically
from musicflow.embedders.looks import Fault
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import MusicflowError
from musicflow.library import SHORT, Problem, Track
from musicflow.parts import Parts
from musicflow.places import Remote, place
from musicflow.settings import Settings

_GROUP = 1024
"""Rows that are read together."""

_UNAVAILABLE = "unavailable.json"

_FAULTS = "faults.json"

_PUBLISHED = "published-*.marks"
"""The files that tell what collections were published of, by state."""

_VERSIONS = 4
"""Collections that this is kept of: a server has three versions, and one more is being made."""

_TEXTS = "texts"
"""What the names of files begin with that hold the vectors of texts."""

_OLD_NOTE = "note"
"""A column of an earlier version, which knew one kind of note: that a track is short."""


@dataclass(frozen=True)
class Embedding:
    """What an embedder made of one file, or why it made nothing."""

    content_hash: str
    vector: np.ndarray | None
    """Float32, shape ``(dim,)``; None with an error."""
    tags: tuple[str, ...] = ()
    """The best tags first, from a model that tags."""
    tag_scores: tuple[float, ...] = ()
    audio_s: float = 0.0
    """Seconds of the track, also where only a part of it is heard."""
    decode_s: float = 0.0
    """Processor time spent decoding and resampling."""
    embed_s: float = 0.0
    """Time spent in the model, its share of each batch."""
    wall_s: float = 0.0
    """This track's share of the time its whole pass took, decoding and all, loading left out."""
    cpu_s: float = 0.0
    """This track's share of the processor time that its process took for the pass, on all cores."""
    asked_s: float = 0.0
    """The processor time that it would have had on a machine without other work; 0 if unknown."""
    load_s: float = 0.0
    """Time that loading the model took for its pass; 0 if it was not measured."""
    peak_rss_mb: float = 0.0
    """The most memory its process held up to then."""
    device: str = ""
    precision: str = ""
    """The arithmetic of the model; empty where an earlier version made the row."""
    notes: tuple[str, ...] = ()
    """Sentences about how the audio was taken."""
    note_codes: tuple[str, ...] = ()
    """The code of each note."""
    error: str = ""
    code: str = ""
    """The code of the error."""


class EmbeddingStore:
    """See the module's docstring.

    Parameters
    ----------
    root
        The folder; made when first written to.
    shared
        Where the rows lie, if that is elsewhere; the folder holds a copy of them.
    """

    def __init__(self, root: Path, shared: Remote | None = None) -> None:
        self.root = root
        self.shared = shared

    def known(self, spec: EmbedderSpec) -> dict[str, str]:
        """Return the contents with a vector or a lasting error, and that error."""
        return {
            row["content_hash"]: row["error"]
            for table in self._tables(spec, ["content_hash", "error"])
            for row in table.to_pylist()
        }

    def read(self, spec: EmbedderSpec, only: Collection[str] | None = None) -> dict[str, Embedding]:
        """Return the rows of an embedder, or of some contents, by content hash."""
        rows: dict[str, Embedding] = {}
        for table in self._tables(spec, only=only):
            vectors = _vectors(table, spec.dim)
            columns = table.drop_columns(["vector"]).to_pylist()
            for row, vector in zip(columns, vectors, strict=True):
                rows[row["content_hash"]] = _embedding(row, None if row["error"] else vector)
        return rows

    def outcomes(
        self,
        spec: EmbedderSpec,
        names: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> dict[str, Embedding]:
        """Return the rows of an embedder by content hash, without their vectors.

        Parameters
        ----------
        spec
            The embedder.
        names
            The fields to read, the others being as in a new row; all if none is named.
        only
            The contents to read; None for all.
        """
        every = [name for name in Embedding.__dataclass_fields__ if name != "vector"]
        columns = ["content_hash", *names] if names else [*every, _OLD_NOTE]
        return {
            row["content_hash"]: _embedding(row, None)
            for table in self._tables(spec, columns, only)
            for row in table.to_pylist()
        }

    def set_unavailable(self, spec: EmbedderSpec, error: MusicflowError | None) -> None:
        """Keep why the embedder could not be loaded; None once it could."""
        path = self._folder(spec) / _UNAVAILABLE
        if error is not None:
            write_atomically(path, json.dumps([error.message, error.advice, error.code]).encode())
        else:
            path.unlink(missing_ok=True)

    def unavailable(self, spec: EmbedderSpec) -> MusicflowError | None:
        """Return why the embedder could not be loaded; None if it could."""
        path = self._folder(spec) / _UNAVAILABLE
        return MusicflowError(*json.loads(path.read_text("utf-8"))) if path.exists() else None

    def set_faults(self, spec: EmbedderSpec, faults: Iterable[Fault]) -> None:
        """Keep what the first look at an embedder from outside found."""
        found = [[fault.code, fault.reason] for fault in faults]
        write_atomically(self._folder(spec) / _FAULTS, json.dumps(found).encode())

    def faults(self, spec: EmbedderSpec) -> list[Fault] | None:
        """Return what the first look at an embedder found; None if nobody looked."""
        path = self._folder(spec) / _FAULTS
        if not path.exists():
            return None
        return [Fault(*found) for found in json.loads(path.read_text("utf-8"))]

    def set_published(self, spec: EmbedderSpec, state: str, marks: Mapping[str, bytes]) -> None:
        """Keep what a collection was published of: a mark per track, by the collection's state."""
        columns = pa.array(marks.keys(), pa.string()), pa.array(marks.values(), pa.binary())
        table = pa.table(dict(zip(("track_id", "mark"), columns, strict=True)))
        write_atomically(self._published(spec, state), parquet_of(table))
        kept = sorted(self._published(spec, "*").parent.glob(_PUBLISHED), key=_time_of)
        for old in kept[:-_VERSIONS]:
            old.unlink(missing_ok=True)

    def published(self, spec: EmbedderSpec, state: str) -> dict[str, bytes] | None:
        """Return what a collection of some state was published of; None if it is not known."""
        try:
            table = pq.read_table(self._published(spec, state))
        except (FileNotFoundError, pa.ArrowInvalid):
            return None
        return {row["track_id"]: row["mark"] for row in table.to_pylist()}

    def _published(self, spec: EmbedderSpec, state: str) -> Path:
        return self._folder(spec) / _PUBLISHED.replace("*", state)

    def add_texts(self, spec: EmbedderSpec, vectors: Mapping[str, np.ndarray]) -> None:
        """Keep the vectors of texts, each of shape ``(dim,)``."""
        values = pa.array(np.concatenate(list(vectors.values())).astype(np.float32))
        columns = [pa.array(vectors), pa.FixedSizeListArray.from_arrays(values, spec.dim)]
        table = pa.table(dict(zip(("text", "vector"), columns, strict=True)))
        self._parts(spec, _TEXTS).add(table)

    def read_texts(self, spec: EmbedderSpec) -> dict[str, np.ndarray]:
        """Return the vectors of all known texts, each of shape ``(dim,)``."""
        found: dict[str, np.ndarray] = {}
        for table in self._parts(spec, _TEXTS).read(pq.ParquetFile.read):
            texts = map(str, table["text"].to_pylist())
            found |= zip(texts, _vectors(table, spec.dim), strict=True)
        return found

    def add(self, spec: EmbedderSpec, rows: Iterable[Embedding]) -> None:
        """Keep rows; when this returns, they are on disk."""
        table = _table(list(rows), spec.dim)
        if table.num_rows:
            self._parts(spec).add(table)

    def known_elsewhere(self, spec: EmbedderSpec) -> set[str]:
        """Return the contents with a vector by another version, or under other settings."""
        return {
            row["content_hash"]
            for folder in (self.root / spec.label).glob("*/")
            if folder != self._folder(spec)
            for table in Parts(folder).read(lambda file: file.read(["content_hash", "error"]))
            for row in table.to_pylist()
            if not row["error"]
        }

    def pace(self, spec: EmbedderSpec) -> tuple[float | None, float]:
        """Return the mean seconds per track, None if none was embedded, and those to load."""
        tables = self._tables(spec, ["wall_s", "load_s"])
        walls = [wall for table in tables for wall in table["wall_s"].to_pylist() if wall]
        loads = [load for table in tables for load in table["load_s"].to_pylist() if load]
        return (float(np.mean(walls)) if walls else None), max(loads, default=0.0)

    def adopt(self, spec: EmbedderSpec, former: Mapping[str, str]) -> None:
        """Let contents that are known by another hash be known by their own.

        Parameters
        ----------
        spec
            The embedder.
        former
            The former hash of each content, by its hash. Only vectors are taken over: a file that
            could not be used before is tried again.
        """
        known = self.known(spec)
        news = {
            old: new
            for new, old in former.items()
            if old and new not in known and known.get(old) == ""
        }
        if news:
            rows = self.read(spec, news.keys())
            self.add(spec, [replace(rows[old], content_hash=new) for old, new in news.items()])

    def _folder(self, spec: EmbedderSpec) -> Path:
        folder = self.root / spec.label / spec.hash
        for former in spec.former_hashes:
            if folder.with_name(former).is_dir():
                _take_over(folder.with_name(former), folder)
        return folder

    def _parts(self, spec: EmbedderSpec, kind: str = "part") -> Parts:
        shared = None
        if self.shared is not None:
            shared = self.shared.joinpath(spec.label, spec.hash)
            for former in spec.former_hashes:
                for part in shared.with_name(former).glob("part-*.parquet"):
                    (shared / part.name).write_bytes(part.read_bytes())
                    part.unlink(missing_ok=True)
        return Parts(self._folder(spec), shared, kind, row_group_size=_GROUP)

    def _tables(
        self,
        spec: EmbedderSpec,
        columns: list[str] | None = None,
        only: Collection[str] | None = None,
    ) -> list[pa.Table]:
        wanted = None if only is None else frozenset(only)
        return self._parts(spec).read(lambda file: _read(file, columns, wanted))


def store_of(settings: Settings) -> EmbeddingStore:
    """Return the store of the settings: in the home, in another folder, or elsewhere."""
    where = place(settings.store) if settings.store else settings.paths.embeddings
    if isinstance(where, Remote):
        digest = hashlib.sha256(str(where).encode()).hexdigest()[:16]
        return EmbeddingStore(settings.cache / "vectors" / digest, where)
    return EmbeddingStore(where)


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _take_over(former: Path, folder: Path) -> None:
    """Move the rows of a folder that an earlier version named otherwise."""
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / ".lock"):
        for part in former.glob("part-*.parquet"):
            part.replace(folder / part.name)
        shutil.rmtree(former, ignore_errors=True)


ALL_TRACKS = "all tracks"
"""The subject of a problem that an embedder has with every track."""


def faults_of(spec: EmbedderSpec, faults: Iterable[Fault]) -> list[Problem]:
    """Return faults of an embedder as problems of all tracks."""
    return [Problem(ALL_TRACKS, spec.label, "warning", one.reason, one.code) for one in faults]


def problems_of(
    tracks: Iterable[Track], spec: EmbedderSpec, rows: Mapping[str, Embedding]
) -> list[Problem]:
    """Return the problems that an embedder's rows tell of tracks."""
    problems = []
    for track in tracks:
        row = rows.get(track.content_hash)
        if row is not None and row.error:
            problems.append(Problem(track.track_id, spec.label, "error", row.error, row.code))
        elif row is not None:
            problems += [
                Problem(track.track_id, spec.label, "note", note, code)
                for note, code in zip(row.notes, row.note_codes, strict=True)
            ]
    return problems


def with_vector(tracks: Iterable[Track], known: Mapping[str, str]) -> list[Track]:
    """Return the tracks that have a vector, by what `EmbeddingStore.known` returns."""
    return [track for track in tracks if known.get(track.content_hash) == ""]


def stack(rows: Sequence[Embedding]) -> np.ndarray:
    """Return the vectors of rows that have one: float32, ``(N, dim)``."""
    return np.stack([row.vector for row in rows if row.vector is not None])


def _read(file: pq.ParquetFile, columns: list[str] | None, wanted: Set[str] | None) -> pa.Table:
    """Read a file, or those of some columns that it has; of `wanted` contents, if any."""
    if wanted is None:
        return file.read(columns)
    contents = file.read(["content_hash"])["content_hash"].to_pylist()
    # The groups of rows that hold none are not read: a few new ones cost no more than they are.
    groups, chosen, end = [], [], 0
    for group in range(file.num_row_groups):
        start, end = end, end + file.metadata.row_group(group).num_rows
        if any(found := [content in wanted for content in contents[start:end]]):
            groups.append(group)
            chosen += found
    return file.read_row_groups(groups, columns).filter(pa.array(chosen, pa.bool_()))


def _embedding(row: dict[str, Any], vector: np.ndarray | None) -> Embedding:
    # A row may be older than a column; where files were merged, that is a gap.
    row = {name: value for name, value in row.items() if value is not None}
    if note := row.pop(_OLD_NOTE, ""):
        row |= {"notes": [note], "note_codes": [SHORT]}
    lists = ("tags", "tag_scores", "notes", "note_codes")
    return Embedding(vector=vector, **row | {name: tuple(row.get(name, ())) for name in lists})


def _table(rows: list[Embedding], dim: int) -> pa.Table:
    columns = {
        name: [getattr(row, name) for row in rows]
        for name in Embedding.__dataclass_fields__
        if name != "vector"
    }
    empty = np.zeros(dim, np.float32)
    flat = [empty if row.vector is None else row.vector for row in rows]
    values = np.concatenate(flat).astype(np.float32) if flat else empty[:0]
    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float64())
    types: dict[str, pa.DataType] = dict.fromkeys(("tags", "notes", "note_codes"), texts)
    types["tag_scores"] = numbers
    arrays = {name: pa.array(column, types.get(name)) for name, column in columns.items()}
    return pa.table(arrays | {"vector": pa.FixedSizeListArray.from_arrays(pa.array(values), dim)})


def _vectors(table: pa.Table, dim: int) -> np.ndarray:
    flat = [np.asarray(chunk.flatten()) for chunk in table["vector"].chunks]  # type: ignore[attr-defined]
    return np.concatenate([np.zeros(0, np.float32), *flat]).reshape(-1, dim)
