"""Tracks to vectors, skipping those that have a current one."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from musicflow import audio, embedders, worker
from musicflow.embedders.spec import EmbedderSpec
from musicflow.library import Problem, Progress, Rules, Track, no_progress
from musicflow.pipeline.failures import kept_failure
from musicflow.pipeline.infer import embed_and_keep
from musicflow.pipeline.isolate import embed_isolated
from musicflow.pipeline.plan import Plan, to_embed
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore, faults_of, problems_of


@dataclass(frozen=True)
class Embedded:
    """The counts, problems and rows of one call of `embed_tracks`.

    Vectors are read when `rows` is first asked for.
    """

    embedded: int
    current: int
    problems: tuple[Problem, ...]
    """Of all tracks, also of those embedded before."""
    outcomes: dict[str, Embedding]
    """The store's rows of the tracks without their vectors, by content hash."""
    read: Callable[[Collection[str]], dict[str, Embedding]] = field(repr=False)
    """A function that reads rows from the store, by content hash."""

    @cached_property
    def rows(self) -> dict[str, Embedding]:
        """Return the store's rows of the tracks, by content hash."""
        return self.read(self.outcomes)


@contextmanager
def one_import(
    plan: Plan,
    settings: Settings,
    later: Sequence[Callable[[], object]],
    aside: Sequence[str],
) -> Iterator[None]:
    """Import once what the embedders of a plan are made of, beside the work that comes first.

    Parameters
    ----------
    plan, settings
        What is to be done.
    later, aside
        See `worker.forking`.
    """
    busy = {step.subject for step in plan.steps if step.kind == "embed"}
    modules: dict[str, None] = {}
    for spec in embedders.specs_for(settings):
        # One that cannot be used says so when it is to embed.
        with suppress(embedders.EmbedderError):
            modules |= dict.fromkeys(embedders.imports_of(spec) if spec.label in busy else ())
    common = (embed_and_keep.__module__,) if busy else ()
    # pyarrow imports pandas for its first array, in each process that writes to the store.
    heavy = ("pandas", *modules) if modules else ()
    with worker.forking(common, heavy, later, aside):
        yield


def embed_for(
    settings: Settings,
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    progress: Progress = no_progress,
) -> Embedded:
    """Embed tracks in a worker, within the limits of the settings; see `embed_tracks`."""
    rules = Rules.of(settings)
    with kept_failure(settings.paths, spec):
        return embed_tracks(
            tracks,
            spec,
            store,
            settings.cache,
            progress,
            own_process=True,
            limits=rules.limits,
            log=rules.log,
        )


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

    A model is loaded only if there is work. Rows are stored every few seconds, so that a killed
    run loses little. A file that cannot be embedded gets a row with the reason; it is tried again
    only when its content changes. A file that cannot be read is reported, and tried next time.

    Parameters
    ----------
    tracks
        The library.
    spec
        The embedder.
    store
        The store of vectors.
    cache
        The folder of weights.
    progress
        Shows progress.
    own_process
        Whether to embed in a worker. Its memory and loading time are this embedder's alone, and a
        file that crashes the decoder costs only itself.
    limits
        The most that one file may take. The time limit needs a worker.
    log
        The file for the messages of a worker's decoders; None to drop them.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used, for example without its weights.
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
            # Weights are fetched first, so that a download does not count as loading.
            embedders.fetch(spec, cache)
            with closing(outcomes):
                shown = progress(outcomes, f"Embedding, {spec.label}", len(work))
                unreadable = [problem for problem in shown if problem is not None]
        except embedders.EmbedderError as error:
            store.set_unavailable(spec, error)
            raise
        except worker.WorkerError as error:
            kept = "All finished work is kept: run it again to go on from there."
            raise worker.WorkerError(f"{error}. {kept}", code=error.code) from error
    rows = store.outcomes(spec, only={track.content_hash for track in tracks})
    faults = faults_of(spec, store.faults(spec) or ())
    return Embedded(
        len(work) - len(unreadable),
        len(tracks) - len(work),
        (*unreadable, *problems_of(tracks, spec, rows), *faults),
        rows,
        partial(store.read, spec),
    )
