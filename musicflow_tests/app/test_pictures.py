from pathlib import Path

import matplotlib.image
import numpy as np

from musicflow.app.pictures import spectrogram
from musicflow_tests.conftest import noise, tone


def test_a_picture_has_low_sounds_below_and_high_ones_above(tmp_path: Path) -> None:
    for hertz, rows in ((200, slice(32, 64)), (6000, slice(0, 32))):
        image = picture(tone(hertz, rate=16_000), tmp_path)
        bright = image.sum(axis=(1, 2))
        assert bright[rows].sum() > 2 * (bright.sum() - bright[rows].sum())


def test_the_shortest_sound_has_a_picture(tmp_path: Path) -> None:
    assert picture(noise(1)[:10], tmp_path).shape == (64, 128, 3)


def picture(samples: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "picture.png"
    path.write_bytes(spectrogram(samples))
    return matplotlib.image.imread(path)[..., :3]
