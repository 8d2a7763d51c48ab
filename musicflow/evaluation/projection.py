"""Projections of spaces to two dimensions: t-SNE of some tracks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicflow.embedders import EmbedderSpec
from musicflow.index import TrackIndex, normalize
from musicflow.library import Library
from musicflow.settings import write_atomically
from musicflow.store import EmbeddingStore, stack

if TYPE_CHECKING:
    import pandas as pd

PROJECTION = "projection.csv"

MAX_TRACKS = 1000
SEED = 0
_FEW = 8
"""Fewer tracks than this make no picture."""


def project(
    library: Library, specs: Sequence[EmbedderSpec], store: EmbeddingStore, index: TrackIndex
) -> "pd.DataFrame":
    """Project the published vectors of each embedder.

    Returns
    -------
    pandas.DataFrame
        ``embedder``, ``track_id``, ``genre``, ``x``, ``y``; at most `MAX_TRACKS` per embedder,
        drawn with a seed.
    """
    import pandas as pd  # takes a third of a second, which no other command needs to wait for

    parts = []
    for spec in specs:
        manifest = index.manifest(spec.label)
        if manifest is None or manifest.spec_hash != spec.hash or store.unavailable(spec):
            continue
        rows = store.read(spec)
        tracks = [
            track
            for track in library.tracks
            if (row := rows.get(track.content_hash)) is not None and row.vector is not None
        ]
        if len(tracks) < _FEW:
            continue
        drawn = np.random.default_rng(SEED).permutation(len(tracks))[:MAX_TRACKS]
        tracks = [tracks[row] for row in np.sort(drawn).tolist()]
        vectors = normalize(stack([rows[track.content_hash] for track in tracks]), manifest)
        flat = tsne(vectors)
        parts.append(
            pd.DataFrame(
                {
                    "embedder": spec.label,
                    "track_id": [track.track_id for track in tracks],
                    "genre": [track.genre for track in tracks],
                    "x": flat[:, 0].round(2),
                    "y": flat[:, 1].round(2),
                }
            )
        )
    columns = ["embedder", "track_id", "genre", "x", "y"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def tsne(vectors: np.ndarray) -> np.ndarray:
    """Project at least 4 unit vectors ``(N, dim)`` into the plane ``(N, 2)``."""
    # Imported here: it takes half a second, which few need to wait for.
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(vectors)


def save(frame: "pd.DataFrame", folder: Path) -> None:
    """Save a projection beside the report."""
    write_atomically(folder / PROJECTION, frame.to_csv(index=False).encode())


def load(folder: Path) -> "pd.DataFrame | None":
    """Return the saved projection; None if there is none."""
    import pandas as pd

    path = folder / PROJECTION
    return pd.read_csv(path, keep_default_na=False) if path.exists() else None
