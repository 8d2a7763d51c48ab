"""Deformed tracks: each embedded once, a broken file left out, and what a run says of them."""

from pathlib import Path

import numpy as np
import pytest

from musicflow import audio, embedders, extras
from musicflow.audio.deformations import DEFORMATIONS, RATE
from musicflow.embedders import mfcc
from musicflow.evaluation import Comparison, report
from musicflow.evaluation.stress import PLAIN
from musicflow.index import open_index
from musicflow.library import Library, read_library
from musicflow.pipeline import build_collection, embed_tracks, evaluate, stress
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore


@pytest.fixture
def settings(music: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(extras, "are_installed", lambda *_: False)
    return Settings(library=music, embedders=("mfcc",), stress=4, evaluate="always")


@pytest.fixture
def library(settings: Settings) -> Library:
    return read_library(settings)


def test_tracks_are_drawn_by_their_content_so_that_growth_changes_few(library: Library) -> None:
    drawn = stress.tracks_to_deform(library.tracks, 4)
    assert len(drawn) == 4
    assert [track.track_id for track in drawn] == sorted(track.track_id for track in drawn)
    fewer = stress.tracks_to_deform(library.tracks[1:], 4)
    assert len({t.track_id for t in drawn} & {t.track_id for t in fewer}) >= 3


def test_the_middle_of_a_long_track_is_heard_and_a_short_one_whole(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, limits = library.tracks[0], audio.Limits()
    whole = stress.middle_of(track, limits)
    assert len(whole) == pytest.approx(2 * RATE, abs=2)
    monkeypatch.setattr(stress, "HEARD_S", 0.5)
    middle = stress.middle_of(track, limits)
    start = round(track.duration_s * RATE / 2 - len(middle) / 2)
    np.testing.assert_allclose(middle, whole[start : start + len(middle)], atol=1e-4)


def test_a_run_with_stress_embeds_each_deformation_once_and_tells_of_it(
    settings: Settings, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = stress.tracks_to_deform(library.tracks, settings.stress)
    made = stress.deformed_vectors(drawn, mfcc.SPEC, settings)
    assert made.track_ids == tuple(track.track_id for track in drawn)
    assert list(made.vectors) == [PLAIN, *DEFORMATIONS]
    embedder = embedders.load(mfcc.SPEC, Path("unused"))
    sound = audio.decode(Path(drawn[0].path), RATE)
    quieter = embedder.embed(DEFORMATIONS["gain-12"][1](sound), RATE)
    np.testing.assert_allclose(made.vectors["gain-12"][0], quieter, rtol=1e-4, atol=1e-4)
    # Nothing is left to embed, so no worker is started.
    monkeypatch.setattr(stress.worker, "iterate", None)
    store, index = EmbeddingStore(settings.paths.embeddings), open_index(settings)
    embed_tracks(library.tracks, mfcc.SPEC, store, settings.cache)
    build_collection(library.tracks, mfcc.SPEC, store, index)
    monkeypatch.setattr(evaluate, "_lay_out", lambda *_: None)
    comparison = evaluate.evaluate_library(library, [mfcc.SPEC], store, index, settings)
    [row] = [row for row in comparison.rows if row.embedder == "mfcc"]
    assert [one.deformation for one in row.stressed] == list(DEFORMATIONS)
    assert {one.queries for one in row.stressed} == {4}
    assert Comparison.load(settings.paths.reports / evaluate.MEASURED) == comparison
    text = report.markdown(comparison)
    assert "## Deformed queries" in text
    assert f"| mfcc | 12 dB quieter | {row.stressed[4].before.value:.3f} → " in text


def test_a_file_that_cannot_be_read_is_left_out(settings: Settings, library: Library) -> None:
    Path(library.tracks[0].path).write_bytes(b"RIFF")
    made = stress.deformed_vectors(library.tracks[:2], mfcc.SPEC, settings)
    assert made.track_ids == (library.tracks[1].track_id,)
    assert stress.deformed_vectors(library.tracks[:1], mfcc.SPEC, settings).track_ids == ()
