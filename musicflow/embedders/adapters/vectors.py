"""``vectors:FILE``: vectors that were made elsewhere, one per track, by its id or its path.

| file | holds |
|---|---|
| Parquet, CSV | a column ``id`` or ``path``; a list in ``vector``, else a number per other column |
| npz | arrays ``ids`` or ``paths``, and ``vectors`` of shape ``(N, dim)`` |

A path is whole, or counts from the folder of the file. No audio is heard, so nothing is timed, and
a file that the table does not name has no vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.address import Address, parse
from musicflow.embedders.adapters.files import LocalWeights, digest_of_files, remembered
from musicflow.embedders.errors import EmbedderError, InterfaceError, WeightsError
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred
from musicflow.errors import described

CODE = "vectors"
"""The code of a file of vectors that cannot be used."""

_KEYS = ("id", "path", "track_id", "ids", "paths")
_VECTORS = ("vector", "vectors", "embedding", "embeddings")


class VectorsError(EmbedderError):
    """A file of vectors that cannot be used."""

    code = CODE


def entry(address: Address) -> EmbedderEntry:
    """Return the entry of a file.

    Raises
    ------
    EmbedderError
        If it cannot be read, or does not hold one vector per key.
    """
    file = address.path.absolute()
    if address.layer or address.revision:
        raise VectorsError(f"{address} has a layer or a revision, but vectors have none")
    digest = digest_of_files([file])
    dim = remembered(f"vectors {digest} {file.suffix}", lambda: read(file).values.shape[1])
    spec = EmbedderSpec(
        name=address.name,
        version="1",
        sample_rate=16_000,
        dim=dim,
        window_s=1.0,
        hop_s=1.0,
        layer="given",
        weights=LocalWeights(
            files=(file,),
            filename=file.name,
            digest=digest,
            licence="unknown",
            trained_on="unknown",
        ),
        summary=f"the vectors in {file.name}",
    )
    return EmbedderEntry(spec, load)


def load(spec: EmbedderSpec, cache: Path) -> "Given":
    """Read the file.

    Raises
    ------
    EmbedderError
        If it changed, or cannot be read.
    """
    assert spec.weights is not None
    if not spec.trained:
        raise WeightsError(f"{spec.weights.filename} has no seeded weights")
    address = parse(spec.address)
    assert address is not None
    spec.weights.fetch(cache)
    return Given(spec, read(address.path.absolute()))


@dataclass(frozen=True)
class Table:
    """The content of a file: vectors ``(N, dim)`` in float32, and their rows by key."""

    rows: Mapping[str, int]
    values: np.ndarray


class Given(Embedder):
    """Vectors of tracks, looked up rather than computed.

    Parameters
    ----------
    spec
        See `entry`.
    table
        See `read`.
    """

    def __init__(self, spec: EmbedderSpec, table: Table) -> None:
        self.spec = spec
        self._table = table

    def vector_of(self, *keys: str) -> np.ndarray | None:
        """Return the vector of the first key that the file has; None if it has none of them."""
        rows = self._table.rows
        row = next((rows[key] for key in keys if key in rows), None)
        return None if row is None else self._table.values[row]

    def infer(self, windows: np.ndarray) -> Inferred:  # noqa: ARG002
        """Raise an error: a file of vectors hears nothing.

        Raises
        ------
        InterfaceError
            Always.
        """
        raise InterfaceError(f"{self.spec.name} holds vectors of tracks, and hears no audio")


def read(file: Path) -> Table:
    """Read a file of vectors; see the module's docstring.

    Raises
    ------
    VectorsError
        If it cannot be read, or holds anything else than one finite vector per key.
    """
    try:
        keys, values = _READERS[file.suffix.lower()](file)
        values = np.asarray(values, np.float32)
    except KeyError as error:
        known = ", ".join(_READERS)
        raise VectorsError(f"{file} ends in none of {known}", "write one of these") from error
    except VectorsError:
        raise
    except Exception as error:
        raise VectorsError(f"{file} cannot be read, {described(error, 150)}") from error
    if values.ndim != 2 or not values.shape[1] or len(values) != len(keys):
        raise VectorsError(f"{file} holds {len(keys)} keys, and vectors of shape {values.shape}")
    if not np.isfinite(values).all():
        raise VectorsError(f"{file} holds numbers that are not finite")
    rows: dict[str, int] = {}
    for row, key in enumerate(map(str, keys)):
        if key in rows:
            raise VectorsError(f"{file} holds {key!r} twice")
        rows[key] = row
    # A path that counts from the folder of the file stands for the whole path, too.
    whole = {str((file.parent / key).absolute()): row for key, row in rows.items()}
    return Table(whole | rows, values)


def _read_npz(file: Path) -> tuple[list[str], Any]:
    with np.load(file, allow_pickle=False) as arrays:
        key = _one_of(_KEYS, arrays.files, file)
        return arrays[key].tolist(), arrays[_one_of(_VECTORS, arrays.files, file)]


def _read_parquet(file: Path) -> tuple[list[str], Any]:
    import pyarrow.parquet as pq

    return _columns(pq.read_table(file), file)


def _read_csv(file: Path) -> tuple[list[str], Any]:
    import pyarrow as pa
    from pyarrow import csv

    # A key of digits is a text.
    texts = csv.ConvertOptions(column_types=dict.fromkeys(_KEYS, pa.string()))
    return _columns(csv.read_csv(file, convert_options=texts), file)


def _columns(table: Any, file: Path) -> tuple[list[str], Any]:
    key = _one_of(_KEYS, table.column_names, file)
    lists = [name for name in _VECTORS if name in table.column_names]
    keys = table[key].to_pylist()
    if lists:
        return keys, table[lists[0]].to_pylist()
    numbers = table.drop_columns([name for name in _KEYS if name in table.column_names])
    return keys, np.stack([np.asarray(column, np.float64) for column in numbers.columns], axis=1)


def _one_of(wanted: tuple[str, ...], there: list[str], file: Path) -> str:
    found = next((name for name in wanted if name in there), None)
    if found is None:
        raise VectorsError(
            f"{file} has {', '.join(there)}", f"name one of them {' or '.join(wanted[:2])}"
        )
    return found


_READERS = {".npz": _read_npz, ".parquet": _read_parquet, ".csv": _read_csv}
