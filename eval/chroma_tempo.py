"""Statistics of chroma and tempo as a HEAR module: a model of one's own in three functions.

PYTHONPATH=eval musicflow run genre_clips --embedder chroma=hear:chroma_tempo
"""

import librosa
import numpy as np
import torch


class Model:
    """What the HEAR API asks a model to say of itself."""

    sample_rate = 22_050
    scene_embedding_size = 38


def load_model(path: str = "") -> Model:
    """Return the model; it has no weights."""
    del path
    return Model()


def get_scene_embeddings(audio: torch.Tensor, model: Model) -> torch.Tensor:
    """Turn sounds of shape ``(n, samples)`` into vectors ``(n, 38)``."""
    return torch.from_numpy(
        np.stack([_vector(sound, model.sample_rate) for sound in audio.numpy()])
    )


def _vector(sound: np.ndarray, rate: int) -> np.ndarray:
    chroma = librosa.feature.chroma_stft(y=sound, sr=rate)
    onset = librosa.onset.onset_strength(y=sound, sr=rate)
    tempo = librosa.feature.tempogram(onset_envelope=onset, sr=rate, win_length=96).mean(axis=1)
    shape = np.interp(np.linspace(0, 95, 12), np.arange(96), tempo)
    parts = [chroma.mean(axis=1), chroma.std(axis=1), shape, [onset.mean(), onset.std()]]
    return np.concatenate(parts).astype(np.float32)
