"""Wav2Vec2 as its authors define it: the model of `transformers`, and files of its weights.

`transformers` takes seconds to import. It is needed only to hold ours to it and for seeded weights.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.embedders.checkpoint import checked, read_checkpoint

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

POSITION = "encoder.pos_conv_embed.conv."
LENGTH = f"{POSITION}parametrizations.weight.original0"
DIRECTION = f"{POSITION}parametrizations.weight.original1"
"""The two parts of the weight norm, by their names since torch 2."""

_NEW_NAMES = {f"{POSITION}weight_g": LENGTH, f"{POSITION}weight_v": DIRECTION}


def seeded_model(config: "Wav2Vec2Config | None" = None, seed: int = 0) -> "Wav2Vec2Model":
    """Return upstream's model with random weights, always the same."""
    import torch
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = config or transformers.Wav2Vec2Config(**CONFIG)
        return transformers.Wav2Vec2Model(config).eval()


def trained_weights(path: Path, config: Mapping[str, Any] = CONFIG) -> dict[str, "Tensor"]:
    """Return the weights of a checkpoint, by the bare model's names of today.

    Parameters
    ----------
    path
        A file of a `Wav2Vec2Model`, or of one with heads for training or recognition.
    config
        The model's.

    Raises
    ------
    WeightsError
        If the file holds no weights, or lacks one of the model's. Nothing in it is executed.
    """
    saved = read_checkpoint(path)
    if isinstance(saved, Mapping):
        bare = {name.removeprefix("wav2vec2."): tensor for name, tensor in saved.items()}
        saved = {_NEW_NAMES.get(name, name): tensor for name, tensor in bare.items()}
    return checked(saved, shapes(config), path, "wav2vec2")


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of the bare model, by name."""
    wide, inner, convolved = (
        config["hidden_size"], config["intermediate_size"], config["conv_dim"]
    )  # fmt: skip
    reach = config["num_conv_pos_embeddings"]

    def linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

    def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    found = {
        "masked_spec_embed": (wide,),
        **{
            f"feature_extractor.conv_layers.{i}.conv.weight": (out, into, kernel)
            for i, ((into, out), kernel) in enumerate(
                zip(pairwise((1, *convolved)), config["conv_kernel"], strict=True)
            )
        },
        **norm("feature_extractor.conv_layers.0.layer_norm", convolved[0]),
        **norm("feature_projection.layer_norm", convolved[-1]),
        **linear("feature_projection.projection", wide, convolved[-1]),
        LENGTH: (1, 1, reach),
        DIRECTION: (wide, wide // config["num_conv_pos_embedding_groups"], reach),
        f"{POSITION}bias": (wide,),
        **norm("encoder.layer_norm", wide),
    }
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{layer}.attention.{part}", wide, wide)
        found |= norm(f"{layer}.layer_norm", wide)
        found |= linear(f"{layer}.feed_forward.intermediate_dense", inner, wide)
        found |= linear(f"{layer}.feed_forward.output_dense", wide, inner)
        found |= norm(f"{layer}.final_layer_norm", wide)
    return found


def upstream_vectors(path: Path, windows: np.ndarray) -> np.ndarray:
    """Return the vectors ``(B, 768)`` that upstream's code makes of windows ``(B, n)``."""
    import torch
    import transformers

    model = seeded_model()
    model.load_state_dict(trained_weights(path))
    extractor = transformers.Wav2Vec2FeatureExtractor()
    inputs = extractor(list(windows), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        states = model(inputs.input_values).last_hidden_state
    vectors: np.ndarray = states.mean(dim=1).numpy()
    return vectors
