"""Sounds to embed, and how alike two sets of vectors are."""

import numpy as np


def chords(tracks: int, seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Tracks that differ in pitch, loudness, noise and rhythm: ``(tracks, seconds * rate)``."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    audio = []
    for _ in range(tracks):
        pitches = 60 * 80 ** random.random(4)
        tones = sum(np.sin(2 * np.pi * pitch * time) * random.random() for pitch in pitches)
        noise = random.standard_normal(len(time)) * random.random() ** 4
        beat = np.abs(np.sin(np.pi * (1 + 4 * random.random()) * time))
        audio.append((tones + noise) * beat * 0.3 * random.random())
    return np.clip(audio, -1, 1).astype(np.float32)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each row of `a` to the same row of `b`."""
    a, b = a.astype(float), b.astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def centred_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same after taking off what all rows of `b` have in common."""
    return cosines(a - b.mean(0), b - b.mean(0))
