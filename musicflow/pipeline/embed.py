"""Tracks to vectors, doing only what is not done yet."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from musicflow import audio, embedders, worker
from musicflow.embedders.spec import EmbedderSpec
from musicflow.library import Problem, Progress, Track, no_progress
from musicflow.pipeline.infer import embed_and_keep
from musicflow.pipeline.isolate import embed_isolated
from musicflow.pipeline.plan import to_embed
from musicflow.store import Embedding, EmbeddingStore, problems_of


@dataclass(frozen=True)
class Embedded:
    """The counts, problems and rows of one call of `embed_tracks`."""

    embedded: int
    current: int
    problems: tuple[Problem, ...]
    """Of all tracks, those embedded before too."""
    rows: dict[str, Embedding]
    """What the store holds of the tracks now, by content hash."""


def embed_tracks(
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    progress: Progress = no_progress,
    *,
    own_process: bool = False,
    limits: audio.Limits = audio.Limits(),
    log: Path | None = None,
) -> Embedded:
    """Bring the store up to date with the tracks.

    A model is loaded only if there is work. Rows are kept as they come, so that a kill costs
    seconds. A file that cannot be embedded becomes a row that says why, and is tried again only
    when its content changed; one that cannot be read just now is reported and tried next time.

    Parameters
    ----------
    tracks
        The library.
    spec
        The embedder.
    store
        Where vectors are kept.
    cache
        Where weights are kept.
    progress
        Shows how far it is.
    own_process
        Whether to embed in a worker, so that its memory, and the time to load the model, are
        this embedder's alone, and a file that crashes the decoder costs that file.
    limits
        What one file may take; only a worker is held to the time.
    log
        The file for the messages of a worker's decoders; None to drop them.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used: its weights cannot be had, say.
    WorkerError
        If the worker is killed, or crashes other than on a file.
    """
    work = to_embed(tracks, spec, store)
    unreadable: list[Problem] = []
    if work:
        outcomes = (
            embed_isolated(work, spec, store, cache, limits, log)
            if own_process
            else embed_and_keep(work, spec, store, cache, limits)
        )
        try:
            # Fetched before, so that a download does not count as loading.
            embedders.fetch(spec, cache)
            with closing(outcomes):
                shown = progress(outcomes, f"Embedding, {spec.label}", len(work))
                unreadable = [problem for problem in shown if problem is not None]
        except embedders.EmbedderError as error:
            store.set_unavailable(spec, error)
            raise
        except worker.WorkerError as error:
            kept = "What was done is kept: run it again, and it goes on from there."
            raise worker.WorkerError(f"{error}. {kept}", code=error.code) from error
    rows = store.read(spec, {track.content_hash for track in tracks})
    problems = (*unreadable, *problems_of(tracks, spec, rows))
    return Embedded(len(work) - len(unreadable), len(tracks) - len(work), problems, rows)
