"""Many short files: made-up ones of 0.75 s, looked at and embedded with mfcc.

Writes ``results/short.md``. Each file is a tone of its own with noise, 16 kHz, mono, WAV.

    python eval/short.py --files 100000
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile
from machine import machine
from throughput import track_of

from musicflow import embedders
from musicflow.pipeline import embed_tracks
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore

RATE, SAMPLES = 16_000, 12_000


def main() -> None:
    """Make the files, look at them, embed them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        paths = list(_files(Path(folder), count))
        start = time.perf_counter()
        with ProcessPoolExecutor() as pool:
            tracks = list(pool.map(track_of, paths, chunksize=100))
        looked = time.perf_counter()
        store = EmbeddingStore(Path(folder, "vectors"))
        spec = embedders.spec_of("mfcc")
        done = embed_tracks(tracks, spec, store, Settings().cache, own_process=True)
        embedded = time.perf_counter()
        # Rows are read when they are asked for, and the folder goes.
        rows = done.rows.values()
        assert len(rows) == count, done.problems
        busy_ms = 1000 * sum(row.cpu_s for row in rows) / count
        memory = max(row.peak_rss_mb for row in rows)
    text = "\n".join(
        [
            "# Many short files",
            "",
            f"`python eval/short.py --files {count}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}, "
            f"load {os.getloadavg()[1]:.0f}.",
            "",
            f"{count:,} files of {SAMPLES / RATE:g} s.",
            "",
            "| looked at, s | embedded with mfcc, s | CPU ms a file | MB |",
            "|---|---|---|---|",
            f"| {looked - start:.0f} | {embedded - looked:.0f} | {busy_ms:.1f} | {memory:.0f} |",
            "",
        ]
    )
    (Path(__file__).parent / "results" / "short.md").write_text(text)
    print(text)


def _files(folder: Path, count: int) -> Iterator[Path]:
    random, times = np.random.default_rng(0), np.arange(SAMPLES) / RATE
    noise = 0.1 * random.standard_normal(20 * SAMPLES)
    for number in range(count):
        at = random.integers(len(noise) - SAMPLES)
        tone = 0.3 * np.sin(2 * np.pi * (100 + 0.03 * number) * times)
        path = folder / f"{number // 1000}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone + noise[at : at + SAMPLES], RATE)
        yield path


if __name__ == "__main__":
    main()
