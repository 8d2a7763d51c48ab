"""A night with one new clip: five embedders, from the command's start to its end.

Writes ``results/one_new.md``. OpenL3, PANNs and wav2vec2 have seeded weights, in files as upstream
saves trained ones. Other checkouts run in turns with this one, each with a clip of its own.

    python eval/one_new.py CLIPS
    python eval/one_new.py CLIPS --beside ../checkout-of-before
"""

import argparse
import gzip
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from machine import machine
from start import _seeded as seeded

from musicflow import embedders
from musicflow.library import scan

HERE = Path(__file__).parent
EMBEDDERS = ("musicnn", "mfcc", "openl3", "panns", "wav2vec2")


def main() -> None:
    """Run with all clips but some, then add these one by one; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path, help="a folder of clips of 30 s, by genre")
    parser.add_argument("--tracks", type=int, default=44)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other checkouts")
    given = parser.parse_args()
    codes = [HERE.parent, *(path.resolve() for path in given.beside)]
    with tempfile.TemporaryDirectory() as folder:
        files = _some(given.clips, given.tracks + given.rounds * len(codes))
        library, home = Path(folder, "library"), Path(folder, "home")
        _weights(home / "cache")
        for file in files[: given.tracks]:
            _add(file, given.clips, library)
        _run(codes[0], library, home)
        _run(codes[0], library, home)
        new = iter(files[given.tracks :])
        times: dict[Path, list[float]] = {code: [] for code in codes}
        for _ in range(given.rounds):
            for code in codes:
                _add(next(new), given.clips, library)
                times[code].append(_run(code, library, home))
    command = f"eval/one_new.py CLIPS --rounds {given.rounds}"
    command += " --beside BEFORE" if given.beside else ""
    text = "\n".join([*_head(command, given.tracks), *_rows(times), ""])
    (HERE / "results" / "one_new.md").write_text(text)
    print(text)


def _some(clips: Path, count: int) -> list[Path]:
    with tempfile.TemporaryDirectory() as folder:
        found = [clips / file.path for file in scan(clips, Path(folder)) if not file.error]
    return random.Random(0).sample(found, count)


def _add(file: Path, clips: Path, library: Path) -> None:
    place = library / file.relative_to(clips)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)


def _weights(cache: Path) -> None:
    """Make files of seeded weights, and note that they are the right ones."""
    cache.mkdir(parents=True)
    specs = {name: embedders.spec_of(name) for name in EMBEDDERS}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in zip(("openl3", "panns", "wav2vec2"), seeded(Path(folder)), strict=True):
            weights = specs[name].weights
            assert weights is not None
            target = cache / weights.filename
            if target.suffix == ".gz":
                target.write_bytes(gzip.compress(path.read_bytes()))
            else:
                shutil.move(path, target)
            weights._remember(target)
    for spec in specs.values():
        embedders.fetch(spec, cache)
        embedders.prepare(spec)


def _run(code: Path, library: Path, home: Path) -> float:
    """Return the seconds that a run takes."""
    command = [sys.executable, "-c", "from musicflow.cli import main; main()", "run", str(library)]
    command += [part for name in EMBEDDERS for part in ("--embedder", name)]
    given = {"PYTHONPATH": str(code), "MUSICFLOW_HOME": str(home)}
    environment = os.environ | given | {"MUSICFLOW_CACHE": str(home / "cache")}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, cwd=code, capture_output=True)
    return time.perf_counter() - start


def _head(command: str, tracks: int) -> list[str]:
    return [
        "# A run with one new clip",
        "",
        f"`python {command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}, "
        f"load {os.getloadavg()[1]:.0f}. {tracks} clips of 30 s, five embedders; medians, in "
        "turns. With evaluation, report, Dagster and MLflow.",
        "",
        "| commit | s |",
        "|---|---|",
    ]


def _rows(times: dict[Path, list[float]]) -> Iterator[str]:
    for code, found in times.items():
        command = ["git", "-C", str(code), "rev-parse", "--short", "HEAD"]
        commit = subprocess.check_output(command, text=True).strip()
        yield f"| {commit} | {statistics.median(found):.1f} |"


if __name__ == "__main__":
    main()
