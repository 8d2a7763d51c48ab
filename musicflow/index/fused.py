"""Fused collections: several embedders as one, by the sum of their similarities or ranks.

A fusion has a name like an embedder: ``fusion:musicnn+mfcc`` adds weighted cosines,
``rrf:musicnn+mfcc`` adds reciprocal ranks (Cormack, Clarke and Büttcher, 2009), which needs no
weights. `Fusions` opens both kinds of collection, fused and plain.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.atomic import write_atomically
from musicflow.index import fields, tuned
from musicflow.index.filters import Condition, Filters
from musicflow.index.normalization import check_normalized, normalize
from musicflow.index.track_index import (
    Collection,
    Collections,
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    ScoreStrategy,
)

WEIGHTED = "fusion:"
BY_RANK = "rrf:"

RANK_OFFSET = 60
"""The constant of reciprocal rank fusion, as its authors chose it."""


def is_fusion(label: str) -> bool:
    """Return whether a name is that of a fusion."""
    return label.startswith((WEIGHTED, BY_RANK))


def members(label: str) -> tuple[str, ...]:
    """Return the embedders in the name of a fusion or a tuned space; none in any other."""
    if tuned.is_tuned(label):
        return tuned.parts(label)[0]
    return tuple(label.partition(":")[2].split("+")) if is_fusion(label) else ()


def spec_hash(hashes: Sequence[str]) -> str:
    """Return one hash for several specs; the hash of a single spec is its own."""
    return "+".join(hashes)


def short(label: str) -> str:
    """Return a short name: that of a fusion or a tuned space without its members."""
    if tuned.is_tuned(label):
        return f"tuned:{tuned.parts(label)[1]}"
    return label.partition(":")[0] if is_fusion(label) else label


def is_short(name: str) -> bool:
    """Return whether a name is a short one; see `short`."""
    return name in ("fusion", "rrf") or (name.startswith(tuned.TUNED) and "@" not in name)


def by_rank(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Reciprocal rank fusion of ranks from 1 on, one array a member, all of one shape."""
    return np.sum([1.0 / (RANK_OFFSET + rank) for rank in ranks], axis=0)


Weights = Mapping[str, Mapping[str, float]]
"""Per fusion, by name, the weight of each member's cosine; empty for a fusion by rank."""


def save_weights(path: Path, weights: Weights) -> None:
    """Write the weights of all known fusions."""
    write_atomically(path, json.dumps(weights, indent=1).encode())


def load_weights(path: Path, report: Path) -> Weights:
    """Read what `save_weights` wrote, or the report has; none if neither can be read.

    Parameters
    ----------
    path
        The file.
    report
        The comparison, which held the weights before they had a file of their own.
    """
    try:
        weights: Weights = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        # Each evaluation writes both.
        return _weights_in_report(report)
    return weights


def _weights_in_report(path: Path) -> Weights:
    try:
        rows = json.loads(path.read_bytes())["rows"]
        return {row["embedder"]: row["fusion"] for row in rows if is_fusion(row["embedder"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


class Fusions:
    """The `Collections` of an index, and fusions of them.

    Parameters
    ----------
    index
        Where the members are.
    weights
        Of the fusions that are known, by name: the weight of each member's cosine, adding up to
        1; empty for one by rank. One by rank can be opened whether it is known or not.
    """

    def __init__(self, index: Collections, weights: Weights) -> None:
        self._index = index
        self._weights = weights

    def names(self) -> Sequence[str]:
        """See `Collections.names`: the index's, then the fusions whose members it has."""
        published = self._index.names()
        return [*published, *(name for name in self._weights if {*members(name)} <= {*published})]

    def manifest(self, name: str) -> Manifest | None:
        """See `Collections.manifest`; a fusion's `count` is the most that it can be.

        Raises
        ------
        NoCollectionError
            If no weights are known of a fusion that needs them.
        """
        if not is_fusion(name):
            return self._index.manifest(name)
        found = [self._index.manifest(member) for member in members(name)]
        manifests = [manifest for manifest in found if manifest is not None]
        return _manifest(name, manifests, self._shares(name)) if manifests == found else None

    def open(self, name: str) -> Collection:
        """See `Collections.open`.

        Raises
        ------
        NoCollectionError
            If there is none, or no weights are known of a fusion that needs them.
        """
        if not is_fusion(name):
            return self._index.open(name)
        weights = self._shares(name)
        with ExitStack() as opened:
            found = [opened.enter_context(self._index.open(member)) for member in members(name)]
            collection = FusedCollection(name, found, weights)
            opened.pop_all()
        return collection

    def _shares(self, name: str) -> list[float]:
        names, weights = members(name), self._weights.get(name)
        if name.startswith(BY_RANK):
            return [1 / len(names)] * len(names)
        if not weights:
            known = [other for other in self._weights if other.startswith(WEIGHTED)]
            hint = f"it has weights for {', '.join(known)}" if known else "run these embedders"
            raise NoCollectionError(f"the last comparison has no weights for {name}", hint)
        return [weights[member] for member in names]


def _manifest(label: str, manifests: Sequence[Manifest], weights: Sequence[float]) -> Manifest:
    parts = [label, weights, [manifest.state for manifest in manifests]]
    return Manifest(
        label,
        spec_hash([manifest.spec_hash for manifest in manifests]),
        sum(manifest.dim for manifest in manifests),
        hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16],
        min(manifest.count for manifest in manifests),
        spread=sum(w * manifest.spread for w, manifest in zip(weights, manifests, strict=True)),
        extra={name: kind for manifest in manifests for name, kind in manifest.extra.items()},
    )


_DEPTH = 500
"""Candidates that each member names, at least: so many that the best together are among them."""

_BATCH = 1000


class FusedCollection:
    """Several collections as one `Collection`. It closes its members.

    It holds the tracks that all members hold. What is known of them is what the first member
    says that has a weight and knows tags; where a filter is by tags, it alone names candidates.

    A vector is the vectors of all members one behind the other, each times the root of its
    weight. So it has length one, and the product of two is the weighted sum of the members'
    cosines: whatever is asked of vectors can be asked of a fusion.

    Each member names candidates for an answer, and all of them are scored: by these vectors, or,
    in a fusion by rank, by each member for itself, whose ranks are then fused. A rank is one in
    the answers to a question, and says nothing of two tracks. What compares tracks with each
    other (copies, diverse answers, the way from one to another) goes by the vectors there too,
    in which all members of such a fusion weigh the same.

    Parameters
    ----------
    label
        The fusion's name.
    collections
        Of its members.
    weights
        Of their cosines, adding up to 1.
    """

    def __init__(
        self, label: str, collections: Sequence[Collection], weights: Sequence[float]
    ) -> None:
        manifests = [collection.manifest for collection in collections]
        held = [{payload["track_id"] for payload in one.payloads()} for one in collections]
        common = set.intersection(*held)
        self.manifest = replace(_manifest(label, manifests, weights), count=len(common))
        self._members = [
            _Member(collection, _none_of(ids - common))
            for collection, ids in zip(collections, held, strict=True)
        ]
        weighty = [member for member, weight in zip(self._members, weights, strict=True) if weight]
        tagged = (member for member in weighty if has_own_fields(member.collection))
        self._teller = next(tagged, self._members[0])
        self._roots = np.sqrt(weights).astype(np.float32)
        self._cuts = np.cumsum([manifest.dim for manifest in manifests])[:-1]
        self._by_rank = label.startswith(BY_RANK)

    def __enter__(self) -> "FusedCollection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Collection.close`."""
        for member in self._members:
            member.collection.close()

    def normalize(self, vectors: np.ndarray) -> np.ndarray:
        """Normalize as `Collection.normalize` does, each member its own part."""
        parts = zip(self._members, self._split(vectors), strict=True)
        return self._joined([member.collection.normalize(part) for member, part in parts])

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.query`. If exact, every track is a candidate."""
        check_normalized(vectors, self.manifest)
        depth = max(self.manifest.count, 1) if exact else _depth(k)

        def ask(collection: Collection, own: "_Examples", filters: Filters) -> list[Hit]:
            [hits] = collection.query(own.likes, depth, filters, without, exact)
            return hits

        # A cosine is the sum over one example.
        questions = [_Examples(vector[None], vectors[:0], "sum-scores") for vector in vectors]
        return self._answers(questions, ask, k, filters)

    def recommend(
        self,
        likes: np.ndarray,
        dislikes: np.ndarray,
        strategy: ScoreStrategy,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
    ) -> list[Hit]:
        """Recommend as `Collection.recommend` does.

        Scores are as Qdrant has them, or fused ranks of such.
        """
        check_normalized(likes, self.manifest)
        check_normalized(dislikes, self.manifest)

        def ask(collection: Collection, own: "_Examples", filters: Filters) -> list[Hit]:
            return collection.recommend(
                own.likes, own.dislikes, strategy, _depth(k), filters, without
            )

        [hits] = self._answers([_Examples(likes, dislikes, strategy)], ask, k, filters)
        return hits

    def vectors(self, track_ids: Sequence[str]) -> np.ndarray:
        """See `Collection.vectors`."""
        return self._joined([member.collection.vectors(track_ids) for member in self._members])

    def scroll(self) -> Iterator[Point]:
        """See `Collection.scroll`."""
        payloads = self.payloads()
        while some := list(itertools.islice(payloads, _BATCH)):
            vectors = self.vectors([payload["track_id"] for payload in some])
            for payload, vector in zip(some, vectors, strict=True):
                yield Point(payload["track_id"], vector, payload)

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """See `Collection.payloads`."""
        return self._teller.collection.payloads(self._teller.held(filters))

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """See `Collection.facet`."""
        return self._teller.collection.facet(key, self._teller.held(filters))

    def payload(self, track_id: str) -> dict[str, Any]:
        """See `Collection.payload`."""
        for payload in self.payloads(_only([track_id])):
            return payload
        raise KeyError(track_id)

    def count(self, filters: Filters = Filters()) -> int:
        """See `Collection.count`."""
        return self._teller.collection.count(self._teller.held(filters))

    def _answers(
        self,
        questions: Sequence["_Examples"],
        ask: Callable[[Collection, "_Examples", Filters], list[Hit]],
        k: int,
        filters: Filters,
    ) -> list[list[Hit]]:
        """Return the best candidates that `ask` gets from the members."""
        by_tags = any(condition.key in fields_of_embeddings() for condition in filters.conditions)
        own = [self._parts(question) for question in questions]
        found = {
            hit.track_id
            for parts in own
            for member, part in zip(self._members, parts, strict=True)
            if part and (member is self._teller or not by_tags)
            for hit in ask(member.collection, part, member.held(filters))
        }
        if not found:
            return [[] for _ in questions]
        ids = sorted(found)
        vectors = [member.collection.vectors(ids) for member in self._members]
        if self._by_rank:
            scores = [_fused_ranks(parts, vectors) for parts in own]
        else:
            joined = self._joined(vectors)
            scores = [question.scores(joined) for question in questions]
        best = [np.argsort(-values, kind="stable")[:k].tolist() for values in scores]
        wanted = _only([ids[row] for row in set().union(*best)])
        known = {payload["track_id"]: payload for payload in self.payloads(wanted)}
        return [
            [Hit(ids[row], float(values[row]), known[ids[row]]) for row in rows]
            for rows, values in zip(best, scores, strict=True)
        ]

    def _parts(self, question: "_Examples") -> list["_Examples"]:
        """Return a question's part for each member."""
        parts = zip(self._split(question.likes), self._split(question.dislikes), strict=True)
        return [_Examples(_directions(a), _directions(b), question.strategy) for a, b in parts]

    def _split(self, vectors: np.ndarray) -> list[np.ndarray]:
        return np.split(vectors, self._cuts, axis=1)

    def _joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        weighted = [root * part for root, part in zip(self._roots, parts, strict=True)]
        return np.concatenate(weighted, axis=1)


@dataclass(frozen=True)
class _Member:
    collection: Collection
    beyond: tuple[Condition, ...]
    """Keeps out the tracks that another member does not hold."""

    def held(self, filters: Filters) -> Filters:
        """Return filters that let through only what all members hold."""
        return Filters((*filters.conditions, *self.beyond))


@dataclass(frozen=True)
class _Examples:
    """What tracks are scored by: examples for and against, shapes ``(L, dim)``, ``(D, dim)``."""

    likes: np.ndarray
    dislikes: np.ndarray
    strategy: ScoreStrategy

    def __bool__(self) -> bool:
        return len(self.likes) + len(self.dislikes) > 0

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Return the score of each vector, as Qdrant has it, shape ``(N,)``."""
        liked, disliked = vectors @ self.likes.T, vectors @ self.dislikes.T
        if self.strategy == "sum-scores":
            return liked.sum(axis=1) - disliked.sum(axis=1)
        # No cosine is as low as -2.
        best, worst = liked.max(axis=1, initial=-2.0), disliked.max(axis=1, initial=-2.0)
        return np.where(best > worst, _squashed(best), -_squashed(worst))


def _squashed(cosines: np.ndarray) -> np.ndarray:
    """Qdrant's quick sigmoid: between 0 and 1."""
    return 0.5 * (1 + cosines / (1 + np.abs(cosines)))


def _directions(part: np.ndarray) -> np.ndarray:
    """Return a member's part of some vectors, of length one again.

    A part without length says nothing, and is left out: the member has no weight, or examples
    cancel each other out there.
    """
    return normalize(part[np.linalg.norm(part, axis=1) > 1e-6])


def fields_of_embeddings() -> list[str]:
    """Return the names of the keywords that embedders tell of tracks: predicted tags."""
    keywords = fields.of_kind("keyword")
    return [field.name for field in keywords if field.source == "embedding"]


def has_own_fields(collection: Collection) -> bool:
    """Return whether the embedder told of the tracks, as one that tags does."""
    return any(collection.facet(name) for name in fields_of_embeddings())


def _depth(k: int) -> int:
    return max(2 * k, _DEPTH)


def _only(track_ids: Sequence[str]) -> Filters:
    return Filters((Condition("track_id", "=", tuple(track_ids)),))


def _none_of(track_ids: set[str]) -> tuple[Condition, ...]:
    return (Condition("track_id", "!=", tuple(sorted(track_ids))),) if track_ids else ()


def _fused_ranks(parts: Sequence[_Examples], vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the scores of tracks by the ranks that the members give them."""
    asked = [(part, own) for part, own in zip(parts, vectors, strict=True) if part]
    return by_rank([_ranks(part.scores(own)) for part, own in asked])


def _ranks(scores: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
