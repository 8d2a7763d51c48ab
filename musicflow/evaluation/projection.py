"""The map of a collection: its tracks in the plane, computed once for report and app.

t-SNE lays out at most `MAX_TRACKS` tracks, and all others are placed amid their nearest three of
them. The map is kept while the collection changes little: what is new is placed in it. When a
tenth of what was laid out is gone, or a tenth of the library is new, it is laid out anew.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from musicflow.atomic import parquet_of, write_atomically
from musicflow.evaluation.protocol import blocks, drawn_rows
from musicflow.index import Collection
from musicflow.text import joined

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "map"
"""The folder of maps in a home's folder of reports."""

MAX_TRACKS = 1000
SEED = 0

REDRAWN = 0.1
"""The share of a map that may change before it is laid out anew."""

_NEAREST = 3
"""Tracks amid which another one is placed."""

_BLOCK = 10_000
"""Tracks whose vectors are in memory at once."""

_COLUMNS = ("track_id", "genre", "x", "y", "content", "placed", "spec", "library")

# Tableau's ten colours.
COLOURS = (
    "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
    "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#17becf",
)  # fmt: skip
GREY = "#8a8a8a"
"""The colour of all further genres."""


def colours(genres: "pd.Series") -> dict[str, str]:
    """Return the colours of the most frequent genres, in the order of their names."""
    frequent = genres.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return dict(zip(sorted(frequent.index[: len(COLOURS)]), COLOURS, strict=False))


def places(collection: Collection, folder: Path) -> "pd.DataFrame":
    """Return the place of every track of a collection, and keep it.

    Parameters
    ----------
    collection
        The collection.
    folder
        The home's folder of reports, which holds the maps.

    Returns
    -------
    pandas.DataFrame
        ``track_id``, ``artist``, ``name``, ``genre``, ``x``, ``y``: a row per track, sorted by id.
        ``placed`` is true of tracks that t-SNE did not lay out. ``content`` and ``spec`` are the
        hashes that a place follows from, and ``library`` the number of tracks when the map was
        laid out.
    """
    import pyarrow as pa

    tracks, spec = _tracks(collection), collection.manifest.spec_hash
    path = _file(folder, collection.manifest.embedder)
    last = _kept(path)
    known = _standing(last, tracks, spec)
    if known is None:
        found = _laid_out(tracks, collection).assign(library=len(tracks))
    else:
        assert last is not None
        found = known.assign(library=int(last["library"].iloc[0]))
    found = _with_the_rest(found, collection).assign(spec=spec)
    kept = found[list(_COLUMNS)]
    # A map that stands as it is needs no place to write to.
    if last is None or not kept.equals(last):
        table = pa.Table.from_pandas(kept, preserve_index=False)
        write_atomically(path, parquet_of(table))
    return found


def load(folder: Path, embedders: Iterable[str]) -> "pd.DataFrame":
    """Return the kept maps of some embedders, with the column ``embedder``."""
    import pandas as pd

    kept = {name: _kept(_file(folder, name)) for name in embedders}
    found = [frame.assign(embedder=name) for name, frame in kept.items() if frame is not None]
    return pd.concat(found) if found else pd.DataFrame(columns=["embedder", *_COLUMNS])


def _file(folder: Path, embedder: str) -> Path:
    return folder / FOLDER / f"{embedder.replace(':', '-').replace('/', '-')}.parquet"


def _kept(path: Path) -> "pd.DataFrame | None":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(path).to_pandas()
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return found if list(found.columns) == list(_COLUMNS) and len(found) else None


def _tracks(collection: Collection) -> "pd.DataFrame":
    """Return the tracks of a collection, sorted: the order of an engine is its own."""
    import pandas as pd

    names = ("track_id", "artist", "name", "genre", "content")
    rows = [
        (
            payload["track_id"],
            joined(payload["artist"]),
            joined(payload["name"]),
            _main(payload["genre"]),
            payload.get("content_hash") or "",
        )
        for payload in collection.payloads()
    ]
    return pd.DataFrame(rows, columns=names).sort_values("track_id", ignore_index=True)


def _main(genres: str | list[str]) -> str:
    """Return the main genre, which a colour stands for; old collections hold one as it is."""
    return genres if isinstance(genres, str) else genres[0]


def _standing(
    last: "pd.DataFrame | None", tracks: "pd.DataFrame", spec: str
) -> "pd.DataFrame | None":
    """Return tracks with their places of before; None if all are to be laid out anew."""
    if last is None or last["spec"].iloc[0] != spec:
        return None
    what = ["track_id", "content"]
    found = tracks.merge(last[[*what, "x", "y", "placed"]], on=what, how="left")
    original, wanted = int(last["library"].iloc[0]), min(len(tracks), MAX_TRACKS)
    has_grown = abs(len(tracks) - original) > REDRAWN * original
    laid_out = int(found["placed"].eq(False).sum())
    return None if has_grown or laid_out < (1 - REDRAWN) * wanted else found


def _laid_out(tracks: "pd.DataFrame", collection: Collection) -> "pd.DataFrame":
    """Return tracks with the places of those that are drawn for t-SNE."""
    drawn = drawn_rows(len(tracks), MAX_TRACKS, SEED)
    plane = np.full((len(tracks), 2), np.nan, np.float32)
    if len(drawn):
        plane[drawn] = tsne(collection.vectors(tracks["track_id"].iloc[drawn].tolist()))
    return tracks.assign(x=plane[:, 0], y=plane[:, 1], placed=np.isnan(plane[:, 0]))


def _with_the_rest(tracks: "pd.DataFrame", collection: Collection) -> "pd.DataFrame":
    """Return tracks where those without a place have one."""
    plane = tracks[["x", "y"]].to_numpy(np.float32, copy=True)
    rest = np.flatnonzero(np.isnan(plane[:, 0]))
    placed = tracks["placed"].ne(False).to_numpy()
    laid_out = np.flatnonzero(~placed)
    if len(rest):
        ids = tracks["track_id"].to_numpy()
        there = collection.vectors(ids[laid_out].tolist())
        for rows in blocks(len(rest), _BLOCK):
            vectors = collection.vectors(ids[rest[rows]].tolist())
            plane[rest[rows]] = place(vectors, there, plane[laid_out])
    return tracks.assign(x=plane[:, 0], y=plane[:, 1], placed=placed)


def place(vectors: np.ndarray, there: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Place vectors into a map: each amid its nearest three.

    Parameters
    ----------
    vectors
        Of length one, shape ``(Q, dim)``.
    there
        Those of the map, shape ``(N, dim)``, N from 1.
    plane
        Their places, shape ``(N, 2)``.

    Returns
    -------
    numpy.ndarray
        Places, shape ``(Q, 2)``.
    """
    count, found = min(_NEAREST, len(there)), np.empty((len(vectors), 2))
    for rows in blocks(len(vectors)):
        nearest = np.argpartition(-(vectors[rows] @ there.T), count - 1, axis=1)[:, :count]
        found[rows] = plane[nearest].mean(axis=1)
    return found


def tsne(vectors: np.ndarray) -> np.ndarray:
    """Project unit vectors ``(N, dim)``, N from 1, into the plane ``(N, 2)``.

    Fewer than 4, which are too few for t-SNE, are put in a row.
    """
    if len(vectors) < 4:
        return np.stack([np.arange(len(vectors)), np.zeros(len(vectors))], axis=1)
    # Imported here: it takes half a second, which few need to wait for.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
    # One thread draws the same picture on every machine. And the steps are so short that threads
    # would wait for each other: 14 s for twelve tracks on a machine with other work, measured.
    with threadpool_limits(1, "openmp"):
        return model.fit_transform(vectors)
