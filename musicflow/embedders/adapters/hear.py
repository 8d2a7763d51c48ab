"""``hear:MODULE``: any model behind the three functions of the HEAR benchmark's API.

Turian et al., "HEAR: Holistic Evaluation of Audio Representations" (2022), whose rules are at
https://hearbenchmark.com/hear-api.html: ``load_model``, ``get_scene_embeddings`` and
``get_timestamp_embeddings``. The layer is ``scene`` (the default where the module has it) or
``timestamp``, whose vectors are averaged over a window.

A fourth function is our own: ``get_text_embeddings(texts, model)``, which returns ``(n, D)`` in the
space of the default layer. So are two attributes of the model, ``licence`` and ``trained_on``: of a
module that says neither, nobody knows whether its weights are trained.
"""

import importlib
import importlib.util
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from musicflow import worker
from musicflow.address import Address, parse
from musicflow.embedders import compute
from musicflow.embedders.adapters.files import LocalWeights, digest_of_files, remembered
from musicflow.embedders.errors import (
    EmbedderError,
    InterfaceError,
    UnknownEmbedderError,
    WeightsError,
)
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred
from musicflow.errors import described
from musicflow.registry import NOT_IMPORTABLE, look_here

WINDOW_S = 10.0
"""Seconds per window: HEAR's scenes are a few seconds long."""

SHORTEST_S = 1.0

LAYERS = ("scene", "timestamp")

_TEXT = "get_text_embeddings"


def entry(address: Address) -> EmbedderEntry:
    """Return the entry of a module; its model is loaded once, in a worker, and its facts kept.

    Raises
    ------
    EmbedderError
        If the module cannot be imported, or does not follow the API.
    """
    if address.revision or address.layer not in ("", *LAYERS):
        raise EmbedderError(
            f"{address} is no address of a HEAR module",
            "write hear:MODULE or hear:MODULE#timestamp",
        )
    sources = _sources(address.place)
    digest = digest_of_files(sources)
    facts = remembered(f"hear 2 {address.place} {digest}", lambda: _facts_of(address.place))
    default = next(iter(facts["dims"]))
    layer = address.layer or default
    if layer not in facts["dims"]:
        raise InterfaceError(f"{address.place} has no get_{layer}_embeddings")
    spec = EmbedderSpec(
        name=address.name,
        version="1",
        sample_rate=facts["sample_rate"],
        dim=facts["dims"][layer],
        window_s=WINDOW_S,
        hop_s=WINDOW_S,
        tail="keep",
        min_s=SHORTEST_S,
        layer=layer,
        weights=LocalWeights(
            files=sources,
            filename=address.place,
            digest=digest,
            licence=facts["licence"] or "unknown",
            trained_on=facts["trained_on"] or "unknown",
            declared=bool(facts["licence"] or facts["trained_on"]),
        ),
        text=facts["text"] and layer == default,
        summary=f"the HEAR module {address.place}",
    )
    return EmbedderEntry(spec, load)


def load(spec: EmbedderSpec, _cache: Path) -> "Hear":
    """Import the module and load its model.

    Raises
    ------
    WeightsError
        If seeded weights are wanted: the API has none.
    EmbedderError
        If the module cannot be imported.
    """
    address = parse(spec.address)
    assert address is not None
    if not spec.trained:
        raise WeightsError(f"{address} has no seeded weights")
    return Hear(spec, _imported(address.place))


class Hear(Embedder):
    """A HEAR module with its model loaded.

    Parameters
    ----------
    spec
        See `entry`.
    module
        Has the functions of the API.
    """

    def __init__(self, spec: EmbedderSpec, module: Any) -> None:
        self.spec = spec
        self._model = module.load_model()
        self.device = compute.device(spec.device)
        for name, arguments in (("to", [self.device]), ("train", [False])):
            if hasattr(self._model, name):
                getattr(self._model, name)(*arguments)
        self._embed = getattr(module, f"get_{spec.layer}_embeddings")
        self._embed_text = getattr(module, _TEXT, None)

    def infer(self, windows: np.ndarray) -> Inferred:
        """Return the scenes' vectors, or the mean of those over time; see `Embedder.infer`."""
        import torch

        with torch.inference_mode():
            found = self._embed(compute.tensor(windows, self.device), self._model)
        if self.spec.layer == "scene":
            return Inferred(_array(found))
        vectors, _milliseconds = found
        return Inferred(_array(vectors).mean(axis=1))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts; see `Embedder.text`."""
        if not self.spec.text or self._embed_text is None:
            return super().text(texts)
        import torch

        with torch.inference_mode():
            return _array(self._embed_text(list(texts), self._model))


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, np.float32)


def _facts_of(name: str) -> dict[str, Any]:
    """Return the facts of a module's model, loaded in a worker of its own."""
    [facts] = worker.iterate(f"the worker of hear:{name}", _look, name)
    return dict(facts)


def _look(name: str) -> Generator[dict[str, Any], None, None]:
    module = _imported(name)
    missing = [part for part in ("load_model",) if not hasattr(module, part)]
    offered = [layer for layer in LAYERS if hasattr(module, f"get_{layer}_embeddings")]
    if missing or not offered:
        raise InterfaceError(
            f"{name} does not follow the HEAR API",
            "it needs load_model, and get_scene_embeddings or get_timestamp_embeddings",
        )
    try:
        model = module.load_model()
        dims = {layer: int(getattr(model, f"{layer}_embedding_size")) for layer in offered}
        facts = {
            "sample_rate": int(model.sample_rate),
            "dims": dims,
            "text": hasattr(module, _TEXT),
            **{name: str(getattr(model, name, "")) for name in ("licence", "trained_on")},
        }
    except (Exception, SystemExit) as error:
        what = f"the model of {name} cannot be loaded, {described(error)}"
        raise InterfaceError(what) from error
    yield facts


def _imported(name: str) -> ModuleType:
    look_here(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UnknownEmbedderError(
            f"the module {name} cannot be imported, {described(error)}",
            "install it, or name its folder in PYTHONPATH",
            NOT_IMPORTABLE,
        ) from error


def _sources(name: str) -> tuple[Path, ...]:
    """Return the code of a module: its file, or all files of its package."""
    top = name.partition(".")[0]
    look_here(top)
    found = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    if found is None or found.origin is None:
        raise UnknownEmbedderError(
            f"the module {top} is not there", "name its folder in PYTHONPATH", NOT_IMPORTABLE
        )
    file = Path(found.origin)
    return tuple(sorted(file.parent.rglob("*.py"))) if file.name == "__init__.py" else (file,)
