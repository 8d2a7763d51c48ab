"""Decoding in workers: a file that crashes or hangs one harms nothing else."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from musicflow import worker
from musicflow.audio import decoding
from musicflow.audio.decoding import Limits
from musicflow.audio.excerpts import Excerpts, Span
from musicflow.audio.landmarks import RATE, Landmarks, landmarks
from musicflow.places import Place

_Item = TypeVar("_Item")


def stream(
    path: Place,
    sample_rate: int,
    limits: Limits = Limits(),
    *,
    log: Path | None = None,
    rations: worker.Rations | None = None,
) -> Generator[np.ndarray, None, None]:
    """Decode a file block by block in a worker; see `Decoding`.

    Parameters
    ----------
    path
        The file.
    sample_rate
        The rate of the output in hertz.
    limits
        The most that the file may take.
    log
        The file for the decoder's own messages; None to drop them.
    rations
        The bounds on the decoder's time and memory; None for no bounds.

    Raises
    ------
    AudioError
        If the file cannot be used.
    OSError
        If it cannot be read.
    WorkerError
        If it crashes the decoder, or takes too long.
    MemoryError
        If it takes more memory than the rations allow.
    """
    return worker.iterate(
        "the decoder",
        _blocks,
        path,
        sample_rate,
        limits,
        names=[str(path)],
        timeout_s=limits.timeout_s,
        log=log,
        rations=rations,
    )


def beginnings(
    paths: Sequence[Place],
    sample_rate: int,
    seconds: float,
    *,
    timeout_s: float = Limits.timeout_s,
    log: Path | None = None,
) -> list[np.ndarray | Exception]:
    """Decode the first seconds of each file, in workers that the files share.

    Parameters
    ----------
    paths
        The files.
    sample_rate
        The rate of the output in hertz.
    seconds
        Seconds to decode at most, of each.
    timeout_s
        Seconds that the decoder may work on one file.
    log
        The file for the decoder's own messages; None to drop them.

    Returns
    -------
    list of numpy.ndarray or Exception
        For each file its samples, float32 mono, shape ``(n,)``, or its error, as `stream`
        raises it.
    """
    function = partial(_beginning, sample_rate=sample_rate, seconds=seconds)
    return _each(function, paths, paths, timeout_s, log)


def excerpts(
    paths: Sequence[Place],
    spans: Sequence[Span],
    sample_rate: int,
    *,
    timeout_s: float = Limits.timeout_s,
    log: Path | None = None,
) -> list[np.ndarray | Exception]:
    """Decode a span of each file, in workers that the files share.

    Parameters
    ----------
    paths
        The files.
    spans
        The first sample and the number of samples, of each. Before the beginning is silence.
    sample_rate, timeout_s, log
        As in `beginnings`.

    Returns
    -------
    list of numpy.ndarray or Exception
        As in `beginnings`; fewer samples than asked for where a file ends.
    """
    function = partial(_excerpt, sample_rate=sample_rate)
    return _each(function, list(zip(paths, spans, strict=True)), paths, timeout_s, log)


def landmarks_of(
    paths: Sequence[Place], *, timeout_s: float = Limits.timeout_s, log: Path | None = None
) -> Generator[tuple[int, Landmarks | Exception], None, None]:
    """Take the landmarks of each file, in workers; yield its number, and them or its error."""
    names = [str(path) for path in paths]
    return worker.each(_landmarks, paths, names=names, timeout_s=timeout_s, log=log)


def _each(
    function: Callable[[_Item], np.ndarray],
    items: Sequence[_Item],
    paths: Sequence[Place],
    timeout_s: float,
    log: Path | None,
) -> list[np.ndarray | Exception]:
    """Apply a function to items, each of a file, in workers; return what it gave, in order."""
    names = [str(path) for path in paths]
    found = dict(worker.each(function, items, names=names, timeout_s=timeout_s, log=log))
    return [found[number] for number in range(len(items))]


def _blocks(path: Place, sample_rate: int, limits: Limits) -> Generator[np.ndarray, None, None]:
    worker.begin(0)
    for block in decoding.stream(path, sample_rate, limits):
        with worker.waiting():
            yield block
    worker.end()


def _excerpt(wanted: tuple[Place, Span], *, sample_rate: int) -> np.ndarray:
    path, (start, count) = wanted
    missing = max(0, -start)
    [found] = Excerpts(path, sample_rate, [(max(0, start), count - missing)])
    return np.pad(found, (missing, 0))


def _landmarks(path: Place) -> Landmarks:
    return landmarks(decoding.stream(path, RATE))


def _beginning(path: Place, *, sample_rate: int, seconds: float) -> np.ndarray:
    wanted, samples = int(seconds * sample_rate), 0
    blocks = [np.zeros(0, np.float32)]
    for block in decoding.stream(path, sample_rate):
        blocks.append(block)
        samples += len(block)
        if samples >= wanted:
            break
    return np.concatenate(blocks)[:wanted]
