"""Two trained models of others, as somebody outside brings them: a spec and a way to load it.

The wheels of both hold trained weights. Neither is installed, and no code of theirs is run.
"""

import tempfile
import zipfile
from abc import abstractmethod
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicflow.embedders import Embedder, EmbedderEntry, EmbedderSpec, Inferred, WeightsError
from musicflow.embedders.checkpoint import read_checkpoint
from musicflow.embedders.weights import WheelWeights


class OfBlocks(Embedder):
    """A network that hears blocks of mel frames; a window's vector is their mean."""

    block: int
    """Frames per block."""
    hop: int
    """Frames from one block to the next."""

    @abstractmethod
    def mel(self, window: np.ndarray) -> np.ndarray:
        """Return the frames of a window: float32, shape ``(bands, T)``."""

    @abstractmethod
    def network(self, blocks: Tensor) -> Tensor:
        """Turn blocks of shape ``(N, block, bands)`` into vectors ``(N, dim)``."""

    def infer(self, windows: np.ndarray) -> Inferred:
        mel = torch.from_numpy(np.stack([self.mel(window) for window in windows]))
        mel = F.pad(mel, (0, max(0, self.block - mel.shape[2])))
        blocks = mel.unfold(2, self.block, self.hop).permute(0, 2, 3, 1)
        with torch.inference_mode():
            vectors = self.network(blocks.flatten(0, 1))
        return Inferred(vectors.unflatten(0, blocks.shape[:2]).mean(dim=1).numpy())


def saved(spec: EmbedderSpec, cache: Path, member: str) -> Any:
    """Read the checkpoint in a spec's wheel."""
    if spec.weights is None or not spec.trained:
        raise WeightsError(f"{spec.name} has no seeded weights")
    wheel = zipfile.ZipFile(spec.weights.fetch(cache))
    with wheel, tempfile.TemporaryDirectory() as folder:
        return read_checkpoint(Path(wheel.extract(member, folder)))


class Aisfx(OfBlocks):
    """Four pairs of convolutions over 2.3 s: Ma and Lerch, ISMIR 2022."""

    block, hop = 100, 50

    def __init__(self, spec: EmbedderSpec, cache: Path) -> None:
        super().__init__(spec)
        self.weights, _classes = saved(spec, cache, "aisfx/models/checkpoint.pth")

    def mel(self, window: np.ndarray) -> np.ndarray:
        loudest = np.abs(window).max() or 1.0
        shape: dict[str, Any] = {"n_fft": 2048, "hop_length": 1024, "n_mels": 96, "power": 2.0}
        power = librosa.feature.melspectrogram(
            y=window / loudest, sr=self.spec.sample_rate, htk=True, norm=1.0, **shape
        )
        return np.log10(10_000 * power + 1) / 9.457798957824707

    def network(self, blocks: Tensor) -> Tensor:
        x = blocks[:, None]
        for pair in ("conv_block1", "conv_block2", "conv_block3", "conv_block4"):
            for number in (1, 2):
                x = F.conv2d(x, self._of(f"{pair}.conv{number}.weight"), padding=1)
                norm = f"{pair}.bn{number}"
                mean, variance = self._of(f"{norm}.running_mean"), self._of(f"{norm}.running_var")
                scale, shift = self._of(f"{norm}.weight"), self._of(f"{norm}.bias")
                x = F.relu(F.batch_norm(x, mean, variance, scale, shift))
            x = x if pair == "conv_block4" else F.max_pool2d(x, 2)
        return x.mean(dim=3).amax(dim=2)

    def _of(self, name: str) -> Tensor:
        weights: Tensor = self.weights[f"embedding_net.{name}"]
        return weights


AISFX = EmbedderEntry(
    EmbedderSpec(
        name="aisfx",
        version="1",
        sample_rate=44_100,
        dim=512,
        window_s=30.0,
        hop_s=30.0,
        tail="keep",
        layer="embedding",
        summary="a network that tells sound effects apart",
        weights=WheelWeights(
            package="aisfx",
            version="0.1.2",
            filename="aisfx-0.1.2-py2.py3-none-any.whl",
            size=23_140_952,
            digest="sha256:bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
            licence="CC-BY-4.0",
            trained_on="libraries of sound effects (Pro Sound Effects, Soundly and others)",
        ),
    ),
    Aisfx,
)


class Resemblyzer(OfBlocks):
    """An LSTM of three layers over 1.6 s: Wan et al., ICASSP 2018."""

    block, hop = 160, 77

    def __init__(self, spec: EmbedderSpec, cache: Path) -> None:
        super().__init__(spec)
        weights = saved(spec, cache, "resemblyzer/pretrained.pt")["model_state"]
        self._layers = nn.ModuleDict(
            {"lstm": nn.LSTM(40, 256, 3, batch_first=True), "linear": nn.Linear(256, spec.dim)}
        )
        own = {name: value for name, value in weights.items() if "similarity" not in name}
        self._layers.load_state_dict(own)

    def mel(self, window: np.ndarray) -> np.ndarray:
        # Quiet sounds are raised to -30 dB.
        level = np.sqrt(np.square(window).mean()) or 1.0
        raised = window * max(1.0, 10 ** (-30 / 20) / level)
        rate = self.spec.sample_rate
        return librosa.feature.melspectrogram(
            y=raised, sr=rate, n_fft=400, hop_length=160, n_mels=40
        )

    def network(self, blocks: Tensor) -> Tensor:
        _, (hidden, _) = self._layers["lstm"](blocks)
        return F.normalize(F.relu(self._layers["linear"](hidden[-1])))


RESEMBLYZER = EmbedderEntry(
    EmbedderSpec(
        name="resemblyzer",
        version="1",
        sample_rate=16_000,
        dim=256,
        window_s=30.0,
        hop_s=30.0,
        tail="keep",
        min_s=1.6,
        layer="embedding",
        summary="a network that tells voices apart",
        weights=WheelWeights(
            package="resemblyzer",
            version="0.1.4",
            filename="Resemblyzer-0.1.4-py3-none-any.whl",
            size=15_747_704,
            digest="sha256:8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
            licence="Apache-2.0",
            trained_on="speech",
        ),
    ),
    Resemblyzer,
)
