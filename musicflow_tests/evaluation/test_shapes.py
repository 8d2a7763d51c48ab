"""The same music in another shape has the same figures."""

from collections.abc import Callable
from pathlib import Path

import pytest

from musicflow.embedders import mfcc
from musicflow.evaluation import compare
from musicflow.evaluation.metrics import MAIN
from musicflow.index import EmbeddedIndex
from musicflow.library import Library, join, scan
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.store import EmbeddingStore
from musicflow_tests.conftest import noise, tone
from musicflow_tests.library.shapes import SHAPES, lay_out


def figures(library: Library, store: EmbeddingStore, folder: Path) -> tuple[int, float]:
    """Return the number of tracks that had to be embedded, and the precision at 10."""
    index = EmbeddedIndex(folder)
    embedded = embed_tracks(library.tracks, mfcc.SPEC, store, Path("unused")).embedded
    build_collection(library.tracks, mfcc.SPEC, store, index)
    value = compare(library, [mfcc.SPEC], store, index).rows[0].value(MAIN)
    assert value is not None
    return embedded, value


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_music_in_another_shape_has_the_same_figures_without_embedding(
    shape: str, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shape == "beets":
        monkeypatch.setenv("BEETSDIR", str(tmp_path / "beetsdir"))
        pytest.importorskip("beets")
    for number in range(8):
        # Some of each are like the other, so that the figure is no round number.
        write(f"blues/{number}.wav", tone(220 + 20 * number) + (number % 3 == 0) * noise(number))
        write(f"jazz/{number}.wav", noise(90 + number) + (number % 4 == 0) * tone(300 + number))
    root, store = tmp_path / "music", EmbeddingStore(tmp_path / "embeddings")
    folders = join(root, scan(root, tmp_path / "known"))
    embedded, before = figures(folders, store, tmp_path / "before")
    assert (embedded, folders.format) == (16, "folders")
    assert before < 1
    music = {Path(track.path): track.genre for track in folders.tracks}
    lay_out(shape, music, tmp_path / "other")
    library = join(tmp_path / "other", scan(tmp_path / "other", tmp_path / "known other"))
    assert (library.format, len(library.tracks)) == (shape, 16)
    assert figures(library, store, tmp_path / "after") == (0, before)
