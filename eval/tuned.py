"""What tuning gains: by library, by the number of labels per class, and for another library.

Reads homes whose libraries were compared with the embedders, and writes ``results/tuned.md``:

- In folds: P@10 of the tuned space beside the best embedder and the fusion, as a run shows it.
- By labels: so many tracks per class are learned from, drawn ten times; the rest is searched among
  itself. The picture of the docs is drawn from it.
- Elsewhere: learned from all of one library, searched in the others.
- At scale, with ``--tracks``: made-up vectors of so many tracks, learned and published in a process
  of their own.

    python eval/tuned.py HOME HOME --embedder musicnn+mfcc --embedder musicnn
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from machine import machine
from rich.progress import track

from musicflow import embedders
from musicflow.atomic import write_atomically
from musicflow.embedders.spec import EmbedderSpec
from musicflow.evaluation.choice import format_p
from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import labels_of
from musicflow.evaluation.protocol import Exclusion
from musicflow.evaluation.results import Contest
from musicflow.evaluation.retrieval import cosine
from musicflow.evaluation.statistics import Score, scores_of
from musicflow.index import EmbeddedIndex, normalize, open_index
from musicflow.index.tuned import name_of, side_by_side
from musicflow.library import Library, Track
from musicflow.pipeline.tune import Wanted, ground_of, tune
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore, store_of
from musicflow.tuning.evidence import AS_IT_IS, Ground, contests, rules
from musicflow.tuning.goals import judged
from musicflow.tuning.sources import usable
from musicflow.tuning.space import Choice, balanced, choose, learn

COUNTS = (2, 4, 8, 16, 32)
DRAWS = 10
RESULTS = Path(__file__).parent / "results" / "tuned.md"
PICTURE = Path(__file__).parents[1] / "docs" / "tuned.svg"


@dataclass(frozen=True)
class Set:
    """A library by the vectors of some embedders."""

    name: str
    ground: Ground
    members: tuple[str, ...]
    judgements: Judgements
    joined: np.ndarray

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"{self.name}, {'+'.join(self.members)}"


def sets(homes: list[str], several: list[str]) -> Iterator[Set]:
    """Yield each library by each choice of embedders."""
    for home in homes:
        settings = Settings(home=Path(home))
        library, specs = Library.load(settings.paths.library), embedders.specs_for(settings)
        given = library, specs, store_of(settings), open_index(settings), settings
        ground = ground_of(*given)
        judgements = usable(Judgements(labels_of("genre", ground.tracks)), "genre")
        for names in several:
            members = tuple(names.split("+"))
            units = [ground.units[member] for member in members]
            joined = side_by_side(units, balanced(units)).astype(np.float32)
            yield Set(library.name, ground, members, judgements, joined)


def in_folds(one: Set) -> Iterator[str]:
    """Yield the lines of the table in folds."""
    name = name_of(one.members, "genre")
    _, known, new = contests(name, one.ground, one.judgements, one.joined)
    for how, contest in (("with", known), ("without", new)):
        yield from (f"| {one.title} | {how} | {line}" for line in _lines(name, contest))


def _lines(name: str, contest: Contest) -> Iterator[str]:
    for space, score in contest.scores.items():
        found = [d for d in contest.differences if {d.better, d.worse} == {space, name}]
        p = format_p(found[0].p) if found else ""
        yield f"{space} | {cell(score)} | {p} |"


def cell(score: Score) -> str:
    """Return a score with its interval."""
    return f"{score.value:.3f} [{score.low:.3f}–{score.high:.3f}]"


def by_labels(one: Set) -> Iterator[tuple[int, Score, Score, Score]]:
    """Yield P@10 as it is, tuned, and the gain, by tracks per class that were learned from."""
    labels = np.array([own[0] if own else "" for own in one.judgements.labels])
    classes, sizes = np.unique(labels[labels != ""], return_counts=True)
    exclusion, kin = rules(one.ground, one.judgements, "genre")
    for count in COUNTS:
        large = classes[sizes >= count + 4]
        if len(large) < 2:
            return
        drawn = []
        for seed in range(DRAWS):
            random = np.random.default_rng(seed)
            learned = [random.permutation(np.flatnonzero(labels == c))[:count] for c in large]
            rows = np.sort(np.concatenate(learned))
            drawn.append(_searched_in_the_rest(one, rows, exclusion, kin, np.isin(labels, large)))
        pair = {name: np.array([own[name] for own in drawn]) for name in (AS_IT_IS, "tuned")}
        scores = scores_of({**pair, "gain": pair["tuned"] - pair[AS_IT_IS]})
        yield count, scores[AS_IT_IS], scores["tuned"], scores["gain"]


def _searched_in_the_rest(
    one: Set, rows: np.ndarray, exclusion: Exclusion, kin: np.ndarray, able: np.ndarray
) -> dict[str, float]:
    # Nobody of an artist that was learned from is asked about or found.
    strange = ~np.isin(kin, kin[rows][kin[rows] >= 0])
    rest = np.flatnonzero(able & strange & ~np.isin(np.arange(len(kin)), rows))
    own = one.judgements.of(rows)
    found = learn(one.joined[rows], own, choose(one.joined[rows], own, kin[rows]))
    unit = one.joined[rest]
    spaces = {AS_IT_IS: cosine(unit), "tuned": found.similarity(unit)}
    among = Exclusion(
        len(rest), [exclusion.keys[n] for n in rest.tolist()] if exclusion.keys else ()
    )
    fit = judged(one.judgements.of(rest), spaces, among, np.arange(len(rest)))
    return {name: float(values.mean()) for name, values in fit.values.items()}


def elsewhere(one: Set, other: Set) -> str:
    """Learn from one library, search another."""
    _, kin = rules(one.ground, one.judgements, "genre")
    choice: Choice = choose(one.joined, one.judgements, kin)
    found = learn(one.joined, one.judgements, choice)
    exclusion, _ = rules(other.ground, other.judgements, "genre")
    spaces = {AS_IT_IS: cosine(other.joined), "tuned": found.similarity(other.joined)}
    fit = judged(other.judgements, spaces, exclusion, np.arange(len(other.joined)))
    scores = scores_of({**fit.values, "gain": fit.values["tuned"] - fit.values[AS_IT_IS]})
    cells = " | ".join(map(cell, scores.values()))
    return f"| {one.name} | {other.title} | {cells} |"


def drawn(curves: dict[str, list[tuple[int, Score, Score, Score]]]) -> None:
    """Draw the gain by the number of labels per class."""
    plt.rcParams["svg.hashsalt"] = "musicflow"
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for title, curve in curves.items():
        counts = [count for count, *_ in curve]
        gains = [gain for *_, gain in curve]
        low, middle, high = np.array([[g.low, g.value, g.high] for g in gains], float).T
        axes.plot(counts, middle, marker="o", label=title)
        axes.fill_between(counts, low, high, alpha=0.15)
    axes.axhline(0, color="#8a8a8a", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(COUNTS, map(str, COUNTS))
    axes.set_xlabel("tracks per class that were learned from")
    axes.set_ylabel("gain in P@10, new songs alone")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


GENRES = 20


def at_scale(tracks: int, dims: int) -> str:
    """Learn and publish made-up vectors; return the seconds, and the most memory held."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder, "--embedder", f"{tracks}x{dims}", "--alone"]
        _make_up(EmbeddingStore(Path(folder) / "store"), tracks, _spec(dims))
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _spec(dims: int) -> EmbedderSpec:
    return EmbedderSpec("toy", "1", 8000, dims, 1.0, 1.0, "all", "made up")


def _tracks(count: int) -> list[Track]:
    return [
        Track(f"{n:06}", "", f"{n}", 200.0, 8000, (f"artist {n // 12}",), genre=f"{n % GENRES}")
        for n in range(count)
    ]


def _make_up(store: EmbeddingStore, count: int, spec: EmbedderSpec) -> None:
    random = np.random.default_rng(0)
    centers = random.standard_normal((GENRES, spec.dim)).astype(np.float32)
    for start in range(0, count, 5000):
        rows = np.arange(start, min(start + 5000, count))
        values = random.standard_normal((len(rows), spec.dim), np.float32)
        values += 0.1 * centers[rows % GENRES]
        store.add(spec, [Embedding(f"{n}", v) for n, v in zip(rows, values, strict=True)])


def _alone(folder: Path, tracks: int, dims: int) -> None:
    store, index = EmbeddingStore(folder / "store"), EmbeddedIndex(folder / "index")
    settings, one = Settings(home=folder / "home"), Wanted((_spec(dims),), "genre")
    start = time.perf_counter()
    manifest = tune(one, _tracks(tracks), store, index, settings)
    seconds, busy = time.perf_counter() - start, time.process_time()
    song = np.random.default_rng(1).standard_normal((1, dims)).astype(np.float32)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    times = [1000 * _seconds(partial(normalize, song, manifest)) for _ in range(100)]
    print(
        f"{manifest.count:,} tracks of {dims} dims: learned and published in {seconds:.0f} s "
        f"({busy:.0f} s of processor time on two cores; load of the machine "
        f"{os.getloadavg()[1]:.1f}), with {memory:.1f} GB at most; a new song is projected in "
        f"{np.median(times):.2f} ms."
    )


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write the results and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("homes", nargs="+")
    parser.add_argument("--embedder", action="append", required=True)
    parser.add_argument("--tracks", metavar="NxDIMS", help="such as 50000x2048")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        _alone(Path(given.homes[0]), *map(int, given.embedder[0].split("x")))
        return
    every = list(sets(given.homes, given.embedder))
    lines = [
        "# Tuned spaces",
        "",
        f"`python eval/tuned.py HOME … --embedder {' --embedder '.join(given.embedder)}"
        f"{f' --tracks {given.tracks}' if given.tracks else ''}`, "
        f"{machine()}.",
        f"{datetime.now(UTC):%Y-%m-%d}. P@10 by the label, with 95 % intervals.",
        "",
        "## In folds",
        "",
        "With: the rest of the corpus was learned from. Without: nothing that is searched was.",
        "p: of the difference to the tuned space, paired, by artist, corrected (Holm).",
        "",
        "| library | corpus | space | P@10 | p |",
        "|---|---|---|---|---|",
    ]
    for one in track(every, "In folds"):
        lines += in_folds(one)
    lines += ["", "## By labels", ""]
    text = f"Learned from so many tracks per class ({DRAWS} draws); the rest searched alone."
    lines += [text, ""]
    lines += ["| library | per class | as it is | tuned | gain |", "|---|---|---|---|---|"]
    curves = {}
    for one in track(every, "By labels"):
        curves[one.title] = list(by_labels(one))
        for count, *scores in curves[one.title]:
            lines.append(f"| {one.title} | {count} | {' | '.join(map(cell, scores))} |")
    drawn(curves)
    lines += ["", "## Another library", ""]
    lines += ["Learned from all of one; the other has other labels, and no track in common.", ""]
    lines += ["| learned from | searched | as it is | tuned | gain |", "|---|---|---|---|---|"]
    lines += [
        elsewhere(one, other)
        for one in every
        for other in every
        if one.name != other.name and one.members == other.members
    ]
    if given.tracks:
        found = at_scale(*map(int, given.tracks.split("x")))
        lines += ["", "## At scale", "", f"{found} Made-up vectors, {GENRES} genres."]
    write_atomically(RESULTS, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
