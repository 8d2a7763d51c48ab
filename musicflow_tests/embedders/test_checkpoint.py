"""Checkpoints of torch: what training saves is read, and nothing in a file is run."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from musicflow.embedders.checkpoint import UNSAFE, read_checkpoint
from musicflow.embedders.errors import WeightsError

OLD_AND_NEW = pytest.mark.parametrize("new", [False, True], ids=["old format", "new format"])


def save(value: object, path: Path, new: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


@OLD_AND_NEW
def test_numpys_arrays_and_numbers_are_read_beside_tensors(tmp_path: Path, new: bool) -> None:
    saved = {
        "tensor": torch.arange(3.0),
        "indexes": np.arange(5),
        "targets": np.ones((2, 3), np.float32),
        "known": np.array([True, False]),
        "pointer": np.int64(7),
        "loss": np.float32(0.5),
    }
    found = read_checkpoint(save(saved, tmp_path / "file.pth", new))
    for name, value in saved.items():
        np.testing.assert_array_equal(found[name], value)


@OLD_AND_NEW
def test_a_file_of_numpy_1_is_read_by_its_old_names(tmp_path: Path, new: bool) -> None:
    path = save({"indexes": np.arange(5), "pointer": np.int64(7)}, tmp_path / "file.pth", new)
    if new:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content.replace(b"numpy._core.", b"numpy.core."))
    else:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found["indexes"], np.arange(5))
    assert found["pointer"] == 7


class Touch:
    """Makes a file when it is unpickled by code that runs what it finds."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


@OLD_AND_NEW
@pytest.mark.parametrize("hidden", ["plain", "array", "weights"])
def test_a_file_that_would_run_code_is_refused_in_a_sentence(
    tmp_path: Path, new: bool, hidden: str
) -> None:
    touch = Touch(tmp_path / "ran")
    array = np.empty(1, object)
    array[0] = touch
    value = {"plain": touch, "array": {"sampler": array}, "weights": {"model": {"a": touch}}}
    path = save(value[hidden], tmp_path / "evil.pth", new)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert caught.value.code == UNSAFE
    assert "evil.pth is damaged, or holds something else" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not touch.mark.exists()


def test_names_of_numpy_that_run_something_are_refused(tmp_path: Path) -> None:
    for name in ("numpy\nload", "numpy\nfromfile", "numpy.testing._private.utils\nrunstring"):
        stream = io.BytesIO()
        pickle.dump(0x1950A86A20F9469CFC6C, stream, 2)
        pickle.dump(1001, stream, 2)
        pickle.dump({}, stream, 2)
        stream.write(b"\x80\x02c" + name.encode() + b"\n(X\x01\x00\x00\x00atR.")
        (tmp_path / "evil.pth").write_bytes(stream.getvalue())
        with pytest.raises(WeightsError, match="nothing in it was run"):
            read_checkpoint(tmp_path / "evil.pth")


def test_what_is_allowed_while_reading_is_not_allowed_afterwards(tmp_path: Path) -> None:
    path = save({"pointer": np.int64(7)}, tmp_path / "file.pth", new=True)
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04cut"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"cut\.pth is damaged"):
        read_checkpoint(tmp_path / "cut.pth")
