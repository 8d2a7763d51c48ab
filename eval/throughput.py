"""Tracks per hour, from file to vector: full-length stereo MP3s, heard whole and in part.

Songs of four minutes are joined from the music of a folder and kept as MP3 at 192 kbit/s. Each
embedder embeds them all, whole and in part by turns, in workers as `musicflow run` does; loading is
left out. Beside it each package, as `speed.py` calls it, takes the first few of the same files,
read by librosa at its rate. Writes ``results/throughput.md``: medians over the rounds.

    python eval/throughput.py genre_clips
    python eval/throughput.py genre_clips --songs 8 --rounds 1 --only musicnn --only mfcc
"""

import argparse
import dataclasses
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import av
import numpy as np
from machine import machine
from speed import PEERS, prepare

from musicflow import audio, embedders
from musicflow.embedders import EmbedderSpec
from musicflow.library import Track
from musicflow.pipeline import embed_tracks
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore

RATE = 44_100
SONG_S = 240
NAMES = ("musicnn", "openl3", "panns", "wav2vec2", "mfcc")


def main() -> None:
    """Make the songs, embed them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("music", type=Path, help="a folder of music of any length")
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--coverage", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=int, default=2, help="songs that the packages take")
    parser.add_argument("--only", action="append", choices=NAMES)
    options = parser.parse_args()
    names = options.only or NAMES
    with tempfile.TemporaryDirectory() as folder:
        tracks = songs(options.music, Path(folder), options.songs)
        beside = tracks[: options.beside]
        rows = [_row(name, tracks, beside, options.coverage, options.rounds) for name in names]
    heard = f"{options.coverage:g} s"
    text = "\n".join(
        [
            "# Tracks per hour",
            "",
            f"`python eval/throughput.py {options.music.name} --songs {options.songs} --rounds "
            f"{options.rounds}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            f"{options.songs} stereo MP3s of {SONG_S} s, from file to vector, medians of "
            f"{options.rounds} rounds; {heard} are spread evenly over each song. The package took "
            f"{len(beside)} of the songs, whole.",
            "",
            f"| embedder | weights | its package | whole | ratio | {heard} | to whole | CPU s "
            f"a song, whole | {heard} | MB, whole | {heard} |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "throughput.md").write_text(text)
    print(text)


def songs(music: Path, folder: Path, count: int) -> list[Track]:
    """Join music to songs, the second channel a little later and softer than the first."""
    paths = sorted(p for p in music.rglob("*") if p.suffix.lower() in audio.AUDIO_SUFFIXES)
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_song, paths, folder), range(count)))


def _song(paths: Sequence[Path], folder: Path, number: int) -> Track:
    order = np.random.default_rng(number).permutation(len(paths)).tolist()
    parts: list[np.ndarray] = []
    for row in itertools.cycle(order):
        parts.append(audio.decode(paths[row], RATE))
        if sum(map(len, parts)) >= SONG_S * RATE:
            break
    song = np.concatenate(parts)[: SONG_S * RATE]
    path = folder / f"{number}.mp3"
    write(path, np.stack([song, 0.8 * np.roll(song, 300)]).astype(np.float32))
    return track_of(path)


def track_of(path: Path) -> Track:
    """Look at a file, and return it as a track."""
    info = audio.examine(path)
    about = info.audio_hash, info.duration_s, info.sample_rate
    return Track(path.name, str(path), *about, marks=info.marks)


def write(path: Path, song: np.ndarray) -> None:
    """Write a song of two channels, shape ``(2, n)``, as MP3 at 192 kbit/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(song, "fltp", "stereo")
        frame.sample_rate = RATE
        for part in (frame, None):
            container.mux(stream.encode(part))


def _row(
    name: str, tracks: Sequence[Track], beside: Sequence[Track], coverage: float, rounds: int
) -> str:
    spec = spec_of(name)
    package = _package_s(spec, beside)
    both = spec, dataclasses.replace(spec, coverage_s=coverage)
    measured = [[_measured(one, tracks) for one in both] for _ in range(rounds)]
    medians = [
        [statistics.median(run[side][figure] for run in measured) for side in range(2)]
        for figure in range(3)
    ]
    (whole, part), cpu, memory = medians
    figures = [
        f"{3600 / package:,.0f}" if package else "",
        f"{3600 / whole:,.0f}",
        f"{package / whole:.1f}" if package else "",
        f"{3600 / part:,.0f}",
        f"{whole / part:.1f}",
        *(f"{seconds:.2f}" for seconds in cpu),
        *(f"{megabytes:.0f}" for megabytes in memory),
    ]
    return f"| {name} | {spec.weights_state} | {' | '.join(figures)} |"


def spec_of(name: str) -> EmbedderSpec:
    """Return an embedder's spec, untrained where its weights are not at hand."""
    spec = embedders.spec_of(name)
    missing = spec.weights is not None and spec.weights.state(Settings().cache) == "missing"
    return embedders.untrained(spec) if missing else spec


def rows_of(spec: EmbedderSpec, tracks: Sequence[Track]) -> list[Embedding]:
    """Embed tracks in a worker, and return the store's rows in the order of the tracks."""
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder))
        done = embed_tracks(tracks, spec, store, Settings().cache, own_process=True)
        # Vectors are read when they are asked for, and the folder goes.
        rows = [done.rows[track.content_hash] for track in tracks]
    assert all(row.vector is not None for row in rows), done.problems
    return rows


def _package_s(spec: EmbedderSpec, tracks: Sequence[Track]) -> float | None:
    """Seconds a song of the upstream package; None where there is none, or it is not installed."""
    if spec.name not in PEERS:
        return None
    # A process of its own: TensorFlow beside torch is trouble enough with one model of each.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_seconds_of_package, spec, tracks).result()


def _seconds_of_package(spec: EmbedderSpec, tracks: Sequence[Track]) -> float | None:
    import librosa

    peer = PEERS[spec.name]
    if prepare(peer):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        upstream = peer.sides(spec, Settings().cache, Path(scratch)).upstream
        upstream(np.zeros(30 * spec.sample_rate, np.float32))
        seconds = []
        for track in tracks:
            start = time.perf_counter()
            clip, _ = librosa.load(track.path, sr=spec.sample_rate, mono=True)
            upstream(clip)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _measured(spec: EmbedderSpec, tracks: Sequence[Track]) -> tuple[float, float, float]:
    """Seconds and processor time a song, and the most megabytes held."""
    rows = rows_of(spec, tracks)
    return (
        statistics.mean(row.wall_s for row in rows),
        statistics.mean(row.cpu_s for row in rows),
        max(row.peak_rss_mb for row in rows),
    )


if __name__ == "__main__":
    main()
