"""Every layer of an embedder in one pass, each kept in the store as an embedder of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from musicflow.embedders import EmbedderSpec, all_layers, layers_of
from musicflow.embedders.looks import Fault
from musicflow.errors import MusicflowError
from musicflow.evaluation import Method
from musicflow.evaluation.layers import Sweep, sweep
from musicflow.library import Progress, no_progress, read_library
from musicflow.library.recordings import Verdicts
from musicflow.pipeline.embed import embed_for
from musicflow.pipeline.joined import JoinedStore
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore, store_of

NOTHING = "nothing-compared"
"""The code of an error: no query has a relevant candidate."""


class LayerStore(JoinedStore):
    """A store for rows whose vector is that of several layers behind one another.

    Each row is kept layer by layer, under the layers' own specs; a layer that knows it keeps its
    own.

    Parameters
    ----------
    store
        The store that keeps the layers' rows.
    layers
        The specs of the layers, in the order of a vector's parts.
    """

    def __init__(self, store: EmbeddingStore, layers: Sequence[EmbedderSpec]) -> None:
        super().__init__(store, layers)
        self._before = [set(store.known(layer)) for layer in layers]

    def add(self, _: EmbedderSpec, rows: Iterable[Embedding]) -> None:
        """Keep the part of each layer; see the store's."""
        rows, start = list(rows), 0
        for layer, before in zip(self._specs, self._before, strict=True):
            part = slice(start, start := start + layer.dim)
            new = [row for row in rows if row.content_hash not in before]
            self._store.add(layer, [_part(row, part) for row in new])

    def adopt(self, _: EmbedderSpec, former: Mapping[str, str]) -> None:
        """Let contents be known by their own hashes; see the store's."""
        for layer in self._specs:
            self._store.adopt(layer, former)

    def set_unavailable(self, _: EmbedderSpec, error: MusicflowError | None) -> None:
        """Keep why the embedder could not be loaded; see the store's."""
        for layer in self._specs:
            self._store.set_unavailable(layer, error)

    def set_faults(self, _: EmbedderSpec, faults: Iterable[Fault]) -> None:
        """Keep what the first look found, for every layer; see the store's."""
        faults = list(faults)
        for layer in self._specs:
            self._store.set_faults(layer, faults)

    def faults(self, _: EmbedderSpec) -> list[Fault] | None:
        """Return what the first look found; see the store's."""
        found = [self._store.faults(layer) for layer in self._specs]
        return None if None in found else found[0]


def _part(row: Embedding, part: slice) -> Embedding:
    if row.vector is None:
        return row
    vector = row.vector[part]
    if not vector.any():
        return replace(row, vector=None, error="the layer gave no usable vector", code="no-vector")
    return replace(row, vector=vector)


def sweep_layers(spec: EmbedderSpec, settings: Settings, progress: Progress = no_progress) -> Sweep:
    """Embed the library of the settings by every layer in one pass, and measure each.

    Tracks that every layer knows are not embedded again.

    Raises
    ------
    LibraryError
        If the library holds no usable track.
    EmbedderError
        If the embedder cannot be used.
    WorkerError
        If the worker is killed, or crashes other than on a file.
    MusicflowError
        If no track has another of its genre.
    """
    home, method = settings.paths, Method.of(settings)
    library = read_library(settings, progress=progress)
    layers = layers_of(spec)
    store = LayerStore(store_of(settings), layers)
    done = embed_for(settings, library.tracks, all_layers(spec), store, progress)
    rows = {key: row.vector for key, row in done.rows.items() if row.vector is not None}
    tracks = [track for track in library.tracks if track.content_hash in rows]
    whole = np.stack([rows[track.content_hash] for track in tracks]) if tracks else np.zeros((0, 0))
    ends = np.cumsum([layer.dim for layer in layers])[:-1]
    names = [layer.layer for layer in layers]
    vectors = dict(zip(names, np.split(whole, ends, axis=1), strict=True))
    verdicts = Verdicts.load(home.recordings)
    found = sweep(library, tracks, vectors, spec, method, verdicts)
    verdicts.save(home.recordings)
    if found is None:
        raise MusicflowError(
            f"{library.name} holds no two recordings of one genre with a vector",
            "see `musicflow run` for the problems of its files",
            NOTHING,
        )
    return found
