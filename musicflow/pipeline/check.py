"""An embedder tried before it is given a library: the looks of its first use, and its speed."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from musicflow import embedders, worker
from musicflow.embedders import EmbedderSpec, looks
from musicflow.embedders.adapters.vectors import Given
from musicflow.embedders.looks import Fault

_SECONDS = 5.0
"""The time that the model is measured for."""


@dataclass(frozen=True)
class Checked:
    """What was found of an embedder.

    Parameters
    ----------
    faults
        What is wrong; empty if nothing.
    load_s
        Seconds to load it.
    x_realtime
        Seconds of audio per second in the model, without decoding; None if it hears no audio.
    device
        Where it ran.
    """

    faults: tuple[Fault, ...]
    load_s: float
    x_realtime: float | None
    device: str


def check(spec: EmbedderSpec, cache: Path) -> Checked:
    """Try an embedder on made-up sounds, in a worker. Weights are fetched first.

    Raises
    ------
    EmbedderError
        If it cannot be used.
    WorkerError
        If it takes its process down.
    """
    embedders.fetch(spec, cache)
    [checked] = worker.iterate(f"the worker of {spec.label}", _check, spec, cache)
    return checked


def _check(spec: EmbedderSpec, cache: Path) -> Generator[Checked, None, None]:
    start = time.perf_counter()
    embedder = embedders.load(spec, cache)
    load_s = time.perf_counter() - start
    faults = (*looks.look(embedder), *looks.look_at_sounds(embedder), *looks.look_at_code(spec))
    speed = None if isinstance(embedder, Given) else _speed(embedder)
    yield Checked(faults, load_s, speed, embedder.device)


def _speed(embedder: embedders.Embedder) -> float:
    """Return seconds of audio per second, in full batches."""
    sounds = looks.sounds(embedder.spec)
    batch = sounds[[row % len(sounds) for row in range(embedder.batch_size)]]
    start, windows = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < _SECONDS:
        embedders.infer(embedder, batch)
        windows += len(batch)
    return windows * embedder.spec.window_s / spent
