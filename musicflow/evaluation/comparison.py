"""The comparison: every embedder on the same tracks, with what it costs beside how good it is."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from musicflow.embedders import EmbedderSpec
from musicflow.embedding_store import Embedding, EmbeddingStore, problems_of, stack
from musicflow.evaluation import retrieval
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.quality import RANDOM, RANDOM_DIM, Quality, measure
from musicflow.evaluation.retrieval import NEAREST
from musicflow.evaluation.space import Health
from musicflow.evaluation.statistics import Difference, Interval
from musicflow.index import Manifest, TrackIndex, fused, normalize
from musicflow.library import Library, Problem, Track
from musicflow.library.recordings import Verdicts
from musicflow.settings import Exclude, write_atomically

VERSION = 3
"""Raised when figures would change for the same vectors."""


@dataclass(frozen=True)
class Row:
    """One embedder's line, or one of a fusion of several.

    Quality is None where there is none to speak of; `error` says why. What each figure means is
    told by `retrieval.Scores`; ``subgenre_`` figures take a shared subgenre for a right answer.
    `knn_accuracy` is that of a vote of ten neighbours, `probe_accuracy` that of a linear
    classifier; in a weighted fusion, on the vectors of all members side by side, whatever their
    weights, because it standardises each dimension. A fusion by rank has none: it knows no vectors.
    `intervals` holds 95 % of bootstrap resamples over the queries, by figure.

    Speed is that of the pass which made the vectors: tracks a second and seconds of audio a
    second, decoding and all, with `cores` of the processor busy. `load_s` is what loading the
    model took, and `peak_rss_mb` the most memory that the embedder's process held. `query_ms` is
    what one search of the collection takes.
    """

    embedder: str
    weights: str
    dim: int
    precision_at_1: float | None = None
    precision_at_5: float | None = None
    precision_at_10: float | None = None
    precision_at_k: float | None = None
    r_precision: float | None = None
    map: float | None = None
    mrr: float | None = None
    ndcg_at_10: float | None = None
    hit_at_5: float | None = None
    hit_at_10: float | None = None
    subgenre_precision_at_10: float | None = None
    subgenre_map: float | None = None
    subgenre_ndcg_at_10: float | None = None
    knn_accuracy: float | None = None
    probe_accuracy: float | None = None
    chance: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    exclude: str = ""
    n_queries: int = 0
    n_failed: int = 0
    tracks_per_s: float | None = None
    x_realtime: float | None = None
    decode_ms: float | None = None
    embed_ms: float | None = None
    cores: float | None = None
    load_s: float | None = None
    peak_rss_mb: float | None = None
    query_ms: float | None = None
    bytes_per_vector: int | None = None
    device: str = ""
    precision: str = ""
    agreement_at_10: float | None = None
    by_genre: dict[str, float] = field(default_factory=dict)
    confusion: dict[str, dict[str, float]] = field(default_factory=dict)
    space: Health | None = None
    fusion: dict[str, float] = field(default_factory=dict)
    spec_hash: str = ""
    mlflow_run_id: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Dataset:
    """What was evaluated; `failed` counts files of no use and tracks no embedder could take."""

    name: str
    fingerprint: str
    tracks: int
    failed: int
    skipped: dict[str, int] = field(default_factory=dict)
    """The number of files of each kind that is not read, most frequent first."""


@dataclass(frozen=True)
class Comparison:
    """All rows, and what they are about. `state` names everything they follow from."""

    dataset: Dataset
    protocol: Protocol
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    problems: tuple[Problem, ...]
    state: str
    created: str
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> "Comparison | None":
        """Read what `save` wrote; None if nothing was, or by another version of this program."""
        try:
            return _STORED.validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    @property
    def fusions(self) -> dict[str, dict[str, float]]:
        """Of each fusion, by name, the weights of its members; none of one by rank."""
        return {row.embedder: row.fusion for row in self.rows if fused.members(row.embedder)}

    def with_runs(self, experiment: str, parent: str, children: dict[str, str]) -> "Comparison":
        """The same, with the MLflow runs that hold it."""
        rows = tuple(replace(row, mlflow_run_id=children.get(row.embedder)) for row in self.rows)
        return replace(self, rows=rows, mlflow_experiment_id=experiment, mlflow_run_id=parent)


_STORED = TypeAdapter(Comparison)


def state_of(
    library: Library,
    collections: Sequence[tuple[EmbedderSpec, str]],
    exclude: Exclude,
    k: int = NEAREST,
) -> str:
    """A name for all that a comparison follows from: the library, each collection's state, which
    is empty where there is none, the rule of what is left out, and k."""
    parts = [VERSION, library.name, library.fingerprint, exclude, k]
    parts += [(spec.label, spec.hash, state) for spec, state in collections]
    parts += [asdict(problem) for problem in library.problems]
    parts += library.skipped.items()
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def compare(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    exclude: Exclude = "artist",
    k: int = NEAREST,
    verdicts: Verdicts | None = None,
) -> Comparison:
    """Evaluate embedders side by side.

    All are scored on the tracks that each of them has a vector for, by exact search in the
    vectors that their collections hold; how the collections themselves answer is told beside it.
    An embedder without a current collection gets a row that says so and takes no part.

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
    exclude
        What a query leaves out beside itself; see `protocol`.
    k
        That of ``precision_at_k``.
    verdicts
        Of earlier comparisons by sound; see `duplicates.recordings`.
    """
    vectors = {spec.label: store.read(spec) for spec in specs}
    manifests = {spec.label: index.manifest(spec.label) for spec in specs}
    ready = _ready(specs, manifests, store)
    common = [
        track
        for track in library.tracks
        if all(_vector(vectors[spec.label], track) is not None for spec in ready)
    ]
    matrices = {
        spec.label: stack([vectors[spec.label][track.content_hash] for track in common])
        for spec in ready
        if common
    }
    spaces = {name: normalize(matrix, _of(manifests[name])) for name, matrix in matrices.items()}
    meaningful = [spec.label for spec in ready if spec.weights_state != "untrained" and common]
    found = measure(common, spaces, meaningful, exclude, k=k, verdicts=verdicts)
    kept = np.flatnonzero(found.first == np.arange(len(common)))
    ids = [common[row].track_id for row in kept]
    rows = []
    for spec in specs:
        label = spec.label
        row = Row(label, spec.weights_state, spec.dim, spec_hash=spec.hash)
        made = [vectors[label].get(track.content_hash) for track in library.tracks]
        errors = {key: one.error for key, one in vectors[label].items()}
        row = replace(row, n_failed=_failed(library, errors, spec in ready))
        row = replace(row, **cost_of([one for one in made if one is not None and not one.error]))
        row = replace(row, precision=spec.precision, bytes_per_vector=_FLOAT * spec.dim)
        if spec not in ready:
            reason = store.unavailable(spec) or "no current collection is published"
            row = replace(row, error=reason)
        elif label not in found.figures:
            row = replace(row, error="fewer than two recordings have a vector of every embedder")
        else:
            with index.open(label) as collection:
                answers = retrieval.ask(collection, spaces[label][kept], ids)
            row = replace(row, **found.figures[label], **asdict(answers))
        rows.append(row)
    rows += [
        _fused(name, [row for row in rows if row.embedder in fused.members(name)], found)
        for name in found.figures
        if fused.members(name)
    ]
    rows.append(Row(RANDOM, "none", RANDOM_DIM, **found.figures.get(RANDOM, {})))
    problems = [p for spec in specs for p in problems_of(library.tracks, spec, vectors[spec.label])]
    reason = "not embedded: it could not be read, or not yet"
    problems += [
        Problem(track.track_id, spec.label, "error", reason, "not-embedded")
        for spec in ready
        for track in library.tracks
        if track.content_hash not in vectors[spec.label]
    ]
    problems += _copies(common, found.first)
    failed = {problem.subject for problem in library.problems if problem.severity == "error"}
    failed |= {problem.subject for problem in problems if problem.severity == "error"}
    return Comparison(
        dataset=Dataset(
            library.name, library.fingerprint, len(library.tracks), len(failed), library.skipped
        ),
        protocol=found.protocol,
        rows=tuple(replace(row, exclude=found.protocol.exclude) for row in rows),
        differences=tuple(found.differences),
        problems=(*library.problems, *problems),
        state=state_of(library, _states(specs, manifests, ready), exclude, k),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def still_holds(
    last: Comparison,
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    exclude: Exclude = "artist",
    k: int = NEAREST,
) -> bool:
    """Tell whether `compare` would come to the same; no vector is read for it."""
    manifests = {spec.label: index.manifest(spec.label) for spec in specs}
    ready = _ready(specs, manifests, store)
    failed = {row.embedder: row.n_failed for row in last.rows}
    return last.state == state_of(library, _states(specs, manifests, ready), exclude, k) and all(
        failed.get(spec.label) == _failed(library, store.known(spec), spec in ready)
        for spec in specs
    )


def _ready(
    specs: Sequence[EmbedderSpec], manifests: Mapping[str, Manifest | None], store: EmbeddingStore
) -> list[EmbedderSpec]:
    return [
        spec
        for spec in specs
        if _is_current(manifests[spec.label], spec) and not store.unavailable(spec)
    ]


def _states(
    specs: Sequence[EmbedderSpec],
    manifests: Mapping[str, Manifest | None],
    ready: Sequence[EmbedderSpec],
) -> list[tuple[EmbedderSpec, str]]:
    return [(spec, _state(manifests[spec.label]) if spec in ready else "") for spec in specs]


def _failed(library: Library, errors: Mapping[str, str], ready: bool) -> int:
    """Tracks without a vector. One that nothing is known of could not be read when it was wanted;
    it counts, unless the embedder itself could not be had."""
    return sum(bool(errors.get(track.content_hash, ready)) for track in library.tracks)


_FLOAT = 4


def _is_current(manifest: Manifest | None, spec: EmbedderSpec) -> bool:
    return manifest is not None and manifest.spec_hash == spec.hash and manifest.count > 1


def _state(manifest: Manifest | None) -> str:
    return manifest.state if manifest is not None else ""


def _vector(rows: dict[str, Embedding], track: Track) -> np.ndarray | None:
    row = rows.get(track.content_hash)
    return None if row is None else row.vector


def _of(manifest: Manifest | None) -> Manifest:
    assert manifest is not None
    return manifest


def _fused(name: str, members: Sequence[Row], found: Quality) -> Row:
    """A fusion costs what its members cost together."""
    trained = any(row.weights == "trained" for row in members)
    return Row(
        name,
        "trained" if trained else "none",
        sum(row.dim for row in members),
        tracks_per_s=_one_after_another([row.tracks_per_s for row in members]),
        x_realtime=_one_after_another([row.x_realtime for row in members]),
        load_s=_together([row.load_s for row in members]),
        peak_rss_mb=max((row.peak_rss_mb or 0.0 for row in members), default=None),
        bytes_per_vector=_FLOAT * sum(row.dim for row in members),
        n_failed=max(row.n_failed for row in members),
        fusion=found.weights.get(name, {}),
        **found.figures[name],
    )


def _one_after_another(speeds: Sequence[float | None]) -> float | None:
    known = [speed for speed in speeds if speed]
    return 1 / sum(1 / speed for speed in known) if len(known) == len(speeds) else None


def _together(times: Sequence[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _copies(tracks: Sequence[Track], first: np.ndarray) -> list[Problem]:
    """What a person should know of recordings that a library holds several times."""
    problems = []
    for track, row in zip(tracks, first, strict=True):
        other = tracks[row]
        if other is not track:
            genre = f", which has the genre {other.genre}" if other.genre != track.genre else ""
            reason = f"a copy: the same recording as {other.track_id}{genre}; evaluated once"
            problems.append(Problem(track.track_id, "evaluation", "warning", reason, "copy"))
    return problems


def cost_of(rows: Sequence[Embedding]) -> dict[str, Any]:
    """The cost of some vectors as a `Row` has it; empty where nothing was measured."""
    wall_s = sum(row.wall_s for row in rows)
    if not rows or not wall_s:
        return {}
    loads = [row.load_s for row in rows if row.load_s]
    return {
        "tracks_per_s": len(rows) / wall_s,
        "x_realtime": sum(row.audio_s for row in rows) / wall_s,
        "decode_ms": 1000 * sum(row.decode_s for row in rows) / len(rows),
        "embed_ms": 1000 * sum(row.embed_s for row in rows) / len(rows),
        "cores": sum(row.cpu_s for row in rows) / wall_s or None,
        "load_s": float(np.median(loads)) if loads else None,
        "peak_rss_mb": max(row.peak_rss_mb for row in rows),
        "device": rows[0].device,
    }
