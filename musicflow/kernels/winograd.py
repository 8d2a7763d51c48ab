"""3 x 3 convolutions on a processor by Winograd's algorithm: a quarter of the products.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), whose names are used
here. F(m x m, 3 x 3) makes an output tile of m x m from an input tile of alpha x alpha, alpha = m +
2, with alpha^2 products per pair of channels in place of 9 m^2:

- the filter transform makes alpha^2 matrices U of the filters, once (`transform_filter`);
- the data transform makes alpha^2 matrices V of the input tiles (`_scatter`);
- M = U V, one product of matrices for each of the alpha^2 places (`_multiply`);
- the inverse transform makes output tiles of M (`_gather`).

`convolve` does the last three for one block of tiles after the other, so that V and M stay in a
core's cache.

What is multiplied can be rounded to bfloat16, of which a processor with instructions for that
multiplies twice as many. Sums and everything else stay in float32.

numba compiles this for the processor it runs on, and keeps it for the next run. It compiles anew
for types, not for values, which is why m is a `Tile`: a tuple, whose length is part
of its type.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from musicflow.kernels.compiling import cached_on_disk

# What numba imports at its first call takes half a second. Here, it is imported once for all
# workers that are forked.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

Tile = tuple[int, ...]
"""The size m of an output tile: a tuple of m entries, whatever they are. See `TILES`."""

TILES: dict[int, Tile] = {2: (0,) * 2, 4: (0,) * 4}


class Transforms(NamedTuple):
    """The transforms of F(m, 3), along one axis.

    ``inverse @ ((filter @ g) * (data @ d))`` are the m outputs of a filter g of three taps over
    alpha samples d.
    """

    data: np.ndarray
    """The paper's B^T: float64, shape ``(alpha, alpha)``."""
    filter: np.ndarray
    """The paper's G: float64, shape ``(alpha, 3)``."""
    inverse: np.ndarray
    """The paper's A^T: float64, shape ``(m, alpha)``."""


def _transforms(*points: float) -> Transforms:
    """Return Cook and Toom's construction, by interpolation at points."""
    from numpy.polynomial.polynomial import polyfromroots

    roots = np.array(points)
    alpha, m = len(roots) + 1, len(roots) - 1
    made = Transforms(np.zeros((alpha, alpha)), np.zeros((alpha, 3)), np.zeros((m, alpha)))
    for i, point in enumerate(roots):
        others = np.delete(roots, i)
        made.data[i, :-1] = polyfromroots(others)
        made.filter[i] = point ** np.arange(3) / np.prod(point - others)
        made.inverse[:, i] = point ** np.arange(m)
    made.data[-1] = polyfromroots(roots)
    made.filter[-1, -1] = made.inverse[-1, -1] = 1
    return made


# The points decide what rounding costs: Barabasz et al., "Error Analysis and Improving the Accuracy
# of Winograd Convolution for Deep Neural Networks" (2018).
TRANSFORMS = {
    2: _transforms(0, 1, -1),
    4: _transforms(0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2), -math.sqrt(2)),
}

_DATA_2, _DATA_4 = (TRANSFORMS[m].data.astype(np.float32) for m in TRANSFORMS)
_INVERSE_2, _INVERSE_4 = (TRANSFORMS[m].inverse.astype(np.float32) for m in TRANSFORMS)

# Indices without a sign: a negative one would count from the end, and with that in the way no
# vector instructions are found.
_index = np.uint64
_ONE, _TWO, _BYTES = _index(1), _index(2), _index(4)

LANES = _index(64)
"""Channels transformed at once: 36 times as many numbers are 9 kB, and fit into the first cache."""

_PROCESSOR = binding.get_host_cpu_features()
_ROWS = 6
_COLUMNS = 32 if _PROCESSOR.get("avx512f") else 16
"""Tiles and channels that are multiplied at once: all their sums are kept in registers."""

_WORDS = 16
"""Of 32 bits, which the innermost loop takes at once: so many floats, or pairs of bfloat16."""

# What is not a number stays so, and sums may be taken in another order.
_FAST = {"contract", "nsz", "reassoc"}


def transform_filter(kernel: np.ndarray, m: int, rounded: bool = False) -> np.ndarray:
    """Transform filters into the matrices U that `convolve` takes.

    Parameters
    ----------
    kernel
        Shape ``(C_out, C_in, 3, 3)``. Channels come in 64s.
    m
        Outputs of a tile along an axis: 2 or 4.
    rounded
        Whether to multiply in bfloat16.

    Returns
    -------
    numpy.ndarray
        Panels of w channels: float32, shape ``(alpha^2, C_out / w, C_in, w)``. Rounded: the
        bits of bfloat16 as uint16, ``(alpha^2, C_out / w, C_in / 2, w, 2)``.

    Raises
    ------
    ValueError
        If there are other numbers of channels.
    """
    wide, channels = kernel.shape[:2]
    if wide % int(LANES) or channels % int(LANES):
        raise ValueError(f"channels come in {LANES}s, not as {channels} and {wide}")
    transform = np.kron(TRANSFORMS[m].filter, TRANSFORMS[m].filter)
    depth, kind = (2, np.uint16) if rounded else (1, np.float32)
    shape = len(transform), wide // _COLUMNS, channels // depth, _COLUMNS, depth
    panels = np.empty(shape, kind)
    filters = np.ascontiguousarray(kernel, np.float32).reshape(-1, _COLUMNS, channels, 9)
    cores = os.cpu_count() or 1
    bounds = np.linspace(0, len(filters), cores + 1).astype(int).tolist()
    with ThreadPoolExecutor(cores) as pool:
        for _ in pool.map(
            lambda part: _transform_filters(filters, transform, panels, *part), pairwise(bounds)
        ):
            pass
    return panels if rounded else panels[..., 0]


def pack_first_filter(kernel: np.ndarray) -> np.ndarray:
    """Arrange filters of one channel, ``(C_out, 1, 3, 3)``, for `convolve`.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(C_out / w, 9, w)``; taps go down first, then across.

    Raises
    ------
    ValueError
        If there are other numbers of channels.
    """
    wide, channels = kernel.shape[:2]
    if wide % int(LANES) or channels != 1:
        raise ValueError(f"channels come in {LANES}s, from 1; not as {channels} and {wide}")
    panels = kernel.swapaxes(2, 3).reshape(-1, _COLUMNS, 9)
    return np.ascontiguousarray(panels.swapaxes(1, 2), np.float32)


def _compiled(**options: Any) -> Any:
    return numba.njit(error_model="numpy", fastmath=_FAST, **options)


class _BFloat16(ir.Type):
    """The compiler has it, llvmlite does not."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))

    def __hash__(self) -> int:
        return hash(type(self))


_words = ir.VectorType(ir.IntType(32), _WORDS)
_floats = ir.VectorType(ir.FloatType(), _WORDS)
_halves = ir.VectorType(_BFloat16(), 2 * _WORDS)


def _sum_of_products(builder, a, b, total):  # type: ignore[no-untyped-def]
    """Add the products of floats to sums."""
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_floats, [_floats] * 3), f"llvm.fma.v{_WORDS}f32"
    )
    return builder.call(fma, [a, b, total])


def _sum_of_pairs(builder, a, b, total):  # type: ignore[no-untyped-def]
    """Add both products of pairs of bfloat16 to sums."""
    if _PROCESSOR.get("avx512bf16"):
        dot = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_floats, [_floats, _halves, _halves]),
            "llvm.x86.avx512bf16.dpbf16ps.512",
        )
        return builder.call(dot, [total, builder.bitcast(a, _halves), builder.bitcast(b, _halves)])
    # A bfloat16 is the upper half of a float.
    shift, upper = (ir.Constant(_words, [value] * _WORDS) for value in (16, 0xFFFF0000))
    for halve, by in ((builder.and_, upper), (builder.shl, shift)):
        halves = (builder.bitcast(halve(builder.bitcast(x, _words), by), _floats) for x in (a, b))
        total = _sum_of_products(builder, *halves, total)
    return total


@intrinsic
def _multiply_rows(_context, kernel, _a, _pitch, _b, _depth, _c, _gap):  # type: ignore[no-untyped-def]
    """Multiply some rows by a panel: the innermost loop, in LLVM's language.

    In Python's, it finds no vector instructions for sums that are kept in registers. Takes the
    kernel, for its type; and addresses and distances in words: of the rows, a; from one to the
    next; of the panel, b; how many lines it has; of the sums, c; from one row of them to the next.
    """
    add = _sum_of_pairs if kernel.dtype == types.uint16 else _sum_of_products
    everywhere = ir.Constant(_words, None)
    index, parts = ir.IntType(64), _COLUMNS // _WORDS

    def generate(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        _, a, pitch, b, depth, c, gap = arguments

        def pointer(base, offset, kind):  # type: ignore[no-untyped-def]
            address = builder.add(base, builder.mul(offset, index(4)))
            return builder.inttoptr(address, kind.as_pointer())

        def place(line, distance, part):  # type: ignore[no-untyped-def]
            return builder.add(builder.mul(line, distance), index(part * _WORDS))

        before = builder.block
        loop, after = builder.append_basic_block("lines"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(index)
        sums = [[builder.phi(_floats) for _ in range(parts)] for _ in range(_ROWS)]
        line = [
            builder.load(pointer(b, place(k, index(_COLUMNS), part), _floats), align=4)
            for part in range(parts)
        ]
        totals = []
        for row, so_far in enumerate(sums):
            at = builder.add(builder.mul(index(row), pitch), k)
            factor = builder.load(pointer(a, at, ir.FloatType()), align=4)
            lone = builder.insert_element(ir.Constant(_floats, ir.Undefined), factor, index(0))
            spread = builder.shuffle_vector(lone, ir.Constant(_floats, ir.Undefined), everywhere)
            totals.append([add(builder, spread, *pair) for pair in zip(line, so_far, strict=True)])
            for total, phi in zip(totals[-1], so_far, strict=True):
                phi.add_incoming(ir.Constant(_floats, None), before)
                phi.add_incoming(total, loop)
        following = builder.add(k, index(1))
        k.add_incoming(index(0), before)
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, depth), loop, after)
        builder.position_at_end(after)
        for row, row_totals in enumerate(totals):
            for part, total in enumerate(row_totals):
                builder.store(total, pointer(c, place(index(row), gap, part), _floats), align=4)
        return context.get_dummy_value()

    return types.void(kernel, *[types.uint64] * 6), generate


@intrinsic
def _as_stored(_context, target, _value):  # type: ignore[no-untyped-def]
    """Return a float as an array holds it: as it is, or as bfloat16 bits."""
    rounded = target.dtype == types.uint16

    def generate(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        value = arguments[1]
        if not rounded:
            return value
        word = ir.IntType(32)
        bits = builder.bitcast(value, word)
        # A tie goes to the even one.
        odd = builder.and_(builder.lshr(bits, word(16)), word(1))
        nearest = builder.add(builder.add(bits, word(0x7FFF)), odd)
        return builder.trunc(builder.lshr(nearest, word(16)), ir.IntType(16))

    return target.dtype(target, types.float32), generate


@cached_on_disk
@_compiled(nogil=True)
def _transform_filters(filters, transform, panels, first, last):  # type: ignore[no-untyped-def]
    """Transform filters ``(C_out / w, w, C_in, 9)`` into some panels; see `transform_filter`."""
    _, columns, channels, _ = filters.shape
    depth = panels.shape[4]
    for part in range(first, last):
        for channel in range(channels):
            line, place = divmod(channel, depth)
            for column in range(columns):
                for i in range(len(transform)):
                    total = 0.0
                    for j in range(9):
                        total += transform[i, j] * filters[part, column, channel, j]
                    panels[i, part, line, column, place] = _as_stored(panels, np.float32(total))


@_compiled(inline="always")
def _transform_axis(factors, source, start, stride, target, to, gap):  # type: ignore[no-untyped-def]
    """Multiply a constant matrix by lines that are `stride` apart: one axis."""
    for c in range(LANES):
        for i in range(factors.shape[0]):
            total = np.float32(0)
            for j in range(factors.shape[1]):
                if factors[i, j] != 0:
                    total += factors[i, j] * source[start + _index(j) * stride + c]
            target[to + _index(i) * gap + c] = _as_stored(target, total)


@_compiled()
def _transform_data(tile, pixels, corner, line, channels, half, matrices, to):  # type: ignore[no-untyped-def]
    """Transform one input tile and scatter it to V ``(alpha^2, rows, C)``.

    It has `LANES` channels.


    It begins at `corner`, and its lines are `line` apart.
    """
    alpha = _index(len(tile)) + _TWO
    gap = _index(matrices.shape[1]) * channels
    out = matrices.reshape(-1)
    factors = _DATA_2 if len(tile) == 2 else _DATA_4
    for i in range(alpha):
        _transform_axis(
            factors, pixels, corner + i * line, channels, half, i * alpha * LANES, LANES
        )
    for j in range(alpha):
        _transform_axis(factors, half, j * LANES, alpha * LANES, out, to + j * gap, alpha * gap)


@_compiled()
def _scatter(tile, framed, height, width, first, count, matrices):  # type: ignore[no-untyped-def]
    """Transform `count` input tiles and scatter them to V."""
    m = _index(len(tile))
    alpha = m + _TWO
    lines, line = _index(framed.shape[1]), _index(framed.shape[2])
    channels = _index(framed.shape[3])
    down, across = (height + m - _ONE) // m, (width + m - _ONE) // m
    pixels = framed.reshape(-1)
    half = np.empty(alpha * alpha * LANES, np.float32)
    for t in range(count):
        image, place = divmod(first + t, down * across)
        y, x = m * (place // across), m * (place % across)
        corner = ((image * lines + y) * line + x) * channels
        for c in range(_index(0), channels, LANES):
            to = t * channels + c
            _transform_data(tile, pixels, corner + c, line * channels, channels, half, matrices, to)


@_compiled()
def _scatter_from_first(tile, framed, height, width, before, first, count, matrices):  # type: ignore[no-untyped-def]
    """Make `count` input tiles by the first layer, and scatter them to V.

    A tile is made, transformed and forgotten. Where tiles overlap, pixels are made more than once,
    which takes less time than to write all of them to memory and to read them again.
    """
    kernel, bias, floor = before
    m = _index(len(tile))
    alpha = m + _TWO
    lines, line = _index(framed.shape[1]), _index(framed.shape[2])
    channels = _index(len(bias))
    down, across = (height + m - _ONE) // m, (width + m - _ONE) // m
    half = np.empty(alpha * alpha * LANES, np.float32)
    # A line is made as long as is multiplied at once; the next one overwrites what is too much.
    made = np.empty((alpha * alpha + _index(_ROWS)) * channels, np.float32)
    taps = np.zeros(3 * (_ROWS + 2), np.float32)
    for t in range(count):
        image, place = divmod(first + t, down * across)
        y, x = m * (place // across), m * (place % across)
        for i in range(alpha):
            start = i * alpha * channels
            inside = _ONE <= y + i <= height
            if inside:
                _lay_out(framed.reshape(-1), image * lines + y + i, line, x, taps)
                _make_line(taps, kernel, made, start)
            for j in range(alpha):
                to = start + j * channels
                if inside and _ONE <= x + j <= width:
                    for k in range(channels):
                        made[to + k] = max(made[to + k] + bias[k], floor)
                else:
                    made[to : to + channels] = 0
        for c in range(_index(0), channels, LANES):
            to = t * channels + c
            _transform_data(tile, made, c, alpha * channels, channels, half, matrices, to)


@_compiled()
def _lay_out(pixels, y, line, x, taps):  # type: ignore[no-untyped-def]
    """Gather what lies around `_ROWS` pixels of line y from x on.

    Three pixels one above the other, again and again: the nine of a place follow each other.
    """
    for j in range(_index(_ROWS + 2)):
        # Beyond the frame nothing is wanted.
        if _ONE <= x + j <= line:
            for i in range(_index(3)):
                taps[_index(3) * j + i] = pixels[(y + i - _ONE) * line + x + j - _ONE]


@_compiled()
def _make_line(taps, kernel, made, start):  # type: ignore[no-untyped-def]
    """Multiply the nine of each of `_ROWS` places by a kernel of one channel."""
    depth, wide = _index(kernel.shape[1]), _index(kernel.shape[2])
    channels = _index(len(kernel)) * wide
    a, b, c = _index(taps.ctypes.data), _index(kernel.ctypes.data), _index(made.ctypes.data)
    for part in range(_index(len(kernel))):
        panel = b + part * depth * wide * _BYTES
        to = c + (start + part * wide) * _BYTES
        _multiply_rows(kernel, a, _index(3), panel, depth, to, channels)


@_compiled()
def _multiply(matrices, kernel, count, out):  # type: ignore[no-untyped-def]
    """Multiply the first `count` rows of V, filled up to `_ROWS`: make M."""
    rows, wide = _index(matrices.shape[1]), _index(out.shape[2])
    words = _index(matrices.shape[2]) // (_BYTES // _index(matrices.itemsize))
    a, b, c = _index(matrices.ctypes.data), _index(kernel.ctypes.data), _index(out.ctypes.data)
    for k in range(_index(len(matrices))):
        for column in range(_index(0), wide, _index(_COLUMNS)):
            panel = b + (k * wide + column) * words * _BYTES
            for row in range(_index(0), count, _index(_ROWS)):
                at = k * rows + row
                _multiply_rows(
                    kernel,
                    a + at * words * _BYTES,
                    words,
                    panel,
                    words,
                    c + (at * wide + column) * _BYTES,
                    wide,
                )


@_compiled()
def _gather(tile, matrices, bias, floor, pooling, height, width, first, count, framed):  # type: ignore[no-untyped-def]
    """Gather `count` tiles from M, transform them back, and finish them."""
    m = _index(len(tile))
    alpha = m + _TWO
    rows, channels = _index(matrices.shape[1]), _index(matrices.shape[2])
    lines, line = _index(framed.shape[1]), _index(framed.shape[2])
    down, across = (height + m - _ONE) // m, (width + m - _ONE) // m
    shrink = _TWO if pooling else _ONE
    left = m // shrink
    products, out = matrices.reshape(-1), framed.reshape(-1)
    factors = _INVERSE_2 if len(tile) == 2 else _INVERSE_4
    half = np.empty(m * alpha * LANES, np.float32)
    whole = np.empty(m * m * LANES, np.float32)
    for t in range(count):
        image, place = divmod(first + t, down * across)
        y, x = left * (place // across), left * (place % across)
        for c in range(_index(0), channels, LANES):
            for i in range(alpha):
                start = (i * alpha * rows + t) * channels + c
                _transform_axis(
                    factors, products, start, rows * channels, half, i * m * LANES, LANES
                )
            for j in range(m):
                _transform_axis(factors, half, j * LANES, m * LANES, whole, j * LANES, m * LANES)
            for i in range(min(left, height // shrink - y)):
                for j in range(min(left, width // shrink - x)):
                    p = shrink * (i * m + j) * LANES
                    q, r = p + LANES, p + m * LANES
                    s = r + LANES
                    to = ((image * lines + y + i + _ONE) * line + x + j + _ONE) * channels + c
                    for k in range(LANES):
                        if pooling == 0:
                            value = max(whole[p + k] + bias[c + k], floor)
                        elif pooling == 1:
                            # The maximum commutes with what follows, which has a quarter to do.
                            largest = max(
                                max(whole[p + k], whole[q + k]), max(whole[r + k], whole[s + k])
                            )
                            value = max(largest + bias[c + k], floor)
                        else:
                            total = np.float32(0)
                            for at in (p, q, r, s):
                                total += max(whole[at + k] + bias[c + k], floor)
                            value = np.float32(0.25) * total
                        out[to + k] = value


@cached_on_disk
@_compiled(nogil=True)
def convolve(  # type: ignore[no-untyped-def]
    tile, framed, height, width, before, kernel, bias, floor, pooling, start, stop, block, out
):
    """Convolve the tiles from `start` to `stop` on one core, without a lock.

    Parameters
    ----------
    tile
        One of `TILES`.
    framed
        Images in a frame of zeros, float32, shape ``(B, 1 + height + …, 1 + width + …, C_in)``, as
        wide on the far sides as the last tiles reach.
    height, width
        Of an image.
    before
        A first layer of one channel, which is then that of the images: its filters (see
        `pack_first_filter`), bias and floor. An empty tuple if there is none.
    kernel
        See `transform_filter`.
    bias, floor
        What is added to the result, shape ``(C_out,)``, and what it is raised to where it is less.
    pooling
        What follows: 0 for nothing, 1 for the maximum and 2 for the mean of 2 x 2.
    start, stop, block
        Numbers of tiles, counted along lines, then images; and how many to do at a time.
    out
        Filled: framed like the input, in the size after pooling.
    """
    tall, wide = _index(height), _index(width)
    places = kernel.shape[0]
    channels = len(before[1]) if len(before) else framed.shape[3]
    # Rows that fill up the last `_ROWS` are multiplied like the others and left lying.
    rows = -(-block // _ROWS) * _ROWS
    v = np.zeros((places, rows, channels), kernel.dtype)
    product = np.empty((places, rows, out.shape[3]), np.float32)
    for first in range(start, stop, block):
        count = _index(min(block, stop - first))
        if len(before):
            _scatter_from_first(tile, framed, tall, wide, before, _index(first), count, v)
        else:
            _scatter(tile, framed, tall, wide, _index(first), count, v)
        _multiply(v, kernel, count, product)
        _gather(tile, product, bias, floor, pooling, tall, wide, _index(first), count, out)
