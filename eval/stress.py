"""Queries that are deformed, and whether a loudness for all pays: a folder of music with genres.

Runs `musicflow run --stress` once per loudness, each in a home of its own, and writes
``results/stress.md``.

    python eval/stress.py genre_clips
    python eval/stress.py genre_clips --embedder musicnn --loudness -14 -23 --tracks 499
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine

import musicflow as mf
from musicflow import embedders
from musicflow.audio.deformations import DEFORMATIONS
from musicflow.evaluation import Comparison, Method, retrieval, statistics
from musicflow.evaluation.choice import format_p
from musicflow.evaluation.comparison import common_spaces
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.quality import Judge
from musicflow.index import open_index
from musicflow.library import read_library
from musicflow.settings import Home, Settings, remember
from musicflow.store import store_of

Loudness = float | None

RESULTS = Path(__file__).parent / "results" / "stress.md"


def main() -> None:
    """Compare once per loudness, and write two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--embedder", action="append", dest="embedders")
    parser.add_argument("--loudness", type=float, nargs="*", default=[-14.0])
    parser.add_argument("--tracks", type=int, default=200, help="how many are deformed")
    parser.add_argument("--home", type=Path, help="keep the homes here, to go on from them")
    given = parser.parse_args()
    names = given.embedders or ["musicnn", "mfcc"]
    levels: list[Loudness] = [None, *given.loudness]
    with tempfile.TemporaryDirectory() as temporary:
        found: dict[Loudness, mf.Comparison] = {}
        values: dict[tuple[str, Loudness], np.ndarray] = {}
        for level in levels:
            home = (given.home or Path(temporary)) / _told(level)
            remember(Home(home), stress=given.tracks, **({} if level is None else _level(level)))
            found[level] = mf.compare(given.library, names, home=home)
            values |= {(name, level): one for name, one in _precisions(home).items()}
    queries = next(iter(found[None].rows)).stressed[0].queries
    text = "\n".join(
        [
            "# Deformed queries, and a loudness for all",
            "",
            f"`python eval/stress.py {given.library.name}`, {datetime.now(UTC):%Y-%m-%d}, "
            f"{machine()}.",
            "",
            f"Protocol: {found[None].protocol}. Changes of P@10 with paired 95 % intervals; p is "
            "corrected for the number of lines (Holm).",
            "",
            "## Queries as they are",
            "",
            "| embedder | loudness, LUFS | P@1 | P@10 | mAP | change of P@10 | p | decode ms |",
            "|---|---|---|---|---|---|---|---|",
            *_plain(found, values, names),
            "",
            f"## {queries} queries, deformed",
            "",
            "Library and query are at the loudness of the column. The change is that of P@10 "
            "against the query as it is; behind it, how much of the ten nearest stays.",
            "",
            f"| embedder | query | {' | '.join(map(_told, levels))} |",
            f"|---|---|{'---|' * len(levels)}",
            *_deformed(found, names),
            "",
        ]
    )
    RESULTS.write_text(text)
    print(text)


def _level(level: float) -> dict[str, float]:
    return {"loudness_lufs": level}


def _told(level: Loudness) -> str:
    return "as it is" if level is None else f"{level:g}"


def _precisions(home: Path) -> dict[str, np.ndarray]:
    """Return P@10 of each query, by embedder."""
    settings = Settings(home=home)
    specs, store, index = embedders.specs_for(settings), store_of(settings), open_index(settings)
    manifests = {spec.label: index.manifest(spec.label) for spec in specs}
    vectors = {spec.label: store.read(spec) for spec in specs}
    tracks, spaces = common_spaces(read_library(settings), specs, manifests, vectors)
    judge = Judge(tracks, Method.of(settings))
    judge.rank({name: retrieval.cosine(unit) for name, unit in spaces.items()})
    return {name: ranked.values[MAIN] for name, ranked in judge.ranked.items()}


def _plain(
    found: dict[Loudness, Comparison],
    values: dict[tuple[str, Loudness], np.ndarray],
    names: list[str],
) -> Iterator[str]:
    pairs: list[tuple[str, Loudness]] = [
        (name, level) for name in names for level in found if level is not None
    ]
    changes = statistics.changes(
        [(values[name, None], values[name, level]) for name, level in pairs]
    )
    by_pair = dict(zip(pairs, changes, strict=True))
    for name in names:
        for level, comparison in found.items():
            [row] = [row for row in comparison.rows if row.embedder == name]
            scores = [f"{row.value(m):.3f}" for m in ("precision_at_1", MAIN, "map")]
            change = by_pair.get((name, level))
            told = ["–", "–"]
            if change is not None:
                told = [_of(change), format_p(change.p).removeprefix("= ")]
            cells = [name, _told(level), *scores, *told, f"{row.decode_ms:.1f}"]
            yield f"| {' | '.join(cells)} |"


def _deformed(found: dict[Loudness, Comparison], names: list[str]) -> Iterator[str]:
    for name in names:
        rows = [next(r for r in one.rows if r.embedder == name) for one in found.values()]
        for deformation, (title, _) in DEFORMATIONS.items():
            ones = [next(s for s in row.stressed if s.deformation == deformation) for row in rows]
            cells = [f"{_of(one.change)}, {one.kept:.2f}" for one in ones]
            yield f"| {name} | {title} | {' | '.join(cells)} |"


def _of(change: statistics.Change) -> str:
    low, high = change.interval
    return f"{change.change:+z.3f} [{low:+z.3f}, {high:+z.3f}]"


if __name__ == "__main__":
    main()
