"""Wav2Vec2 as its authors define it: the model of `transformers`, and files of its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.embedders.checkpoint import read_checkpoint
from musicflow.embedders.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Wav2Vec2Config, Wav2Vec2Model

CONFIG: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": (512,) * 7,
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
}
"""facebook/wav2vec2-base at the pinned revision, as far as it decides the forward pass."""

_NORM = "encoder.pos_conv_embed.conv."

_NEW_NAMES = {
    f"{_NORM}weight_g": f"{_NORM}parametrizations.weight.original0",
    f"{_NORM}weight_v": f"{_NORM}parametrizations.weight.original1",
}
"""The names of the weight norm since torch 2, by those of before."""


def seeded_model(config: "Wav2Vec2Config | None" = None, seed: int = 0) -> "Wav2Vec2Model":
    """Return upstream's model with random weights, always the same."""
    import torch
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = config or transformers.Wav2Vec2Config(**CONFIG)
        return transformers.Wav2Vec2Model(config).eval()


def trained_model(path: Path, config: "Wav2Vec2Config | None" = None) -> "Wav2Vec2Model":
    """Upstream's model with the weights of a checkpoint.

    Parameters
    ----------
    path
        A file of a `Wav2Vec2Model`, or of one with heads for training or recognition.
    config
        The model's; that of wav2vec2-base if not given.

    Raises
    ------
    WeightsError
        If the file holds no weights, or lacks one of the model's. Nothing in it is executed.
    """
    model = seeded_model(config)
    saved = read_checkpoint(path)
    try:
        model.load_state_dict(_of_bare_model(saved, set(model.state_dict())))
    except (AttributeError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold this wav2vec2: {error}") from error
    return model


def upstream_vectors(path: Path, windows: np.ndarray) -> np.ndarray:
    """Return the vectors ``(B, 768)`` that upstream's code makes of windows ``(B, n)``."""
    import torch
    import transformers

    extractor = transformers.Wav2Vec2FeatureExtractor()
    inputs = extractor(list(windows), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        states = trained_model(path)(inputs.input_values).last_hidden_state
    vectors: np.ndarray = states.mean(dim=1).numpy()
    return vectors


def _of_bare_model(saved: dict[str, "Tensor"], wanted: set[str]) -> dict[str, "Tensor"]:
    """Return the weights of the bare model, under today's names."""
    bare = {name.removeprefix("wav2vec2."): tensor for name, tensor in saved.items()}
    named = {_NEW_NAMES.get(name, name): tensor for name, tensor in bare.items()}
    return {name: tensor for name, tensor in named.items() if name in wanted}
