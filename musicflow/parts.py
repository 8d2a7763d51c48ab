"""Tables on disk whose rows are only ever added, in whole new Parquet files.

A kill loses what was not yet added and damages nothing; two writers do not disturb each other.

A table may lie elsewhere, at an address that several homes share. Its files are put there whole,
and, as they never change, are fetched once and read from a copy on this machine.
"""

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.atomic import parquet_of, told_of, write_atomically
from musicflow.places import Remote

T = TypeVar("T")

_MANY = 32
"""More small files than this are merged into one."""

_SMALL = 16_000_000
"""Files of fewer bytes are small; larger ones are left alone, so a long pass does not copy its
beginning over and over."""


class Parts:
    """The files of one table.

    Parameters
    ----------
    folder
        Where they lie; made when first written to.
    shared
        Where they lie, if that is elsewhere; the folder holds a copy of them.
    kind
        What their names begin with.
    **options
        How they are written; see `pyarrow.parquet.write_table`.
    """

    def __init__(
        self, folder: Path, shared: Remote | None = None, kind: str = "part", **options: Any
    ) -> None:
        self._folder = folder
        self._shared = shared
        self._kind = kind
        self._options = options

    def add(self, table: pa.Table) -> None:
        """Keep rows; when this returns, they are on disk. Many small files become one."""
        self._write(table)
        with filelock.FileLock(self._folder / ".lock"):
            small = [path for path in self._paths() if path.stat().st_size < _SMALL]
            if len(small) > _MANY:
                tables = [_read(path, pq.ParquetFile.read) for path in small]
                self._write(pa.concat_tables(tables, promote_options="default"))
                # Killed before here, rows stand twice; the reader takes one of them.
                for path in small:
                    if self._shared is not None:
                        (self._shared / path.name).unlink(missing_ok=True)
                    path.unlink()

    def read(self, how: Callable[[pq.ParquetFile], T]) -> list[T]:
        """Return what a function reads of each file.

        Raises
        ------
        DamagedError
            If a file is damaged.
        """
        while True:
            # A merge in another process may take a file away between listing and reading.
            with contextlib.suppress(FileNotFoundError):
                return [_read(path, how) for path in self._paths()]

    def _write(self, table: pa.Table) -> None:
        content = parquet_of(table, **self._options)
        path = self._folder / f"{self._kind}-{uuid.uuid4().hex}.parquet"
        if self._shared is not None:
            (self._shared / path.name).write_bytes(content)
        write_atomically(path, content)

    def _paths(self) -> list[Path]:
        """Return the files; the folder is made a copy of what lies elsewhere, if they do."""
        pattern = f"{self._kind}-*.parquet"
        if self._shared is not None:
            # In this order, as whoever adds a file puts it there first.
            here = {path.name: path for path in self._folder.glob(pattern)}
            there = {path.name: path for path in self._shared.glob(pattern)}
            for name in there.keys() - here.keys():
                write_atomically(self._folder / name, there[name].read_bytes())
            # Another home may have merged some.
            for name in here.keys() - there.keys():
                here[name].unlink(missing_ok=True)
        return sorted(self._folder.glob(pattern))


def _read(path: Path, how: Callable[[pq.ParquetFile], T]) -> T:
    with told_of(path):
        return how(pq.ParquetFile(path))
