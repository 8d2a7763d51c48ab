"""The state of a comparison: a name for everything its results follow from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from musicflow.atomic import read_arrays, write_arrays
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import labels, words
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.results import AsOf, Comparison
from musicflow.index import Manifest, TrackIndex
from musicflow.library import Library, doubts
from musicflow.store import EmbeddingStore

VERSION = 6
"""Raised when results would change for the same vectors."""


def state_of(
    library: Library, collections: Sequence[tuple[EmbedderSpec, str]], method: Method
) -> str:
    """Return a name for everything that a comparison follows from.

    Parameters
    ----------
    library
        The tracks and their labels.
    collections
        Each embedder with the state of its collection; empty where there is none.
    method
        The method asked for.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    parts = [VERSION, library.name, library.fingerprint, method.exclude, method.k, method.hubness]
    parts += [method.stress]
    parts += [(metric.name, metric.version) for metric in method.metrics]
    parts += [(spec.label, spec.hash, state) for spec, state in collections]
    parts += [("words", words.VERSION) for spec, _ in collections if spec.text]
    parts += [("label", one, labels.mark(one, library.tracks)) for one in method.labels]
    parts += [asdict(problem) for problem in library.problems]
    parts += library.skipped.items()
    parts += [asdict(doubt) for doubt in doubts(library)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def frame_of(library: Library, specs: Sequence[EmbedderSpec], method: Method) -> str:
    """Return a name for what a comparison follows from beside the tracks: 16 digits."""
    parts = [VERSION, library.name, method.exclude, method.k, method.hubness, method.stress]
    parts += [(metric.name, metric.version) for metric in method.metrics]
    parts += [(spec.label, spec.hash) for spec in specs]
    parts += [("words", words.VERSION) for spec in specs if spec.text]
    # A table may change by itself; the labels of a library change with its tracks.
    parts += [("label", one, labels.mark(one, ())) for one in method.labels]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def save_tracks(path: Path, state: str, library: Library) -> None:
    """Keep which tracks a comparison is of."""
    write_arrays(path, state=state, marks=library.marks)


def as_of_now(path: Path, state: str, library: Library) -> AsOf | None:
    """Return which tracks of the library a comparison is of; None if that is not known.

    Parameters
    ----------
    path
        The file that `save_tracks` wrote.
    state
        The state of the comparison.
    library
        The library as it is now.
    """
    kept = read_arrays(path, "state", "marks")
    if kept is None or str(kept[0]) != state:
        return None
    before = kept[1]
    covered = len(np.intersect1d(before, library.marks))
    return AsOf(covered, len(library.tracks), len(before))


def is_up_to_date(
    last: Comparison,
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    method: Method,
) -> bool:
    """Return whether the last comparison is up to date. No vector is read."""
    ready, manifests = ready_of(specs, store, index)
    failed = {row.embedder: row.n_failed for row in last.rows}
    return last.state == state_of(library, states_of(specs, manifests), method) and all(
        failed.get(spec.label) == count_failed(library, store.known(spec), spec in ready)
        for spec in specs
    )


def ready_of(
    specs: Sequence[EmbedderSpec], store: EmbeddingStore, index: TrackIndex
) -> tuple[list[EmbedderSpec], dict[str, Manifest]]:
    """Return the embedders that are ready, and their collections by label.

    One is ready if it has a current collection and can be loaded.
    """
    ready, manifests = [], {}
    for spec in specs:
        one = index.manifest(spec.label)
        if one is None or one.spec_hash != spec.hash or one.count < 2 or store.unavailable(spec):
            continue
        ready.append(spec)
        manifests[spec.label] = one
    return ready, manifests


def states_of(
    specs: Sequence[EmbedderSpec], manifests: Mapping[str, Manifest]
) -> list[tuple[EmbedderSpec, str]]:
    """Return each embedder with the state of its collection; empty if it is not ready."""
    states = {label: manifest.state for label, manifest in manifests.items()}
    return [(spec, states.get(spec.label, "")) for spec in specs]


def count_failed(library: Library, errors: Mapping[str, str], ready: bool) -> int:
    """Count the tracks without a vector.

    A track that the store does not know could not be read when it was to be embedded. It
    counts, unless the embedder itself could not be loaded.
    """
    return sum(bool(errors.get(track.content_hash, ready)) for track in library.tracks)
