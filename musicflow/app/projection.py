"""The map: every track's place in the plane, computed once per collection state."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.evaluation.projection import tsne
from musicflow.index import Collection
from musicflow.settings import write_atomically
from musicflow.text import joined

FEW = 3000
"""Up to so many tracks, t-SNE is worth its time: some 20 seconds."""


def method(count: int) -> str:
    """Return the method that lays out so many tracks."""
    return "t-SNE" if 4 <= count <= FEW else "PCA"


def places(collection: Collection, folder: Path) -> pd.DataFrame:
    """Return every track's id, artist, name, genre and place.

    Parameters
    ----------
    collection
        The collection; its state names the file the places are kept in.
    folder
        Where they are kept. Those of the states before are cleared away.

    Returns
    -------
    pandas.DataFrame
        ``track_id``, ``artist``, ``name``, ``genre``, ``x``, ``y``: a row a track, sorted by id.
        The same collection gives the same places.
    """
    manifest = collection.manifest
    path = folder / manifest.embedder / f"{manifest.state}.parquet"
    if not path.exists():
        sink = pa.BufferOutputStream()
        pq.write_table(_project(collection), sink)
        write_atomically(path, sink.getvalue().to_pybytes())
        for old in path.parent.glob("*.parquet"):
            if old != path:
                old.unlink(missing_ok=True)
    return pq.read_table(path).to_pandas()


def _project(collection: Collection) -> pa.Table:
    ids, texts, vectors = [], [], []
    for point in collection.scroll():
        ids.append(point.track_id)
        texts.append({key: joined(point.payload[key]) for key in ("artist", "name", "genre")})
        vectors.append(point.vector)
    # The order of a scroll is the engine's own; places must not depend on it.
    order = sorted(range(len(ids)), key=ids.__getitem__)
    plane = flatten(np.stack([vectors[i] for i in order])) if ids else np.zeros((0, 2), np.float32)
    columns: dict[str, Any] = {"track_id": [ids[i] for i in order]}
    columns |= {key: [texts[i][key] for i in order] for key in ("artist", "name", "genre")}
    return pa.table(columns | {"x": plane[:, 0], "y": plane[:, 1]})


def flatten(vectors: np.ndarray) -> np.ndarray:
    """Project unit vectors ``(N, dim)`` into the plane: float32 ``(N, 2)``."""
    from sklearn.decomposition import PCA

    if len(vectors) < 2:
        return np.zeros((len(vectors), 2), np.float32)
    if method(len(vectors)) == "PCA":
        components = min(2, vectors.shape[1])
        plane = PCA(components, svd_solver="covariance_eigh").fit_transform(vectors)
        plane = np.pad(plane, ((0, 0), (0, 2 - components)))
    else:
        plane = tsne(vectors)
    return plane.astype(np.float32)
