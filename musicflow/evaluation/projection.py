"""Projections of spaces to two dimensions: t-SNE of some tracks.

A picture is kept while the library grows: new tracks are placed among those that are there, next
to their nearest. When a tenth of it is gone or was placed, it is drawn anew.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from musicflow.embedders import EmbedderSpec
from musicflow.evaluation.protocol import blocks
from musicflow.index import Manifest, TrackIndex, normalize
from musicflow.library import Library, Track
from musicflow.settings import write_atomically
from musicflow.store import EmbeddingStore, stack

if TYPE_CHECKING:
    import pandas as pd

PROJECTION = "projection.csv"

MAX_TRACKS = 1000
SEED = 0
_FEW = 8
"""Fewer tracks than this make no picture."""

REDRAWN = 0.1
"""The share of a picture that may be gone or placed before it is drawn anew."""

_NEAREST = 3
"""Tracks amid which a new one is placed."""

_COLUMNS = ("embedder", "track_id", "genre", "x", "y", "content", "spec", "library", "placed")


def project(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    last: "pd.DataFrame | None" = None,
) -> "pd.DataFrame":
    """Project the published vectors of each embedder.

    Parameters
    ----------
    library, specs, store, index
        The tracks and their vectors.
    last
        The last projection, which is brought up to date where little changed.

    Returns
    -------
    pandas.DataFrame
        ``embedder``, ``track_id``, ``genre``, ``x``, ``y``; at most `MAX_TRACKS` per embedder,
        drawn with a seed. ``content`` and ``spec`` are the hashes behind a point, ``library`` the
        tracks when the picture was drawn, and ``placed`` says whether a point came later.
    """
    import pandas as pd  # takes a third of a second, which no other command needs to wait for

    parts = []
    for spec in specs:
        manifest = index.manifest(spec.label)
        if manifest is None or manifest.spec_hash != spec.hash or store.unavailable(spec):
            continue
        known = store.known(spec)
        tracks = [track for track in library.tracks if known.get(track.content_hash) == ""]
        if len(tracks) < _FEW:
            continue
        picture = _still_there(last, spec, tracks)
        if picture is None:
            picture = _drawn(spec, tracks, store, manifest)
        elif fresh := _missing(picture, tracks):
            picture = _with(picture, fresh, spec, store, manifest)
        parts.append(picture)
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(_COLUMNS))


def _drawn(
    spec: EmbedderSpec, tracks: Sequence[Track], store: EmbeddingStore, manifest: Manifest
) -> "pd.DataFrame":
    drawn = np.random.default_rng(SEED).permutation(len(tracks))[:MAX_TRACKS]
    chosen = [tracks[row] for row in np.sort(drawn).tolist()]
    plane = tsne(_vectors([track.content_hash for track in chosen], spec, store, manifest))
    return _frame(spec, chosen, plane, len(tracks), placed=False)


def _still_there(
    last: "pd.DataFrame | None", spec: EmbedderSpec, tracks: Sequence[Track]
) -> "pd.DataFrame | None":
    """Return the points of the last picture that stand; None if it is to be drawn anew."""
    if last is None or not set(_COLUMNS) <= set(last.columns):
        return None
    points = last[(last["embedder"] == spec.label) & (last["spec"] == spec.hash)]
    if not len(points):
        return None
    by_id = {track.track_id: track for track in tracks}
    now = [by_id.get(track_id) for track_id in points["track_id"]]
    stands = [
        track is not None and track.content_hash == content
        for track, content in zip(now, points["content"], strict=True)
    ]
    genres = [track.genre for track, kept in zip(now, stands, strict=True) if track and kept]
    points = points[stands].assign(genre=genres)
    original = int(points["library"].iloc[0]) if len(points) else 0
    wanted = min(len(tracks), MAX_TRACKS)
    drawn = len(points) - int(points["placed"].sum())
    grown = abs(len(tracks) - original) > REDRAWN * original
    return None if grown or drawn < (1 - REDRAWN) * wanted else points


def _missing(picture: "pd.DataFrame", tracks: Sequence[Track]) -> list[Track]:
    """Return tracks that a picture has room for, drawn with a seed."""
    shown = set(picture["track_id"])
    others = [track for track in tracks if track.track_id not in shown]
    room = min(len(tracks), MAX_TRACKS) - len(picture)
    drawn = np.random.default_rng(SEED).permutation(len(others))[: max(room, 0)]
    return [others[row] for row in np.sort(drawn).tolist()]


def _with(
    picture: "pd.DataFrame",
    fresh: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    manifest: Manifest,
) -> "pd.DataFrame":
    """Return a picture with new tracks in it."""
    import pandas as pd

    there = _vectors(picture["content"].tolist(), spec, store, manifest)
    come = _vectors([track.content_hash for track in fresh], spec, store, manifest)
    plane = place(come, there, picture[["x", "y"]].to_numpy())
    added = _frame(spec, fresh, plane, int(picture["library"].iloc[0]), placed=True)
    return pd.concat([picture, added]).sort_values("track_id", kind="stable")


def _vectors(
    contents: Sequence[str], spec: EmbedderSpec, store: EmbeddingStore, manifest: Manifest
) -> np.ndarray:
    rows: Mapping = store.read(spec, set(contents))
    return normalize(stack([rows[content] for content in contents]), manifest)


def _frame(
    spec: EmbedderSpec, tracks: Sequence[Track], plane: np.ndarray, library: int, placed: bool
) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "embedder": spec.label,
            "track_id": [track.track_id for track in tracks],
            "genre": [track.genre for track in tracks],
            "x": plane[:, 0].round(2),
            "y": plane[:, 1].round(2),
            "content": [track.content_hash for track in tracks],
            "spec": spec.hash,
            "library": library,
            "placed": placed,
        },
        columns=list(_COLUMNS),
    )


def place(vectors: np.ndarray, there: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Place new vectors into a picture: each amid its nearest three.

    Parameters
    ----------
    vectors
        Of length one, shape ``(Q, dim)``.
    there
        Those of the picture, shape ``(N, dim)``, N from 1.
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
    """Project at least 4 unit vectors ``(N, dim)`` into the plane ``(N, 2)``."""
    # Imported here: it takes half a second, which few need to wait for.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED)
    # One thread draws the same picture on every machine. And the steps are so short that threads
    # would wait for each other: 14 s for twelve tracks on a machine with other work, measured.
    with threadpool_limits(1, "openmp"):
        return model.fit_transform(vectors)


def save(frame: "pd.DataFrame", folder: Path) -> None:
    """Save a projection beside the report."""
    write_atomically(folder / PROJECTION, frame.to_csv(index=False).encode())


def load(folder: Path) -> "pd.DataFrame | None":
    """Return the saved projection; None if there is none."""
    import pandas as pd

    path = folder / PROJECTION
    if not path.exists():
        return None
    texts = dict.fromkeys(("track_id", "genre", "content", "spec"), str)
    return pd.read_csv(path, keep_default_na=False, dtype=texts)
