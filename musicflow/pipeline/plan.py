"""The plan: all work to do, and why. Nothing else decides what is up to date."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from musicflow import embedders
from musicflow.embedders import EmbedderError
from musicflow.embedders.spec import EmbedderSpec
from musicflow.evaluation import Comparison, Method, is_up_to_date, state
from musicflow.evaluation.results import COMPARISON, AsOf
from musicflow.index import TrackIndex, open_index
from musicflow.library import Library, Progress, Track, no_progress, read_library
from musicflow.pipeline.cuts import without_landmarks
from musicflow.pipeline.pace import EVALUATION, LANDMARKS, Pace, publication
from musicflow.pipeline.publish import collection_state, is_published, published_count
from musicflow.pipeline.tune import all_wanted, are_measured, is_current
from musicflow.pipeline.words import tags_for
from musicflow.settings import Settings, share_that_matters
from musicflow.store import EmbeddingStore, store_of, with_vector

EVALUATED = "evaluated.npz"
"""The file of the tracks that the last comparison is of, beside the report."""

Reason = Literal["new", "version", "content", "results", "record"]


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Parameters
    ----------
    kind
        The kind of work.
    subject
        The embedder or the tuned space; empty for the evaluation.
    tracks
        The number of tracks.
    reason
        ``new``: never done for these tracks. ``version``: done by another version of the embedder
        or under other settings. ``content``: tracks, labels, tags or vectors changed. ``results``:
        the results it depends on changed. ``record``: it is no longer recorded.
    seconds
        The estimated time, at the speed measured before; None if nothing was measured.
    """

    kind: Literal["embed", "publish", "tune", "evaluate"]
    subject: str
    tracks: int
    reason: Reason
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """The work of a run.

    Parameters
    ----------
    library
        The library, as it was scanned.
    steps
        In order; empty if all is up to date.
    comparison
        The last comparison, if nothing is to be done: it is up to date, or put off.
    as_of
        The tracks that the last comparison is of, if the evaluation is put off.
    published
        The tracks of the largest collection of these embedders.
    partitions
        The partitions of the library that hold tracks to embed.
    """

    library: Library
    steps: tuple[Step, ...]
    comparison: Comparison | None
    as_of: AsOf | None = None
    published: int = 0
    partitions: frozenset[str] = frozenset()

    @property
    def remade(self) -> tuple[Step, ...]:
        """Return the steps that replace vectors of another version or other settings."""
        return tuple(s for s in self.steps if s.kind == "embed" and s.reason == "version")


IsRecorded = Callable[[Comparison], bool]
"""A function that says whether a comparison is where it is recorded."""


def _always(_comparison: Comparison) -> bool:
    return True


def plan_of(
    settings: Settings, progress: Progress = no_progress, is_recorded: IsRecorded = _always
) -> Plan:
    """Scan the library of the settings, and return what is out of date.

    Parameters
    ----------
    settings
        The library, the embedders and the method.
    progress
        Shows progress.
    is_recorded
        See `make_plan`.

    Raises
    ------
    LibraryError
        If it holds no usable track.
    MusicflowError
        If the settings name an unknown embedder or metric.
    """
    # Errors in names come before any work.
    embedders.check_names(settings)
    all_wanted(settings)
    Method.of(settings)
    return make_plan(settings, read_library(settings, progress=progress), is_recorded)


def make_plan(settings: Settings, library: Library, is_recorded: IsRecorded = _always) -> Plan:
    """Return what is out of date. No vector is read, and no file is opened.

    Parameters
    ----------
    settings
        The embedders and the method.
    library
        The library, as it was just scanned.
    is_recorded
        Whether the last comparison is where comparisons are recorded. If not, the evaluation is
        out of date; its figures are kept, and recorded again.
    """
    home = settings.paths
    store, index, pace = store_of(settings), open_index(settings), Pace(home.pace)
    specs = embedders.specs_for(settings)
    published = published_count(specs, index)
    steps: list[Step] = []
    lacking: set[str] = set()
    for spec in specs:
        work = to_embed(library.tracks, spec, store)
        lacking.update(track.content_hash for track in work)
        if store.unavailable(spec) and why_unavailable(spec, settings):
            continue
        steps += embedding_steps(work, spec, store)
        usable = with_vector(library.tracks, store.known(spec))
        content = collection_state(usable, spec, tags_for(spec, settings))
        manifest = index.manifest(spec.label)
        if work or manifest is None or not is_published(manifest, content, index):
            reason: Reason = "new" if manifest is None else "content"
            count = len(usable) + len(work)
            seconds = pace.estimate(publication(spec.label), count)
            steps.append(Step("publish", spec.label, count, reason, seconds))
    for one in all_wanted(settings):
        if not is_current(one, library.tracks, store, index, settings):
            reason = "new" if index.manifest(one.name) is None else "content"
            steps.append(Step("tune", one.name, len(library.tracks), reason))
    about = published, _holding(lacking, library)
    last = Comparison.load(home.reports / COMPARISON)
    stands = still_stands(last, library, specs, store, index, settings)
    measured = stands is not None and are_measured(stands, settings, index)
    # Searches read the library as a run has joined it.
    measured = measured and Library.root_in(home.library) != ""
    count = len(library.tracks)
    if stands is not None and measured and (stands.as_of or not steps):
        if is_recorded(stands):
            return Plan(library, tuple(steps), None if steps else stands, stands.as_of, *about)
        steps.append(Step("evaluate", "", count, "record"))
    else:
        reason = "new" if last is None else "results"
        seconds = _seconds_of_evaluation(library, settings)
        steps.append(Step("evaluate", "", count, reason, seconds))
    return Plan(library, tuple(steps), None, None, *about)


def _seconds_of_evaluation(library: Library, settings: Settings) -> float | None:
    """Return the estimated seconds of an evaluation, with the search for cuts before it."""
    pace, fresh = Pace(settings.paths.pace), without_landmarks(library, settings)
    parts = [pace.estimate(EVALUATION, len(library.tracks))]
    parts += [pace.estimate(LANDMARKS, fresh)] if fresh else []
    return None if None in parts else sum(filter(None, parts))


def _holding(contents: Set[str], library: Library) -> frozenset[str]:
    """Return the partitions in which a file has one of some contents."""
    return frozenset(
        key
        for key, files in library.partitions.items()
        if any(file.content_hash in contents for file in files)
    )


def still_stands(
    last: Comparison | None,
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
) -> Comparison | None:
    """Return the last comparison if it need not be made again now; None if it must.

    It need not where it is up to date. Where only tracks changed, the setting `evaluate` puts the
    next one off; then `Comparison.as_of` says which tracks the last one is of.
    """
    method = Method.of(settings)
    if last is None or is_up_to_date(last, library, specs, store, index, method):
        return last and replace(last, as_of=None)
    errors = {row.embedder: row.error for row in last.rows}
    if last.frame != state.frame_of(library, specs, method) or any(
        errors.get(spec.label) and not store.unavailable(spec) for spec in specs
    ):
        return None
    as_of = state.as_of_now(settings.paths.reports / EVALUATED, last.state, library)
    if as_of is None or not as_of.changed or not _may_wait(last, as_of, settings.evaluate):
        return None
    return replace(last, as_of=as_of)


def _may_wait(last: Comparison, as_of: AsOf, when: str) -> bool:
    share = share_that_matters(when)
    if share is not None:
        return as_of.changed < share
    made = datetime.fromisoformat(last.created).astimezone().date()
    return when == "daily" and made == datetime.now().astimezone().date()


def to_embed(tracks: Sequence[Track], spec: EmbedderSpec, store: EmbeddingStore) -> list[Track]:
    """Return the tracks without a current vector, one per content."""
    known = store.known(spec)
    work = {track.content_hash: track for track in tracks if track.content_hash not in known}
    # From all tracks, since of copies one alone may have been there before.
    former = {t.content_hash: t.former_hash for t in tracks if t.former_hash}
    if former := {hash_: old for hash_, old in former.items() if hash_ in work}:
        store.adopt(spec, former)
        known = store.known(spec)
    return [track for hash_, track in work.items() if hash_ not in known]


def why_unavailable(spec: EmbedderSpec, settings: Settings) -> EmbedderError | None:
    """Return why an embedder cannot be used; None if it can. Weights are fetched."""
    try:
        embedders.fetch(spec, settings.cache)
    except EmbedderError as error:
        return error
    return None


def embedding_steps(work: Sequence[Track], spec: EmbedderSpec, store: EmbeddingStore) -> list[Step]:
    """Return the steps that embed tracks, by their reason."""
    if not work:
        return []  # A run without changes reads no more than it must.
    before = store.known_elsewhere(spec)
    again = sum(bool(before & {track.content_hash, track.former_hash}) for track in work)
    each, load_s = store.pace(spec)
    counts: dict[Reason, int] = {"new": len(work) - again, "version": again}
    return [
        Step("embed", spec.label, count, reason, each and load_s + count * each)
        for reason, count in counts.items()
        if count
    ]
