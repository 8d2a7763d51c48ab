"""The sidebar: which embedder, and which tracks."""

import math
from collections.abc import Sequence

import streamlit as st

from musicflow.app.view import extents, facet
from musicflow.index import Collection, Filters
from musicflow.index.fields import Field, of_kind
from musicflow.index.filters import Condition, Sign
from musicflow.search.query import filters_for

_MAX_OFFERED = 500
"""The most values of a field that are offered; others can be typed."""


def embedder(published: Sequence[str]) -> str:
    """Choose an embedder."""
    label = st.sidebar.selectbox("Embedder", published, key="embedder", bind="query-params")
    assert label is not None
    return label


def answers() -> int:
    """Choose how many answers to show."""
    return st.sidebar.slider("Answers", 1, 50, 10, key="k", bind="query-params")


def filters(collection: Collection) -> Filters:
    """Choose which tracks may be answers.

    Raises
    ------
    FilterError
        If a typed filter cannot be understood.
    """
    conditions: list[Condition] = []
    with st.sidebar.expander("Only …", icon=":material/filter_alt:", expanded=True):
        conditions += _keywords(collection, "=", "")
        conditions += _numbers(collection)
    with st.sidebar.expander("Leave out …", icon=":material/block:"):
        conditions += _keywords(collection, "!=", "not-")
    with st.sidebar.expander("More filters", icon=":material/code:"):
        typed = st.text_area(
            "As on the command line, one per line",
            key="where",
            bind="query-params",
            max_chars=2000,
            placeholder="album=Kind of Blue\nname!=Intro\nduration_s<300",
        )
    parsed = filters_for(collection, (line for line in (typed or "").splitlines() if line.strip()))
    return Filters((*conditions, *parsed.conditions))


def _keywords(collection: Collection, sign: Sign, before: str) -> list[Condition]:
    conditions = []
    for field in of_kind("keyword", collection.manifest.table):
        if not field.offered or not (values := facet(collection, field.name)):
            continue
        chosen = st.multiselect(
            field.title,
            list(values)[:_MAX_OFFERED],
            key=before + field.name,
            bind="query-params",
            accept_new_options=len(values) > _MAX_OFFERED,
        )
        if chosen:
            conditions.append(Condition(field.name, _sign(field, sign, len(chosen)), tuple(chosen)))
    return conditions


def _sign(field: Field, sign: Sign, count: int) -> Sign:
    """Return the operator of a filter: any of several values, or all of them."""
    if sign == "=" and count > 1 and field.several:
        every = st.toggle("All of these", key=f"all-{field.name}", bind="query-params")
        return "+=" if every else "="
    return sign


def _numbers(collection: Collection) -> list[Condition]:
    conditions = []
    found = extents(collection)
    for field in of_kind("number", collection.manifest.table):
        if not field.offered or field.name not in found:
            continue
        least, greatest = found[field.name]
        first, last = math.floor(least), math.ceil(greatest)
        if first == last:
            continue
        low, high = st.slider(
            f"{field.title} in {field.unit}" if field.unit else field.title,
            first,
            last,
            (first, last),
            step=max(1, (last - first) // 100),
            key=field.name,
            bind="query-params",
        )
        if low > first:
            conditions.append(Condition(field.name, ">=", (float(low),)))
        if high < last:
            conditions.append(Condition(field.name, "<=", (float(high),)))
    return conditions
