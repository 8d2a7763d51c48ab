"""Dataclasses as rows of Parquet, readable whatever version wrote them."""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import pyarrow as pa

UNKNOWN = "Unknown"

T = TypeVar("T")

Extra = dict[str, str | float | tuple[str, ...]]
"""Values by name: a text, a number, or several texts."""


def table_of(kind: Any, items: Iterable[Any]) -> pa.Table:
    """Return a row per item, with the columns of its kind."""
    items = list(items)
    # Columns are made whole: a library may have a hundred thousand rows.
    columns = {
        field.name: pa.array(
            [_stored(getattr(item, field.name)) for item in items], _TYPES[field.type]
        )
        for field in fields(kind)
    }
    return pa.table(columns)


def items_of(kind: type[T], table: pa.Table) -> list[T]:
    """Return an item per row.

    A column that is no field is left out, and a field without a column keeps its default. Before
    there were ``artists``, a column ``artist`` held one.
    """
    names = [field.name for field in fields(kind) if field.name in table.column_names]  # type: ignore[arg-type]
    types = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    columns = {name: _restored(table[name].to_pylist(), types[name]) for name in names}
    if "artists" in types and "artists" not in columns and "artist" in table.column_names:
        one = table["artist"].to_pylist()
        columns["artists"] = [() if name in (None, "", UNKNOWN) else (name,) for name in one]
    rows = zip(*columns.values(), strict=True)
    return [kind(**dict(zip(columns, row, strict=True))) for row in rows]


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _restored(values: list[Any], kind: Any) -> list[Any]:
    if kind == Extra:
        return [_extra(text) for text in values]
    if kind == tuple[str, ...]:
        return [tuple(value or ()) for value in values]
    return values


def _extra(text: str | None) -> Extra:
    said = json.loads(text) if text else {}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}


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
