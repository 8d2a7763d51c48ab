"""What hearing a part of each track costs, beside hearing it whole.

Each track is embedded whole and with some coverages. Writes ``results/coverage-LIBRARY.md``:

- cosine: of a track's vector to that of the whole track, mean and lowest.
- overlap: the share of the ten nearest that are the same.
- P@10 by label (the topmost folder), and the paired difference to the whole with its 95 % interval.
- fast: processor time for all tracks whole, decoding and model, over what the part takes.

Lines below say how much of the ten nearest a copy in MP3 at 128 kbit/s keeps, and which coverage
the rule chooses: the least whose loss is under 0.01 and not significant, and whose overlap is no
lower than that of the copies, nor than 0.85.

    python eval/excerpts.py games --embedder musicnn --embedder mfcc
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine
from rich.progress import track
from throughput import track_of

from musicflow import audio, embedders
from musicflow.audio.deformations import RATE, encoded
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import metrics, retrieval, space, statistics
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.library import Track
from musicflow.pipeline import embed_tracks
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore

COVERAGES = (15, 30, 60, 120)
MOST_LOST, LEAST_OVERLAP = 0.01, 0.85
SEED = 0


@dataclasses.dataclass(frozen=True)
class Made:
    """The vectors of all tracks by one coverage, their P@10, and the processor time they took."""

    vectors: np.ndarray
    precision: np.ndarray
    nearest: np.ndarray
    cpu_s: float


def main() -> None:
    """Embed, compare, choose."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", type=Path, help="<library>/<label>/*")
    parser.add_argument("--embedder", action="append")
    parser.add_argument("--copies", type=int, default=40, help="tracks that are copied as MP3")
    options = parser.parse_args()
    names = options.embedder or ["musicnn", "mfcc"]
    tracks = _tracks(options.library)
    seconds = np.array([track.duration_s for track in tracks])
    lines = [
        "# Hearing a part of each track",
        "",
        f"`python eval/excerpts.py {options.library.name}`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{machine()}.",
        "",
        f"{len(tracks)} tracks under {len({t.genre for t in tracks})} labels, "
        f"{seconds.sum() / 3600:.1f} hours, median {np.median(seconds):.0f} s.",
        "",
        "| embedder | heard | cosine | lowest | overlap@10 | P@10 | to the whole | p | fast |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    outcomes = []
    for name in names:
        rows, outcome = _measured(embedders.spec_of(name), tracks, options.copies)
        lines += rows
        outcomes.append(outcome)
    text = "\n".join([*lines, "", *outcomes, ""])
    (Path(__file__).parent / "results" / f"coverage-{options.library.name}.md").write_text(text)
    print(text)


def _tracks(root: Path) -> list[Track]:
    """The tracks that can be used, their label as the genre."""
    found = []
    for path in track(sorted(root.glob("*/*")), "Reading …"):
        if path.suffix.lower() in audio.AUDIO_SUFFIXES:
            name, label = str(path.relative_to(root)), path.parent.name
            found.append(dataclasses.replace(track_of(path), track_id=name, genre=label))
    return list({track.content_hash: track for track in found}.values())


def _measured(spec: EmbedderSpec, tracks: Sequence[Track], copies: int) -> tuple[list[str], str]:
    whole, used = _made(spec, tracks)
    tracks = [tracks[row] for row in used]
    least = max(LEAST_OVERLAP, copied := _kept_by_copies(spec, tracks, whole, copies))
    lines = [_line(spec, "all", whole, whole, "")]
    chosen, failed = "the whole track", False
    for coverage in reversed(COVERAGES):
        part, _ = _made(dataclasses.replace(spec, coverage_s=float(coverage)), tracks)
        both = {"part": part.precision, "whole": whole.precision}
        [difference] = statistics.differences(metrics.MAIN, both)
        sign = 1 if difference.better == "part" else -1
        low, high = sorted(sign * end for end in difference.interval)
        lost = -sign * difference.difference
        said = f"{-lost:+.3f} [{low:+.3f}, {high:+.3f}] | {difference.p:.2f}"
        lines.insert(1, _line(spec, f"{coverage} s", part, whole, said))
        fine = lost < MOST_LOST and (lost <= 0 or difference.p >= 0.05)
        # One that passes by chance below one that does not is no choice.
        failed = failed or not fine or _overlap(part, whole) < least
        chosen = chosen if failed else f"{coverage} s"
    outcome = (
        f"{spec.name}: a copy in MP3 at 128 kbit/s keeps {copied:.2f} of its original's ten "
        f"nearest ({copies} copies), so overlap must be {least:.2f} or more. The rule chooses "
        f"{chosen}."
    )
    return lines, outcome


def _made(spec: EmbedderSpec, tracks: Sequence[Track]) -> tuple[Made, list[int]]:
    def progress(items: Iterable, title: str, total: int) -> Iterator:
        yield from track(items, f"{title}, {spec.coverage_s:g} s …", total)

    with tempfile.TemporaryDirectory() as folder:
        store, cache = EmbeddingStore(Path(folder)), Settings().cache
        rows = embed_tracks(tracks, spec, store, cache, progress).rows
    made = {n: rows[one.content_hash] for n, one in enumerate(tracks)}
    found = {n: row.vector for n, row in made.items() if row.vector is not None}
    used, vectors = [*found], np.stack([*found.values()])
    unit = _unit(vectors, vectors, spec)
    labels = Labels([[tracks[row].genre] for row in used])
    ranked = retrieval.rank(
        {"": retrieval.cosine(unit)}, [labels], Exclusion(len(unit)), [metrics.get(metrics.MAIN)]
    )
    precision = ranked[""].scores[0].values[metrics.MAIN]
    cpu_s = sum(made[n].cpu_s for n in used)
    return Made(vectors, precision, space.neighbours(unit).rows, cpu_s), used


def _unit(vectors: np.ndarray, of: np.ndarray, spec: EmbedderSpec) -> np.ndarray:
    """Vectors as they are compared in the collection of some vectors."""
    values = vectors.astype(np.float64)
    if spec.standardize:
        values = (values - of.mean(axis=0)) / np.maximum(of.std(axis=0), 1e-9)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _line(spec: EmbedderSpec, heard: str, part: Made, whole: Made, difference: str) -> str:
    cosines = (
        _unit(part.vectors, whole.vectors, spec) * _unit(whole.vectors, whole.vectors, spec)
    ).sum(axis=1)
    figures = [
        f"{cosines.mean():.3f}",
        f"{cosines.min():.3f}",
        f"{_overlap(part, whole):.2f}",
        f"{part.precision.mean():.3f}",
        difference or "| ",
        f"{whole.cpu_s / part.cpu_s:.1f}",
    ]
    return f"| {spec.name} | {heard} | {' | '.join(figures)} |"


def _overlap(part: Made, whole: Made) -> float:
    pairs = zip(part.nearest.tolist(), whole.nearest.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def _kept_by_copies(spec: EmbedderSpec, tracks: Sequence[Track], whole: Made, copies: int) -> float:
    """The share of the ten nearest that a track keeps when a copy in MP3 takes its place."""
    embedder = embedders.load(spec, Settings().cache)
    encode = encoded("libmp3lame", "mp3", RATE, 128_000)
    drawn = np.random.default_rng(SEED).permutation(len(tracks))[:copies].tolist()
    unit = _unit(whole.vectors, whole.vectors, spec)
    kept = []
    for row in track(drawn, f"{spec.name}, copies …"):
        copy = encode(audio.decode(Path(tracks[row].path), RATE))
        vector = embedder.embed(copy, RATE)
        scores = unit @ _unit(vector[None], whole.vectors, spec)[0]
        scores[row] = -np.inf
        near = np.argsort(-scores, kind="stable")[: whole.nearest.shape[1]]
        kept.append(len(set(near.tolist()) & set(whole.nearest[row].tolist())) / len(near))
    return float(np.mean(kept))


if __name__ == "__main__":
    main()
