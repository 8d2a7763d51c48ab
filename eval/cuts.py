"""Cuts: what of planted ones is found in real music, what is told wrongly, and at which cost.

Reads folders of music and writes ``results/cuts.md``:

- Planted: of each track some excerpts are made, changed, and written as files. Found is an excerpt
  that is told as a cut of its track, at the place that it was cut from; wrong is a pair of two
  tracks, which are listed to be listened to.
- At scale: the peaks of the tracks' spectrograms at other pitches and speeds make a library of so
  many tracks, none of which is a cut of another. All are compared with one another, then one more.

    python eval/cuts.py MUSIC --tracks 10000
"""

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr
from machine import machine
from rich.progress import track as shown

from musicflow import audio
from musicflow.audio import guarded
from musicflow.audio.landmarks import RATE as LOW
from musicflow.audio.landmarks import Landmarks, of_peaks, peaks
from musicflow.evaluation.cuts import Candidate, candidates, hear
from musicflow.library import Track
from musicflow.library.landmarks import LandmarkStore
from musicflow.library.recordings import Cut

RATE = 44_100
READ = 100
"""Tracks whose peaks are read, at most."""

RESULTS = Path(__file__).parent / "results" / "cuts.md"


@dataclass(frozen=True)
class Kind:
    """How an excerpt is made."""

    name: str
    seconds: float
    bit_rate: int = 0
    gain: float = 1.0
    speed: float = 1.0


KINDS = (
    Kind("2 s", 2),
    Kind("3 s", 3),
    Kind("3 s, MP3 at 64 kbit/s, -6 dB", 3, 64_000, 0.5),
    Kind("3 s, 1 % faster", 3, speed=1.01),
    Kind("8 s, MP3 at 64 kbit/s, -6 dB", 8, 64_000, 0.5),
    Kind("8 s, MP3 at 128 kbit/s", 8, 128_000),
    Kind("8 s, 1 % faster, MP3 at 64 kbit/s", 8, 64_000, speed=1.01),
    Kind("8 s, 1 % slower", 8, speed=0.99),
    Kind("30 s, 1 % faster", 30, speed=1.01),
    Kind("30 s, 2 % faster", 30, speed=1.02),
)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("music", type=Path)
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--planted", type=int, default=30, help="tracks that excerpts are made of")
    given = parser.parse_args()
    paths = sorted(p for p in given.music.rglob("*") if p.suffix.lower() in audio.AUDIO_SUFFIXES)
    command = f"python eval/cuts.py MUSIC --tracks {given.tracks} --planted {given.planted}"
    lines = ["# Cuts", "", f"`{command}`; {machine()}.", ""]
    with tempfile.TemporaryDirectory() as folder:
        for part in (
            planted(paths, Path(folder), given.planted),
            at_scale(paths, Path(folder), given.tracks),
        ):
            lines += part
            RESULTS.write_text("\n".join(lines) + "\n")


def planted(paths: list[Path], folder: Path, count: int) -> Iterator[str]:
    """Yield the lines on what of planted excerpts is found."""
    random = np.random.default_rng(0)
    whole: dict[str, Track] = {}
    starts: dict[str, tuple[str, Kind, float]] = {}
    for number in shown(random.permutation(len(paths)).tolist(), "Planting"):
        path = paths[number]
        if len(whole) == count:
            break
        sound = audio.decode(path, RATE)
        if len(sound) < 40 * RATE:
            continue
        whole[str(path)] = Track(str(path), str(path), str(path), len(sound) / RATE, RATE)
        for kind in KINDS:
            start = random.uniform(0, len(sound) / RATE - kind.seconds)
            target = folder / f"{len(starts):05}.{'mp3' if kind.bit_rate else 'wav'}"
            write(changed(sound, start, kind), target, kind.bit_rate)
            starts[str(target)] = str(path), kind, start
    tracks = dict(whole)
    for path in starts:
        tracks[path] = Track(path, path, path, audio.examine(Path(path)).duration_s, RATE)
    store, taken_s, hours = taken(tracks, folder / "planted")
    begin = time.perf_counter()
    pairs = list(candidates(store, tracks, tracks))
    found_s = time.perf_counter() - begin
    begin = time.perf_counter()
    heard = list(hear(pairs, tracks))
    heard_s = time.perf_counter() - begin
    yield from told(whole, starts, {(one.a, one.b): cut for one, cut in heard if cut})
    yield ""
    yield f"{len(tracks)} files, {hours:.1f} hours: landmarks taken in {taken_s:.0f} s, decoding"
    yield f"included; {len(pairs)} candidates found in {found_s:.1f} s; their sound compared in"
    yield f"{heard_s:.0f} s."


def told(
    whole: dict[str, Track],
    starts: dict[str, tuple[str, Kind, float]],
    cuts: dict[tuple[str, str], Cut],
) -> Iterator[str]:
    """Yield the table of what was found, and the pairs that are wrong, or not planted."""
    found: dict[Kind, list[bool | None]] = defaultdict(list)
    for path, (origin, kind, start) in starts.items():
        cut = cuts.get((path, origin)) or (
            cuts[origin, path].turned if (origin, path) in cuts else None
        )
        here = cut is not None and abs(cut.b_s - cut.a_s * cut.speed - start) < 0.2
        found[kind].append(here if here or cut is None else None)
    yield f"## Planted in {len(whole)} tracks"
    yield ""
    yield "| excerpt | found there | found elsewhere in its track | not found |"
    yield "|---|---|---|---|"
    for kind, each in found.items():
        yield f"| {kind.name} | {each.count(True)} | {each.count(None)} | {each.count(False)} |"
    origins = {path: path for path in whole} | {path: own for path, (own, *_) in starts.items()}
    pairs = {tuple(sorted((origins[a], origins[b]))) for a, b in cuts}
    odd = sorted((a, b) for a, b in pairs if a != b)
    yield ""
    yield f"Pairs of different files that were told: {len(odd)}."
    for a, b in odd:
        yield f"- {Path(a).parent.name}/{Path(a).name}, {Path(b).parent.name}/{Path(b).name}"


def changed(sound: np.ndarray, start_s: float, kind: Kind) -> np.ndarray:
    """Return an excerpt, changed."""
    part = kind.gain * sound[int(start_s * RATE) :][: int(kind.seconds * RATE)]
    return soxr.resample(part, RATE * kind.speed, RATE) if kind.speed != 1 else part


def write(sound: np.ndarray, path: Path, bit_rate: int) -> None:
    """Write a file in the format that its name says."""
    codec, form = ("libmp3lame", "fltp") if bit_rate else ("pcm_f32le", "flt")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), form, "mono")
        frame.sample_rate = RATE
        for each in (frame, None):
            container.mux(stream.encode(each))


def taken(tracks: dict[str, Track], folder: Path) -> tuple[LandmarkStore, float, float]:
    """Return a store of the landmarks of tracks, the seconds that it took, and their hours."""
    store, names, begin = LandmarkStore(folder), list(tracks), time.perf_counter()
    found = dict(guarded.landmarks_of([Path(name) for name in names]))
    store.add({names[n]: each for n, each in found.items() if isinstance(each, Landmarks)})
    hours = sum(track.duration_s for track in tracks.values()) / 3600
    return store, time.perf_counter() - begin, hours


def at_scale(paths: list[Path], folder: Path, count: int) -> Iterator[str]:
    """Yield the lines on the cost of a library of so many tracks."""
    some = [path for path in paths if path.stat().st_size > 100_000]
    real = [
        np.concatenate([np.empty((0, 2)), *peaks(audio.stream(path, LOW))])
        for path in shown(some[:: -(-len(some) // READ)], "Reading")
    ]
    random, store = np.random.default_rng(1), LandmarkStore(folder / "many")
    made, landmarks = {}, 0
    for number in shown(range(count), "Making"):
        slower, higher = 2 ** random.uniform(-0.5, 0.5, 2)
        other = real[number % len(real)] * (slower, higher)
        made[f"{number:06}"] = of_peaks(other[(other[:, 1] < 255) & (other[:, 1] > 12)])
        if len(made) == 500:
            landmarks += sum(len(each.keys) for each in made.values())
            store.add(made)
            made.clear()
    landmarks += sum(len(each.keys) for each in made.values())
    store.add(made)
    known = store.known()
    all_s, all_cpu_s, pairs = timed(store, known, known)
    one_s, one_cpu_s, _ = timed(store, {"000007"}, known)
    size = sum(part.stat().st_size for part in (folder / "many").rglob("*.parquet"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    yield ""
    yield f"## {len(known):,} tracks"
    yield ""
    yield f"{landmarks / 1e6:.0f} million landmarks, {size / 1e6:.0f} MB on disk. All compared with"
    yield f"one another in {all_s:.0f} s ({all_cpu_s:.0f} s of processor time), one"
    yield f"more with all in {one_s:.1f} s ({one_cpu_s:.1f} s); {memory:.1f} GB of memory at most."
    yield f"{len(pairs)} pairs would be compared by sound; {different(pairs, len(real))} of them"
    yield "are not of one track at two pitches."


def timed(
    store: LandmarkStore, queries: set[str], corpus: set[str]
) -> tuple[float, float, list[Candidate]]:
    """Return seconds, seconds of processor time, and the candidates."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = list(candidates(store, queries, corpus))
    return time.perf_counter() - begin, time.process_time() - cpu, found


def different(pairs: list[Candidate], count: int) -> int:
    """Return how many pairs are not made of one track."""
    return sum((int(one.a) - int(one.b)) % count != 0 for one in pairs)


if __name__ == "__main__":
    main()
