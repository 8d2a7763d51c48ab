"""Which audio embedding serves your music best? Measure it, then search with it.

    import musicflow as mf

    model = mf.load_embedder("musicnn")
    model.embed("song.mp3")                                # (200,)
    mf.embed_files(paths, "musicnn", home="lab").vectors   # (N, 200), kept for the next time
    mf.evaluate(vectors, genres, artists=artists)          # scores with intervals
    mf.compare("~/Music", ["musicnn", "mfcc"], home="lab").to_dataframe()
    mf.layers("~/Music", "musicnn", home="lab").to_dataframe()
    mf.tune("genre", ["musicnn", "mfcc"], home="lab").tuned    # a space learned from genres
    mf.in_common("other-lab", home="lab")                  # recordings that two libraries share
    mf.open_collection("musicnn", home="lab").search("song.mp3", k=10, filters={"genre": "Jazz"})

Nothing heavy is loaded before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from musicflow.api import (
        Embedded,
        compare,
        embed_files,
        in_common,
        layers,
        load_embedder,
        open_collection,
        tune,
    )
    from musicflow.embedders import Embedder, EmbedderSpec
    from musicflow.errors import MusicflowError
    from musicflow.evaluation import Comparison
    from musicflow.evaluation.arrays import Evaluation, evaluate

_ROOMS = {
    "Comparison": "musicflow.evaluation",
    "Embedded": "musicflow.api",
    "Embedder": "musicflow.embedders",
    "EmbedderSpec": "musicflow.embedders",
    "Evaluation": "musicflow.evaluation.arrays",
    "MusicflowError": "musicflow.errors",
    "compare": "musicflow.api",
    "embed_files": "musicflow.api",
    "evaluate": "musicflow.evaluation.arrays",
    "in_common": "musicflow.api",
    "layers": "musicflow.api",
    "load_embedder": "musicflow.api",
    "open_collection": "musicflow.api",
    "tune": "musicflow.api",
}

__all__ = [
    "Comparison",
    "Embedded",
    "Embedder",
    "EmbedderSpec",
    "Evaluation",
    "MusicflowError",
    "compare",
    "embed_files",
    "evaluate",
    "in_common",
    "layers",
    "load_embedder",
    "open_collection",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
