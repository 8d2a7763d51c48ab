"""OpenL3 as its authors run it: the `openl3` package, under TensorFlow.

For whoever wants the original; `musicflow.embedders.openl3` gives the same vectors several times
as fast. Needs ``musicflow[openl3]``: openl3's build downloads its weights and imports ``imp``, so
that it takes a network and Python 3.11 or older. The weights used here are nevertheless the
checked ones, out of our own cache.

Tried with openl3 0.4.2, kapre 0.3.6 and TensorFlow 2.15 with seeded weights. Not tried: an
installation of the extra itself, newer TensorFlow with tf-keras, and upstream's trained weights.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from musicflow.embedders import openl3 as ours
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred

SPEC = replace(
    ours.SPEC,
    name="openl3-tensorflow",
    precision="fp32",
    extra="openl3",
    summary=f"{ours.SPEC.summary}, by the openl3 package",
)


def load(spec: EmbedderSpec, cache: Path) -> "OpenL3TensorFlow":
    """Load the weights of a spec into upstream's network; see `openl3.load`.

    Raises
    ------
    WeightsError
        If the weights cannot be had, or are not those of this network.
    ModuleNotFoundError
        If ``musicflow[openl3]`` is not installed.
    """
    return OpenL3TensorFlow(spec, ours.weights_of(spec, cache))


class OpenL3TensorFlow(Embedder):
    """OpenL3 of the `openl3` package with weights loaded.

    Parameters
    ----------
    spec
        The spec; any of `openl3.variant`, in fp32.
    weights
        In upstream's order: `openl3.read_weights` or `openl3.seeded_weights`.
    """

    def __init__(self, spec: EmbedderSpec, weights: list[np.ndarray]) -> None:
        # kapre's layers are of Keras 2, which newer TensorFlow keeps in tf-keras. TensorFlow
        # reads this at its first import.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
        from openl3.models import load_audio_embedding_model_from_path

        self.spec = spec
        # Upstream loads from a file that is not gzipped, and nothing else.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.h5"
            ours.write_weights(file, weights)
            self._model: Any = load_audio_embedding_model_from_path(
                str(file), ours.model_of(spec).input_repr, spec.dim, frontend="kapre"
            )

    def infer(self, windows: np.ndarray) -> Inferred:
        """Vectors of windows ``(B, 48000)``, shape ``(B, dim)``; see `Embedder.infer`."""
        import openl3

        # The windows are cut and centred already: each is a clip with one window of its own.
        vectors, _ = openl3.get_audio_embedding(
            list(windows),
            ours.SAMPLE_RATE,
            model=self._model,
            center=False,
            hop_size=1.0,
            verbose=False,
        )
        return Inferred(np.concatenate(vectors).astype(np.float32))


ENTRY = EmbedderEntry(SPEC, load)
