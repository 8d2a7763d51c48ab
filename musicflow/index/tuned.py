"""Tuned spaces: a projection that was learned from labels, as a collection holds it.

``tuned:musicnn+mfcc@genre`` is the space of two embedders' vectors, learned from genres. Its
collection is published like any other, and carries the projection in its manifest: whoever opens
it can bring a new track into it.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

TUNED = "tuned:"


def name_of(members: Sequence[str], label: str) -> str:
    """Return the name of the space of some embedders that was learned from a label."""
    return f"{TUNED}{'+'.join(members)}@{label}"


def is_tuned(name: str) -> bool:
    """Return whether a name is that of a tuned space."""
    return name.startswith(TUNED) and "@" in name


def parts(name: str) -> tuple[tuple[str, ...], str]:
    """Return the embedders and the label in a tuned space's name."""
    members, _, label = name.removeprefix(TUNED).rpartition("@")
    return tuple(members.split("+")), label


def spec_hash(members: str, identity: str) -> str:
    """Return the hash of a tuned space: those of its embedders, and what it was learned from."""
    return f"{members}@{identity}"


def embedders_of(hash_: str) -> str:
    """Return the hash of a tuned space's embedders, by its own."""
    return hash_.rpartition("@")[0]


def identity_of(hash_: str) -> str:
    """Return the name of what a tuned space was learned from, by its hash."""
    return hash_.rpartition("@")[2]


@dataclass(frozen=True, eq=False)
class Projection:
    """A learned space: embedders' vectors side by side, and beside them what was learned.

    Parameters
    ----------
    dims
        The dims of each embedder's vectors.
    centers, scales
        What they are standardised with, one behind the other: zeros and ones where they are not.
    shares
        The share of each embedder in the cosine of two tracks, adding up to 1.
    mean
        The mean of the vectors that were learned from, shape ``(dim,)``.
    directions
        The learned directions, one per column, shape ``(dim, D)``.
    weight
        The share of what was learned in the cosine of two tracks, in [0, 1].
    shrinkage
        How far the scatter of alike tracks was shrunk; NaN for as far as Ledoit and Wolf say.
    """

    dims: np.ndarray
    centers: np.ndarray
    scales: np.ndarray
    shares: np.ndarray
    mean: np.ndarray
    directions: np.ndarray
    weight: float
    shrinkage: float

    @property
    def dim(self) -> int:
        """Return the dims of the space."""
        return int(self.dims.sum()) + (self.directions.shape[1] if self.weight else 0)

    def of_embedded(self, vectors: np.ndarray) -> np.ndarray:
        """Return the places of vectors as the embedders give them, side by side.

        Shapes ``(N, sum of dims)``, ``(N, dim)``; a row of no length or not finite has no place:
        it becomes NaN.
        """
        values = (np.asarray(vectors, np.float64) - self.centers) / self.scales
        cuts = np.cumsum(self.dims)[:-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.of_unit(side_by_side(np.split(values, cuts, axis=1), self.shares))

    def of_unit(self, joined: np.ndarray) -> np.ndarray:
        """Return the places of vectors that `side_by_side` made: length one, ``(N, dim)``."""
        if not self.weight:
            return joined
        learned = (joined - self.mean) @ self.directions
        lengths = np.linalg.norm(learned, axis=1, keepdims=True)
        # A track at the very mean has no direction: there, what is learned tells nothing.
        learned *= np.sqrt(self.weight) / np.where(lengths > 0, lengths, 1)
        whole = np.concatenate([np.sqrt(1 - self.weight) * joined, learned], axis=1)
        unit: np.ndarray = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        return unit

    def to_text(self) -> str:
        """Return it as a text that a manifest can hold."""
        sink = io.BytesIO()
        np.savez(sink, **{field.name: getattr(self, field.name) for field in fields(self)})
        return base64.b64encode(sink.getvalue()).decode()


def side_by_side(parts: Sequence[np.ndarray], shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the vectors of several embedders as one of length one.

    Parameters
    ----------
    parts
        Vectors by embedder, of any length but 0, each of shape ``(N, dim)``.
    shares
        The share of each in the cosine of two tracks.
    """
    return np.concatenate(
        [
            part * (np.sqrt(share) / np.linalg.norm(part, axis=1, keepdims=True))
            for part, share in zip(parts, shares, strict=True)
        ],
        axis=1,
    )


@lru_cache(maxsize=8)
def projection_of(text: str) -> Projection:
    """Return the projection that `Projection.to_text` wrote."""
    with np.load(io.BytesIO(base64.b64decode(text))) as stored:
        values = dict(stored)
    return Projection(**values | {name: float(values[name]) for name in ("weight", "shrinkage")})
