"""What bf16 costs: each embedder in bf16 beside fp32, same weights, over a folder of clips.

Writes ``results/precision.md``: the lowest cosine of a track's two vectors, and precision@10 by
genre (the topmost folder) with each. Seeded weights stand in for trained ones that are not here.

    python eval/precision.py genre_clips
"""

import argparse
import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.progress import track

from musicflow import audio, embedders
from musicflow.evaluation import metrics, retrieval
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.settings import Settings

NAMES = ("musicnn", "openl3", "panns", "wav2vec2")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path, help="<clips>/<genre>/*")
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES)
    options = parser.parse_args()
    paths = sorted(p for p in options.clips.glob("*/*") if p.suffix in audio.AUDIO_SUFFIXES)
    genres = [path.parent.name for path in paths]
    rows = [_row(name, paths, genres) for name in options.only]
    only = "" if options.only is NAMES else f" --only {' '.join(options.only)}"
    text = "\n".join(
        [
            "# bf16 beside fp32",
            "",
            f"`python eval/precision.py {options.clips.name}{only}`, {len(paths)} tracks, "
            f"{datetime.now(UTC):%Y-%m-%d}.",
            "",
            "| embedder | weights | lowest cosine | median | P@10 fp32 | P@10 bf16 |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "precision.md").write_text(text)
    print(text)


def _row(name: str, paths: list[Path], genres: list[str]) -> str:
    spec, cache = embedders.spec_of(name), Settings().cache
    if spec.weights is not None and spec.weights.state(cache) == "missing":
        spec = embedders.untrained(spec)
    both = [
        embedders.load(dataclasses.replace(spec, precision=precision), cache)
        for precision in ("fp32", "bf16")
    ]
    vectors: list[list[np.ndarray]] = [[], []]
    for path in track(paths, f"{name} …"):
        clip = audio.decode(path, spec.sample_rate)
        for made, embedder in zip(vectors, both, strict=True):
            made.append(embedder.embed(clip, spec.sample_rate))
    exact, fast = (_unit(np.stack(made)) for made in vectors)
    cosines = (exact * fast).sum(axis=1)
    precision = [_precision(unit, genres) for unit in (exact, fast)]
    # Of vectors that mean nothing, precision means nothing.
    shown = [f"{value:.4f}" if spec.trained else "–" for value in precision]
    figures = [f"{cosines.min():.6f}", f"{np.median(cosines):.6f}", *shown]
    return f"| {' | '.join([name, spec.weights_state, *figures])} |"


def _precision(unit: np.ndarray, genres: list[str]) -> float:
    labels = Labels([[genre] for genre in genres])
    spaces, exclusion = {"": retrieval.cosine(unit)}, Exclusion(len(genres))
    ranked = retrieval.rank(spaces, [labels], exclusion, [metrics.get(metrics.MAIN)])
    return ranked[""].scores[0].mean(metrics.MAIN)


def _unit(vectors: np.ndarray) -> np.ndarray:
    values = vectors.astype(np.float64)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
