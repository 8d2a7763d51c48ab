"""Landmarks on disk: Parquet files, by content hash, and the contents that were compared.

As with vectors, rows are only ever added: see `parts`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicflow.atomic import write_atomically
from musicflow.audio.landmarks import FRAME_S, Landmarks
from musicflow.parts import Parts

_VERSION = 1
"""Raised when landmarks change."""

LONG_S = 30.0
"""Sounds from this length on have more landmarks in common than need be looked at."""

_GROUP = 256
"""Rows that are read together."""


@dataclass(frozen=True)
class Shelf:
    """The landmarks of several contents, one's behind the other's.

    Parameters
    ----------
    contents
        Content hashes.
    ends
        Where the landmarks of each end, shape ``(len(contents),)``.
    keys, frames
        As in `Landmarks`.
    """

    contents: tuple[str, ...]
    ends: np.ndarray
    keys: np.ndarray
    frames: np.ndarray

    @cached_property
    def rows(self) -> np.ndarray:
        """Return the number of the content that each landmark is of."""
        numbers = np.arange(len(self.contents), dtype=np.int32)
        return np.repeat(numbers, np.diff(self.ends, prepend=0))

    @cached_property
    def are_long(self) -> np.ndarray:
        """Return which contents last `LONG_S` and more, by their last landmark."""
        last = [self.frames[end - 1] if end else 0 for end in self.ends.tolist()]
        return np.array(last) * FRAME_S >= LONG_S

    def sound(self, row: int) -> Landmarks:
        """Return the landmarks of one content, by its number."""
        where = slice(self.ends[row - 1] if row else 0, self.ends[row])
        return Landmarks(self.keys[where], self.frames[where])

    def landmarks(self, where: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows, keys and frames of some landmarks."""
        return self.rows[where], self.keys[where], self.frames[where]


class LandmarkStore:
    """See the module's docstring.

    Parameters
    ----------
    root
        The folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        folder = root / str(_VERSION)
        self._compared = folder / "compared.json"
        # Keys are as good as random; the times ascend.
        self._parts = Parts(
            folder,
            row_group_size=_GROUP,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"frames.list.element": "DELTA_BINARY_PACKED"},
        )

    def known(self) -> set[str]:
        """Return the contents whose landmarks are known."""
        return set(self.order())

    def order(self) -> list[str]:
        """Return the known contents in the order in which `shelves` has them."""
        tables = self._parts.read(lambda file: file.read(["content_hash"]))
        return list(dict.fromkeys(content for table in tables for content in _contents(table)))

    def add(self, found: Mapping[str, Landmarks]) -> None:
        """Keep landmarks by content hash; when this returns, they are on disk."""
        if found:
            self._parts.add(pa.table({
                "content_hash": pa.array(found, pa.string()),
                "keys": _lists([each.keys for each in found.values()]),
                "frames": _lists([each.frames for each in found.values()]),
            }))  # fmt: skip

    def shelves(self, only: Collection[str], size: int) -> Iterator[Shelf]:
        """Yield the landmarks of some contents, about `size` landmarks at a time."""
        wanted, waiting, count = pa.array(sorted(only), pa.string()), list[pa.Table](), 0
        seen = set[str]()
        for table in self._tables():
            chosen = table.filter(pc.is_in(table["content_hash"], wanted))
            # A kill while files are merged leaves rows twice.
            fresh = [content not in seen for content in _contents(chosen)]
            chosen = chosen.filter(pa.array(fresh, pa.bool_()))
            seen.update(_contents(chosen))
            waiting.append(chosen)
            count += pc.sum(pc.list_value_length(chosen["keys"])).as_py() or 0
            if count >= size:
                yield _shelf(pa.concat_tables(waiting))
                waiting, count = [], 0
        if count:
            yield _shelf(pa.concat_tables(waiting))

    @property
    def compared(self) -> frozenset[str]:
        """The contents of the library that were last compared with one another."""
        try:
            return frozenset(json.loads(self._compared.read_bytes()))
        except (FileNotFoundError, ValueError):
            return frozenset()

    def set_compared(self, contents: Collection[str]) -> None:
        """Keep which contents were compared with one another."""
        write_atomically(self._compared, json.dumps(sorted(contents)).encode())

    def _tables(self) -> Iterator[pa.Table]:
        for file in self._parts.read(lambda file: file):
            for batch in file.iter_batches(_GROUP):
                yield pa.Table.from_batches([batch])


def _contents(table: pa.Table) -> list[str]:
    return [str(content) for content in table["content_hash"].to_pylist()]


def _lists(arrays: list[np.ndarray]) -> pa.Array:
    ends = np.cumsum([0, *map(len, arrays)])
    values = np.concatenate([np.empty(0, np.uint32), *arrays])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.uint32()))


def _shelf(table: pa.Table) -> Shelf:
    table = table.combine_chunks()
    lengths = pc.list_value_length(table["keys"]).to_numpy()
    return Shelf(
        tuple(_contents(table)),
        np.cumsum(lengths),
        *(pc.list_flatten(table[name]).to_numpy() for name in ("keys", "frames")),
    )
