"""From file to stored vector, beside inference alone: what decoding, resampling and storing cost.

A hundred clips of 30 s are cut from the demo's tracks and kept as stereo Opus and MP3 by turns, as
libraries are. Inference alone runs over the same windows, decoded before, in batches as dense. Both
are measured turn by turn in one process. Writes ``results/end_to_end.md``.

    python eval/end_to_end.py
    python eval/end_to_end.py --clips 20 --only musicnn
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile
from machine import machine

from musicflow import audio, embedders, library
from musicflow.embedders.spec import Embedder, windows_of
from musicflow.library import Track, demo
from musicflow.pipeline import embed_tracks
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore

RATE = 48_000
SECONDS = 30
NAMES = ("musicnn", "openl3", "panns", "wav2vec2")


def main() -> None:
    """Measure the embedders and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=NAMES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _clips(root / "music", root / "demo", options.clips)
        tracks = library.join(root / "music", library.scan(root / "music", root), "auto").tracks
        rows = [_row(name, tracks, root, options.rounds) for name in options.only or NAMES]
    text = "\n".join(
        [
            "# End to end",
            "",
            f"`python eval/end_to_end.py --rounds {options.rounds}`, "
            f"{len(tracks)} clips of {SECONDS} s, "
            f"medians of {options.rounds} rounds, {datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            "| embedder | weights | inference alone, s | file to vector, s | ratio "
            "| decoding, CPU s |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Decoding runs beside inference, on the same cores; its column is CPU time.",
            "",
        ]
    )
    (Path(__file__).parent / "results" / "end_to_end.md").write_text(text, "utf-8")
    print(text)


def _clips(folder: Path, scratch: Path, count: int) -> None:
    sources = sorted(demo.lay_out(scratch).rglob("*.opus"))
    for number in range(count):
        sound, _ = soundfile.read(sources[number % len(sources)], dtype="float32")
        start = (number // len(sources)) * RATE
        clip = np.resize(sound[start:], (RATE * SECONDS, 2))
        form = ("OGG", "OPUS", ".opus") if number % 2 else ("MP3", "MPEG_LAYER_III", ".mp3")
        path = folder / "all" / f"{number}{form[2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, clip, RATE, format=form[0], subtype=form[1])


def _row(name: str, tracks: tuple[Track, ...], root: Path, rounds: int) -> str:
    spec, cache = embedders.spec_of(name), Settings().cache
    try:
        embedders.load(spec, cache)
    except embedders.WeightsError:
        spec = embedders.untrained(spec)
    embedder = embedders.load(spec, cache)
    alone, whole, decoding = [], [], []
    for turn in range(rounds):
        alone.append(sum(_inference(embedder, tracks)))
        store = EmbeddingStore(root / f"{name} {turn}")
        start = time.perf_counter()
        done = embed_tracks(tracks, spec, store, cache)
        # Loading a model is a cost of a run, not of a track.
        rows = done.rows.values()
        whole.append(time.perf_counter() - start - max(row.load_s for row in rows))
        decoding.append(sum(row.decode_s for row in rows))
    first, second = statistics.median(alone), statistics.median(whole)
    return (
        f"| {name} | {spec.weights_state} | {first:.1f} | {second:.1f} | {second / first:.2f} "
        f"| {statistics.median(decoding):.1f} |"
    )


def _inference(embedder: Embedder, tracks: tuple[Track, ...]) -> Iterator[float]:
    """Seconds of each dense batch; decoding happens between them and is not counted."""
    waiting: list[np.ndarray] = []
    for track in tracks:
        sound = audio.decode(Path(track.path), embedder.spec.sample_rate)
        for window in windows_of(iter([sound]), embedder.spec):
            if waiting and len(window) != len(waiting[0]):
                yield _timed(embedder, waiting)
                waiting = []
            waiting.append(window)
            if len(waiting) == embedder.batch_size:
                yield _timed(embedder, waiting)
                waiting = []
    if waiting:
        yield _timed(embedder, waiting)


def _timed(embedder: Embedder, windows: list[np.ndarray]) -> float:
    start = time.perf_counter()
    embedder.infer(np.stack(windows))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
