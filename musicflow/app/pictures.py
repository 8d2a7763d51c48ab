"""Pictures of tracks: what their sound looks like."""

import io
import itertools

import numpy as np

RATE = 16_000
"""The sample rate that a picture is drawn from."""

PICTURE_S = 30.0
"""The seconds that a picture shows."""

_WINDOW, _ROWS, _COLUMNS = 1024, 64, 128


def spectrogram(samples: np.ndarray) -> bytes:
    """Draw 16 kHz samples: time to the right, log frequency upwards."""
    import matplotlib.image

    starts = np.linspace(0, max(len(samples) - _WINDOW, 0), 2 * _COLUMNS).astype(int)
    padded = np.pad(samples, (0, max(_WINDOW - len(samples), 0)))
    frames = np.stack([padded[start : start + _WINDOW] for start in starts]) * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.geomspace(2, power.shape[1], _ROWS + 1).astype(int)
    bands = np.stack(
        [power[:, a : max(b, a + 1)].mean(axis=1) for a, b in itertools.pairwise(edges)]
    )
    decibels = 10 * np.log10(bands.reshape(_ROWS, _COLUMNS, 2).mean(axis=2) + 1e-10)
    top = decibels.max()
    file = io.BytesIO()
    matplotlib.image.imsave(
        file, decibels, vmin=top - 70, vmax=top, cmap="magma", origin="lower", format="png"
    )
    return file.getvalue()
