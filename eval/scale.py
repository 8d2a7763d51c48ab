"""How long an evaluation takes, and what memory: made-up vectors of five embedders.

Writes ``results/scale.md``. Everything that `musicflow run` measures of vectors is measured:
figures, intervals, differences, probes, health, fusions. There is no sound to listen to, so no
copies are looked for by ear.

    python eval/scale.py --tracks 10000
"""

import argparse
import os
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine

from musicflow.evaluation.quality import measure
from musicflow.library import Track

DIMS = {"musicnn": 200, "openl3": 512, "panns": 2048, "wav2vec2": 768, "mfcc": 60}
GENRES, ARTISTS_PER_GENRE, SUBGENRES = 16, 60, 5
SEED = 0


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=10_000)
    count = parser.parse_args().tracks
    random = np.random.default_rng(SEED)
    tracks = [_track(number, random) for number in range(count)]
    spaces = {name: _space(tracks, dim, random) for name, dim in DIMS.items()}
    start, cpu = time.perf_counter(), time.process_time()
    found = measure(tracks, spaces, list(spaces), same=lambda _a, _b: False)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    vectors = sum(unit.nbytes for unit in spaces.values()) / 1e9
    text = "\n".join(
        [
            "# Evaluation of many tracks",
            "",
            f"`python eval/scale.py --tracks {count}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            f"{count} tracks, {len(DIMS)} embedders of {', '.join(map(str, DIMS.values()))} dims, "
            f"{found.protocol}; {len(found.figures)} rows, {len(found.differences)} differences:",
            f"**{seconds:.0f} s, {memory:.2f} GB at most** ({cpu:.0f} s of processor time, "
            f"{os.getloadavg()[0]:.1f} processes wanting the processor at the end; "
            f"{vectors:.2f} GB of it the vectors).",
            "",
        ]
    )
    (Path(__file__).parent / "results" / "scale.md").write_text(text)
    print(text)


def _track(number: int, random: np.random.Generator) -> Track:
    genre = f"genre {random.integers(GENRES)}"
    artist = f"{genre}, artist {random.integers(ARTISTS_PER_GENRE)}"
    subgenres = tuple(f"{genre}---{n}" for n in sorted(random.permutation(SUBGENRES)[:2]))
    name = f"{number:06}"
    return Track(name, name, name, 200.0, 44_100, (artist,), name, genre, subgenres)


def _space(tracks: list[Track], dim: int, random: np.random.Generator) -> np.ndarray:
    """Vectors of length one, each the sum of its genre's, its artist's and noise."""
    values = random.standard_normal((len(tracks), dim))
    for labels, share in (([t.genre for t in tracks], 0.3), ([t.artist for t in tracks], 0.3)):
        _, which = np.unique(labels, return_inverse=True)
        values += share * random.standard_normal((which.max() + 1, dim))[which]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float32)


if __name__ == "__main__":
    main()
