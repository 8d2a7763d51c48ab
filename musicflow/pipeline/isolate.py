"""Embedding in a worker, so that a file that crashes or hangs costs only itself."""

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from musicflow import audio, embedders, worker
from musicflow.embedders.spec import EmbedderSpec
from musicflow.library import Problem, Track
from musicflow.pipeline.decode import decode
from musicflow.pipeline.infer import embed_and_keep
from musicflow.pipeline.plan import to_embed
from musicflow.store import Embedding, EmbeddingStore


def embed_isolated(
    tracks: list[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    limits: audio.Limits,
    log: Path | None,
) -> Generator[Problem | None, None, None]:
    """Run `embed_and_keep` in a worker; start another after each faulty file.

    A faulty file gets a row with the reason, so that it does not end the next run.
    """
    unreadable: set[str] = set()
    while tracks:
        outcomes = worker.iterate(
            f"the worker of {spec.label}",
            embed_and_keep,
            tracks,
            spec,
            store,
            cache,
            limits,
            names=[track.track_id for track in tracks],
            timeout_s=limits.timeout_s,
            log=log,
            heavy=bool(embedders.imports_of(spec)),
        )
        try:
            with closing(outcomes):
                for problem in outcomes:
                    if problem is not None:
                        unreadable.add(problem.subject)
                    yield problem
            return
        except worker.WorkerError as error:
            track, fault = fault_of_file(error, tracks, spec, limits)
            reason = f"cannot be decoded: {fault.message}"
            store.add(spec, [Embedding(track.content_hash, None, error=reason, code=fault.code)])
            yield None
            left = to_embed(tracks, spec, store)
            tracks = [track for track in left if track.track_id not in unreadable]


def fault_of_file(
    error: worker.WorkerError,
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    limits: audio.Limits,
) -> tuple[Track, worker.WorkerError]:
    """Return the track whose file ended a worker that embedded tracks, and how.

    Raises
    ------
    WorkerError
        The same error, if it is not the fault of a file.
    """
    if error.number is None or error.code not in ("timeout", "crashed"):
        raise error
    track = tracks[error.number]
    if error.code == "timeout":
        how = f"the decoder took longer than {limits.timeout_s:g} s"
        return track, worker.WorkerError(how, code="timeout")
    # The model may have crashed instead. Decoding the file alone decides.
    alone = worker.iterate(
        "the decoder", _decode_only, track, spec, limits, timeout_s=limits.timeout_s
    )
    try:
        for _ in alone:
            pass
    except worker.WorkerError as fault:
        return track, fault
    raise error


def _decode_only(
    track: Track, spec: EmbedderSpec, limits: audio.Limits
) -> Generator[None, None, None]:
    worker.begin(0)
    for _ in decode(track, spec, limits):
        yield
