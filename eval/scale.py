"""How long an evaluation takes, and what memory, with made-up vectors.

Writes ``results/scale.md``. Everything that `musicflow run` measures of vectors is measured:
figures, intervals, differences, probes, health, fusions. There is no sound to listen to, so no
duplicates are looked for by ear. *One new* is the time to bring the neighbours of all tracks up to
date when one track is new.

    python eval/scale.py --tracks 10000 100000 1000000 --dims 200
    python eval/scale.py --tracks 10000 --dims 200 512 2048 768 60
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine

from musicflow.evaluation.neighbours import KeptNeighbours
from musicflow.evaluation.quality import MAX_TRACKS, measure
from musicflow.library import Track

GENRES, ARTISTS_PER_GENRE, SUBGENRES = 16, 60, 5
BLOCK = 4096
SEED = 0
RESULTS = Path(__file__).parent / "results" / "scale.md"
HEAD = [
    "# Evaluation of many tracks",
    "",
    "Each line is a process of its own; *wanting* is how many processes wanted a processor at its "
    "end, so wall time is that of a share of the machine where it is above the number of cores. "
    "Memory is that of the whole process, the made-up tracks and vectors included.",
    "",
    "| command | date, machine | tracks | dims | queries | P@10 | wall s | processor s "
    "| one new, wall s | GB at most | of it vectors | wanting |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
]


def main() -> None:
    """Measure once per number of tracks, and add the lines to the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[10_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[200])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(_measured(given.tracks[0], given.dims)))
        return
    dims = " ".join(map(str, given.dims))
    for count in given.tracks:
        command = f"eval/scale.py --tracks {count} --dims {dims}"
        output = subprocess.check_output([sys.executable, *command.split(), "--here"], text=True)
        cells = [f"`python {command}`", f"{datetime.now(UTC):%Y-%m-%d}, {machine()}"]
        cells += [f"{count:,}", dims, *json.loads(output.splitlines()[-1])]
        known = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        lines = [line for line in known if line.startswith("| `") and cells[0] not in line]
        line = "| " + " | ".join(cells) + " |"
        RESULTS.write_text("\n".join([*HEAD, *lines, line, ""]))
        print(line)


def _measured(count: int, dims: list[int]) -> list[str]:
    random = np.random.default_rng(SEED)
    tracks = [_track(number, random) for number in range(count)]
    spaces = {f"{dim} dims": _space(tracks, dim, random) for dim in dims}
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptNeighbours(Path(folder))
        start, cpu = time.perf_counter(), time.process_time()
        found = measure(tracks, spaces, list(spaces), None, lambda _a, _b: False, None, kept)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        new = "–" if count > MAX_TRACKS else f"{_one_new(tracks, spaces, kept):.1f}"
    first = found.figures[f"{dims[0]} dims"]
    score = first.scores["precision_at_10"]
    return [
        f"{first.n_queries:,}",
        f"{score.value:.3f} [{score.low:.3f}–{score.high:.3f}]",
        f"{seconds:.0f}",
        f"{cpu:.0f}",
        new,
        f"{memory:.2f}",
        f"{sum(unit.nbytes for unit in spaces.values()) / 1e9:.2f}",
        f"{os.getloadavg()[0]:.0f}",
    ]


def _one_new(tracks: list[Track], spaces: dict[str, np.ndarray], kept: KeptNeighbours) -> float:
    """Seconds to find the neighbours again, in all spaces, when a track changed its name."""
    ids = [track.track_id for track in tracks]
    ids[len(ids) // 2] += " of another name"
    start = time.perf_counter()
    for name, unit in spaces.items():
        kept.find(name, unit, ids)
    return time.perf_counter() - start


def _track(number: int, random: np.random.Generator) -> Track:
    genre = f"genre {random.integers(GENRES)}"
    artist = f"{genre}, artist {random.integers(ARTISTS_PER_GENRE)}"
    subgenres = tuple(f"{genre}---{n}" for n in sorted(random.permutation(SUBGENRES)[:2]))
    name = f"{number:07}"
    return Track(name, name, name, 200.0, 44_100, (artist,), name, genre, subgenres)


def _space(tracks: list[Track], dim: int, random: np.random.Generator) -> np.ndarray:
    """Vectors of length one, each the sum of its genre's, its artist's and noise."""
    labels = ([t.genre for t in tracks], [t.artist for t in tracks])
    which = [np.unique(names, return_inverse=True)[1] for names in labels]
    centres = [0.3 * random.standard_normal((own.max() + 1, dim)) for own in which]
    unit = np.empty((len(tracks), dim), np.float32)
    for start in range(0, len(tracks), BLOCK):
        rows = slice(start, start + BLOCK)
        values = random.standard_normal((len(unit[rows]), dim))
        values += sum(centre[own[rows]] for centre, own in zip(centres, which, strict=True))
        unit[rows] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
