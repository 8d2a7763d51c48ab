"""Embedders: one file a model. A new one is a module with `SPECS` and `load`, named below."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from musicflow.embedders import mfcc, musicnn, openl3, openl3_tensorflow, panns, wav2vec2
from musicflow.embedders.errors import (
    DeviceError,
    EmbedderError,
    HopError,
    UnknownEmbedderError,
    WeightsError,
)
from musicflow.embedders.spec import UNTRAINED, Embedder, EmbedderSpec, Frames, Inferred
from musicflow.embedders.weights import Weights
from musicflow.settings import Settings

__all__ = [
    "UNTRAINED",
    "DeviceError",
    "Embedder",
    "EmbedderError",
    "EmbedderSpec",
    "Frames",
    "HopError",
    "Inferred",
    "UnknownEmbedderError",
    "Weights",
    "WeightsError",
    "fetch",
    "load",
    "names",
    "spec_for",
    "spec_of",
    "specs_for",
    "untrained",
]

_MODULES: tuple[ModuleType, ...] = (musicnn, mfcc, openl3, panns, wav2vec2, openl3_tensorflow)

_SPECS: dict[str, tuple[EmbedderSpec, ModuleType]] = {
    spec.name: (spec, module) for module in _MODULES for spec in module.SPECS
}


def names() -> tuple[str, ...]:
    """The names of all embedders."""
    return tuple(_SPECS)


def spec_of(label: str) -> EmbedderSpec:
    """The spec behind a label. Cheap: no model and no framework is loaded.

    Parameters
    ----------
    label
        A name, or a name and ``-untrained`` for seeded weights.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder; the message lists those there are.
    """
    name = label.removesuffix(UNTRAINED)
    if name not in _SPECS:
        raise UnknownEmbedderError(
            f"no embedder is called {label!r}; there are {', '.join(_SPECS)}"
        )
    spec, _ = _SPECS[name]
    return spec if label == name else untrained(spec)


def spec_for(label: str, settings: Settings) -> EmbedderSpec:
    """The spec behind a label, with the hop, the precision and the device that the settings name.

    A precision that an embedder does not offer leaves it as it is.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder, or the settings name a hop for none that there is.
    HopError
        If its hop is longer than its window: between two windows music would go unheard.
    """
    for name in settings.hop_s:
        spec_of(name)
    spec = spec_of(label)
    hop_s = settings.hop_s.get(label, settings.hop_s.get(spec.name, spec.hop_s))
    if hop_s > spec.window_s:
        raise HopError(
            f"hop_s of {spec.name} is set to {hop_s:g} s, which is more than the "
            f"{spec.window_s:g} s of its window: music between two windows would go unheard"
        )
    precision = next((p for p in spec.precisions if p == settings.precision), spec.precision)
    return replace(spec, hop_s=hop_s, precision=precision, device=settings.device)


def specs_for(settings: Settings) -> list[EmbedderSpec]:
    """The specs of the embedders that the settings name; see `spec_for`."""
    return [spec_for(label, settings) for label in settings.embedders]


def untrained(spec: EmbedderSpec) -> EmbedderSpec:
    """The same with seeded weights: its dims and speed are real, its quality means nothing.

    Raises
    ------
    UnknownEmbedderError
        If it has no weights.
    """
    if spec.weights is None:
        raise UnknownEmbedderError(f"{spec.name} has no weights that could be untrained")
    return replace(spec, trained=False)


def fetch(spec: EmbedderSpec, cache: Path) -> None:
    """Bring an embedder's weights into `cache`, unless they are there or it needs none.

    Raises
    ------
    WeightsError
        If the weights cannot be had or are not what they should be.
    """
    if spec.weights is not None and spec.trained:
        spec.weights.fetch(cache)


def load(spec: EmbedderSpec, cache: Path) -> Embedder:
    """Load an embedder, fetching its weights into `cache` if they are not there.

    Raises
    ------
    WeightsError
        If the weights cannot be had or are not what they should be.
    """
    _, module = _SPECS[spec.name]
    embedder: Embedder = module.load(spec, cache)
    return embedder
