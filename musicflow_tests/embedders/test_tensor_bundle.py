"""The reader against a bundle written here, byte by byte, from the formats' descriptions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.embedders.tensor_bundle import TensorBundleError, read_tensor_bundle

FLOAT32, INT64 = 1, 9

names = st.text("abc/_", min_size=1, max_size=12)
shapes = st.lists(st.integers(0, 4), max_size=3)


@given(st.dictionaries(names, shapes, max_size=20))
def test_tensors_come_back_as_they_were_written(wanted: dict[str, list[int]]) -> None:
    rng = np.random.default_rng(0)
    tensors = {name: rng.random(shape, np.float32) for name, shape in wanted.items()}
    found = read_tensor_bundle(*bundle(tensors))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_other_types_are_left_out() -> None:
    index, data = bundle({"a": np.ones(2, np.float32)}, dtype=INT64)
    assert read_tensor_bundle(index, data) == {}


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TensorBundleError, match="not a LevelDB table"):
        read_tensor_bundle(b"x" * 100, b"")


def test_a_data_file_cut_off_is_refused() -> None:
    index, data = bundle({"a": np.ones(100, np.float32)})
    with pytest.raises(TensorBundleError, match="cut off"):
        read_tensor_bundle(index, data[:-1])


def test_a_compressed_table_is_refused() -> None:
    index, data = bundle({"a": np.ones(3, np.float32)}, compression=1)
    with pytest.raises(TensorBundleError, match="compressed"):
        read_tensor_bundle(index, data)


@given(st.binary(max_size=200))
def test_rubbish_gives_a_clear_error_and_nothing_else(rubbish: bytes) -> None:
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    with pytest.raises(TensorBundleError):
        read_tensor_bundle(b"\xff" * 60 + rubbish + b"\xff" * 48 + magic, b"")


def bundle(
    tensors: dict[str, np.ndarray], dtype: int = FLOAT32, compression: int = 0
) -> tuple[bytes, bytes]:
    data, entries = b"", [(b"", b"")]
    for name, tensor in sorted(tensors.items()):
        shape = b"".join(field(2, field(1, size)) for size in tensor.shape)
        place = field(4, len(data)) + field(5, tensor.nbytes)
        entries.append((name.encode(), field(1, dtype) + field(2, shape) + place))
        data += tensor.tobytes()
    first = block(entries, compression)
    handle = varint(0) + varint(len(first) - 5)
    root = block([(b"~", handle)], 0)
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(root) - 5)
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    return first + root + footer.ljust(40, b"\0") + magic, data


def block(entries: list[tuple[bytes, bytes]], compression: int) -> bytes:
    content, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        before = key
    restarts = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    return content + restarts + bytes([compression]) + b"\0" * 4


def field(tag: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    return varint(tag << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])
