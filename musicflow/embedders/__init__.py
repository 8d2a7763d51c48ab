"""Embedders: one file a model. A new one is a module with `SPEC` and `load`, named below."""

from pathlib import Path
from types import ModuleType

from musicflow.embedders import mfcc, musicnn
from musicflow.embedders.spec import Embedder, EmbedderSpec, Frames, Inferred
from musicflow.embedders.weights import Weights, WeightsError

__all__ = [
    "Embedder",
    "EmbedderSpec",
    "Frames",
    "Inferred",
    "UnknownEmbedderError",
    "Weights",
    "WeightsError",
    "load",
    "names",
    "spec_of",
]

_MODELS: dict[str, ModuleType] = {module.SPEC.name: module for module in (musicnn, mfcc)}


class UnknownEmbedderError(ValueError):
    """A name that no embedder has."""


def names() -> tuple[str, ...]:
    """The names of all embedders."""
    return tuple(_MODELS)


def spec_of(name: str) -> EmbedderSpec:
    """The spec behind a name. Cheap: no model and no framework is loaded.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder; the message lists those there are.
    """
    if name not in _MODELS:
        raise UnknownEmbedderError(
            f"no embedder is called {name!r}; there are {', '.join(_MODELS)}"
        )
    spec: EmbedderSpec = _MODELS[name].SPEC
    return spec


def load(spec: EmbedderSpec, cache: Path) -> Embedder:
    """Load an embedder, fetching its weights into `cache` if they are not there.

    Raises
    ------
    WeightsError
        If the weights cannot be had or are not what they should be.
    """
    embedder: Embedder = _MODELS[spec.name].load(spec, cache)
    return embedder
