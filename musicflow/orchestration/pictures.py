"""Pictures of a library, for the pages of its assets in Dagster."""

import base64
import io
from collections.abc import Sequence

import dagster as dg
import numpy as np
from matplotlib import mlab
from matplotlib.figure import Figure

from musicflow.audio import guarded
from musicflow.library import AudioFile
from musicflow.places import Place

SAMPLES = 4
SECONDS = 10
RATE = 16_000


def durations(seconds: Sequence[float]) -> dg.MarkdownMetadataValue:
    """Draw a histogram of the tracks' lengths."""
    figure = Figure(figsize=(5.0, 2.4), dpi=80, layout="constrained")
    axes = figure.subplots()
    axes.hist(np.asarray(seconds) / 60, bins=30)
    axes.set(xlabel="minutes", ylabel="tracks")
    return shown(_png(figure), "durations")


def spectrograms(root: Place, files: Sequence[AudioFile]) -> dg.MarkdownMetadataValue:
    """Draw the beginnings of some files, evenly picked, as the models hear them.

    A file that cannot be decoded shows its error instead.
    """
    picked = [files[i] for i in np.linspace(0, len(files) - 1, SAMPLES).astype(int)]
    picked = list(dict.fromkeys(picked))
    figure = Figure(figsize=(6.4, 1.3 * len(picked)), dpi=80, layout="constrained")
    sounds = guarded.beginnings([root / file.path for file in picked], RATE, SECONDS)
    places = np.ravel(figure.subplots(len(picked), 1))
    for axes, file, sound in zip(places, picked, sounds, strict=True):
        if isinstance(sound, Exception):
            axes.set_title(f"{file.path}: {sound}", fontsize=7, loc="left", parse_math=False)
            continue
        samples = np.pad(sound, (0, max(0, 512 - len(sound))))
        power, _, _ = mlab.specgram(samples, NFFT=512, Fs=RATE, noverlap=128)
        extent = (0, len(samples) / RATE, 0, RATE / 2)
        decibels = 10 * np.log10(np.asarray(power) + 1e-15)
        axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=-120, vmax=-30)
        axes.set_title(file.path, fontsize=7, loc="left", parse_math=False)
        axes.set(yticks=[0, 4000, 8000], yticklabels=["0", "4", "8 kHz"])
        axes.tick_params(labelsize=6)
    return shown(_png(figure), "samples")


def shown(png: bytes, name: str) -> dg.MarkdownMetadataValue:
    """Return a picture as Dagster's pages show it."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()
