"""What a run costs when nothing changed: many small files, five embedders, vectors made up.

Writes ``results/no_change.md``: the command line, and the job that Dagster starts at night, each
in a process of its own, imports and all; and the memory of that job done again and again.

    python eval/no_change.py --tracks 10000
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import soundfile
from machine import machine

from musicflow import library
from musicflow.embedders import spec_of
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore

EMBEDDERS = ("musicnn", "openl3", "panns", "wav2vec2", "mfcc")
GENRES = 20
RATE, SECONDS = 8000, 0.25
RUNS = 3
SEED = 0
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main() -> None:
    """Make a library and a home, and run over them with nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--dagster", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.dagster:
        _in_dagster()
        return
    counts = (arguments.tracks // 10, arguments.tracks)
    lines = [line for count in counts for line in _measured(count)]
    text = "\n".join(
        [
            "# A run when nothing changed",
            "",
            f"`python eval/no_change.py --tracks {arguments.tracks}`, {datetime.now(UTC):%Y-%m-%d},"
            f" {machine()}.",
            "",
            f"{len(EMBEDDERS)} embedders. *Command line* is `musicflow run`, *Dagster* is the job "
            "`Refresh` over all partitions, as *Materialize all* starts it, both with starting "
            f"Python; *at its end* is the memory of that process after each of {RUNS} such jobs.",
            "",
            "| tracks | command line s | MB at most | Dagster s | MB at most | MB at its end |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "no_change.md").write_text(text)
    print(text)


def _measured(count: int) -> Iterator[str]:
    with home(count) as music:
        command: list[str | Path] = [Path(sys.executable).with_name("musicflow"), "run", music]
        timed(command)
        by_hand, by_hand_mb, said = timed(command)
        assert "Nothing changed" in said, said
        dagster, dagster_mb, said = timed([sys.executable, __file__, "--dagster"])
        jobs = json.loads(said.splitlines()[-1])
        after = " ".join(f"{mb:.0f}" for mb in jobs["after_mb"])
        yield (
            f"| {count} | {by_hand:.1f} | {by_hand_mb:.0f} | {dagster - jobs['others_s']:.1f} "
            f"(the job alone {jobs['first_s']:.1f}) | {dagster_mb:.0f} | {after} |"
        )


@contextmanager
def home(count: int, embedders: Sequence[str] = EMBEDDERS) -> Iterator[Path]:
    """A home whose store holds vectors for all tracks of a library."""
    random = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "MUSICFLOW_HOME": f"{folder}/home",
            "MUSICFLOW_EMBEDDERS": json.dumps(embedders),
            "DAGSTER_HOME": f"{folder}/home/dagster",
        }
        music = Path(folder, "music")
        for number in range(count):
            path = music / f"genre {number % GENRES}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.1 * random.standard_normal(int(RATE * SECONDS)), RATE)
        home = Settings().paths
        files = library.scan(music, home.library)
        store = EmbeddingStore(home.embeddings)
        for spec in map(spec_of, embedders):
            vectors = random.standard_normal((count, spec.dim)).astype(np.float32)
            rows = zip(files, vectors, strict=True)
            store.add(spec, [Embedding(file.content_hash, v, wall_s=0.1) for file, v in rows])
        yield music


def timed(command: list[str | Path]) -> tuple[float, float, str]:
    """Seconds, the most megabytes held, and what was said."""
    # Looked at from time to time: what the system says afterwards counts this process in.
    start, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, process.memory_info().rss / 1e6)
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        output.seek(0)
        said = output.read()
    assert process.returncode == 0, said
    return seconds, peak, said


def _in_dagster() -> None:
    """The job of all that Dagster has, several times in this process."""
    import dagster as dg

    from musicflow.orchestration.definitions import defs
    from musicflow.orchestration.partitions import all_partitions

    after_mb, seconds = [], []
    with dg.DagsterInstance.get() as instance:
        for _ in range(RUNS):
            start = time.perf_counter()
            job = defs.resolve_job_def("Refresh")
            done = job.execute_in_process(
                instance=instance, tags=all_partitions(instance), run_config=QUIET
            )
            assert done.success
            seconds.append(time.perf_counter() - start)
            after_mb.append(psutil.Process().memory_info().rss / 1e6)
    print(json.dumps({"first_s": seconds[0], "others_s": sum(seconds[1:]), "after_mb": after_mb}))


if __name__ == "__main__":
    main()
