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
from musicflow.store import EmbeddingStore

SAMPLE = 24
SEED = 0

_WARM_UP = 2

_FLOAT = 4
_COPIES = 3
"""Copies of a vector: in the store, the published collection and the previous collection."""

_PAYLOAD_BYTES = 2000
"""Approximate bytes per track in a collection and its indexes, beside the vector."""


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


def estimate(
    root: Path,
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


def _track(root: Path, file: AudioFile) -> Track:
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
    with tempfile.TemporaryDirectory() as folder:
        # The first windows take longer, but only once per library.
        before, store = (EmbeddingStore(Path(folder, name)) for name in ("before", "all"))
        first = embed_tracks(tracks[:_WARM_UP], spec, before, cache, limits=limits)
        done = embed_tracks(tracks, spec, store, cache, limits=limits)
    load_s = max((row.load_s for row in first.rows.values()), default=0.0)
    rows = list(done.rows.values())
    wall_s = sum(row.wall_s for row in rows)
    # Decoding runs beside the model, so the times per track add up to more than the wall time.
    own = np.array([row.decode_s + row.embed_s for row in rows])
    each = own * (wall_s / own.sum()) if own.sum() else np.zeros(1)
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
        disk_mb=files * (_COPIES * _FLOAT * spec.dim + _PAYLOAD_BYTES) / 1e6,
    )
