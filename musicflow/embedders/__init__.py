"""Embedders: one file per model, found by a name, an entry point or an address.

An embedder is an `EmbedderEntry`: a spec and a way to load it. Those that ship stand in the table
below. To add one of your own, change nothing here: see `spec_of` for how it is found. Models from
outside come through an adapter: `ADAPTERS`.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from musicflow import address
from musicflow.address import Address
from musicflow.embedders.errors import (
    DeviceError,
    EmbedderError,
    InterfaceError,
    MissingExtraError,
    UnknownEmbedderError,
    WeightsError,
)
from musicflow.embedders.spec import (
    ALL_LAYERS,
    NO_TEXT,
    UNTRAINED,
    AllLayers,
    Embedder,
    EmbedderEntry,
    EmbedderSpec,
    Frames,
    Inferred,
    Layers,
    infer,
    infer_text,
)
from musicflow.embedders.weights import Weights
from musicflow.errors import MusicflowError, described, words_of
from musicflow.extras import quick_imports
from musicflow.registry import UNKNOWN, Registry
from musicflow.registry import is_address as is_import
from musicflow.settings import Settings

__all__ = [
    "ADAPTERS",
    "ALL_LAYERS",
    "NO_TEXT",
    "REGISTRY",
    "UNTRAINED",
    "DeviceError",
    "Embedder",
    "EmbedderEntry",
    "EmbedderError",
    "EmbedderSpec",
    "Frames",
    "Inferred",
    "InterfaceError",
    "Layers",
    "MissingExtraError",
    "UnknownEmbedderError",
    "Weights",
    "WeightsError",
    "all_layers",
    "check_names",
    "fetch",
    "imports_of",
    "infer",
    "infer_text",
    "is_address",
    "layers_of",
    "load",
    "names",
    "prepare",
    "spec_for",
    "spec_of",
    "spec_or_stand_in",
    "specs_for",
    "untrained",
]

_HERE = "musicflow.embedders"

REGISTRY = Registry(
    "embedder",
    "musicflow.embedders",
    EmbedderEntry,
    {
        "musicnn": f"{_HERE}.musicnn:ENTRY",
        "mfcc": f"{_HERE}.mfcc:ENTRY",
        "openl3": f"{_HERE}.openl3:OPENL3",
        "openl3-mel256": f"{_HERE}.openl3:OPENL3_MEL256",
        "openl3-env": f"{_HERE}.openl3:OPENL3_ENV",
        "openl3-mel256-env": f"{_HERE}.openl3:OPENL3_MEL256_ENV",
        "openl3-6144": f"{_HERE}.openl3:OPENL3_6144",
        "openl3-mel256-6144": f"{_HERE}.openl3:OPENL3_MEL256_6144",
        "openl3-env-6144": f"{_HERE}.openl3:OPENL3_ENV_6144",
        "openl3-mel256-env-6144": f"{_HERE}.openl3:OPENL3_MEL256_ENV_6144",
        "panns": f"{_HERE}.panns:ENTRY",
        "wav2vec2": f"{_HERE}.wav2vec2:ENTRY",
        "musicnn-mtt": f"{_HERE}.musicnn:ENTRY_MTT",
        "musicnn-vgg": f"{_HERE}.musicnn_vgg:ENTRY",
        "musicnn-vgg-mtt": f"{_HERE}.musicnn_vgg:ENTRY_MTT",
        "openl3-tensorflow": f"{_HERE}.openl3_tensorflow:ENTRY",
    },
    UnknownEmbedderError,
)
"""All embedders, by name."""

SAME_NAME = "same-name"
"""The code of an error: two embedders have one name."""

ADAPTERS: dict[address.Kind, str] = {
    "hub": f"{_HERE}.adapters.hub",
    "hear": f"{_HERE}.adapters.hear",
    "onnx": f"{_HERE}.adapters.onnx",
    "vectors": f"{_HERE}.adapters.vectors",
}
"""By kind of address, the module whose `entry` makes an `EmbedderEntry` of an `Address`."""


_COMBINED = ("fusion", "rrf", "tuned")
"""The beginnings of names of fusions and tuned spaces; see `musicflow.index`."""


def names() -> tuple[str, ...]:
    """Return the names of all embedders that ship or are installed. Nothing is imported."""
    return REGISTRY.names()


def is_address(name: str) -> bool:
    """Return whether a name says by itself where an embedder is, whatever the settings."""
    plain = name.removesuffix(UNTRAINED)
    base, layer = address.without_layer(plain)
    return bool(layer) or is_import(base) or address.parse(base) is not None


def spec_of(name: str) -> EmbedderSpec:
    """Return the spec of an embedder. No model and no framework is loaded.

    Parameters
    ----------
    name
        A name that ships, the name of an entry point in the group ``musicflow.embedders``, the
        address ``package.module:NAME`` of an `EmbedderEntry`, or one of a model from outside (see
        `musicflow.address`). With ``#LAYER`` behind it, the vector is that of another layer; with
        ``-untrained`` behind all, the spec is that of seeded weights.

    Raises
    ------
    UnknownEmbedderError
        If the name leads to no embedder; the message says why.
    EmbedderError
        If the embedder goes by a name that is not its own.
    """
    plain = name.removesuffix(UNTRAINED)
    spec = _entry(plain).spec
    if is_address(plain):
        spec = replace(spec, address=plain)
    return spec if plain == name else untrained(spec)


def spec_for(name: str, settings: Settings) -> EmbedderSpec:
    """Return the spec of an embedder as the settings have it.

    These are hop, coverage, loudness, precision and device. A precision that the embedder does not
    offer leaves it as it is.

    Parameters
    ----------
    name
        As for `spec_of`; or an alias, or the label of an address, in the settings.
    settings
        The settings.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder, or the settings give a hop for one that there is not.
    """
    return _as_set(_find(name, settings), settings)


def spec_or_stand_in(name: str, settings: Settings | None = None) -> EmbedderSpec:
    """Return the spec of an embedder, or one that stands for it where it cannot be used.

    The stand-in goes wherever a spec goes, so that a broken embedder costs itself alone. To fetch
    or load it raises the error.

    Parameters
    ----------
    name
        See `spec_for`.
    settings
        See `spec_for`; if not given, the spec is that of `spec_of`.
    """
    try:
        spec = spec_of(name) if settings is None else _find(name, settings)
    except EmbedderError as error:
        return _stand_in(name if settings is None else _expanded(name, settings), error)
    return spec if settings is None else _as_set(spec, settings)


def specs_for(settings: Settings) -> list[EmbedderSpec]:
    """Return the specs of the embedders that the settings name; see `spec_or_stand_in`."""
    specs = (spec_or_stand_in(name, settings) for name in settings.embedders)
    return list({spec.label: spec for spec in specs}.values())


def check_names(settings: Settings) -> None:
    """Stop at a name that nothing or more than one has. What is broken costs itself alone.

    Raises
    ------
    UnknownEmbedderError
        If no embedder has the name, or two have it; then its code is ``same-name``.
    """
    known: dict[str, EmbedderSpec] = {}
    for name in settings.embedders:
        try:
            spec = spec_for(name, settings)
        except EmbedderError as error:
            if error.code == UNKNOWN:
                raise
            continue
        other = known.setdefault(spec.label, spec)
        if other.hash != spec.hash:
            raise UnknownEmbedderError(
                f"{other.reference} and {spec.reference} are both called {spec.label!r}",
                "name one yourself: NAME=ADDRESS, or an alias in the settings",
                SAME_NAME,
            )


def untrained(spec: EmbedderSpec) -> EmbedderSpec:
    """Return the spec with seeded weights: its dims and speed are real, its quality means nothing.

    Raises
    ------
    UnknownEmbedderError
        If it has no weights.
    """
    if spec.weights is None:
        what = f"{spec.name} has no weights that could be untrained"
        raise UnknownEmbedderError(what, code=UNKNOWN)
    return replace(spec, trained=False)


def fetch(spec: EmbedderSpec, cache: Path) -> None:
    """Bring an embedder's weights into `cache`, unless they are there or it needs none.

    Where they are new, the embedder is prepared too.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used, or its weights cannot be had.
    """
    _entry_of(spec)
    if spec.weights is not None and spec.trained:
        new = spec.weights.state(cache) == "missing"
        spec.weights.fetch(cache)
        if new:
            prepare(spec)


def layers_of(spec: EmbedderSpec) -> list[EmbedderSpec]:
    """Return the specs of all layers of an embedder, lowest first, its own among them.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used.
    """
    base = address.without_layer(spec.address.removesuffix(UNTRAINED) or spec.name)[0]
    entry = _entry(base)
    if not entry.layers:
        return [spec]
    own = entry.spec.layer
    addresses = (
        base if layer == own else address.with_layer(base, layer) for layer in entry.layers
    )
    specs = map(spec_of, addresses)
    same = ("hop_s", "coverage_s", "loudness_lufs", "precision", "device", "trained")
    kept = {name: getattr(spec, name) for name in same}
    return [replace(one, **kept) for one in specs]


def all_layers(spec: EmbedderSpec) -> EmbedderSpec:
    """Return the spec of all layers at once: a window's vector is theirs behind one another.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used.
    """
    layers = layers_of(spec)
    if len(layers) == 1:
        return spec
    return replace(spec, layer=ALL_LAYERS, dim=sum(one.dim for one in layers), text=False)


def prepare(spec: EmbedderSpec) -> None:
    """Prepare an embedder for its first run, by compiling say; see `EmbedderEntry`.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used.
    """
    entry = _entry_of(spec)
    if entry.prepare is not None:
        with _named(spec, "prepared"):
            entry.prepare(spec)


def imports_of(spec: EmbedderSpec) -> tuple[str, ...]:
    """Return the modules that take long to import for an embedder; see `EmbedderEntry`.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used.
    """
    return _entry_of(spec).imports


def load(spec: EmbedderSpec, cache: Path) -> Embedder:
    """Load an embedder, fetching its weights into `cache` if they are not there.

    Raises
    ------
    WeightsError
        If the weights cannot be had or are not what they should be.
    MissingExtraError
        If it needs packages that are not installed; the message has the command that does it.
    EmbedderError
        If it cannot be used for another reason.
    """
    entry = _entry_of(spec)
    own = spec
    if spec.layer == ALL_LAYERS:
        own = replace(spec, layer=entry.spec.layer, dim=entry.spec.dim)
    with _named(spec, "loaded"), quick_imports():
        embedder = entry.load(own, cache)
    if not isinstance(embedder, Embedder):
        what = f"a {type(embedder).__name__}, not an Embedder"
        raise InterfaceError(f"the function that loads {spec.name} returned {what}")
    embedder.spec = own
    return embedder if own is spec else AllLayers(embedder, spec, entry.layers)


@contextmanager
def _named(spec: EmbedderSpec, done: str) -> Iterator[None]:
    """Turn what an embedder's own code raises into an error that names the embedder."""
    try:
        yield
    except (MusicflowError, MemoryError):
        raise
    except ImportError as error:
        what = f"{spec.name} needs packages that are not installed ({words_of(error)})"
        raise MissingExtraError(what, spec.install) from error
    except (Exception, SystemExit) as error:
        raise InterfaceError(f"{spec.name} cannot be {done}, {described(error)}") from error


def _entry_of(spec: EmbedderSpec) -> EmbedderEntry:
    """Return the entry of a spec; for a stand-in, raise what keeps the embedder from its place."""
    spec_of(spec.reference)
    return _entry(spec.address.removesuffix(UNTRAINED) or spec.name)


def _entry(name: str) -> EmbedderEntry:
    """Return the entry that a name or an address leads to, if no other has its name."""
    if name.partition(":")[0] in _COMBINED and name not in REGISTRY:
        raise UnknownEmbedderError(
            f"{name!r} is a fusion or a tuned space, not an embedder",
            "name embedders: a run fuses all that it is given, and `musicflow tune` learns a space",
            UNKNOWN,
        )
    outside = address.parse(name)
    if outside is None:
        name, layer = address.without_layer(name)
        entry = REGISTRY.get(name)
    else:
        layer, entry = "", _adapted(outside)
    own = entry.spec.name
    if not is_address(name) and own != name:
        raise UnknownEmbedderError(
            f"the entry point {name!r} leads to an embedder that is called {own!r}",
            "give both the same name",
        )
    if is_address(name) and own in REGISTRY and REGISTRY.address_of(own) != name:
        raise UnknownEmbedderError(
            f"the embedder {name} is called {own!r}, as another is", "give it another name"
        )
    return _of_layer(entry, layer) if layer else entry


def _of_layer(entry: EmbedderEntry, layer: str) -> EmbedderEntry:
    """Return the entry with the spec of one of its layers."""
    spec = entry.spec
    if layer == spec.layer:
        return entry
    if layer not in entry.layers:
        known = ", ".join(entry.layers) or spec.layer
        raise UnknownEmbedderError(
            f"{spec.name} has no layer {layer!r}", f"its layers are {known}", UNKNOWN
        )
    name = address.name_with_layer(spec.name, layer)
    # Words lie in the space of the entry's own layer.
    other = replace(spec, name=name, layer=layer, dim=entry.layers[layer], text=False)
    return replace(entry, spec=other)


def _adapted(outside: Address) -> EmbedderEntry:
    """Return the entry that an adapter makes of an address."""
    try:
        adapter = importlib.import_module(ADAPTERS[outside.kind])
        entry: EmbedderEntry = adapter.entry(outside)
    except (EmbedderError, MemoryError):
        raise
    except Exception as error:
        raise InterfaceError(f"{outside} cannot be used, {described(error)}") from error
    return replace(entry, spec=replace(entry.spec, address=str(outside)))


def _expanded(name: str, settings: Settings) -> str:
    """Return the address that a name is an alias of; the name, if it is none."""
    plain = name.removesuffix(UNTRAINED)
    alias = settings.aliases.get(plain)
    return name if alias is None else alias.named(plain) + name.removeprefix(plain)


def _find(name: str, settings: Settings) -> EmbedderSpec:
    """Return the spec of a name, an alias, or a label of an address in the settings."""
    name = _expanded(name, settings)
    plain = name.removesuffix(UNTRAINED)
    if is_address(plain) or plain in REGISTRY:
        return spec_of(name)
    broken = ""
    for other in {other.removesuffix(UNTRAINED): None for other in settings.embedders}:
        if is_address(other):
            try:
                if _own_name(other) == plain:
                    return spec_of(other + name.removeprefix(plain))
            except EmbedderError as error:
                broken = str(error)
    try:
        return spec_of(name)
    except UnknownEmbedderError as error:
        # It may be the one that cannot be used now.
        raise UnknownEmbedderError(error.message, broken or error.advice, error.code) from error


def _own_name(plain: str) -> str:
    """Return the name of the embedder at an address; a model from outside is not looked at."""
    outside = address.parse(plain)
    return spec_of(plain).name if outside is None else outside.name


def _as_set(spec: EmbedderSpec, settings: Settings) -> EmbedderSpec:
    hops = {_name_of(key, settings): hop for key, hop in settings.hop_s.items()}
    whole = spec.name.removesuffix(address.name_with_layer("", spec.layer))
    names = (spec.label, spec.name, whole)
    hop_s = next((hops[name] for name in names if name in hops), spec.hop_s)
    precision = next((p for p in spec.precisions if p == settings.precision), spec.precision)
    return replace(
        spec,
        hop_s=hop_s,
        precision=precision,
        device=settings.device,
        coverage_s=settings.coverage_s,
        loudness_lufs=settings.loudness_lufs,
    )


def _name_of(key: str, settings: Settings) -> str:
    """Return the label of an embedder that a setting names."""
    try:
        return _find(key, settings).label
    except UnknownEmbedderError as error:
        if error.code == UNKNOWN:
            raise
        return key


def _stand_in(name: str, error: EmbedderError) -> EmbedderSpec:
    plain = name.removesuffix(UNTRAINED)
    outside = address.parse(plain)
    label = address.safe(name) if outside is None else outside.name
    return EmbedderSpec(label, "0", 1, 0, 1.0, 1.0, "none", str(error), address=name)
