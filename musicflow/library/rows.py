"""Dataclasses as rows of Parquet, readable whatever version wrote them."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

UNKNOWN = "Unknown"


def table_of(kind: Any, items: Iterable[Any]) -> pa.Table:
    """Return a row per item, with the columns of its kind."""
    schema = pa.schema([(field.name, _TYPES[field.type]) for field in fields(kind)])
    return pa.Table.from_pylist([asdict(item) for item in items], schema)


def fields_of(kind: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass that a row holds.

    A column that is no field is left out, and a field without a column keeps its default. Before
    there were ``artists``, a column ``artist`` held one.
    """
    if "artists" not in row and row.get("artist") not in (None, "", UNKNOWN):
        row = row | {"artists": [row["artist"]]}
    names = {field.name for field in fields(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in row.items()
        if name in names
    }


_TYPES: dict[object, pa.DataType] = {
    bool: pa.bool_(),
    float: pa.float64(),
    float | None: pa.float64(),
    int: pa.int64(),
    int | None: pa.int64(),
    str: pa.string(),
    tuple[str, ...]: pa.list_(pa.string()),
}
