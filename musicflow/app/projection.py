"""The map: every track's place in the plane, computed once per collection state."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from musicflow.evaluation.projection import REDRAWN, place, tsne
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
        Where they are kept. Of the states before, the last is what this one starts from: new
        tracks are placed in the picture that is there, unless more than a tenth of it changed.

    Returns
    -------
    pandas.DataFrame
        ``track_id``, ``artist``, ``name``, ``genre``, ``x``, ``y``: a row a track, sorted by id.
        The same collection gives the same places, and ``content``, ``placed`` and ``spec`` tell
        what a place follows from.
    """
    manifest = collection.manifest
    path = folder / manifest.embedder / f"{manifest.state}.parquet"
    if not path.exists():
        others = [other for other in path.parent.glob("*.parquet") if other != path]
        sink = pa.BufferOutputStream()
        pq.write_table(_project(collection, _last(others)), sink)
        write_atomically(path, sink.getvalue().to_pybytes())
        for other in others:
            other.unlink(missing_ok=True)
    return pq.read_table(path).to_pandas()


def _last(paths: list[Path]) -> pd.DataFrame | None:
    """Return the newest picture of before; None if there is none that can be gone on from."""
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = pq.read_table(path).to_pandas()
        except pa.ArrowInvalid:
            continue
        return found if {"content", "placed", "spec"} <= set(found.columns) else None
    return None


def _project(collection: Collection, last: pd.DataFrame | None) -> pa.Table:
    ids, texts, vectors = [], [], []
    for point in collection.scroll():
        ids.append(point.track_id)
        told = {key: joined(point.payload[key]) for key in ("artist", "name")}
        told["content"] = point.payload.get("content_hash") or ""
        texts.append(told | {"genre": _main(point.payload["genre"])})
        vectors.append(point.vector)
    # The order of a scroll is the engine's own; places must not depend on it.
    order = sorted(range(len(ids)), key=ids.__getitem__)
    columns: dict[str, Any] = {"track_id": [ids[i] for i in order]}
    for key in ("artist", "name", "genre", "content"):
        columns[key] = [texts[i][key] for i in order]
    unit = np.stack([vectors[i] for i in order]) if ids else np.zeros((0, 2), np.float32)
    columns["spec"] = [collection.manifest.spec_hash] * len(ids)
    points = pd.DataFrame(columns)
    known = _standing(last, points)
    if known is None:
        plane, placed = flatten(unit), np.zeros(len(ids), bool)
    else:
        plane = known[["x", "y"]].to_numpy(np.float32, copy=True)
        fresh = np.isnan(plane[:, 0])
        plane[fresh] = place(unit[fresh], unit[~fresh], plane[~fresh])
        placed = fresh | known["placed"].eq(True).to_numpy()
    return pa.Table.from_pandas(points.assign(x=plane[:, 0], y=plane[:, 1], placed=placed))


def _standing(last: pd.DataFrame | None, points: pd.DataFrame) -> pd.DataFrame | None:
    """Return the places of before, NaN for new points; None if all are to be laid out anew."""
    if last is None or not len(points) or method(len(last)) != method(len(points)):
        return None
    what = ["track_id", "content", "spec"]
    found = points[what].merge(last[[*what, "x", "y", "placed"]], on=what, how="left")
    stands = found["x"].notna()
    original = int((stands & found["placed"].eq(False)).sum())
    little = original >= (1 - REDRAWN) * len(points) and stands.sum() >= (1 - REDRAWN) * len(last)
    return found if little else None


def _main(genres: str | list[str]) -> str:
    """Return the main genre, which a colour stands for; old collections hold one as it is."""
    return genres if isinstance(genres, str) else genres[0]


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
