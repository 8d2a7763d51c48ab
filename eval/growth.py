"""What a run costs when one song is new, changed or gone: many small files, vectors made up.

Writes ``results/growth.md``. *Searchable* is the time from the start of `musicflow run` until all
collections hold the change, *busy* the processor time until then, *done* until the run ends, all
with starting Python; *all anew* is the publication of all tracks from nothing, of each embedder.

    python eval/growth.py --tracks 30000 --embedder mfcc
    python eval/growth.py --tracks 50000 --embedder musicnn --embedder mfcc
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import soundfile
from machine import machine
from no_change import RATE, SECONDS, home

from musicflow.embedders import spec_of
from musicflow.index import TrackIndex, open_index
from musicflow.library import read_library
from musicflow.pipeline import build_collection
from musicflow.settings import Settings, remember
from musicflow.store import EmbeddingStore


def main() -> None:
    """Measure once, and add to the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=30_000)
    parser.add_argument("--embedder", action="append", default=[], dest="embedders")
    parser.add_argument(
        "--searchable", action="store_true", help="stop each run once all is published"
    )
    given = parser.parse_args()
    names = given.embedders or ["mfcc"]
    options = " ".join(f"--embedder {name}" for name in names)
    text = "\n".join(
        [
            f"`python eval/growth.py --tracks {given.tracks} {options}"
            f"{' --searchable' * given.searchable}`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, "
            f"{os.getloadavg()[1]:.0f} processes wanting the processor.",
            "",
            "| change | searchable s | of it busy s | done s | MB at most |",
            "|---|---|---|---|---|",
            *_measured(given.tracks, names, given.searchable),
            "",
        ]
    )
    path = Path(__file__).parent / "results" / "growth.md"
    before = path.read_text() if path.exists() else "# A run with one new song\n"
    path.write_text(f"{before}\n{text}")
    print(text)


def _measured(count: int, names: list[str], searchable: bool) -> Iterator[str]:
    with home(count, names) as music:
        settings = Settings(library=music, embedders=tuple(names))
        remember(settings.paths, **settings.remembered)
        index, store = open_index(settings), EmbeddingStore(settings.paths.embeddings)
        library = read_library(settings)
        for name in names:
            start, busy = time.perf_counter(), time.process_time()
            build_collection(library.tracks, spec_of(name), store, index)
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
            yield f"| all anew, {name} | {seconds:.1f} | {busy:.1f} | | |"
        if not searchable:
            subprocess.run(_command(music), check=True, stdout=subprocess.DEVNULL)
        random = np.random.default_rng(1)
        song = music / "genre 0" / "one more.wav"
        for title in ("one new", "one changed"):
            soundfile.write(song, 0.1 * random.standard_normal(int(RATE * SECONDS)), RATE)
            yield f"| {title} | {_run(music, names, index, searchable)} |"
        song.unlink()
        yield f"| one deleted | {_run(music, names, index, searchable)} |"


def _command(music: Path) -> list[str | Path]:
    return [Path(sys.executable).with_name("musicflow"), "run", music, "--yes"]


def _run(music: Path, names: list[str], index: TrackIndex, searchable: bool) -> str:
    """Run; return the seconds until all is published, those until the end, and the memory."""
    before = {name: _state(index, name) for name in names}
    start, peak, published, busy = time.perf_counter(), 0.0, 0.0, 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(_command(music), stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if not published and all(_state(index, n) != state for n, state in before.items()):
                published, busy = time.perf_counter() - start, sum(process.cpu_times()[:4])
                if searchable:
                    process.kill()
            peak = max(peak, _memory(process))
            time.sleep(0.02)
        output.seek(0)
        assert searchable or process.returncode == 0, output.read()
    assert published, "nothing was published"
    done = "" if searchable else f"{time.perf_counter() - start:.1f}"
    return f"{published:.1f} | {busy:.1f} | {done} | {peak:.0f}"


def _state(index: TrackIndex, name: str) -> str:
    manifest = index.manifest(name)
    return manifest.state if manifest else ""


def _memory(process: psutil.Process) -> float:
    """Megabytes of a process and its workers."""
    try:
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    main()
