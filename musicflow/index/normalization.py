"""L2 normalization: every vector of a collection, and every query, has length one."""

from collections.abc import Sequence

import numpy as np

from musicflow.index import tuned
from musicflow.index.track_index import Manifest, VectorError


def normalize(
    vectors: np.ndarray, manifest: Manifest | None = None, track_ids: Sequence[str] = ()
) -> np.ndarray:
    """Scale vectors to length one, standardized or projected before where their collection is.

    Parameters
    ----------
    vectors
        Shape ``(N, dim)``; for a collection, as its embedder gave them.
    manifest
        The collection they are for, if any.
    track_ids
        Their tracks, for the error.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(N, dim)``.

    Raises
    ------
    VectorError
        If a vector is not finite, has length zero, or not the dims of the collection.
    """
    values = np.asarray(vectors, np.float64)
    if manifest is not None and manifest.projection:
        projection = tuned.projection_of(manifest.projection)
        _check_dims(values, manifest, int(projection.dims.sum()))
        values = projection.of_embedded(values)
    elif manifest is not None:
        _check_dims(values, manifest, manifest.dim)
        if manifest.center:
            values = (values - np.array(manifest.center)) / np.array(manifest.scale)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    _refuse(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0), manifest, track_ids)
    return (values / lengths).astype(np.float32)


def check_normalized(
    vectors: np.ndarray, manifest: Manifest, track_ids: Sequence[str] = ()
) -> None:
    """Refuse vectors that are not a collection's, as `normalize` makes them.

    Raises
    ------
    VectorError
        If a vector has not length one, or not the dims of the collection.
    """
    _check_dims(vectors, manifest, manifest.dim)
    # Written so that NaN is refused too.
    _refuse(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3), manifest, track_ids)


def _check_dims(vectors: np.ndarray, manifest: Manifest, dim: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise VectorError(
            f"vectors of shape {vectors.shape} do not fit the collection {manifest.embedder}",
            f"give vectors of {dim} dimensions, one per row",
        )


def _refuse(bad: np.ndarray, manifest: Manifest | None, track_ids: Sequence[str]) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        track = f"of {track_ids[rows[0]]}" if len(track_ids) else f"in row {rows[0]}"
        embedder = f"{manifest.embedder} " if manifest is not None else ""
        raise VectorError(f"the {embedder}vector {track} is not finite, or not of a usable length")
