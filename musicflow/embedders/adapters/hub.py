"""``hub:REPO_OR_FOLDER[@REVISION][#LAYER]``: models that the transformers library loads.

The layer is a number, ``last``, ``mean`` (of all numbered layers), or a name of the model's family,
such as ``pooler``. Code of a repository runs only with ``trust_remote_code``, and only where the
model is loaded.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.address import Address, parse
from musicflow.embedders import compute
from musicflow.embedders.adapters import repository
from musicflow.embedders.adapters.families import Family, family_of
from musicflow.embedders.adapters.files import LocalWeights
from musicflow.embedders.adapters.repository import HubWeights
from musicflow.embedders.errors import EmbedderError, WeightsError
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred, Layers
from musicflow.errors import described

SHORTEST_S = 1.0

_SECONDS_AT_ONCE = 60

_TOKENIZERS = ("tokenizer.json", "vocab.json")

_NOT_NEEDED = {"masked_spec_embed"}
"""Weights that training alone uses."""


def entry(address: Address) -> EmbedderEntry:
    """Return the entry of a model; its settings are read, and no code of it runs.

    Raises
    ------
    EmbedderError
        If it cannot be had, or has no such layer.
    """
    found = repository.look(address)
    family = family_of(found.config, found.extractor)
    try:
        layer = family.checked(address.layer)
        rate, dim = family.sample_rate, family.dim(layer)
    except EmbedderError as error:
        raise EmbedderError(f"{address.place}: {error.message}", error.advice) from error
    runs_code = repository.has_code(found.config) and address.trust_remote_code
    kind = found.config.get("model_type", "model")
    spec = EmbedderSpec(
        name=address.name,
        version="1",
        sample_rate=rate,
        dim=dim,
        window_s=round(family.window_s * rate) / rate,
        hop_s=round(family.hop_s * rate) / rate,
        tail="keep",
        min_s=SHORTEST_S,
        layer=layer,
        weights=found.weights,
        text=layer == family.text_layer,
        summary=f"{kind} of {address.place}" + (", runs code of its repository" * runs_code),
    )
    return EmbedderEntry(spec, load, layers=family.dims, imports=("torch", "transformers"))


def load(spec: EmbedderSpec, cache: Path) -> "Hub":
    """Load the model; with seeded weights if the spec says so.

    Raises
    ------
    WeightsError
        If the weights cannot be had, or do not fill the model.
    EmbedderError
        If code of the repository would run, and nobody allowed it.
    """
    assert isinstance(spec.weights, HubWeights | LocalWeights)
    address = parse(spec.address)
    assert address is not None
    if spec.trained:
        spec.weights.fetch(cache)
    folder, trust = spec.weights.folder, address.trust_remote_code
    config, settings = repository.settings_in(folder)
    if repository.has_code(config) and not trust:
        _demand_own_class(address, config)
    model = _model(folder, spec, trust)
    extractor, tokenizer = _extractor(folder, settings, trust), partial(_tokenizer, folder, trust)
    return Hub(spec, family_of(config, settings), model, extractor, tokenizer)


class Hub(Embedder):
    """A model of transformers.

    Parameters
    ----------
    spec
        See `entry`.
    family
        Says how it is called.
    model, extractor
        Those of transformers; no extractor where the model takes the waveform.
    tokenizer
        Returns that of transformers.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        family: Family,
        model: Any,
        extractor: Any,
        tokenizer: Callable[[], Any],
    ) -> None:
        self.spec = spec
        self.device = compute.device(spec.device)
        self.batch_size = max(1, round(_SECONDS_AT_ONCE / spec.window_s))
        self._family = family
        self._extractor = extractor
        self._tokenizer = tokenizer
        self._model = model.to(self.device)

    def infer(self, windows: np.ndarray) -> Inferred:
        """Return the layer's mean over time; see `Embedder.infer`."""
        return Inferred(self._vectors(windows, self.spec.layer, [self.spec.layer])[self.spec.layer])

    def layers(self, windows: np.ndarray) -> Layers:
        """Return each layer's mean over time; see `Embedder.layers`."""
        if not self._family.whole:
            return super().layers(windows)
        return Layers(self._vectors(windows, self._family.whole, self._family.dims))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts; of a longer one than the model takes, that of its start.

        See `Embedder.text`.

        Raises
        ------
        WeightsError
            If the model came without a tokenizer.
        """
        if not self.spec.text:
            return super().text(texts)
        import torch

        tokenizer = self._tokenizer()
        longest = min(tokenizer.model_max_length, self._family.text_length)
        with torch.inference_mode():
            inputs = tokenizer(
                list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
            ).to(self.device)
            return compute.array(self._family.text_vectors(self._model, inputs))

    def _vectors(
        self, windows: np.ndarray, run_for: str, layers: Iterable[str]
    ) -> dict[str, np.ndarray]:
        """Return the vectors of some layers, from a run that gives them."""
        import torch

        with torch.inference_mode():
            audio = compute.tensor(windows, self.device)
            inputs = self._family.inputs(self._extractor, audio)
            inputs = {name: value.to(self.device) for name, value in inputs.items()}
            output = self._family.run(self._model, inputs, run_for)
            return {
                layer: compute.array(self._family.vectors(output, layer, windows.shape[1]))
                for layer in layers
            }


def _model(folder: Path, spec: EmbedderSpec, trust: bool) -> Any:
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        if not hasattr(config, "conv_pos_batch_norm"):
            # MERT-v1's own code is older than this setting of HuBERT, which it builds on.
            config.conv_pos_batch_norm = False
        if not spec.trained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return AutoModel.from_config(config, trust_remote_code=trust).eval()
        model, report = AutoModel.from_pretrained(
            folder, config=config, trust_remote_code=trust, dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    except (Exception, SystemExit) as error:
        raise WeightsError(f"{folder} cannot be loaded, {described(error)}") from error
    missing = {name for name in report["missing_keys"] if name.split(".")[-1] not in _NOT_NEEDED}
    if missing or report["mismatched_keys"]:
        some = ", ".join(sorted(map(str, missing or report["mismatched_keys"]))[:3])
        raise WeightsError(f"the weights in {folder} do not fill the model: {some} and so on")
    return model.eval()


def _extractor(folder: Path, settings: dict[str, Any], trust: bool) -> Any:
    if not settings:
        return None
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=trust)


def _tokenizer(folder: Path, trust: bool) -> Any:
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in _TOKENIZERS):
        what = f"{folder} holds no {' and no '.join(_TOKENIZERS)}, so that no text can be read"
        raise WeightsError(what, "save the model's tokenizer beside it")
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    except (Exception, SystemExit) as error:
        what = f"the tokenizer in {folder} cannot be loaded, {described(error)}"
        raise WeightsError(what) from error


def _demand_own_class(address: Address, config: dict[str, Any]) -> None:
    """Raise an error if only code of the repository knows this kind of model."""
    from transformers import CONFIG_MAPPING

    if config.get("model_type") not in CONFIG_MAPPING:
        name = address.given or "NAME"
        raise EmbedderError(
            f"{address.place} runs code of its own, which nobody allowed",
            f"read that code; then write trust_remote_code = true below [aliases.{name}] in "
            "musicflow.toml",
            "remote-code",
        )
