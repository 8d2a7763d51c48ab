"""Looks at embedders from outside: what they find, and who says it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow import embedders
from musicflow.embedders import Embedder, EmbedderSpec, Inferred, looks
from musicflow.evaluation import compare
from musicflow.index import open_index
from musicflow.library import join, scan
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.settings import Settings
from musicflow.store import ALL_TRACKS, EmbeddingStore

SPEC = EmbedderSpec("toy", "1", 8000, 3, 0.5, 0.5, "none", "", address="toys:TOY")


class Toy(Embedder):
    def __init__(self, vectors: Callable[[np.ndarray], Any]) -> None:
        super().__init__(SPEC)
        self._vectors = vectors

    def infer(self, windows: np.ndarray) -> Inferred:
        return Inferred(self._vectors(windows))


def good(windows: np.ndarray) -> np.ndarray:
    return np.stack([windows.mean(1), windows.std(1), np.abs(np.diff(windows)).mean(1)], axis=1)


random = np.random.default_rng(0)

FAULTS: dict[str, Callable[[np.ndarray], Any]] = {
    looks.NOT_REPEATABLE: lambda w: good(w) + random.standard_normal((len(w), 3)),
    looks.BATCH_DEPENDENT: lambda w: good(w) - good(w).mean(0) + 0.1,
}


def test_a_good_embedder_has_no_fault() -> None:
    assert looks.look(Toy(good)) == looks.look_at_sounds(Toy(good)) == []


@pytest.mark.parametrize(("code", "vectors"), FAULTS.items())
def test_a_fault_has_its_code(code: str, vectors: Callable[[np.ndarray], Any]) -> None:
    assert [fault.code for fault in looks.look(Toy(vectors))] == [code]


def test_vectors_that_hardly_differ_are_all_alike() -> None:
    [fault] = looks.look_at_sounds(Toy(lambda windows: good(windows) + 100))
    assert fault.code == looks.ALL_ALIKE


@pytest.mark.parametrize(("mean", "count", "found"), [(0.98, 9, 0), (0.995, 9, 1), (0.995, 2, 0)])
def test_the_spread_of_a_collection_tells_the_mean_cosine(
    mean: float, count: int, found: int
) -> None:
    spread = 1 - (1 + (count - 1) * mean) / count
    assert len(looks.look_at_spread(spread, count)) == found


def test_sounds_differ_and_fill_a_window() -> None:
    sounds = looks.sounds(SPEC)
    assert sounds.shape == (4, 4000)
    assert (np.abs(sounds).max(1) > 0.1).all()
    assert np.abs(sounds).max() <= 1


def test_what_ships_is_trusted() -> None:
    assert not looks.is_from_outside(embedders.spec_of("mfcc"))
    assert looks.is_from_outside(SPEC)


MODULE = """
import numpy as np
import torch

class Model:
    sample_rate = 8_000
    scene_embedding_size = 3

def load_model(path=""):
    return Model()

def get_scene_embeddings(audio, model):
    drawn = torch.from_numpy(np.random.default_rng().standard_normal((len(audio), 3)))
    return 20 + drawn
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "site" / "drawn_hear.py").write_text(MODULE)
    from musicflow.embedders.adapters import hear

    monkeypatch.setattr(hear, "_facts_of", lambda name: next(hear._look(name)))
    yield
    sys.modules.pop("drawn_hear", None)


@pytest.mark.usefixtures("module")
def test_the_row_and_a_problem_say_what_the_first_look_found(music: Path, tmp_path: Path) -> None:
    settings = Settings(embedders=("x=hear:drawn_hear", "mfcc"))
    specs = embedders.specs_for(settings)
    library = join(music, scan(music, tmp_path / "known"))
    store, index = EmbeddingStore(tmp_path / "store"), open_index(settings)
    for spec in specs:
        assert store.faults(spec) is None
        done = embed_tracks(library.tracks, spec, store, settings.cache)
        build_collection(library.tracks, spec, store, index)
    comparison = compare(library, specs, store, index)
    rows = {row.embedder: row for row in comparison.rows}
    assert rows["x"].faults == (looks.NOT_REPEATABLE, looks.ALL_ALIKE)
    assert rows["mfcc"].faults == ()
    said = [p for p in comparison.problems if p.subject == ALL_TRACKS]
    assert tuple(problem.code for problem in said) == rows["x"].faults
    assert {(problem.stage, problem.severity) for problem in said} == {("x", "warning")}
    assert not done.problems


def test_code_that_ran_is_said() -> None:
    spec = replace(SPEC, address="x=hub:someone/odd?trust_remote_code#3")
    assert [fault.code for fault in looks.look_at_code(spec)] == [looks.REMOTE_CODE]
    assert looks.look_at_code(SPEC) == []
