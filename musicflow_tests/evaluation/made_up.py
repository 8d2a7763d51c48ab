"""Made-up tracks and vectors for tests of the evaluation."""

import numpy as np

from musicflow.evaluation import Dataset, Score, metrics
from musicflow.evaluation.layers import Layer, Sweep
from musicflow.evaluation.protocol import Protocol
from musicflow.library import UNKNOWN, Track

MEASURES = metrics.measures(metrics.table(), 10)


def scores(**values: float) -> dict[str, Score]:
    """Scores without intervals."""
    return {name: Score(value) for name, value in values.items()}


_LOW = {"precision_at_10": Score(0.5, 0.4, 0.6), "map": Score(0.3, 0.2, 0.4)}
_HIGH = {"precision_at_10": Score(0.7, 0.6, 0.8), "map": Score(0.5, 0.4, 0.6)}

SWEEP = Sweep(
    "musicnn",
    "s1",
    "trained",
    Dataset("music", "abc", 12, 1),
    Protocol("artist", 12, 0, 5),
    12,
    "penultimate",
    (Layer("cnn1", 64, _LOW), Layer("penultimate", 200, _HIGH)),
    mean=_LOW,
    best="penultimate",
    nested=_HIGH,
    chosen={"penultimate": 5},
)


def track(number: int, genre: str = UNKNOWN, artist: str = UNKNOWN, **more: object) -> Track:
    fields = {"content_hash": f"hash {number}", "duration_s": 10.0 * number} | more
    name = f"{number:04}"
    artists = () if artist == UNKNOWN else (artist,)
    return Track(name, f"/{name}", sample_rate=8000, genre=genre, **{"artists": artists} | fields)  # type: ignore[arg-type]


def unit(count: int, seed: int, dim: int = 6) -> np.ndarray:
    """Random vectors of length one."""
    values = np.random.default_rng(seed).standard_normal((count, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def around(genres: list[str], seed: int, spread: float = 0.3, dim: int = 8) -> np.ndarray:
    """Vectors of length one, those of a genre about one point."""
    random = np.random.default_rng(seed)
    names = sorted(set(genres))
    centres = random.standard_normal((len(names), dim))
    values = centres[[names.index(genre) for genre in genres]]
    values = values + spread * random.standard_normal(values.shape)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
