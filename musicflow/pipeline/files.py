"""Any files to vectors, kept as those of a library are."""

from collections.abc import Sequence

import numpy as np

from musicflow.embedders.spec import EmbedderSpec
from musicflow.library import UNKNOWN, Problem, Rules, Track, examine_files
from musicflow.pipeline.embed import embed_for
from musicflow.places import Place
from musicflow.settings import Settings
from musicflow.store import store_of


def embed_files(
    paths: Sequence[Place], spec: EmbedderSpec, settings: Settings
) -> tuple[np.ndarray, tuple[Problem, ...]]:
    """Embed files, except those whose vectors the home holds already.

    Returns
    -------
    vectors : numpy.ndarray
        Float32, shape ``(len(paths), spec.dim)``; NaN where a file has none.
    problems : tuple of Problem
        One per problem; its subject is the file.
    """
    files = examine_files(paths, Rules.of(settings))
    broken = [Problem(f.path, "library", "error", f.error, f.code) for f in files if f.error]
    tracks = [
        Track(
            *(f.path, f.path, f.content_hash, f.duration_s, f.sample_rate),
            name=f.title or UNKNOWN,
            marks=f.marks,
        )
        for f in files
        if not f.error
    ]
    done = embed_for(settings, tracks, spec, store_of(settings))
    vectors = np.full((len(files), spec.dim), np.nan, np.float32)
    for number, file in enumerate(files):
        row = done.rows.get(file.content_hash)
        if row is not None and row.vector is not None:
            vectors[number] = row.vector
    return vectors, (*broken, *done.problems)
