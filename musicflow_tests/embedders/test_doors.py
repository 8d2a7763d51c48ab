"""Embedders of other packages, in this process and in the one that embeds."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow import embedders, worker
from musicflow.embedders import (
    Embedder,
    EmbedderError,
    EmbedderSpec,
    Inferred,
    InterfaceError,
)
from musicflow.library import join, scan
from musicflow.pipeline.embed import embed_tracks
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore
from musicflow_tests import plugin

ROOM = "toyflow.embedders"
NOWHERE = Path("unused")


@pytest.fixture(autouse=True)
def toyflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(plugin.unpack(tmp_path / "site")))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "toyflow"]:
        del sys.modules[name]


def test_an_embedder_of_another_package_is_found_by_entry_point_and_address() -> None:
    by_name, by_address = (embedders.spec_of(name) for name in ("loudness", f"{ROOM}:LOUDNESS"))
    assert by_name.label == by_address.label == "loudness"
    assert by_name.hash == by_address.hash
    assert by_name.reference == "loudness"
    assert by_address.reference == f"{ROOM}:LOUDNESS"
    for spec in (by_name, by_address):
        embedder = embedders.load(spec, NOWHERE)
        assert embedder.spec == spec
        np.testing.assert_allclose(embedder.embed(np.full(8000, 0.5), 8000), [0.5, 0.5, 0.0])


def test_listing_embedders_imports_none() -> None:
    code = (
        "import sys; from musicflow import embedders; assert 'loudness' in embedders.names();"
        "print({'torch', 'toyflow', 'musicflow.embedders.openl3'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def label_in_worker(name: str) -> Iterator[str]:
    yield embedders.load(embedders.spec_of(name), NOWHERE).spec.label


@pytest.mark.workers
@pytest.mark.parametrize("name", ["loudness", f"{ROOM}:CHANGES"])
def test_the_process_that_embeds_finds_what_its_parent_finds(name: str) -> None:
    [label] = worker.iterate("a worker", label_in_worker, name)
    assert label == embedders.spec_of(name).label


def test_settings_that_name_an_address_know_its_label() -> None:
    settings = Settings(embedders=("mfcc", f"{ROOM}:CHANGES"), hop_s={"changes": 0.25})
    spec = embedders.spec_for("changes", settings)
    assert (spec.address, spec.hop_s) == (f"{ROOM}:CHANGES", 0.25)
    assert [spec.label for spec in embedders.specs_for(settings)] == ["mfcc", "changes"]
    with pytest.raises(EmbedderError, match="no embedder is called 'changes'"):
        embedders.spec_for("changes", Settings())


def test_a_label_that_may_be_of_a_broken_address_says_what_is_wrong_with_that() -> None:
    settings = Settings(embedders=("mfcc", "toyflow.missing:X"))
    with pytest.raises(EmbedderError, match=r"called 'x'.*: the embedder toyflow.missing:X cannot"):
        embedders.spec_for("x", settings)


class Spoken(Embedder):
    """An embedder whose text side is whatever it was given."""

    def __init__(self, vectors: object) -> None:
        self.spec = replace(embedders.spec_of("loudness"), text=True)
        self._vectors = vectors

    def infer(self, windows: np.ndarray) -> Inferred:
        return Inferred(np.zeros((len(windows), 3), np.float32))

    def text(self, texts: Sequence[str]) -> np.ndarray:  # noqa: ARG002
        if isinstance(self._vectors, Exception):
            raise self._vectors
        return self._vectors  # type: ignore[return-value]


def test_a_text_side_gives_one_float32_vector_per_text() -> None:
    found = embedders.infer_text(Spoken([[1, 2, 3], [4, 5, 6]]), ["a", "b"])
    assert (found.dtype, found.tolist()) == (np.float32, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        (np.zeros((1, 4)), r"returned vectors of shape \(1, 4\) for texts instead of \(1, 3\)"),
        (np.zeros(3), "of shape"),
        (None, "of shape"),
        ("rain", "failed on a text with ValueError"),
        (KeyError("rain"), "failed on a text with KeyError"),
    ],
)
def test_a_broken_text_side_is_one_sentence(vectors: object, sentence: str) -> None:
    with pytest.raises(InterfaceError, match=sentence):
        embedders.infer_text(Spoken(vectors), ["a"])


BROKEN = {
    "unusable": "cannot be imported: RuntimeError: no import today",
    "toyflow.missing:X": "No module named 'toyflow.missing'",
    f"{ROOM}:MISSING": "has no attribute 'MISSING'",
    f"{ROOM}:NO_ENTRY": "is a class, not of type EmbedderEntry",
    "alias": "the entry point 'alias' leads to an embedder that is called 'changes'",
    f"{ROOM}:NAMESAKE": "is called 'mfcc', as another is",
    f"{ROOM}:RAISES": "raises cannot be loaded, RuntimeError: the moon is full",
    f"{ROOM}:NO_EMBEDDER": "the function that loads nothing returned a NoneType, not an Embedder",
    f"{ROOM}:NEEDS": "pip install 'toyflow[gpu]'",
    f"{ROOM}:WIDER": "wider returned vectors of shape (4, 4) instead of (4, 3)",
}


@pytest.mark.workers
@pytest.mark.parametrize(("name", "sentence"), BROKEN.items())
def test_a_broken_embedder_is_one_sentence_and_costs_no_other(
    name: str, sentence: str, music: Path, tmp_path: Path
) -> None:
    settings = Settings(embedders=(name, "mfcc"))
    embedders.check_names(settings)
    broken, mfcc = embedders.specs_for(settings)
    assert mfcc.label == "mfcc"
    library = join(music, scan(music, tmp_path / "known"))
    store = EmbeddingStore(tmp_path / "store")
    for own_process in (False, True):
        with pytest.raises(EmbedderError) as caught:
            embed_tracks(library.tracks[:1], broken, store, NOWHERE, own_process=own_process)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(store.unavailable(broken)) == str(caught.value)


def test_what_ships_keeps_its_name() -> None:
    assert embedders.spec_of("mfcc").sample_rate == 22_050


def test_a_name_that_nothing_has_stops_before_anything_is_done() -> None:
    with pytest.raises(EmbedderError, match="no embedder is called 'opnl3'"):
        embedders.check_names(Settings(embedders=("mfcc", "opnl3")))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a+b", "fusion:a", "a.b", "é", "x-untrained"])
def test_a_name_that_no_collection_can_have_is_refused(name: str) -> None:
    with pytest.raises(EmbedderError, match="cannot be called"):
        EmbedderSpec(name, "1", 8000, 3, 0.5, 0.5, "none", "")


def test_a_spec_says_what_a_researcher_asks() -> None:
    musicnn, mfcc = embedders.spec_of("musicnn"), embedders.spec_of("mfcc")
    assert musicnn.licence == "ISC"
    assert musicnn.trained_on.startswith("Million Song Dataset")
    assert musicnn.revision == "musicnn 0.1.0"
    assert (mfcc.licence, mfcc.trained_on, mfcc.revision) == ("", "", "")
    revisions = {name: embedders.spec_of(name).revision for name in embedders.REGISTRY.shipped}
    assert all(revisions[name] for name in revisions if name != "mfcc")


def test_the_install_line_names_the_extra() -> None:
    spec = embedders.spec_of("openl3-tensorflow")
    assert spec.install == "pip install 'musicflow[openl3]'"
