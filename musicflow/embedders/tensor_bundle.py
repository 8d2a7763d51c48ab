"""A reader for TensorFlow-1 checkpoints, so that TensorFlow need not be installed.

A checkpoint is a *TensorBundle*: an index in LevelDB's table format whose values are
`BundleEntryProto` messages, and a data file of raw little-endian tensors. Read here is what such
a bundle holds in practice: one shard, no compression, float32.

Sources: LevelDB's ``doc/table_format.md``; TensorFlow's ``tensor_bundle.proto`` and
``tensor_shape.proto``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_BLOCK_TRAILER = 5
_FLOAT32 = 1
_WIRE_BYTES = {1: 8, 5: 4}


class TensorBundleError(Exception):
    """A file that is not the kind of checkpoint this module reads."""


def read_tensor_bundle(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Read all float32 tensors of a checkpoint.

    Parameters
    ----------
    index
        Content of the ``.index`` file.
    data
        Content of the ``.data-00000-of-00001`` file.

    Returns
    -------
    dict
        Tensors by variable name, float32, in their shapes. Other types are left out.

    Raises
    ------
    TensorBundleError
        If the index is no LevelDB table, is compressed, or points outside the data.
    """
    if len(index) < _FOOTER or int.from_bytes(index[-8:], "little") != _MAGIC:
        raise TensorBundleError("the index is not a LevelDB table")
    try:
        entries = dict(_table(index))
        tensors = {key.decode(): _tensor(value, data) for key, value in entries.items() if key}
    except (IndexError, KeyError, ValueError) as error:
        raise TensorBundleError(f"the checkpoint is damaged: {error}") from error
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _table(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = index[-_FOOTER:]
    _, position = _handle(footer, 0)
    root, _ = _handle(footer, position)
    for _, value in _block(index, *root):
        handle, _ = _handle(value, 0)
        yield from _block(index, *handle)


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block; each key repeats the first `shared` bytes of the one before."""
    if offset + size + _BLOCK_TRAILER > len(index):
        raise TensorBundleError("the index is cut off")
    if index[offset + size] != 0:
        raise TensorBundleError("compressed checkpoints are not read")
    block = index[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + length]
        position += length


def _tensor(entry: bytes, data: bytes) -> np.ndarray | None:
    fields = dict(_message(entry))
    if fields.get(1) != _FLOAT32:
        return None
    shape = [dict(_message(dim)).get(1, 0) for tag, dim in _message(fields.get(2, b"")) if tag == 2]
    offset, size = fields.get(4, 0), fields.get(5, 0)
    if offset + size > len(data):
        raise TensorBundleError("the data file is cut off")
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(shape)


def _message(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer: numbers, or bytes of what is nested."""
    position = 0
    while position < len(raw):
        key, position = _varint(raw, position)
        tag, wire = key >> 3, key & 7
        if wire == 0:
            number, position = _varint(raw, position)
            yield tag, number
            continue
        if wire == 2:
            length, position = _varint(raw, position)
        else:
            length = _WIRE_BYTES[wire]
        yield tag, raw[position : position + length]
        position += length


def _handle(raw: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(raw, position)
    size, position = _varint(raw, position)
    return (offset, size), position


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
