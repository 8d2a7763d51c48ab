"""What takes long once is done when weights are fetched, so that no run counts it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from musicflow import embedders
from musicflow.cli.weights import fetch_weights
from musicflow.embedders import EmbedderEntry, InterfaceError, compute
from musicflow.embedders.openl3 import OPENL3
from musicflow.embedders.panns import ENTRY
from musicflow.embedders.weights import MIRROR_VARIABLE, UrlWeights
from musicflow.kernels import convolution, processor
from musicflow.settings import Settings

CONTENT = b"weights"
WEIGHTS = UrlWeights(
    filename="some.bin",
    url="http://127.0.0.1:1/some.bin",
    digest="sha256:" + hashlib.sha256(CONTENT).hexdigest(),
    licence="MIT",
    trained_on="nothing",
)
SPEC = replace(ENTRY.spec, name="some", weights=WEIGHTS)


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The embedders that were prepared; the one called ``some`` is on a mirror."""
    (tmp_path / "some.bin").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path / "cache"))
    names: list[str] = []
    use(monkeypatch, lambda spec: names.append(spec.name))
    return names


def use(monkeypatch: pytest.MonkeyPatch, prepare: Callable) -> None:
    entry = EmbedderEntry(SPEC, ENTRY.load, prepare)
    monkeypatch.setattr(embedders, "_entry", lambda _name: entry)


def test_an_embedder_is_prepared_when_its_weights_arrive_and_not_at_every_run(
    prepared: list[str], tmp_path: Path
) -> None:
    for _ in range(2):
        embedders.fetch(SPEC, tmp_path / "cache")
    assert prepared == ["some"]


def test_the_command_prepares_where_weights_were_there_before(
    prepared: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        fetch_weights(["some"], as_json=True)
    assert prepared == ["some"] * 2
    path = str(Settings().cache / "some.bin")
    assert json.loads(capsys.readouterr().out.partition("]")[0] + "]") == [
        {"embedder": "some", "result": path, "error": ""}
    ]


@pytest.mark.usefixtures("prepared")
def test_what_fails_to_prepare_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lambda _spec: {}["compiler"])
    with pytest.raises(InterfaceError, match="some cannot be prepared, KeyError"):
        embedders.prepare(SPEC)


@pytest.mark.parametrize("entry", [OPENL3, ENTRY])
def test_convolutions_are_compiled_for_the_precision_with_a_word_about_it(
    entry: EmbedderEntry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiled: list[bool] = []
    monkeypatch.setattr(processor, "has_tiles", lambda: False)
    monkeypatch.setattr(convolution, "compile_winograd", compiled.append)
    assert entry.prepare is not None
    with caplog.at_level("INFO", "musicflow"):
        for precision in ("fp32", "bf16"):
            entry.prepare(replace(entry.spec, precision=precision, device="cpu"))
    assert compiled == [False, True]
    assert all("up to 15 s" in message for message in caplog.messages)


@pytest.mark.parametrize("tiles", [False, True])
def test_a_processor_with_amx_needs_none_in_bfloat16(
    tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "has_tiles", lambda: tiles)
    monkeypatch.setattr(convolution, "compile_winograd", lambda _rounded: compiled.append(1))
    compiled: list[int] = []
    compute.prepare_convolutions(replace(SPEC, precision="bf16", device="cpu"))
    assert bool(compiled) is not tiles
    assert bool(convolution.long_imports(rounded=True)) is not tiles
    assert convolution.long_imports(rounded=False)


def test_a_graphics_card_needs_no_compiled_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "device", lambda _wanted: "cuda")
    monkeypatch.setattr(convolution, "compile_winograd", None)
    compute.prepare_convolutions(SPEC)
