"""What becomes of files that are mutated: counts, the slowest, peak memory, crashes.

The small files of the tests' corpus are cut, spliced and overwritten, at random but the same each
time. Their tags are read, and they are examined and decoded to the end, in processes of their own.
Writes ``results/fuzz.md``.

    python eval/fuzz.py --cases 10000
"""

import argparse
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from machine import machine
from rich.progress import track

from musicflow_tests.audio.fuzzing import Outcome, outcomes, seeds

MAX_S, MAX_MB = 10, 1_000


def main() -> None:
    """Mutate, look, count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = seeds(Path(folder))
        started = time.perf_counter()
        found = list(
            track(outcomes(paths, range(options.cases)), "Mutated files", total=options.cases)
        )
        took = time.perf_counter() - started
    text = report(found, len(paths), took)
    target = Path(__file__).parent / "results" / "fuzz.md"
    target.write_text(text)
    print(text)


def report(found: list[Outcome], files: int, took: float) -> str:
    """Return the results as Markdown."""
    counts = Counter(outcome.code for outcome in found)
    slowest = sorted(found, key=lambda outcome: -outcome.seconds)[:5]
    largest = sorted(found, key=lambda outcome: -outcome.peak_mb)[:5]
    bad = [outcome for outcome in found if is_bad(outcome)]
    lines = [
        "# Mutated files",
        "",
        f"`python eval/fuzz.py --cases {len(found)}`, {files} files to start from, "
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}: {took:.0f} s.",
        "",
        f"Crashes {counts['crashed']}, time-outs {counts['timeout']}, cases over {MAX_S} s "
        f"{sum(o.seconds > MAX_S for o in found)}, over {MAX_MB} MB "
        f"{sum(o.peak_mb > MAX_MB for o in found)}, unexpected exceptions "
        f"{sum(o.code.startswith('!') for o in found)}.",
        "",
        "| outcome | cases |",
        "|---|---|",
        *(f"| {code} | {count} |" for code, count in counts.most_common()),
        "",
        *table("Slowest", slowest),
        *table("Most memory, the process included", largest),
        *table("Cases that should not be", bad),
    ]
    return "\n".join(lines).rstrip() + "\n"


def is_bad(outcome: Outcome) -> bool:
    """Whether a case ended its process, took too much, or surprised us."""
    surprising = outcome.code in ("crashed", "timeout") or outcome.code.startswith("!")
    return surprising or outcome.seconds > MAX_S or outcome.peak_mb > MAX_MB


def table(title: str, rows: list[Outcome]) -> list[str]:
    """Return some cases as a table of Markdown."""
    if not rows:
        return []
    lines = [f"## {title}", "", "| case | from | outcome | s | MB |", "|---|---|---|---|---|"]
    for o in rows:
        lines.append(f"| {o.number} | {o.name} | {o.code} | {o.seconds:.2f} | {o.peak_mb:.0f} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
