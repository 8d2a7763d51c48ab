"""The VGG networks beside musicnn: the same front end, tags and wheel, plain convolutions.

Our torch port of ``vgg`` in upstream's ``musicnn/models.py``: five convolutions of 128 filters.
The vector of a window is the last pooling.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicflow.embedders import musicnn
from musicflow.embedders.musicnn import IMPORTS, variables_of
from musicflow.embedders.spec import EmbedderEntry, EmbedderSpec

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


class MusicnnVgg(musicnn.Network):
    """The network with weights loaded; its layers are `LAYERS`.

    Parameters
    ----------
    spec, variables
        See `musicnn.Network`.
    """

    def __init__(self, spec: EmbedderSpec, variables: dict[str, np.ndarray]) -> None:
        super().__init__(spec, variables, 6, _NAMES, ("dense",))

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
        layers["logits"] = linear(layers["pool5"], *self._denses[0])
        return layers


ENTRY = EmbedderEntry(SPEC, load, layers=LAYERS, imports=IMPORTS)
ENTRY_MTT = EmbedderEntry(SPEC_MTT, load, layers=LAYERS, imports=IMPORTS)
