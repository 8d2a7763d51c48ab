"""A large collection in the embedded engine, from publication to the map: made-up vectors.

Adds to ``results/million.md``. The store holds vectors like those of `index.py`, one in a hundred
a copy of another track's; payloads are those of real tracks. Each line is a process of its own.
*One new* is the publication of one more track.

    python eval/million.py --tracks 100000 1000000 --embedder musicnn
    python eval/million.py --tracks 1000000 --embedder musicnn --quantization int8
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from index import _BLOCK as BLOCK
from index import _block as block
from index import _Memory as Memory
from index import _timed as timed
from machine import machine

from musicflow.embedders import EmbedderSpec, spec_of
from musicflow.evaluation import projection
from musicflow.index import Collection, EmbeddedIndex, Filters
from musicflow.library import Track
from musicflow.pipeline import build_collection
from musicflow.search.duplicates import duplicates
from musicflow.store import Embedding, EmbeddingStore

GENRES, ARTISTS, TAGS = 16, 20_000, 50
QUERIES = 200
COPIES = 100
FILE = 20 * BLOCK
"""Vectors per file of the store: too large to be merged."""
RESULTS = Path(__file__).parent / "results" / "million.md"
HEAD = [
    "# Large collections in the embedded engine",
    "",
    "Publication with reading the store. Searches one at a time, k = 10, the median of "
    f"{QUERIES}; *filtered* by genre and length. MB are what the process grows by, files that the "
    "engine maps included.",
    "",
    "| command | date, machine | tracks | kept | publish s | busy s | MB | disk MB | one new s "
    "| MB | open s | search ms | filtered ms | recall@10 | facets ms | duplicates s | MB | map s "
    "| MB |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
]


def main() -> None:
    """Measure once per number of tracks, and add the lines to the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[100_000])
    parser.add_argument("--embedder", default="musicnn", help="for its dims")
    parser.add_argument("--quantization", choices=["none", "int8"], default="none")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(" | ".join(_measured(given.tracks[0], spec_of(given.embedder), given.quantization)))
        return
    for count in given.tracks:
        command = f"eval/million.py --tracks {count} --embedder {given.embedder} "
        command += f"--quantization {given.quantization}"
        output = subprocess.check_output([sys.executable, *command.split(), "--here"], text=True)
        about = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, load {os.getloadavg()[1]:.0f}"
        line = f"| `python {command}` | {about} | {count:,} | {given.quantization} | "
        line += f"{output.splitlines()[-1]} |"
        known = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        lines = [one for one in known if one.startswith("| `") and f"`python {command}`" not in one]
        RESULTS.write_text("\n".join([*HEAD, *lines, line, ""]))
        print(line)


@contextmanager
def _told(cells: list[str], form: str = "{:.0f}") -> Iterator[None]:
    """Add the seconds that a block takes, and the megabytes that the process grows by."""
    memory, start = Memory(), time.perf_counter()
    yield
    cells += [form.format(time.perf_counter() - start), f"{memory.peak_mb:.0f}"]


def _measured(count: int, spec: EmbedderSpec, quantization: str) -> list[str]:
    tracks = [_track(number) for number in range(count + 1)]
    cells: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder, "embeddings"))
        for first in range(0, count + 1, FILE):
            store.add(spec, _rows(tracks[first : first + FILE], first, spec.dim))
        index = EmbeddedIndex(Path(folder, "collections"), quantization)  # type: ignore[arg-type]
        busy = time.process_time()
        with _told(cells):
            build_collection(tracks[:-1], spec, store, index)
        cells.insert(1, f"{time.process_time() - busy:.0f}")
        versions = (index.root / spec.label / "versions").rglob("*")
        blocks = sum(path.stat().st_blocks for path in versions if path.is_file())
        cells.append(f"{512 * blocks / 1e6:.0f}")
        with _told(cells):
            build_collection(tracks, spec, store, index)
        start = time.perf_counter()
        with index.open(spec.label) as collection:
            collection.count()
            cells.append(f"{time.perf_counter() - start:.2f}")
            cells += _asked(collection, spec.dim)
            with _told(cells):
                groups = duplicates(collection)
            assert len(groups) >= count // COPIES // 2, len(groups)
            with _told(cells):
                projection.places(collection, Path(folder))
    return cells


def _asked(collection: Collection, dim: int) -> list[str]:
    queries = block(0, dim)[:QUERIES]
    filters = Filters.parse(["genre=genre 3", "duration>=200"])
    search = timed(lambda query: collection.query(query[None], 10), queries)
    filtered = timed(lambda query: collection.query(query[None], 10, filters), queries)
    pairs = zip(
        collection.query(queries, 10), collection.query(queries, 10, exact=True), strict=True
    )
    shared = [len({h.track_id for h in a} & {h.track_id for h in b}) / 10 for a, b in pairs]
    start = time.perf_counter()
    for field in ("genre", "decade", "tags"):
        collection.facet(field)
    facets = 1000 * (time.perf_counter() - start)
    return [f"{search:.2f}", f"{filtered:.2f}", f"{np.mean(shared):.3f}", f"{facets:.0f}"]


def _track(number: int) -> Track:
    artist = number * 7919 % ARTISTS
    genre = f"genre {artist % GENRES}"
    name = f"{number:07}"
    path = f"/music/{genre}/artist {artist}/album {number % 12}/{name}.mp3"
    return Track(
        *(name, path, f"{number:064x}", 200.0, 44_100, (f"artist {artist}",), f"Song {name}"),
        *(genre, (f"{genre}---{number % 5}",), f"album {artist} {number % 12}"),
        year=1950 + number % 75,
    )


def _rows(tracks: Sequence[Track], start: int, dim: int) -> Iterator[Embedding]:
    for place, track in enumerate(tracks):
        number = start + place
        if not place % BLOCK:
            some = block(number // BLOCK, dim)
        # A copy of the track before.
        source = place % BLOCK - (number % COPIES == COPIES - 1)
        seconds = 90.0 + (number - (number % COPIES == COPIES - 1)) * 104_729 % 300_000 / 1000
        tags = tuple(f"tag {(number * step) % TAGS}" for step in (1, 3, 7))
        row = Embedding(track.content_hash, some[source], tags, (0.5, 0.3, 0.1), wall_s=0.1)
        yield replace(row, audio_s=seconds)


if __name__ == "__main__":
    main()
