"""Tracks per hour on a GPU: how busy it is, and how far its vectors are from the processor's.

Songs of four minutes are joined as `throughput.py` does, and each is embedded many times over, so
that a pass lasts. Writes ``results/gpu.md``. It needs an NVIDIA GPU and its ``nvidia-smi``.

    python eval/gpu.py genre_clips
"""

import argparse
import dataclasses
import itertools
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from machine import machine
from speed import cosine
from throughput import NAMES, SONG_S, rows_of, songs, spec_of

from musicflow import audio, embedders
from musicflow.embedders import EmbedderSpec
from musicflow.library import Track
from musicflow.pipeline.decode import decode
from musicflow.settings import Device, Settings
from musicflow.store import Embedding

ON_PROCESSOR = 4
"""Songs that the processor embeds in float32, to compare."""


def main() -> None:
    """Make the songs, embed them here and there, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("music", type=Path, help="a folder of music of any length")
    parser.add_argument("--songs", type=int, default=16)
    parser.add_argument("--times", type=int, default=12, help="how often each song is embedded")
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--device", choices=get_args(Device), default="cuda")
    options = parser.parse_args()
    names = options.only or [name for name in NAMES if name != "mfcc"]
    with tempfile.TemporaryDirectory() as folder:
        made = songs(options.music, Path(folder), options.songs)
        tracks = [
            dataclasses.replace(
                track, track_id=f"{n}/{track.track_id}", content_hash=f"{n} {track.content_hash}"
            )
            for n in range(options.times)
            for track in made
        ]
        rows = [row for name in names for row in _rows(name, options.device, tracks)]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    text = "\n".join(
        [
            "# On a GPU",
            "",
            f"`python eval/gpu.py {options.music.name} --songs {options.songs} --times "
            f"{options.times}`, {datetime.now(UTC):%Y-%m-%d}, {gpu}, torch {torch.__version__}, "
            f"{machine()}.",
            "",
            f"{len(tracks)} stereo MP3s of {SONG_S} s, heard whole, from file to vector without "
            f"loading. The processor embeds {ON_PROCESSOR} of them in float32 with all its cores; "
            "the cosine is the lowest of theirs to the GPU's.",
            "",
            "| embedder | weights | precision | songs/h | GPU busy | CPU s per song | MB | songs/h "
            "on the processor | cosine | model alone, x real time |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "gpu.md").write_text(text)
    print(text)


def _rows(name: str, device: Device, tracks: Sequence[Track]) -> list[str]:
    """Return a row for each precision of an embedder."""
    spec = spec_of(name)
    few = tracks[:ON_PROCESSOR]
    here = rows_of(dataclasses.replace(spec, precision="fp32", device="cpu"), few)
    there = [dataclasses.replace(spec, precision=p, device=device) for p in spec.precisions]
    return [_row(one, tracks, here) for one in there]


def _row(spec: EmbedderSpec, tracks: Sequence[Track], here: Sequence[Embedding]) -> str:
    with _busy() as samples:
        rows = rows_of(spec, tracks)
        end_s = time.monotonic()
    passed_s = sum(row.wall_s for row in rows)
    busy = [share for at_s, share in samples if at_s > end_s - passed_s]
    figures = [
        f"{3600 * len(rows) / passed_s:,.0f}",
        f"{statistics.mean(busy):.0f} %" if busy else "",
        f"{statistics.mean(row.cpu_s for row in rows):.2f}",
        f"{max(row.peak_rss_mb for row in rows):,.0f}",
        f"{3600 / statistics.mean(row.wall_s for row in here):,.0f}",
        f"{min(map(cosine, _vectors(rows), _vectors(here))):.7f}",
        f"{_rate(spec, tracks[0]):,.0f}",
    ]
    found = f"| {spec.name} | {spec.weights_state} | {spec.precision} | {' | '.join(figures)} |"
    print(found, flush=True)
    return found


def _vectors(rows: Sequence[Embedding]) -> list[np.ndarray]:
    return [row.vector for row in rows if row.vector is not None]


def _rate(spec: EmbedderSpec, track: Track) -> float:
    """Return the seconds of audio that the model alone embeds per second."""
    embedder = embedders.load(spec, Settings().cache)
    items = decode(track, spec, audio.Limits())
    windows = np.stack(list(itertools.islice(items, embedder.batch_size)))  # type: ignore[arg-type]
    embedders.infer(embedder, windows)
    start_s, count = time.perf_counter(), 0
    while time.perf_counter() - start_s < 1:
        embedders.infer(embedder, windows)
        count += 1
    return count * len(windows) * spec.hop_s / (time.perf_counter() - start_s)


@contextmanager
def _busy() -> Iterator[list[tuple[float, float]]]:
    """Yield a list that fills with times and the share of its time that the GPU is busy."""
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    samples: list[tuple[float, float]] = []
    try:
        watch = subprocess.Popen(["nvidia-smi", *query], stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        yield samples
        return

    def read() -> None:
        for line in watch.stdout or ():
            samples.append((time.monotonic(), float(line)))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield samples
    finally:
        watch.terminate()
        thread.join()


if __name__ == "__main__":
    main()
