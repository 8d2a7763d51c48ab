"""Rankings of rows by similarity: the first few of many, or all of them in order.

Compiled when first used, and kept beside this file where that may be written. Importing this
module takes half a second, so whoever needs it imports it where it is called.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from musicflow.kernels.compiling import cached_on_disk

DECIMALS = 12
"""Similarities are rounded to this, so that equal vectors tie whatever the order of a sum."""

_STEP = 32
"""Values that are looked at together: few are large enough to be looked at alone."""

_BITS = 11
"""The digits of a radix sort: their counts fit into the innermost cache."""

_BUCKETS = 1 << _BITS


def _compiled(**how: Any) -> Callable[[Any], Any]:
    """Compile a function that lets other threads run; keep it where there is a place for it."""
    return lambda function: cached_on_disk(numba.njit(nogil=True, **how)(function))


@_compiled()
def _insert(numbers: np.ndarray, values: np.ndarray, number: int, value: float) -> None:
    """Put a value into a falling list, and drop the last one."""
    place = len(values) - 1
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        numbers[place] = numbers[place - 1]
        place -= 1
    values[place] = value
    numbers[place] = number


@_compiled()
def offer_to_rows(
    tile: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    numbers: np.ndarray,
    values: np.ndarray,
) -> None:
    """Offer similarities to the lists of the rows of a tile.

    Parameters
    ----------
    tile
        Similarities, float32, shape ``(R, C)``.
    rows, columns
        Their numbers, shapes ``(R,)`` and ``(C,)``. A row is never offered itself.
    numbers, values
        The lists of all rows, best first, shape ``(N, k)``; changed in place.
    """
    last = values.shape[1] - 1
    for place in range(len(rows)):
        row = rows[place]
        found, best, similar = numbers[row], values[row], tile[place]
        for start in range(0, len(columns), _STEP):
            end = min(start + _STEP, len(columns))
            above = 0
            for column in range(start, end):
                above += similar[column] > best[last]
            if above:
                for column in range(start, end):
                    if similar[column] > best[last] and columns[column] != row:
                        _insert(found, best, columns[column], similar[column])


@_compiled()
def offer_to_columns(
    tile: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    numbers: np.ndarray,
    values: np.ndarray,
) -> None:
    """Offer similarities to the lists of the columns of a tile; see `offer_to_rows`."""
    last = values.shape[1] - 1
    worst = values[columns, last]
    for place in range(len(rows)):
        similar = tile[place]
        for start in range(0, len(columns), _STEP):
            end = min(start + _STEP, len(columns))
            above = 0
            for column in range(start, end):
                above += similar[column] > worst[column]
            if above:
                for column in range(start, end):
                    number = columns[column]
                    if similar[column] > worst[column] and number != rows[place]:
                        _insert(numbers[number], values[number], rows[place], similar[column])
                        worst[column] = values[number, last]


@_compiled(fastmath={"reassoc", "contract"})
def exact(unit: np.ndarray, rows: np.ndarray, columns: np.ndarray, found: np.ndarray) -> None:
    """Compute cosines, always in one order of the sum, rounded to `DECIMALS`.

    Parameters
    ----------
    unit
        Vectors of length one, float32, shape ``(N, dim)``.
    rows, columns
        Row numbers, shapes ``(R,)`` and ``(R, C)``; -1 for none.
    found
        Takes the cosines, float64, shape ``(R, C)``; minus infinity for none.
    """
    scale = 10.0**DECIMALS
    for place in range(len(rows)):
        one = unit[rows[place]]
        for column in range(columns.shape[1]):
            number = columns[place, column]
            if number < 0:
                found[place, column] = -np.inf
                continue
            other = unit[number]
            total = 0.0
            for dim in range(len(one)):
                total += np.float64(one[dim]) * np.float64(other[dim])
            found[place, column] = np.rint(total * scale) / scale


@_compiled()
def order(
    similarities: np.ndarray, starts: np.ndarray, excluded: np.ndarray, ranking: np.ndarray
) -> None:
    """Order columns by similarity, best first, ties by number, excluded ones last.

    Parameters
    ----------
    similarities
        Float64, shape ``(Q, N)``.
    starts, excluded
        The columns that query q excludes are ``excluded[starts[q]:starts[q + 1]]``. Shapes
        ``(Q + 1,)`` and ``(E,)``.
    ranking
        Takes column numbers, int32, shape ``(Q, N)``.
    """
    count = similarities.shape[1]
    keys, other_keys = np.empty(count, np.int64), np.empty(count, np.int64)
    numbers, other_numbers = np.empty(count, np.int32), np.empty(count, np.int32)
    out = np.empty(count, np.bool_)
    counts = np.empty(_BUCKETS, np.int64)
    for query in range(len(similarities)):
        out[:] = False
        for place in range(starts[query], starts[query + 1]):
            out[excluded[place]] = True
        kept = 0
        least, most = np.int64(2**62), np.int64(-(2**62))
        for column in range(count):
            if not out[column]:
                key = -np.int64(np.rint(similarities[query, column] * 10.0**DECIMALS))
                least, most = min(least, key), max(most, key)
                keys[kept], numbers[kept] = key, column
                kept += 1
        shift = 0
        while kept and (most - least) >> shift:
            counts[:] = 0
            for place in range(kept):
                counts[((keys[place] - least) >> shift) & (_BUCKETS - 1)] += 1
            total = 0
            for bucket in range(_BUCKETS):
                here = counts[bucket]
                counts[bucket] = total
                total += here
            for place in range(kept):
                bucket = ((keys[place] - least) >> shift) & (_BUCKETS - 1)
                to = counts[bucket]
                counts[bucket] = to + 1
                other_keys[to], other_numbers[to] = keys[place], numbers[place]
            keys, other_keys = other_keys, keys
            numbers, other_numbers = other_numbers, numbers
            shift += _BITS
        ranking[query, :kept] = numbers[:kept]
        for column in range(count):
            if out[column]:
                ranking[query, kept] = column
                kept += 1


@_compiled()
def hits(
    ranking: np.ndarray,
    candidates: np.ndarray,
    kinds: np.ndarray,
    relevance: np.ndarray,
    counts: np.ndarray,
    places: np.ndarray,
    gains: np.ndarray,
) -> int:
    """Find the relevant ones among ranked columns, one query's after the other's.

    Parameters
    ----------
    ranking
        Column numbers, best first, shape ``(Q, N)``.
    candidates
        How many of each ranking are candidates, shape ``(Q,)``.
    kinds
        The kind of each column, int32, shape ``(N,)``.
    relevance
        Of each kind to each query, float64, shape ``(Q, K)``.
    counts
        Takes the hits of each query, shape ``(Q,)``.
    places, gains
        Take the place in the ranking and the relevance of each hit; as long as there may be hits.

    Returns
    -------
    int
        How many there are.
    """
    total = 0
    for query in range(len(ranking)):
        before, order, relevant = total, ranking[query], relevance[query]
        for place in range(candidates[query]):
            gain = relevant[kinds[order[place]]]
            if gain > 0:
                places[total], gains[total] = place, gain
                total += 1
        counts[query] = total - before
    return total
