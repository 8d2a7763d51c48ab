"""Vectors of several embedders side by side."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from musicflow.embedders import EmbedderSpec
from musicflow.store import Embedding, EmbeddingStore


class JoinedStore(EmbeddingStore):
    """A store for reading the vectors of several embedders side by side, as those of one.

    Parameters
    ----------
    store
        The store of the embedders' rows.
    specs
        The embedders, in the order of a vector's parts.
    """

    def __init__(self, store: EmbeddingStore, specs: Sequence[EmbedderSpec]) -> None:
        super().__init__(store.root)
        self._store = store
        self._specs = specs

    def known(self, _: object) -> dict[str, str]:
        """Return the contents that every embedder knows, each with its error; see the store's."""
        found = [self._store.known(spec) for spec in self._specs]
        common = set.intersection(*({*one} for one in found))
        return {
            content: next((one[content] for one in found if one[content]), "") for content in common
        }

    def read(self, _: object, only: Collection[str] | None = None) -> dict[str, Embedding]:
        """Return the rows that every embedder has, joined; see the store's."""
        return _joined([self._store.read(spec, only) for spec in self._specs])

    def outcomes(
        self, _: object, names: Collection[str] = (), only: Collection[str] | None = None
    ) -> dict[str, Embedding]:
        """Return the rows that every embedder has, without their vectors; see the store's."""
        return _joined([self._store.outcomes(spec, names, only) for spec in self._specs])

    def set_published(self, *_: object) -> None:
        """Keep nothing: what a tuned space was published of is read from its payloads."""

    def published(self, *_: object) -> None:
        """Return nothing; see `set_published`."""


def _joined(parts: Sequence[Mapping[str, Embedding]]) -> dict[str, Embedding]:
    if len(parts) == 1:
        return dict(parts[0])
    common = set.intersection(*({*one} for one in parts))
    return {content: _told([part[content] for part in parts]) for content in common}


def _told(rows: Sequence[Embedding]) -> Embedding:
    """Return rows of one content as one, with the tags of the first that has some."""
    if bad := [row for row in rows if row.error]:
        return bad[0]
    vectors = [row.vector for row in rows if row.vector is not None]
    teller = next((row for row in rows if row.tags), rows[0])
    vector = np.concatenate(vectors) if vectors else None
    return replace(rows[0], vector=vector, tags=teller.tags, tag_scores=teller.tag_scores)
