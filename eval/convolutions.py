"""Convolutions by Winograd beside torch's own, in bfloat16: OpenL3 and PANNs, seeded.

Batches of noise, in turns; alone, and while a thread of the same process decodes, as in a pass.
Writes ``results/convolutions.md``. On a processor with AMX torch's own are taken.

    python eval/convolutions.py
"""

import argparse
import dataclasses
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine
from throughput import RATE, SONG_S, write

from musicflow import audio, embedders
from musicflow.embedders import Embedder
from musicflow.kernels import processor

NAMES = ("openl3", "panns")
KINDS = ("Winograd", "torch")


def main() -> None:
    """Embed in turns, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        song = _song(Path(folder, "song.mp3"))
        for name in NAMES:
            models = {kind: _loaded(name, kind) for kind in KINDS}
            rows.append(_row(f"{name}, alone", models, rounds))
            with _decoding(song):
                rows.append(_row(f"{name}, beside a decoder", models, rounds))
    text = "\n".join(
        [
            "# Convolutions in bfloat16",
            "",
            f"`python eval/convolutions.py --rounds {rounds}`, {datetime.now(UTC):%Y-%m-%d}, "
            f"{machine()}, {'with' if processor.has_tiles() else 'without'} AMX. Medians "
            "of seconds per batch, in turns.",
            "",
            "| embedder | Winograd | torch | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "convolutions.md").write_text(text)
    print(text)


def _song(path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, SONG_S * RATE), np.float32)
    write(path, noise)
    return path


def _loaded(name: str, kind: str) -> Embedder:
    before = processor.has_tiles
    processor.has_tiles = lambda: kind == "torch"
    try:
        spec = dataclasses.replace(embedders.spec_of(name), precision="bf16", device="cpu")
        return embedders.load(embedders.untrained(spec), Path())
    finally:
        processor.has_tiles = before


@contextmanager
def _decoding(song: Path) -> Iterator[None]:
    over = threading.Event()

    def decode() -> None:
        while not over.is_set():
            for _ in audio.stream(song, 48_000):
                if over.is_set():
                    return

    thread = threading.Thread(target=decode)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _row(title: str, models: dict[str, Embedder], rounds: int) -> str:
    spec = next(iter(models.values())).spec
    samples = spec.window_samples
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = {kind: [] for kind in models}
    for number in range(rounds + 1):
        for kind, model in models.items():
            shape = model.batch_size, samples
            batch = 0.1 * random.standard_normal(shape, np.float32)
            start = time.perf_counter()
            embedders.infer(model, batch)
            # The first is for memory to be taken.
            if number:
                times[kind].append(time.perf_counter() - start)
    medians = {kind: statistics.median(found) for kind, found in times.items()}
    seconds = " | ".join(f"{medians[kind]:.2f}" for kind in KINDS)
    return f"| {title} | {seconds} | {medians['Winograd'] / medians['torch']:.2f} |"


if __name__ == "__main__":
    main()
