"""The sidebar: which embedder, and which tracks."""

import math
from collections.abc import Sequence

import streamlit as st

from musicflow.app.view import facet
from musicflow.index import Collection, Filters
from musicflow.index.filters import DURATION, Condition, Sign

_FIELDS = {"genre": "Genre", "subgenres": "Subgenre", "artist": "Artist", "tags": "Tag"}

_MOST = 500
"""So many values of a field are offered; the others can be typed."""


def embedder(published: Sequence[str]) -> str:
    """Choose an embedder."""
    label = st.sidebar.selectbox("Embedder", published, key="embedder", bind="query-params")
    assert label is not None
    return label


def answers() -> int:
    """Choose how many answers to show."""
    return st.sidebar.slider("Answers", 1, 50, 10, key="k", bind="query-params")


def filters(collection: Collection, longest_s: float) -> Filters:
    """Choose which tracks may be answers.

    Raises
    ------
    FilterError
        If a typed filter cannot be understood.
    """
    conditions: list[Condition] = []
    with st.sidebar.expander("Only …", icon=":material/filter_alt:", expanded=True):
        conditions += _fields(collection, "=", "")
        conditions += _length(longest_s)
    with st.sidebar.expander("Leave out …", icon=":material/block:"):
        conditions += _fields(collection, "!=", "not-")
    with st.sidebar.expander("More filters", icon=":material/code:"):
        typed = st.text_area(
            "As on the command line, one a line",
            key="where",
            bind="query-params",
            max_chars=2000,
            placeholder="album=Kind of Blue\nname!=Intro\nduration_s<300",
        )
    parsed = Filters.parse(line for line in (typed or "").splitlines() if line.strip())
    return Filters((*conditions, *parsed.conditions))


def _fields(collection: Collection, sign: Sign, before: str) -> list[Condition]:
    conditions = []
    for key, name in _FIELDS.items():
        if not (values := facet(collection, key)):
            continue
        chosen = st.multiselect(
            name,
            list(values)[:_MOST],
            key=before + key,
            bind="query-params",
            accept_new_options=len(values) > _MOST,
        )
        if chosen:
            conditions.append(Condition(key, _sign(key, sign, len(chosen)), tuple(chosen)))
    return conditions


def _sign(key: str, sign: Sign, count: int) -> Sign:
    """Any of several values, unless a field that holds several is to hold all."""
    if sign == "=" and count > 1 and key in ("subgenres", "tags"):
        every = st.toggle("All of these", key=f"all-{key}", bind="query-params")
        return "+=" if every else "="
    return sign


def _length(longest_s: float) -> list[Condition]:
    end = max(1, math.ceil(longest_s))
    low, high = st.slider(
        "Length in seconds",
        0,
        end,
        (0, end),
        step=max(1, end // 100),
        key="length",
        bind="query-params",
    )
    conditions = []
    if low > 0:
        conditions.append(Condition(DURATION, ">=", (float(low),)))
    if high < end:
        conditions.append(Condition(DURATION, "<=", (float(high),)))
    return conditions
