"""The VGG networks beside musicnn: the same front end, tags and wheel, plain convolutions.

Our torch port of ``vgg`` in upstream's ``musicnn/models.py``: five convolutions of 128 filters.
The vector of a window is the last pooling.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicflow.embedders import compute, musicnn
from musicflow.embedders.musicnn import NetworkWeights, norm_of, tags_of, variables_of
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred, Layers

if TYPE_CHECKING:
    from torch import Tensor

FILTERS = 128

_NAMES = ("1CNN", "2CNN", "3CNN", "4CNN", "5CNN")

_POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))
"""Size and stride of the pooling that follows each convolution."""

LAYERS = {
    "pool1": FILTERS,
    "pool2": FILTERS,
    "pool3": FILTERS,
    "pool4": FILTERS,
    "pool5": 2 * FILTERS,
    "logits": 50,
}
"""The layers, lowest first, and their dims. Those before the last pooling are means over both
axes."""

SPEC = replace(
    musicnn.SPEC,
    name="musicnn-vgg",
    dim=LAYERS["pool5"],
    layer="pool5",
    weights=replace(musicnn.MSD, folder="MSD_vgg"),
    summary="music tagging network of plain convolutions, Million Song Dataset",
)

SPEC_MTT = replace(
    SPEC,
    name="musicnn-vgg-mtt",
    weights=replace(musicnn.MTT, folder="MTT_vgg"),
    summary="music tagging network of plain convolutions, MagnaTagATune",
)


def load(spec: EmbedderSpec, cache: Path) -> "MusicnnVgg":
    """Load the weights, fetching them if needed; seeded ones if untrained.

    Raises
    ------
    WeightsError
        If the weights cannot be had.
    TensorBundleError
        If they cannot be read.
    """
    return MusicnnVgg(spec, variables_of(spec, cache, seeded_variables))


def seeded_variables(seed: int) -> dict[str, np.ndarray]:
    """Return untrained variables in upstream's shapes, always the same."""
    layers: dict[str, tuple[int, ...]] = dict.fromkeys(_NAMES, (3, 3, FILTERS, FILTERS))
    layers |= {"1CNN": (3, 3, 1, FILTERS), "dense": (LAYERS["pool5"], LAYERS["logits"])}
    return musicnn.drawn(np.random.default_rng(seed), layers, [1, *(FILTERS,) * len(_NAMES)])


class MusicnnVgg(Embedder):
    """The network with weights loaded.

    Parameters
    ----------
    spec
        The spec; its layer is one of `LAYERS`.
    variables
        Tensors by their TensorFlow names, as in upstream's checkpoints.
    """

    # The first convolution's output is 9 MB a window; see `musicnn.Musicnn`.
    batch_size = 2

    def __init__(self, spec: EmbedderSpec, variables: dict[str, np.ndarray]) -> None:
        import torch

        assert isinstance(spec.weights, NetworkWeights)
        self.spec = spec
        self.tag_names = spec.weights.tags
        self.device = compute.device(spec.device)
        self._dtype = compute.dtype(spec)

        def tensor(value: np.ndarray) -> "Tensor":
            return torch.tensor(value).to(self.device, self._dtype)

        self._norms = [tuple(map(tensor, norm_of(variables, i))) for i in range(6)]
        # TensorFlow keeps (height, width, in, out), torch (out, in, height, width).
        self._convs = [
            (
                tensor(variables[f"{name}/kernel"].transpose(3, 2, 0, 1).copy()),
                tensor(variables[f"{name}/bias"]),
            )
            for name in _NAMES
        ]
        self._dense = tensor(variables["dense/kernel"].T.copy()), tensor(variables["dense/bias"])

    def infer(self, windows: np.ndarray) -> Inferred:
        """Return the layer ``(B, dim)`` and tag scores; see `Embedder.infer`."""
        layers = self._run(windows)
        return Inferred(compute.array(layers[self.spec.layer]), tags_of(layers))

    def layers(self, windows: np.ndarray) -> Layers:
        """All of `LAYERS`, and tag scores ``(B, 50)``; see `Embedder.layers`."""
        layers = self._run(windows)
        vectors = {name: compute.array(layer) for name, layer in layers.items()}
        return Layers(vectors, tags_of(layers))

    def _run(self, windows: np.ndarray) -> dict[str, "Tensor"]:
        import torch

        with torch.inference_mode():
            patches = musicnn.log_mel(compute.tensor(windows, self.device))
            return self.network(patches.to(self._dtype))

    def network(self, patches: "Tensor") -> dict[str, "Tensor"]:
        """From log-mel patches ``(B, 187, 96)`` to `LAYERS`, each ``(B, dim)``."""
        from torch.nn.functional import conv2d, linear, max_pool2d, relu

        image = self._norm(0, patches[:, None])
        layers = {}
        for i, ((kernel, bias), (size, stride)) in enumerate(zip(self._convs, _POOLS, strict=True)):
            image = self._norm(i + 1, relu(conv2d(image, kernel, bias, padding=1)))
            image = max_pool2d(image, size, stride)
            layers[f"pool{i + 1}"] = image.mean(dim=(2, 3))
        # TensorFlow flattens with the filters last.
        layers["pool5"] = image.permute(0, 2, 3, 1).flatten(1)
        layers["logits"] = linear(layers["pool5"], *self._dense)
        return layers

    def _norm(self, i: int, image: "Tensor") -> "Tensor":
        scale, shift = (part.view(-1, 1, 1) for part in self._norms[i])
        return image * scale + shift


ENTRY = EmbedderEntry(SPEC, load, layers=LAYERS)
ENTRY_MTT = EmbedderEntry(SPEC_MTT, load, layers=LAYERS)
