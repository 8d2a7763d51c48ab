"""Words to vectors, by the text side of an embedder. Each text is embedded once, in a worker."""

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import numpy as np

from musicflow import embedders, worker
from musicflow.embedders.spec import EmbedderSpec
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore

MOST_TAGS = 5
"""The most tags of a track."""

_AT_ONCE = 64
"""Texts that the model is given at once."""

_LEAST = 1e-6
"""A smaller deviation of cosines is that of rounding."""

Predicted = tuple[tuple[str, ...], tuple[float, ...]]
"""Tags and their scores, best first."""


def tags_for(spec: EmbedderSpec, settings: Settings) -> tuple[str, ...]:
    """Return the tags of the settings that an embedder predicts: those need its text side."""
    return settings.tags if spec.text else ()


def vectors_of_texts(
    texts: Iterable[str], spec: EmbedderSpec, store: EmbeddingStore, cache: Path
) -> dict[str, np.ndarray]:
    """Return the vector of each text, shape ``(dim,)``. A model is loaded only for new texts.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used, for example without a tokenizer.
    WorkerError
        If the worker is killed or crashes.
    """
    wanted = list(dict.fromkeys(texts))
    known = store.read_texts(spec)
    if new := [text for text in wanted if text not in known]:
        embedders.fetch(spec, cache)
        parts = list(worker.iterate(f"the worker of {spec.label}", _embed, new, spec, cache))
        made = dict(zip(new, np.concatenate(parts), strict=True))
        store.add_texts(spec, made)
        known |= made
    return {text: known[text] for text in wanted}


def _embed(
    texts: Sequence[str], spec: EmbedderSpec, cache: Path
) -> Generator[np.ndarray, None, None]:
    embedder = embedders.load(spec, cache)
    for start in range(0, len(texts), _AT_ONCE):
        yield embedders.infer_text(embedder, texts[start : start + _AT_ONCE])


def predict(tags: Sequence[str], cosines: np.ndarray) -> list[Predicted]:
    """Choose the tags of each track by the cosines of tracks and words.

    Some words lie nearer to all music than others. So a score is how many standard deviations the
    track lies above the mean of the collection, and a track has the tags that suit it more than
    the mean.

    Parameters
    ----------
    tags
        The words.
    cosines
        Shape ``(tracks, tags)``.
    """
    if not len(cosines):
        return []
    deviation = cosines.std(axis=0)
    sure = deviation > _LEAST
    scores = np.where(sure, cosines - cosines.mean(axis=0), 0) / np.where(sure, deviation, 1)
    found = []
    for row in scores:
        best = [i for i in np.argsort(-row, kind="stable")[:MOST_TAGS].tolist() if row[i] > 0]
        found.append((tuple(tags[i] for i in best), tuple(round(float(row[i]), 4) for i in best)))
    return found
