"""What only some systems have is guarded: each test hides what its guard is for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from musicflow.embedders import DeviceError, compute
from musicflow.index import EmbeddedIndex
from musicflow.kernels import processor
from musicflow.worker import child
from musicflow_tests.index.conftest import MANIFEST, points, vectors

X86 = "flags\t\t: fpu sse2 avx512f {}\n"
AARCH64 = "Features\t: fp asimd evtstrm {} i8mm\n"


@pytest.fixture
def _fresh() -> Iterator[None]:
    processor._flags.cache_clear()
    yield
    processor._flags.cache_clear()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(
    ("text", "precision"),
    [
        (X86.format("avx512_bf16"), "bf16"),
        (X86.format("amx_bf16"), "bf16"),
        (X86.format("avx512bw"), "fp32"),
        (AARCH64.format("bf16"), "bf16"),
        (AARCH64.format("sve"), "fp32"),
        (None, "fp32"),
    ],
)
def test_bfloat16_is_read_from_the_processors_own_flags(
    text: str | None, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(compute, "NVIDIA", tmp_path / "nvidia")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert compute.fastest_precision() == precision
    assert processor.has_tiles() == ("amx" in (text or ""))
    (tmp_path / "nvidia").touch()
    assert compute.fastest_precision() == "bf16"


def test_apples_gpu_is_taken_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="set to mps, but torch finds no GPU of Apple's"):
        compute.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [compute.device("mps"), compute.device("auto")] == ["mps", "cpu"]
    assert compute.exact_device("mps") == "cpu"


def test_a_worker_runs_without_bounds_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    child._hold_to(child.Rations(cpu_s=0, memory_bytes=0))


def test_a_worker_ends_with_its_parent_where_threads_cannot_be_signalled() -> None:
    code = (
        "import io, signal\nfrom musicflow.worker import child\n"
        "del signal.pthread_kill\nchild._listen(io.BytesIO())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


def test_a_collection_opens_where_links_are_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    index = EmbeddedIndex(tmp_path / "collections")
    index.publish("toy", MANIFEST, points(vectors(5)))
    with index.open("toy") as collection:
        assert collection.count() == 5
