"""How far vectors and neighbours move when a recording is changed in ways that should not matter.

Some tracks are encoded as MP3 at two rates and as Opus, cropped, made quieter and slightly
faster, and embedded again. Writes ``results/stability.md``:

- cosine: of a track's vector and its changed one, relative to what two tracks have on average:
  1 is unmoved, 0 is as far as another track.
- kept: the share of the ten nearest that stay, the gallery unchanged.
- first: how often the changed track finds the unchanged one first.

    python eval/stability.py genre_clips --embedder musicnn --embedder mfcc
"""

import argparse
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import soxr
from machine import machine
from rich.progress import track

from musicflow import audio, embedders
from musicflow.settings import Settings

RATE = 44_100
SEED = 0


def encoded(codec: str, container: str, rate: int, bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Through an encoder and back."""

    def change(sound: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        source = soxr.resample(sound, RATE, rate).astype(np.float32)
        with av.open(file, "w", format=container) as writer:
            stream = writer.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = bits
            frame = av.AudioFrame.from_ndarray(source[None], "fltp", "mono")
            frame.sample_rate = rate
            for part in (frame, None):
                writer.mux(stream.encode(part))
        file.seek(0)
        with av.open(file) as reader:
            flat = av.AudioResampler(format="fltp", layout="mono", rate=rate)
            parts = [p.to_ndarray()[0] for f in reader.decode(audio=0) for p in flat.resample(f)]
        return soxr.resample(np.concatenate(parts), rate, RATE).astype(np.float32)

    return change


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "MP3, 128 kbit/s": encoded("libmp3lame", "mp3", RATE, 128_000),
    "MP3, 64 kbit/s": encoded("libmp3lame", "mp3", RATE, 64_000),
    "Opus, 64 kbit/s": encoded("libopus", "ogg", 48_000, 64_000),
    "first tenth cut off": lambda sound: sound[len(sound) // 10 :],
    "6 dB quieter": lambda sound: sound * np.float32(0.5),
    "2 % faster": lambda sound: soxr.resample(sound, RATE, RATE / 1.02).astype(np.float32),
}


def main() -> None:
    """Change, embed, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path, help="a folder of music")
    parser.add_argument("--embedder", action="append")
    parser.add_argument("--tracks", type=int, default=60, help="how many are changed")
    options = parser.parse_args()
    paths = sorted(p for p in options.clips.rglob("*") if p.suffix in audio.AUDIO_SUFFIXES)
    changed = np.random.default_rng(SEED).permutation(len(paths))[: options.tracks]
    lines = [
        "# Stability",
        "",
        f"`python eval/stability.py {options.clips.name}`, {len(changed)} of {len(paths)} tracks, "
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}.",
        "",
        "| embedder | change | cosine | lowest | kept | first |",
        "|---|---|---|---|---|---|",
    ]
    for name in options.embedder or ["musicnn", "mfcc"]:
        lines += _rows(name, paths, changed)
    text = "\n".join([*lines, ""])
    (Path(__file__).parent / "results" / "stability.md").write_text(text)
    print(text)


def _rows(name: str, paths: list[Path], changed: np.ndarray) -> list[str]:
    spec = embedders.spec_of(name)
    embedder = embedders.load(spec, Settings().cache)

    def embed(sound: np.ndarray) -> np.ndarray:
        return embedder.embed(sound, RATE)

    sounds = {row: audio.decode(paths[row], RATE) for row in changed.tolist()}
    vectors = np.stack(
        [
            embed(sounds[row] if row in sounds else audio.decode(path, RATE))
            for row, path in enumerate(track(paths, f"{name} …"))
        ]
    )
    center, scale = np.zeros(spec.dim), np.ones(spec.dim)
    if spec.standardize:
        center, scale = vectors.mean(axis=0), np.maximum(vectors.std(axis=0), 1e-9)

    def unit(values: np.ndarray) -> np.ndarray:
        values = (values.astype(np.float64) - center) / scale
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    gallery = unit(vectors)
    total = gallery.sum(axis=0)
    mean = (total @ total - len(gallery)) / (len(gallery) * (len(gallery) - 1))
    lines = []
    for title, change in track(CHANGES.items(), f"{name}, changed …"):
        moved = unit(np.stack([embed(change(sounds[row])) for row in changed.tolist()]))
        cosines = ((moved * gallery[changed]).sum(axis=1) - mean) / (1 - mean)
        before, after = (values @ gallery.T for values in (gallery[changed], moved))
        first = (after.argmax(axis=1) == changed).mean()
        for scores in (before, after):
            scores[np.arange(len(changed)), changed] = -np.inf
        near = [np.argsort(-scores, axis=1)[:, :10] for scores in (before, after)]
        kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*near, strict=True)])
        figures = [f"{np.median(cosines):.3f}", f"{cosines.min():.3f}", f"{kept:.2f}"]
        lines.append(f"| {name} | {title} | {' | '.join(figures)} | {first:.2f} |")
    return lines


if __name__ == "__main__":
    main()
