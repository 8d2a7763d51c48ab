"""The comparison: every embedder on the same tracks, its cost beside its quality."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.embedders import EmbedderSpec, looks
from musicflow.embedders.looks import Fault
from musicflow.errors import MusicflowError
from musicflow.evaluation import duplicates, labels, metrics, retrieval, stress, words
from musicflow.evaluation.cost import BYTES_PER_VALUE, cost_of, cost_of_fusion
from musicflow.evaluation.labelled import Label
from musicflow.evaluation.labels import LabelError, Labelling
from musicflow.evaluation.neighbours import KeptNeighbours
from musicflow.evaluation.protocol import Method, genre_labels, protocol_for
from musicflow.evaluation.quality import RANDOM, RANDOM_DIM, Quality, measure
from musicflow.evaluation.results import NO_COLLECTION, Comparison, Dataset, Row
from musicflow.evaluation.state import count_failed, frame_of, ready_of, state_of, states_of
from musicflow.evaluation.stress import Deformed, Stressed
from musicflow.evaluation.words import Words
from musicflow.index import Manifest, TrackIndex, normalize
from musicflow.library import Library, Problem, Track, doubts
from musicflow.library.problems import fault_of_reading
from musicflow.library.recordings import Verdicts
from musicflow.places import is_elsewhere
from musicflow.store import (
    ALL_TRACKS,
    Embedding,
    EmbeddingStore,
    faults_of,
    problems_of,
    stack,
)

_STAGE = "evaluation"

Vectors = Mapping[str, Mapping[str, Embedding]]
"""By embedder and content hash."""

ENOUGH = 0.75
"""The share of the processor time asked for from which on times stand for the machine."""


def compare(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    method: Method | None = None,
    verdicts: Verdicts | None = None,
    texts: Mapping[str, Mapping[str, np.ndarray]] = {},
    kept_neighbours: KeptNeighbours | None = None,
    deformed: Mapping[str, Deformed] = {},
    failures: Mapping[str, MusicflowError] = {},
) -> Comparison:
    """Evaluate embedders side by side.

    All are scored on the tracks that each of them has a vector for, by exact search in the
    vectors that their collections hold. How the collections themselves answer stands beside it.
    An embedder without a current collection takes no part; its row says why.

    Parameters
    ----------
    library
        The tracks.
    specs
        The embedders.
    store
        Their vectors.
    index
        Their collections.
    method
        The method to follow; the default one, if not given.
    verdicts
        Of earlier comparisons by sound; see `duplicates.recordings`.
    texts
        By embedder with a text side, the vector of each text; see `words.texts_of`.
    kept_neighbours
        The neighbours that the last evaluation found.
    deformed
        By embedder, vectors of deformed tracks to query with.
    failures
        By embedder, the error that ended its work.
    """
    method = method or Method()
    vectors: Vectors = {spec.label: store.read(spec) for spec in specs}
    ready, manifests = ready_of(specs, store, index)
    common, spaces = common_spaces(library, ready, manifests, vectors)
    meaningful = [spec.label for spec in ready if spec.weights_state != "untrained" and common]
    labellings, unread = _labellings(method.labels, common, ready, vectors)
    known = None, verdicts, kept_neighbours, labellings
    found = measure(common, spaces, meaningful, method, *known)
    for spec in ready:
        if kept_neighbours and (crowd := found.crowds.get(spec.label)):
            kept_neighbours.keep(spec.label, replace(crowd, spec_hash=spec.hash))
    kept = np.flatnonzero(found.first == np.arange(len(common)))
    corpus = [common[row] for row in kept]
    units = {label: unit[kept] for label, unit in spaces.items() if label in found.figures}
    ids = [track.track_id for track in corpus]
    by_words = words.measure(
        corpus,
        units,
        {label: _normalized(texts[label], manifests.get(label)) for label in texts if texts[label]},
    )
    stressed = _stressed(
        corpus,
        units,
        {label: one for label, one in deformed.items() if label in units},
        manifests,
        method,
    )
    rows: list[Row] = []
    faults: list[Problem] = []
    for spec in specs:
        row = _row(spec, library, vectors[spec.label], spec in ready)
        found_out = _faults(spec, store, manifests[spec.label]) if spec in ready else []
        faults += faults_of(spec, [*found_out, *look_at_times(row)])
        row = replace(row, faults=tuple(fault.code for fault in found_out))
        if spec.label in units:
            with index.open(spec.label) as collection:
                agreement = retrieval.agreement(collection, units[spec.label], ids)
            row = replace(row, **vars(found.figures[spec.label]), **asdict(agreement))
            row = replace(row, scores=row.scores | by_words.scores.get(spec.label, {}))
            row = replace(row, stressed=stressed.get(spec.label, ()))
        elif spec in ready:
            row = replace(row, error="fewer than two recordings have a vector of every embedder")
        else:
            failure = failures.get(spec.label)
            why = _why_unscored(spec, store, index.manifest(spec.label), library, failure)
            row = replace(row, **why)
        rows.append(row)
    rows += [
        _fusion(name, [row for row in rows if row.embedder in members], found)
        for name, members in found.members.items()
    ]
    rows.append(_baseline(found, by_words))
    found_doubts = doubts(library)
    void = any(doubt.voids for doubt in found_doubts)
    problems = [*library.problems, *_of_vectors(library, specs, ready, vectors), *faults]
    problems += _duplicates(common, found.first)
    if found.protocol.cuts:
        problems += _cuts(common, verdicts)
    failed = {problem.subject for problem in problems if problem.severity == "error"}
    return Comparison(
        dataset=Dataset(
            library.name, library.fingerprint, len(library.tracks), len(failed), library.skipped
        ),
        protocol=replace(found.protocol, relevance=_relevance(library)),
        measures=metrics.measures(method.metrics, method.k) + by_words.measures,
        rows=tuple(replace(row, exclude=found.protocol.exclude, ranked=not void) for row in rows),
        differences=() if void else tuple(found.differences),
        problems=tuple(problems),
        state=state_of(library, states_of(specs, manifests), method),
        frame=frame_of(library, specs, method),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        doubts=found_doubts,
        labels=(*found.labels, *unread),
        reading=library.reading,
    )


def _relevance(library: Library) -> str:
    return f"genres from {library.genre_origin}" if library.genre_origin else ""


def _labellings(
    sources: Sequence[str],
    tracks: Sequence[Track],
    ready: Sequence[EmbedderSpec],
    vectors: Vectors,
) -> tuple[list[Labelling], list[Label]]:
    """Return the labels of tracks by their sources, and those that cannot be had."""
    predicted = {
        spec.label: [tuple(vectors[spec.label][track.content_hash].tags) for track in tracks]
        for spec in ready
    }
    found, unread = [], []
    for source in sources:
        try:
            found.append(labels.read(source, tracks, predicted))
        except LabelError as error:
            name, code = labels.name_of(source), error.code
            unread.append(Label(name, error=error.message, advice=error.advice, code=code))
    return found, unread


def _stressed(
    tracks: Sequence[Track],
    spaces: Mapping[str, np.ndarray],
    deformed: Mapping[str, Deformed],
    manifests: Mapping[str, Manifest],
    method: Method,
) -> dict[str, tuple[Stressed, ...]]:
    """Return the results with deformed queries, on the tracks that all embedders have them of."""
    if not deformed:
        return {}
    ids = {track.track_id for track in tracks}.intersection(
        *(one.track_ids for one in deformed.values())
    )
    queries = sorted(ids)
    vectors = {}
    for label, one in deformed.items():
        own = stress.rows_of(one.track_ids, queries)
        vectors[label] = {
            name: normalize(values[own], manifests[label]) for name, values in one.vectors.items()
        }
    exclusion, _ = protocol_for(tracks, method)
    rows = stress.rows_of([track.track_id for track in tracks], queries)
    return stress.measure(spaces, vectors, rows, exclusion, genre_labels(tracks))


def _normalized(
    texts: Mapping[str, np.ndarray], manifest: Manifest | None
) -> dict[str, np.ndarray]:
    """Return the vectors of texts as they lie in a collection."""
    return dict(zip(texts, normalize(np.stack(list(texts.values())), manifest), strict=True))


def with_problems_of_now(
    last: Comparison, library: Library, specs: Sequence[EmbedderSpec], store: EmbeddingStore
) -> Comparison:
    """Return a comparison that was put off with the problems of the library as it is now."""
    vectors: Vectors = {spec.label: store.outcomes(spec) for spec in specs}
    ready = [spec for spec in specs if not store.unavailable(spec)]
    kept = [p for p in last.problems if p.subject == ALL_TRACKS or p.stage == _STAGE]
    problems = (*library.problems, *_of_vectors(library, specs, ready, vectors), *kept)
    return replace(last, problems=problems)


def _of_vectors(
    library: Library,
    specs: Sequence[EmbedderSpec],
    ready: Sequence[EmbedderSpec],
    vectors: Vectors,
) -> list[Problem]:
    """Return the problems that vectors have, and that tracks without them have."""
    found = [p for spec in specs for p in problems_of(library.tracks, spec, vectors[spec.label])]
    return found + _not_embedded(library, ready, vectors)


def common_spaces(
    library: Library,
    ready: Sequence[EmbedderSpec],
    manifests: Mapping[str, Manifest | None],
    vectors: Vectors,
) -> tuple[list[Track], dict[str, np.ndarray]]:
    """Return the tracks that all embedders have a vector of, and these by embedder.

    Parameters
    ----------
    library
        The tracks.
    ready
        The embedders.
    manifests, vectors
        By label, their collections and the rows of their store.

    Returns
    -------
    common : list of Track
        In the library's order.
    spaces : dict
        Vectors of length one, shape ``(N, dim)``; empty if no track is common.
    """
    common = [
        track
        for track in library.tracks
        if all(_vector(vectors[spec.label], track) is not None for spec in ready)
    ]
    spaces = {}
    for spec in ready if common else ():
        rows_of = vectors[spec.label]
        matrix = stack([rows_of[track.content_hash] for track in common])
        spaces[spec.label] = normalize(matrix, manifests[spec.label])
    return common, spaces


def _vector(rows: Mapping[str, Embedding], track: Track) -> np.ndarray | None:
    row = rows.get(track.content_hash)
    return None if row is None else row.vector


def _row(spec: EmbedderSpec, library: Library, made: Mapping[str, Embedding], ready: bool) -> Row:
    """Return an embedder's row without scores."""
    errors = {key: one.error for key, one in made.items()}
    found = [made[t.content_hash] for t in library.tracks if t.content_hash in made]
    return Row(
        spec.label,
        "embedder",
        spec.weights_state,
        spec.dim,
        n_failed=count_failed(library, errors, ready),
        bytes_per_vector=BYTES_PER_VALUE * spec.dim,
        precision=spec.precision,
        spec_hash=spec.hash,
        licence=spec.licence,
        **cost_of([one for one in found if not one.error]),
    )


def _why_unscored(
    spec: EmbedderSpec,
    store: EmbeddingStore,
    manifest: Manifest | None,
    library: Library,
    failure: MusicflowError | None,
) -> dict[str, Any]:
    """Return the fields of a row without scores that say why it has none."""
    why = store.unavailable(spec) or failure or _without_collection(spec, manifest, library)
    return {"error": why.message, "advice": why.advice, "code": why.code}


def _without_collection(
    spec: EmbedderSpec, manifest: Manifest | None, library: Library
) -> MusicflowError:
    """Return why an embedder takes no part that could be loaded, and whose work is done."""
    if manifest is None or manifest.spec_hash != spec.hash:
        return MusicflowError("no current collection is published", code=NO_COLLECTION)
    counted = f"{manifest.count} of {len(library.tracks)} tracks"
    return MusicflowError(
        f"{counted} {'has' if manifest.count == 1 else 'have'} a vector, where two are needed",
        "see the problems of the other tracks",
        "too-few-vectors",
    )


def _faults(spec: EmbedderSpec, store: EmbeddingStore, manifest: Manifest) -> list[Fault]:
    """Return what is to be known of an embedder from outside; none of one that ships."""
    if not looks.is_from_outside(spec):
        return []
    spread = looks.look_at_spread(manifest.spread, manifest.count)
    return [*(store.faults(spec) or ()), *spread, *looks.look_at_code(spec)]


def look_at_times(row: Row) -> list[Fault]:
    """Return a fault if the machine was so busy that the times say little."""
    if row.granted is None or row.granted >= ENOUGH:
        return []
    share = f"{100 * row.granted:.0f} % of the processor time that it asked for"
    return [Fault("busy", f"its process had {share}: its times are those of a busy machine")]


def _fusion(name: str, members: Sequence[Row], found: Quality) -> Row:
    """Return a fusion's row."""
    weights = {row.weights for row in members}
    return Row(
        name,
        "fusion",
        next((state for state in ("trained", "unknown") if state in weights), "none"),
        sum(row.dim for row in members),
        n_failed=max(row.n_failed for row in members),
        fusion=found.weights.get(name, {}),
        licence=", ".join(sorted({row.licence for row in members if row.licence})),
        **cost_of_fusion(members),
        **vars(found.figures[name]),
    )


def _baseline(found: Quality, by_words: Words) -> Row:
    """Return the row of the random baseline."""
    row = Row(RANDOM, "baseline", "none", RANDOM_DIM)
    if RANDOM not in found.figures:
        return row
    row = replace(row, **vars(found.figures[RANDOM]))
    return replace(row, scores=row.scores | by_words.chance)


def _not_embedded(
    library: Library, ready: Sequence[EmbedderSpec], vectors: Vectors
) -> list[Problem]:
    return [
        Problem(track.track_id, spec.label, "error", *_why_not_embedded(track))
        for spec in ready
        for track in library.tracks
        if track.content_hash not in vectors[spec.label]
    ]


def _why_not_embedded(track: Track) -> tuple[str, str]:
    """Return why a track that can be embedded is not, and the code of it."""
    if is_elsewhere(track.path):
        return "not embedded: it could not be read, or not yet", "not-embedded"
    try:
        with Path(track.path).open("rb") as file:
            file.read(1)
    except OSError as error:
        reason, code = fault_of_reading(error)
        return f"not embedded: it {reason}", code
    return "not embedded yet: the next run does so", "not-embedded"


def _cuts(tracks: Sequence[Track], verdicts: Verdicts | None) -> list[Problem]:
    """Return a warning per track that is a cut of a longer one."""
    problems = []
    for one, other, cut in duplicates.cut_tracks(tracks, verdicts):
        reason = f"a cut of {other.track_id} ({cut}); neither answers the other"
        problems.append(Problem(one.track_id, _STAGE, "warning", reason, "cut"))
    return problems


def _duplicates(tracks: Sequence[Track], first: np.ndarray) -> list[Problem]:
    """Return a warning per track whose recording the library holds more than once."""
    problems = []
    for track, row in zip(tracks, first, strict=True):
        other = tracks[row]
        if other is not track:
            genre = f", which has the genre {other.genre}" if other.genre != track.genre else ""
            reason = f"a duplicate of {other.track_id}{genre}; evaluated once"
            problems.append(Problem(track.track_id, _STAGE, "warning", reason, "duplicate"))
    return problems
