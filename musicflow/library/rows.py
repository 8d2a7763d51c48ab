"""Dataclasses as rows of Parquet, readable whatever version wrote them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa

UNKNOWN = "Unknown"

Extra = dict[str, str | float | tuple[str, ...]]
"""Values by name: a text, a number, or several texts."""


def table_of(kind: Any, items: Iterable[Any]) -> pa.Table:
    """Return a row per item, with the columns of its kind."""
    schema = pa.schema([(field.name, _TYPES[field.type]) for field in fields(kind)])
    rows = ({name: _stored(value) for name, value in asdict(item).items()} for item in items)
    return pa.Table.from_pylist(list(rows), schema)


def fields_of(kind: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass that a row holds.

    A column that is no field is left out, and a field without a column keeps its default. Before
    there were ``artists``, a column ``artist`` held one.
    """
    if "artists" not in row and row.get("artist") not in (None, "", UNKNOWN):
        row = row | {"artists": [row["artist"]]}
    types = {field.name: field.type for field in fields(kind)}
    return {
        name: _restored(value, types[name])
        for name, value in row.items()
        if name in types and not (value is None and types[name] == Extra)
    }


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _restored(value: Any, kind: Any) -> Any:
    if kind == Extra:
        return {name: _restored(own, None) for name, own in json.loads(value).items()}
    return tuple(value) if isinstance(value, list) else value


_TYPES: dict[object, pa.DataType] = {
    bool: pa.bool_(),
    float: pa.float64(),
    float | None: pa.float64(),
    int: pa.int64(),
    int | None: pa.int64(),
    str: pa.string(),
    tuple[str, ...]: pa.list_(pa.string()),
    Extra: pa.string(),
}
