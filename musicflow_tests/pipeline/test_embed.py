import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from musicflow import audio, embedders, worker
from musicflow.audio import Limits
from musicflow.embedders import coverage, mfcc
from musicflow.index import EmbeddedIndex
from musicflow.library import Library, Track, join, scan
from musicflow.pipeline import Embedded, build_collection, decode, embed_tracks, infer, to_embed
from musicflow.store import EmbeddingStore
from musicflow.worker import WorkerError
from musicflow_tests.conftest import noise, tone

SPEC = mfcc.SPEC
Write = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "embeddings")


def read(root: Path, tmp_path: Path) -> Library:
    return join(root, scan(root, tmp_path / "known"))


def embed(tracks: tuple[Track, ...], store: EmbeddingStore) -> Embedded:
    return embed_tracks(tracks, SPEC, store, Path("unused"))


def test_vectors_equal_those_of_the_embedder_alone(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    library = read(music, tmp_path)
    done = embed(library.tracks, store)
    assert (done.embedded, done.current, done.problems) == (12, 0, ())
    alone = embedders.load(SPEC, Path("unused"))
    rows = store.read(SPEC)
    for track in library.tracks:
        expected = alone.embed(track.path)
        np.testing.assert_allclose(rows[track.content_hash].vector, expected, rtol=1e-5, atol=1e-5)


def test_a_second_pass_loads_no_model_and_decodes_nothing(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "tones" / "silent.wav").write_bytes(b"")
    soundfile.write(music / "tones" / "silent.wav", np.zeros(22_050), 22_050)
    library = read(music, tmp_path)
    first = embed(library.tracks, store)
    monkeypatch.setattr(embedders, "load", None)
    monkeypatch.setattr(audio, "stream", None)
    second = embed(library.tracks, store)
    assert (second.embedded, second.current) == (0, 13)
    assert second.problems == first.problems != ()


@pytest.mark.workers
@pytest.mark.parametrize("window_s", [SPEC.window_s, 0.5])
@pytest.mark.parametrize("lanes", [1, 3])
def test_tracks_come_in_their_order_however_many_lanes_decode(
    music: Path, tmp_path: Path, write: Write, lanes: int, window_s: float
) -> None:
    # Many short windows come together, the last one of a track is shorter.
    spec = replace(SPEC, window_s=window_s, hop_s=0.8 * window_s, tail="keep", min_s=0.0)
    write("tones/long.wav", tone(440, 70.0))
    (music / "tones" / "broken.wav").write_bytes(b"RIFF")
    tracks = read(music, tmp_path).tracks
    broken = replace(tracks[3], path=str(music / "tones" / "broken.wav"))
    gone = replace(tracks[4], path=str(music / "gone.wav"))
    tracks = (*tracks[:3], broken, gone, *tracks[5:])
    expected = [
        (number, item)
        for number, track in enumerate(tracks)
        for item in decode.decode(track, spec, Limits())
    ]
    found = list(decode.Feed(tracks, spec, Limits(), lanes))
    assert [number for number, _ in found] == [number for number, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        if isinstance(one, decode.Decoded):
            assert replace(one, decode_s=0.0) == replace(other, decode_s=0.0)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.workers
def test_an_end_in_the_middle_ends_all_lanes(music: Path, tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    for _ in decode.Feed(read(music, tmp_path).tracks, SPEC, Limits(), 3):
        break
    assert not [thread for thread in threading.enumerate() if thread.name == "decoding"]
    assert set(psutil.Process().children()) <= before


def crashing(tracks: list[Track], *_: object) -> Iterator[decode.Decoded]:
    """Decode nothing; crash, hang or be killed at tracks that are called so."""
    for number, track in enumerate(tracks):
        worker.begin(number)
        match track.track_id:
            case "crash":
                os.abort()
            case "hang":
                time.sleep(60)
            case "kill":
                os.kill(os.getpid(), 9)
        with worker.waiting():
            yield decode.Decoded(1.0, 0.5)


@pytest.mark.workers
def test_a_file_that_ends_its_decoder_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_decode_each", crashing)
    names = ["a", "crash", "b", "c", "crash", "d", "hang", "e", "f"]
    tracks = [Track(name, name, name, 1.0, 8_000) for name in names]
    feed = decode.Feed(tracks, SPEC, Limits(timeout_s=1.0), 2)
    found = [
        (names[number], item.code) for number, item in feed if isinstance(item, decode.Decoded)
    ]
    codes = {"crash": "crashed", "hang": "timeout"}
    assert found == [(name, codes.get(name, "")) for name in names]
    assert feed.apart_s == 6 * 0.5


@pytest.mark.workers
def test_a_decoder_that_others_kill_ends_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_decode_each", crashing)
    tracks = [Track(name, name, name, 1.0, 8_000) for name in ("a", "kill", "b")]
    with pytest.raises(WorkerError, match="the decoder was killed"):
        list(decode.Feed(tracks, SPEC, Limits(), 2))


@pytest.mark.workers
def test_vectors_and_costs_are_whole_where_processes_decode(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = read(music, tmp_path)
    alone = {track: row.vector for track, row in embed(library.tracks, store).rows.items()}
    monkeypatch.setattr(infer, "_lanes", lambda *_: 3)
    again = embed(library.tracks, EmbeddingStore(tmp_path / "again")).rows
    assert all(np.array_equal(row.vector, alone[track]) for track, row in again.items())
    assert sum(row.cpu_s for row in again.values()) > sum(row.decode_s for row in again.values())


def test_the_same_content_is_embedded_once(
    music: Path, tmp_path: Path, store: EmbeddingStore, write: Write
) -> None:
    write("copies/0.wav", tone(220))
    library = read(music, tmp_path)
    assert len(library.tracks) == 13
    assert len(to_embed(library.tracks, SPEC, store)) == 12
    assert embed(library.tracks, store).embedded == 12


def test_a_moved_file_keeps_its_vector(music: Path, tmp_path: Path, store: EmbeddingStore) -> None:
    embed(read(music, tmp_path).tracks, store)
    (music / "tones" / "0.wav").rename(music / "noises" / "new name.wav")
    assert embed(read(music, tmp_path).tracks, store).embedded == 0


def test_bad_files_cost_a_row_each_and_say_why(
    music: Path, tmp_path: Path, store: EmbeddingStore, write: Write
) -> None:
    write("bad/silent.wav", np.zeros(22_050 * 2))
    write("bad/short.wav", tone(440, 0.3))
    cut = write("bad/cut.flac", noise(50, 10.0))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    library = read(music, tmp_path)
    done = embed(library.tracks, store)
    problems = {problem.subject: problem for problem in done.problems}
    assert problems.keys() == {"bad/silent.wav", "bad/short.wav", "bad/cut.flac"}
    assert problems["bad/silent.wav"].reason.startswith("silent")
    assert problems["bad/cut.flac"].reason.startswith("cut off")
    codes = {subject: (problem.severity, problem.code) for subject, problem in problems.items()}
    assert codes == {
        "bad/silent.wav": ("error", "silent"),
        "bad/cut.flac": ("error", "truncated"),
        "bad/short.wav": ("note", "short"),
    }
    assert "padded" in problems["bad/short.wav"].reason
    index = EmbeddedIndex(tmp_path / "collections")
    manifest = build_collection(library.tracks, SPEC, store, index)
    assert manifest.count == 13
    with index.open("mfcc") as collection:
        assert set(collection.facet("genre")) == {"tones", "noises", "bad"}


def test_a_file_gone_for_now_is_reported_and_tried_again(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    library = read(music, tmp_path)
    away = (music / "tones" / "0.wav").rename(tmp_path / "away.wav")
    done = embed(library.tracks, store)
    assert [problem.subject for problem in done.problems] == ["tones/0.wav"]
    assert done.embedded == 11
    away.rename(music / "tones" / "0.wav")
    assert embed(library.tracks, store).embedded == 1


def test_what_was_embedded_before_a_failure_is_kept(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = read(music, tmp_path)
    monkeypatch.setattr(infer, "_SAVE_EVERY_S", 0.0)
    whole = mfcc.Mfcc.infer
    calls = iter(range(100))

    def failing(self: mfcc.Mfcc, windows: np.ndarray) -> embedders.Inferred:
        if next(calls) == 1:
            raise RuntimeError("out of memory")
        return whole(self, windows)

    monkeypatch.setattr(mfcc.Mfcc, "infer", failing)
    monkeypatch.setattr(mfcc.Mfcc, "batch_size", 4)
    with pytest.raises(embedders.EmbedderError, match="out of memory"):
        embed(library.tracks, store)
    assert len(store.read(SPEC)) == 4
    assert not [thread for thread in threading.enumerate() if thread.name == "decoding"]
    assert embed(library.tracks, store).embedded == 8


def test_a_long_track_never_waits_in_memory_as_a_whole(
    tmp_path: Path, store: EmbeddingStore, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("long/mix.wav", noise(0, 120.0, rate=8000), rate=8000)
    library = read(path.parents[1], tmp_path)
    monkeypatch.setattr(decode, "_QUEUED_SAMPLES", SPEC.window_samples)
    waiting = []
    real = coverage.windows_of

    def watched(blocks: Iterator[np.ndarray], spec: embedders.EmbedderSpec) -> Iterator[np.ndarray]:
        for window in real(blocks, spec):
            waiting.append(len(window))
            yield window

    monkeypatch.setattr(coverage, "windows_of", watched)
    assert embed(library.tracks, store).embedded == 1
    assert waiting == [SPEC.window_samples] * 4
    [row] = store.read(SPEC).values()
    assert row.audio_s == pytest.approx(120.0, abs=0.01)


def test_timings_and_memory_are_kept_with_each_track(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    embed(read(music, tmp_path).tracks, store)
    for row in store.read(SPEC).values():
        assert row.audio_s == pytest.approx(2.0, abs=0.01)
        assert row.decode_s > 0
        assert row.embed_s > 0
        assert row.wall_s > 0
        assert row.peak_rss_mb > 50
        assert row.device in ("cpu", "cuda")


def test_loading_the_model_is_told_apart_from_what_the_tracks_took(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = embedders.load

    def slow(spec: embedders.EmbedderSpec, cache: Path) -> embedders.Embedder:
        time.sleep(0.5)
        return load(spec, cache)

    monkeypatch.setattr(embedders, "load", slow)
    tracks = read(music, tmp_path).tracks
    start = time.perf_counter()
    embed(tracks, store)
    whole = time.perf_counter() - start
    rows = store.read(SPEC).values()
    [load_s] = {row.load_s for row in rows}
    assert 0.5 <= load_s < whole
    assert sum(row.wall_s for row in rows) < whole - load_s
    assert 0 < sum(row.cpu_s for row in rows) <= whole * (os.cpu_count() or 1)
    if sys.platform == "linux":
        assert all(row.asked_s >= row.cpu_s * 0.9 for row in rows)


@pytest.mark.workers
def test_a_process_of_its_own_comes_to_the_same_and_shows_each_track(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    tracks = read(music, tmp_path).tracks
    (music / "tones" / "0.wav").unlink()
    here = embed(tracks, EmbeddingStore(tmp_path / "here"))
    shown = []

    def progress(items: Iterable, title: str, total: int) -> Iterator:
        for item in items:
            yield item
            shown.append((title, total))

    done = embed_tracks(tracks, SPEC, store, Path("unused"), progress, own_process=True)
    assert shown == [("Embedding, mfcc", 12)] * 12
    assert (done.embedded, done.problems) == (here.embedded, here.problems)
    assert [problem.subject for problem in done.problems] == ["tones/0.wav"]
    assert done.rows.keys() == here.rows.keys()
    for key, row in done.rows.items():
        np.testing.assert_array_equal(row.vector, here.rows[key].vector)
        assert row.load_s > 0


CRASHING = """
import ctypes, os, time
from musicflow import audio
iterate = audio.Decoding.__iter__
def crash(): ctypes.string_at(0)
def crashing(decoding):
    yield from iterate(decoding)
    if decoding.path.stem == "evil":
        time.sleep(60) if os.environ["EVIL"] == "hang" else crash()
audio.Decoding.__iter__ = crashing
os.cpu_count = lambda: 4 * int(os.environ.get("LANES", "1"))
if os.environ["EVIL"] == "model":
    from musicflow.embedders.mfcc import Mfcc
    Mfcc.infer = lambda *_: crash()
"""
"""What a child runs before it begins: reading from nowhere stops the thread that does it at once.

A signal sent to the process would let it go on for a moment, to the next file.
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("EVIL", "file")
    return monkeypatch


@pytest.mark.workers
@pytest.mark.slow
def test_a_file_that_crashes_its_decoder_fails_alone_and_is_not_tried_again(
    music: Path, write: Write, tmp_path: Path, store: EmbeddingStore, evil: pytest.MonkeyPatch
) -> None:
    """Also where several are decoded at once."""
    evil.setenv("LANES", "3")
    for genre in ("noises", "tones"):
        write(f"{genre}/evil.wav", noise(100 + len(genre)))
    tracks = read(music, tmp_path).tracks
    (music / "tones" / "1.wav").unlink()
    log = tmp_path / "decoding.log"
    done = embed_tracks(tracks, SPEC, store, Path("unused"), own_process=True, log=log)
    said = {problem.subject: problem.reason for problem in done.problems}
    assert said.keys() == {"noises/evil.wav", "tones/1.wav", "tones/evil.wav"}
    assert len(done.problems) == 3
    assert said["tones/evil.wav"] == "cannot be decoded: the decoder crashed (SIGSEGV)"
    assert sum(row.vector is not None for row in done.rows.values()) == 11
    assert {row.code for row in done.rows.values() if row.error} == {"crashed"}
    assert [track.track_id for track in to_embed(tracks, SPEC, store)] == ["tones/1.wav"]
    named = [line[20:] for line in log.read_text().splitlines() if line[0] != " "]
    assert sorted(named) == ["noises/evil.wav", "tones/evil.wav"]


@pytest.mark.workers
@pytest.mark.slow
def test_a_file_that_takes_too_long_fails_alone(
    music: Path, write: Write, tmp_path: Path, store: EmbeddingStore, evil: pytest.MonkeyPatch
) -> None:
    evil.setenv("EVIL", "hang")
    write("noises/evil.wav", noise(100))
    tracks = read(music, tmp_path).tracks
    limits = Limits(timeout_s=1.0)
    done = embed_tracks(tracks, SPEC, store, Path("unused"), own_process=True, limits=limits)
    [problem] = done.problems
    assert problem.subject == "noises/evil.wav"
    assert problem.reason == "cannot be decoded: the decoder took longer than 1 s"
    assert {row.code for row in done.rows.values() if row.error} == {"timeout"}
    assert sum(row.vector is not None for row in done.rows.values()) == 12


@pytest.mark.workers
def test_where_not_a_file_but_the_model_crashes_its_process_no_file_is_blamed(
    music: Path, tmp_path: Path, store: EmbeddingStore, evil: pytest.MonkeyPatch
) -> None:
    evil.setenv("EVIL", "model")
    tracks = read(music, tmp_path).tracks
    with pytest.raises(WorkerError, match=r"mfcc crashed \(SIGSEGV\). All finished work is kept"):
        embed_tracks(tracks, SPEC, store, Path("unused"), own_process=True)
    assert store.known(SPEC) == {}


@pytest.mark.workers
def test_with_nothing_to_do_no_process_is_started(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = read(music, tmp_path).tracks
    embed(tracks, store)
    monkeypatch.setattr(subprocess, "Popen", None)
    done = embed_tracks(tracks, SPEC, store, Path("unused"), own_process=True)
    assert (done.embedded, done.current) == (0, 12)


@pytest.mark.workers
@pytest.mark.parametrize("digest", ["0" * 64, hashlib.sha256(b"no weights").hexdigest()])
def test_why_an_embedder_cannot_be_had_is_kept(
    music: Path, tmp_path: Path, store: EmbeddingStore, digest: str
) -> None:
    """A wrong file is found out before a process is started, a wrong content only inside it."""
    tracks = read(music, tmp_path).tracks
    spec = embedders.spec_of("openl3")
    assert spec.weights is not None
    spec = replace(spec, weights=replace(spec.weights, digest=f"sha256:{digest}"))
    (tmp_path / spec.weights.filename).write_bytes(b"no weights")
    with pytest.raises(embedders.WeightsError) as caught:
        embed_tracks(tracks, spec, store, tmp_path, own_process=True)
    assert spec.weights.filename in str(caught.value)
    kept = store.unavailable(spec)
    assert kept is not None
    assert (str(kept), kept.code) == (str(caught.value), caught.value.code)


def test_an_embedder_that_can_be_had_again_is_no_longer_called_unavailable(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    store.set_unavailable(SPEC, embedders.WeightsError("on the moon"))
    embed(read(music, tmp_path).tracks, store)
    assert store.unavailable(SPEC) is None


def test_an_unchanged_collection_is_not_built_again_and_a_relabelled_one_is(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    index = EmbeddedIndex(tmp_path / "collections")
    library = read(music, tmp_path)
    embed(library.tracks, store)
    build_collection(library.tracks, SPEC, store, index)
    version = (index.root / "mfcc" / "CURRENT").read_text()
    build_collection(library.tracks, SPEC, store, index)
    assert (index.root / "mfcc" / "CURRENT").read_text() == version
    (music / "tones").rename(music / "sines")
    build_collection(read(music, tmp_path).tracks, SPEC, store, index)
    with index.open("mfcc") as collection:
        assert collection.facet("genre") == {"noises": 6, "sines": 6}


def test_a_deleted_track_leaves_no_ghost(
    music: Path, tmp_path: Path, store: EmbeddingStore
) -> None:
    index = EmbeddedIndex(tmp_path / "collections")
    embed(read(music, tmp_path).tracks, store)
    build_collection(read(music, tmp_path).tracks, SPEC, store, index)
    (music / "tones" / "0.wav").unlink()
    build_collection(read(music, tmp_path).tracks, SPEC, store, index)
    with index.open("mfcc") as collection:
        assert collection.count() == 11
        with pytest.raises(KeyError):
            collection.payload("tones/0.wav")


def test_the_whole_batch_reaches_the_model_dense(
    music: Path, tmp_path: Path, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    whole = mfcc.Mfcc.infer

    def counting(self: mfcc.Mfcc, windows: np.ndarray) -> embedders.Inferred:
        sizes.append(len(windows))
        return whole(self, windows)

    monkeypatch.setattr(mfcc.Mfcc, "infer", counting)
    embed(read(music, tmp_path).tracks, store)
    assert sizes == [8, 4]


@pytest.mark.workers
def test_a_forked_worker_gives_the_same_vectors_to_the_last_bit(
    music: Path, tmp_path: Path
) -> None:
    spec = embedders.untrained(embedders.spec_of("musicnn"))
    tracks = read(music, tmp_path).tracks[:3]
    found = []
    for name, modules in {"started": (), "forked": ("musicflow.pipeline.infer",)}.items():
        store = EmbeddingStore(tmp_path / name)
        with worker.forking(modules, ("torch",)):
            embed_tracks(tracks, spec, store, Path("unused"), own_process=True)
        rows = store.read(spec)
        found.append(np.stack([rows[track.content_hash].vector for track in tracks]))
    np.testing.assert_array_equal(*found)
