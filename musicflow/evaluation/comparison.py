"""The comparison: every embedder on the same tracks, with what it costs beside how good it is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.embedders import EmbedderSpec
from musicflow.embedding_store import Embedding, EmbeddingStore, problems_of, stack
from musicflow.evaluation import retrieval
from musicflow.index import Manifest, TrackIndex, unit
from musicflow.library import Library, Problem, Track
from musicflow.settings import write_atomically

VERSION = 1
"""Raised when figures would change for the same vectors."""

RANDOM_DIM = 128
SEED = 0


@dataclass(frozen=True)
class Row:
    """One embedder's line.

    Quality is None where there is none to speak of; `error` says why. Speed is that of the pass
    which made the vectors: tracks a second and seconds of audio a second, decoding and all.
    """

    embedder: str
    weights: str
    dim: int
    precision_at_1: float | None = None
    precision_at_5: float | None = None
    precision_at_10: float | None = None
    map: float | None = None
    chance: float | None = None
    n_queries: int = 0
    n_failed: int = 0
    tracks_per_s: float | None = None
    x_realtime: float | None = None
    decode_ms: float | None = None
    embed_ms: float | None = None
    peak_rss_mb: float | None = None
    device: str = ""
    agreement_at_10: float | None = None
    by_genre: dict[str, float] = field(default_factory=dict)
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


@dataclass(frozen=True)
class Comparison:
    """All rows, and what they are about. `state` names everything they follow from."""

    dataset: Dataset
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    state: str
    created: str
    mlflow_run_id: str | None = None

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> "Comparison | None":
        """Read what `save` wrote; None if nothing was, or by another version of this program."""
        try:
            fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return cls(
                **fields
                | {
                    "dataset": Dataset(**fields["dataset"]),
                    "rows": tuple(Row(**row) for row in fields["rows"]),
                    "problems": tuple(Problem(**row) for row in fields["problems"]),
                }
            )
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return None

    def with_runs(self, parent: str, children: dict[str, str]) -> "Comparison":
        """The same, with the MLflow runs that hold it."""
        rows = tuple(replace(row, mlflow_run_id=children.get(row.embedder)) for row in self.rows)
        return replace(self, rows=rows, mlflow_run_id=parent)


def state_of(library: Library, collections: Sequence[tuple[EmbedderSpec, str]]) -> str:
    """A name for all that a comparison follows from: the library and each collection's state,
    which is empty where there is none."""
    parts = [VERSION, library.name, library.fingerprint]
    parts += [(spec.label, spec.hash, state) for spec, state in collections]
    parts += [asdict(problem) for problem in library.problems]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def compare(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
) -> Comparison:
    """Evaluate embedders side by side.

    All are scored on the tracks that each of them has a vector for, asked through their
    published collections and checked against exact search. An embedder without a current
    collection gets a row that says so and takes no part.

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
    """
    vectors = {spec.label: store.read(spec) for spec in specs}
    manifests = {spec.label: index.manifest(spec.label) for spec in specs}
    ready = [
        spec
        for spec in specs
        if _is_current(manifests[spec.label], spec) and not store.unavailable(spec)
    ]
    common = [
        track
        for track in library.tracks
        if all(_vector(vectors[spec.label], track) is not None for spec in ready)
    ]
    genres = [track.genre for track in common]
    rows = []
    for spec in specs:
        made = [vectors[spec.label].get(track.content_hash) for track in library.tracks]
        row = Row(spec.label, spec.weights_state, spec.dim, spec_hash=spec.hash)
        # Without a row, a track could not be read when it was wanted; it counts, unless the
        # embedder itself could not be had.
        row = replace(row, n_failed=sum(one.error != "" if one else spec in ready for one in made))
        row = replace(row, **_cost([one for one in made if one is not None and not one.error]))
        if spec not in ready:
            reason = store.unavailable(spec) or "no current collection is published"
            row = replace(row, error=reason)
        elif len(common) < 2:
            row = replace(row, error="fewer than two tracks have a vector of every embedder")
        else:
            matrix = stack([vectors[spec.label][track.content_hash] for track in common])
            row = replace(row, **_quality(matrix, common, genres, spec, index))
        rows.append(row)
    rows.append(_random_row(genres))
    problems = [p for spec in specs for p in problems_of(library.tracks, spec, vectors[spec.label])]
    problems += [
        Problem(
            track.track_id, spec.label, "error", "not embedded: it could not be read, or not yet"
        )
        for spec in ready
        for track in library.tracks
        if track.content_hash not in vectors[spec.label]
    ]
    states = [(spec, _state(manifests[spec.label]) if spec in ready else "") for spec in specs]
    failed = {problem.subject for problem in library.problems if problem.severity == "error"}
    failed |= {problem.subject for problem in problems if problem.severity == "error"}
    return Comparison(
        dataset=Dataset(library.name, library.fingerprint, len(library.tracks), len(failed)),
        rows=tuple(rows),
        problems=(*library.problems, *problems),
        state=state_of(library, states),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_current(manifest: Manifest | None, spec: EmbedderSpec) -> bool:
    return manifest is not None and manifest.spec_hash == spec.hash and manifest.count > 1


def _state(manifest: Manifest | None) -> str:
    return manifest.state if manifest is not None else ""


def _vector(rows: dict[str, Embedding], track: Track) -> np.ndarray | None:
    row = rows.get(track.content_hash)
    return None if row is None else row.vector


def _quality(
    matrix: np.ndarray,
    tracks: Sequence[Track],
    genres: Sequence[str],
    spec: EmbedderSpec,
    index: TrackIndex,
) -> dict[str, Any]:
    with index.open(spec.label) as collection:
        vectors = unit(matrix, collection.manifest)
        exact = retrieval.exact_rankings(vectors)
        ids = [track.track_id for track in tracks]
        answers = retrieval.index_rankings(collection, vectors, ids, max(retrieval.DEPTHS))
    found = _figures(retrieval.score(genres, exact, answers), genres)
    return found | {"agreement_at_10": retrieval.agreement(answers, exact, 10)}


def _random_row(genres: Sequence[str]) -> Row:
    """What vectors without any meaning get: the floor under every figure, seeded."""
    noise = np.random.default_rng(SEED).standard_normal((len(genres), RANDOM_DIM))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    scores = retrieval.score(genres, retrieval.exact_rankings(noise.astype(np.float32)))
    return Row("random", "none", RANDOM_DIM, **_figures(scores, genres))


def _figures(scores: retrieval.Scores, genres: Sequence[str]) -> dict[str, Any]:
    return {
        **{f"precision_at_{k}": value for k, value in scores.precision_at.items()},
        "map": scores.map,
        "chance": retrieval.chance_level(genres),
        "n_queries": scores.n_queries,
        "by_genre": scores.by_genre,
    }


def _cost(rows: Sequence[Embedding]) -> dict[str, Any]:
    """Speed and memory over the tracks of a library, from what was measured embedding them."""
    wall_s = sum(row.wall_s for row in rows)
    if not rows or not wall_s:
        return {}
    return {
        "tracks_per_s": len(rows) / wall_s,
        "x_realtime": sum(row.audio_s for row in rows) / wall_s,
        "decode_ms": 1000 * sum(row.decode_s for row in rows) / len(rows),
        "embed_ms": 1000 * sum(row.embed_s for row in rows) / len(rows),
        "peak_rss_mb": max(row.peak_rss_mb for row in rows),
        "device": rows[0].device,
    }
