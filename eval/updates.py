"""Updates of a collection one after the other: their time, and what the graph finds then.

Each adds, changes and drops tracks, one in a hundred. Points are made up as in ``index.py``. Writes
``results/updates.md``.

    python eval/updates.py --tracks 20000 --dim 512
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from index import _block as block
from machine import machine

from musicflow.index import Collection, EmbeddedIndex, Manifest, Point, Revision

ROUNDS, SHARE = 12, 0.005
QUERIES, K = 300, 10


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    text = "\n".join(
        [
            "# Updates of a collection",
            "",
            f"`python eval/updates.py --tracks {given.tracks} --dim {given.dim}`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            "| version | changes since all anew | s | of it busy s | recall@10 |",
            "|---|---|---|---|---|",
            *_measured(given.tracks, given.dim),
            "",
        ]
    )
    (Path(__file__).parent / "results" / "updates.md").write_text(text)
    print(text)


def _measured(count: int, dim: int) -> Iterator[str]:
    some, random = int(SHARE * count), np.random.default_rng(1)
    values = np.concatenate([block(number, dim) for number in range(count // 1000 + 2)])
    alive = set(range(count))

    def point(number: int, genre: str) -> Point:
        return Point(f"t{number}", values[number], {"track_id": f"t{number}", "genre": genre})

    with tempfile.TemporaryDirectory() as folder:
        index = EmbeddedIndex(Path(folder))
        start, busy = time.perf_counter(), time.process_time()
        index.publish("b", Manifest("b", "h", dim, "0", count), (point(n, "") for n in alive))
        yield _row("all anew", index, values, start, busy)
        for version in range(ROUNDS):
            gone = {int(n) for n in random.choice(sorted(alive), some, replace=False)}
            new = range(count + version * some // 2, count + (version + 1) * some // 2)
            alive = alive - gone | {*new}
            written = [*new, *(int(n) for n in random.choice(sorted(alive), some // 2))]

            left = len(alive)

            def revise(
                base: Collection,
                written: list[int] = written,
                gone: set[int] = gone,
                left: int = left,
            ) -> Revision:
                changes = base.manifest.changes + len(written) + len(gone)
                manifest = replace(base.manifest, count=left, changes=changes)
                return Revision(
                    manifest, (point(n, "new") for n in written), [f"t{n}" for n in gone]
                )

            start, busy = time.perf_counter(), time.process_time()
            index.update("b", revise)
            yield _row(f"update {version + 1}", index, values, start, busy)


def _row(title: str, index: EmbeddedIndex, values: np.ndarray, start: float, busy: float) -> str:
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    with index.open("b") as collection:
        vectors = values[np.random.default_rng(0).integers(0, len(values), QUERIES)]
        pairs = zip(
            collection.query(vectors, K), collection.query(vectors, K, exact=True), strict=True
        )
        same = [len({h.track_id for h in a} & {h.track_id for h in b}) / K for a, b in pairs]
        share = collection.manifest.changes / collection.manifest.count
    return f"| {title} | {share:.1%} | {seconds:.1f} | {busy:.1f} | {np.mean(same):.3f} |"


if __name__ == "__main__":
    main()
