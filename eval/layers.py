"""What all layers in one pass cost beside an embedder's own layer alone.

Runs both in turn on the same noise, so that a change of the machine's pace touches both. Seeded
weights stand in for trained ones that are not here: they cost the same.

    python eval/layers.py
    python eval/layers.py --only clap=hub:FOLDER
"""

import argparse
import time

import numpy as np

from musicflow import embedders
from musicflow.settings import Settings

NAMES = ("musicnn", "musicnn-vgg", "wav2vec2")


def main() -> None:
    """Measure and print a line per embedder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", default=NAMES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for name in options.only:
        _measure(name, options.rounds)


def _measure(name: str, rounds: int) -> None:
    cache = Settings().cache
    spec = embedders.spec_of(name)
    if spec.weights is not None and spec.weights.state(cache) == "missing":
        spec = embedders.untrained(spec)
    both = [embedders.load(one, cache) for one in (spec, embedders.all_layers(spec))]
    shape = 2, spec.window_samples
    windows = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    times = np.array(
        [[_seconds(embedder, windows) for embedder in both] for _ in range(rounds + 1)]
    )
    own, all_layers = np.median(times[1:], axis=0)
    ratio = np.median(times[1:, 1] / times[1:, 0])
    print(
        f"{spec.label}, {spec.precision}, {both[0].device}: own layer {1000 * own:.1f} ms, "
        f"all {len(embedders.layers_of(spec))} layers {1000 * all_layers:.1f} ms, ratio {ratio:.3f}"
    )


def _seconds(embedder: embedders.Embedder, windows: np.ndarray) -> float:
    start = time.process_time() if embedder.device == "cpu" else time.perf_counter()
    embedders.infer(embedder, windows)
    end = time.process_time() if embedder.device == "cpu" else time.perf_counter()
    return end - start


if __name__ == "__main__":
    main()
