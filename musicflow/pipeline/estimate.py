"""Time, memory and disk for a whole library, estimated from a random sample.

Each embedder is measured in a process of its own, so that its memory is its own.
"""

import tempfile
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicflow import audio, worker
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation.statistics import Interval, intervals
from musicflow.library import AudioFile, LibraryError, Progress, Track, find, no_progress
from musicflow.pipeline.embed import embed_tracks
from musicflow.pipeline.isolate import fault_of_file
from musicflow.places import Place
from musicflow.store import Embedding, EmbeddingStore, stack

SAMPLE = 24
SEED = 0

COVERAGES = (15.0, 30.0, 60.0, 120.0)
"""The coverages that are measured beside the whole track, in seconds."""

_WARM_UP = 2

_FLOAT = 4
_COPIES = 3
"""Copies of a vector: in the store, the published collection and the previous collection."""

_PAYLOAD_BYTES = 2000
"""Approximate bytes per track in a collection and its indexes, beside the vector."""


@dataclass(frozen=True)
class Choice:
    """The estimated cost and loss of one coverage.

    Parameters
    ----------
    coverage_s
        Seconds of each track that are heard; 0 for all.
    seconds
        Seconds for all files.
    kept, lowest
        The cosine of a track's vector to that of the whole track, mean and lowest over the sample:
        1 is the same, and 0 is as far as another track is on average.
    """

    coverage_s: float
    seconds: float
    kept: float
    lowest: float


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of one embedder.

    Parameters
    ----------
    embedder, weights, device
        The embedder, the state of its weights, and the device.
    files
        Files in the library.
    sampled, failed
        Files that were measured, and the unusable ones among them.
    load_s
        Seconds to load the model.
    seconds, interval_s
        Seconds for all files, with decoding and loading, and their 95 % interval (bootstrap over
        the sample).
    hours_of_audio
        Hours of audio in the library, extrapolated from the sample.
    peak_rss_mb
        The peak memory of the process.
    disk_mb
        Disk space of all vectors and collections.
    choices
        Cost and loss by coverage, where a track of the sample is longer.
    """

    embedder: str
    weights: str
    device: str
    files: int
    sampled: int
    failed: int
    load_s: float
    seconds: float
    interval_s: Interval
    hours_of_audio: float
    peak_rss_mb: float
    disk_mb: float
    choices: tuple[Choice, ...] = ()


def estimate(
    root: Place,
    specs: Sequence[EmbedderSpec],
    cache: Path,
    sample: int = SAMPLE,
    progress: Progress = no_progress,
    ignore: Collection[str] = (),
    *,
    limits: audio.Limits = audio.Limits(),
    log: Path | None = None,
) -> list[Estimate]:
    """Measure each embedder on the same random files of a library.

    Parameters
    ----------
    root
        The library. Files outside the sample are not opened.
    specs
        The embedders.
    cache
        The folder of weights.
    sample
        The number of files to draw.
    progress
        Shows progress.
    ignore
        Patterns of files to leave out; see `library.find`.
    limits
        The most that one file may take.
    log
        The file for the decoders' own messages; None to drop them.

    Raises
    ------
    LibraryError
        If `root` holds no audio files.
    WeightsError
        If an embedder's weights are not available.
    WorkerError
        If the worker of an embedder is killed, or crashes other than on a file.
    """
    files = [file for file in find(root, ignore=ignore) if not file.error]
    if not files:
        raise LibraryError(f"no usable file lies below {root}")
    drawn = np.random.default_rng(SEED).permutation(len(files))[:sample]
    tracks = [_track(root, files[row]) for row in sorted(drawn.tolist())]
    found: list[Estimate] = []
    for spec in progress(specs, "Measuring", len(specs)):
        found.append(_measure_guarded(spec, tracks, cache, len(files), limits, log))
    return found


def _measure_guarded(
    spec: EmbedderSpec,
    tracks: list[Track],
    cache: Path,
    files: int,
    limits: audio.Limits,
    log: Path | None,
) -> Estimate:
    """Measure in a worker, without the files that crash or hang it."""
    good = list(tracks)
    while True:
        try:
            [found] = worker.iterate(
                f"the worker of {spec.label}",
                _measured,
                spec,
                good,
                cache,
                files,
                limits,
                names=[track.track_id for track in good],
                timeout_s=limits.timeout_s,
                log=log,
            )
        except worker.WorkerError as error:
            track, _ = fault_of_file(error, good, spec, limits)
            good.remove(track)
        else:
            bad = len(tracks) - len(good)
            return replace(found, sampled=len(tracks), failed=found.failed + bad)


def _measured(*what: Any) -> Generator[Estimate, None, None]:
    yield measure(*what)


def _track(root: Place, file: AudioFile) -> Track:
    # The sample's vectors are not kept, so no content hash is needed.
    return Track(file.path, str(root / file.path), file.path, 0.0, 0)


def measure(
    spec: EmbedderSpec,
    tracks: list[Track],
    cache: Path,
    files: int,
    limits: audio.Limits = audio.Limits(),
) -> Estimate:
    """Embed some tracks in this process, and extrapolate to all files."""
    # The first windows take longer, but only once per library.
    first = _rows(spec, tracks[:_WARM_UP], cache, limits)
    load_s = max((row.load_s for row in first.values()), default=0.0)
    found = _rows(spec, tracks, cache, limits)
    rows = list(found.values())
    each = _seconds(rows)
    low, high = intervals(each[:, None])[0] * files
    return Estimate(
        embedder=spec.label,
        weights=spec.weights_state,
        device=next((row.device for row in rows if row.device), ""),
        files=files,
        sampled=len(tracks),
        failed=len(tracks) - sum(row.vector is not None for row in rows),
        load_s=load_s,
        seconds=load_s + float(each.mean()) * files,
        interval_s=(load_s + float(low), load_s + float(high)),
        hours_of_audio=sum(row.audio_s for row in rows) / max(len(tracks), 1) * files / 3600,
        peak_rss_mb=max((row.peak_rss_mb for row in rows), default=0.0),
        disk_mb=disk_mb(spec, files),
        choices=_choices(spec, found, tracks, cache, files, limits),
    )


def disk_mb(spec: EmbedderSpec, tracks: int) -> float:
    """Return the disk space of the vectors and collections of some tracks, in megabytes."""
    return tracks * (_COPIES * _FLOAT * spec.dim + _PAYLOAD_BYTES) / 1e6


def _choices(
    spec: EmbedderSpec,
    found: dict[str, Embedding],
    tracks: list[Track],
    cache: Path,
    files: int,
    limits: audio.Limits,
) -> tuple[Choice, ...]:
    longest = max((row.audio_s for row in found.values()), default=0.0)
    coverages = [coverage for coverage in COVERAGES if coverage < longest]
    if not coverages or len(tracks) < 2:
        return ()
    made = {spec.coverage_s: found}
    for coverage in (0.0, *coverages):
        if coverage not in made:
            made[coverage] = _rows(replace(spec, coverage_s=coverage), tracks, cache, limits)
    used = [key for key in made[0.0] if all(rows[key].vector is not None for rows in made.values())]
    if len(used) < 2:
        return ()
    whole = _vectors(made[0.0], used)
    choices = []
    for coverage in (*coverages, 0.0):
        cosines = _kept(_vectors(made[coverage], used), whole, spec)
        seconds = float(_seconds(list(made[coverage].values())).mean()) * files
        choices.append(Choice(coverage, seconds, float(cosines.mean()), float(cosines.min())))
    return tuple(choices)


def _rows(
    spec: EmbedderSpec, tracks: list[Track], cache: Path, limits: audio.Limits
) -> dict[str, Embedding]:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder))
        return embed_tracks(tracks, spec, store, cache, limits=limits).rows


def _seconds(rows: list[Embedding]) -> np.ndarray:
    """Return the seconds that each track takes, shape ``(N,)``, or one 0 without tracks."""
    wall_s = sum(row.wall_s for row in rows)
    # Decoding runs beside the model, so the times per track add up to more than the wall time.
    own = np.array([row.decode_s + row.embed_s for row in rows])
    return own * (wall_s / own.sum()) if own.sum() else np.zeros(1)


def _vectors(rows: dict[str, Embedding], keys: list[str]) -> np.ndarray:
    return stack([rows[key] for key in keys]).astype(np.float64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _kept(part: np.ndarray, whole: np.ndarray, spec: EmbedderSpec) -> np.ndarray:
    """Return the cosine of each vector to that of the whole track, relative to other tracks."""
    if spec.standardize:
        center, scale = whole.mean(axis=0), np.maximum(whole.std(axis=0), 1e-9)
        part, whole = (part - center) / scale, (whole - center) / scale
    part, whole = map(_unit, (part, whole))
    total, count = whole.sum(axis=0), len(whole)
    others = (total @ total - count) / (count * (count - 1))
    cosines: np.ndarray = ((part * whole).sum(axis=1) - others) / max(1 - others, 1e-9)
    return cosines
