"""What an embedder is: its spec, and the interface that every model file fills.

A model file says how a batch of windows becomes vectors (`Embedder.infer`) and nothing else.
Cutting a track into windows, and averaging them, is the same for all and stands here.
"""

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from musicflow.audio import AudioError, as_mono, guarded
from musicflow.audio.loudness import levelled
from musicflow.embedders.errors import EmbedderError, InterfaceError
from musicflow.embedders.weights import Weights
from musicflow.errors import described
from musicflow.places import place
from musicflow.settings import Device

Source = str | os.PathLike[str] | np.ndarray
"""A file, or an array of audio."""

UNTRAINED = "-untrained"
"""What the label of an embedder with seeded weights ends in."""


ALL_LAYERS = "*"
"""The layer of a spec whose vectors are those of all layers behind one another."""

NO_TEXT = "no-text-side"
"""The code of an error: an embedder that has no text side was given a text."""

_NOT_OF_VECTORS = ("summary", "extra", "device", "precisions", "address", "text")
"""The fields of a spec that change no vector."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class EmbedderSpec:
    """Everything that decides what vector a track gets, and what a person wants to know of it.

    Parameters
    ----------
    name
        Short name, also that of the collection: letters, digits, ``_`` and ``-``.
    version
        Raised when our code changes the vectors it gives.
    sample_rate
        Rate of the audio the model takes, in hertz.
    dim
        Length of a vector.
    window_s, hop_s
        Length of a window and distance from one to the next, in seconds.
    pad_s
        Silence put before and after a track, in seconds.
    tail
        What happens to the samples that fill no whole window at the end of a track: ``drop``
        them, ``pad`` them with silence, or ``keep`` them as a shorter window.
    min_s
        With ``tail="keep"``, the shortest window the model is given, in seconds.
    layer
        The layer the vector is read from.
    pooling
        How the windows of a track become one vector.
    precision, precisions
        Arithmetic of the model, and those it may be changed to.
    standardize
        Whether vectors are brought to zero mean and unit deviation over their collection.
    weights
        Where the weights come from; None where there are none.
    trained
        False for seeded weights, which show dims and speed but no quality.
    device
        Where the model is to run.
    coverage_s
        Seconds of a track that are heard; 0 for all of it. See `coverage`.
    loudness_lufs
        The loudness that what is heard of a track is brought to; None leaves it as it is.
    extra
        The packages the model needs beside its own: an extra of musicflow (``openl3``), or what
        pip installs (``mine[gpu]``).
    address
        Where the embedder was found, if by an address; see `embedders.spec_of`.
    text
        Whether it has a text side; see `Embedder.text`.
    summary
        One line for people.

    Raises
    ------
    EmbedderError
        If the name cannot be that of a collection.
    """

    name: str
    version: str
    sample_rate: int
    dim: int
    window_s: float
    hop_s: float
    layer: str
    summary: str
    pad_s: tuple[float, float] = (0.0, 0.0)
    tail: Literal["drop", "pad", "keep"] = "pad"
    min_s: float = 1.0
    pooling: Literal["mean"] = "mean"
    precision: Literal["fp32", "bf16"] = "fp32"
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32",)
    standardize: bool = False
    weights: Weights | None = None
    trained: bool = True
    device: Device = "auto"
    coverage_s: float = 0.0
    loudness_lufs: float | None = None
    extra: str | None = None
    address: str = ""
    text: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.endswith(UNTRAINED):
            raise EmbedderError(
                f"an embedder cannot be called {self.name!r}",
                f"use letters, digits, _ and -, and no {UNTRAINED} at the end",
            )

    @property
    def licence(self) -> str:
        """The licence of the weights (SPDX identifier); empty where there are none."""
        return self.weights.licence if self.weights else ""

    @property
    def trained_on(self) -> str:
        """The data behind the weights; empty where there are none."""
        return self.weights.trained_on if self.weights else ""

    @property
    def revision(self) -> str:
        """The version of the weights, as their origin names it; empty where there are none."""
        return self.weights.revision if self.weights else ""

    @property
    def install(self) -> str:
        """The command that installs `extra`; empty where there is none."""
        if not self.extra:
            return ""
        return f"pip install '{self.extra if '[' in self.extra else f'musicflow[{self.extra}]'}'"

    @property
    def hash(self) -> str:
        """A name for all that can change a vector, but the machine: 16 hexadecimal digits.

        The precision is left out. It depends on the processor, and vectors of both lie at a cosine
        of 0.9998 or more to each other (``eval/precision.py``); each row of the store says by which
        it was made.
        """
        return self._digest(*_NOT_OF_VECTORS, "precision")

    @property
    def former_hashes(self) -> tuple[str, ...]:
        """The names that earlier versions had for the same vectors, one per precision."""
        made = (replace(self, precision=precision) for precision in self.precisions)
        return tuple(spec._digest(*_NOT_OF_VECTORS) for spec in made)

    def _digest(self, *left_out: str) -> str:
        values = {name: value for name, value in asdict(self).items() if name not in left_out}
        values["weights"] = self.weights and self.weights.identity
        # Vectors of whole tracks, as loud as they are, keep the names of earlier versions.
        if not self.coverage_s:
            del values["coverage_s"]
        if self.loudness_lufs is None:
            del values["loudness_lufs"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The name that collections, runs and tables carry."""
        return self.name if self.trained else self.name + UNTRAINED

    @property
    def reference(self) -> str:
        """The name that `embedders.spec_of` finds it by: its address if any, else its label."""
        if not self.address:
            return self.label
        return self.address if self.trained else self.address + UNTRAINED

    @property
    def weights_state(self) -> Literal["trained", "untrained", "unknown", "none"]:
        """Whether the vectors come from trained weights, seeded ones, or none at all.

        Of a module that does not say, nobody knows.
        """
        if self.weights is None:
            return "none"
        if not self.trained:
            return "untrained"
        return "trained" if self.weights.declared else "unknown"

    @property
    def window_samples(self) -> int:
        """Length of a window in samples."""
        return round(self.window_s * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Distance between windows in samples."""
        return round(self.hop_s * self.sample_rate)

    @property
    def pad_samples(self) -> tuple[int, int]:
        """Silence put before and after a track, in samples."""
        before, after = (round(seconds * self.sample_rate) for seconds in self.pad_s)
        return before, after

    @property
    def short_samples(self) -> int:
        """A track of fewer samples than this is too short for the model and is filled up."""
        shortest = self.min_s if self.tail == "keep" else self.window_s
        return round(shortest * self.sample_rate) - sum(self.pad_samples)


def windows_of(blocks: Iterable[np.ndarray], spec: EmbedderSpec) -> Iterator[np.ndarray]:
    """Cut a stream of audio into the windows of a spec.

    Parameters
    ----------
    blocks
        Float32 mono audio at the spec's rate, in pieces of any length.
    spec
        Says window, hop, padding and what to do with the tail.

    Yields
    ------
    numpy.ndarray
        A window: float32, shape ``(spec.window_samples,)``, or shorter for the last one of
        ``tail="keep"``. There is at least one: too short a track is filled up, with silence
        for ``tail="pad"`` and with itself otherwise.
    """
    window, hop = spec.window_samples, spec.hop_samples
    before, after = spec.pad_samples
    rest = np.zeros(before, np.float32)
    first, start = True, 0
    for block in _then_silence(blocks, after):
        rest = np.concatenate([rest, block])
        while len(rest) - start >= window:
            yield rest[start : start + window]
            first = False
            start += hop
        # What the next window shares with this one stays.
        passed = min(start, len(rest))
        rest, start = rest[passed:], start - passed
    if first:
        yield _fill(rest[before : len(rest) - after], spec)
    elif spec.tail == "pad" and len(rest) > max(0, window - hop):
        yield np.pad(rest, (0, window - len(rest)))
    elif spec.tail == "keep" and len(rest) >= round(spec.min_s * spec.sample_rate):
        yield rest


def _fill(audio: np.ndarray, spec: EmbedderSpec) -> np.ndarray:
    """Return the one window of a track that is shorter than a window.

    Upstream may pad it with silence (``tail="pad"``). Else the track is repeated, since silence
    would be heard as content.
    """
    missing = max(0, spec.short_samples - len(audio))
    audio = np.pad(audio, (0, missing), "constant" if spec.tail == "pad" else "wrap")
    return np.pad(audio, spec.pad_samples)


def _then_silence(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    yield from blocks
    if samples:
        yield np.zeros(samples, np.float32)


class Inferred(NamedTuple):
    """What a model says of a batch of B windows."""

    vectors: np.ndarray
    """Float32, shape ``(B, dim)``."""
    tags: np.ndarray | None = None
    """Float32 scores in [0, 1], shape ``(B, len(tag_names))``, from a model that tags."""


class Layers(NamedTuple):
    """What every layer of a model says of a batch of B windows."""

    vectors: dict[str, np.ndarray]
    """By layer, lowest first: float32, shape ``(B, dim)``."""
    tags: np.ndarray | None = None
    """See `Inferred`."""


class Frames(NamedTuple):
    """The vectors of one track over time."""

    vectors: np.ndarray
    """Float32, shape ``(F, dim)``."""
    times_s: np.ndarray
    """Where each window starts, in seconds from the track's start, shape ``(F,)``."""


class Embedder(ABC):
    """A model with its weights loaded.

    Parameters
    ----------
    spec
        The spec it was loaded with.
    """

    spec: EmbedderSpec
    tag_names: tuple[str, ...] = ()
    device: str = "cpu"
    batch_size: int = 8
    """Windows the model is best given at once."""

    def __init__(self, spec: EmbedderSpec) -> None:
        self.spec = spec

    @abstractmethod
    def infer(self, windows: np.ndarray) -> Inferred:
        """Turn windows of one length into vectors.

        Parameters
        ----------
        windows
            Float32 mono audio in [-1, 1] at ``spec.sample_rate``, shape ``(B, n)``.
        """

    def layers(self, windows: np.ndarray) -> Layers:
        """Turn windows of one length into the vectors of every layer, in one pass.

        Parameters
        ----------
        windows
            See `infer`.

        Returns
        -------
        Layers
            Those of the entry's `EmbedderEntry.layers`; that of the spec alone, if the embedder
            has no others.
        """
        vectors, tags = self.infer(windows)
        return Layers({self.spec.layer: vectors}, tags)

    def text(self, texts: Sequence[str]) -> np.ndarray:  # noqa: ARG002
        """Turn texts into vectors that lie beside those of the audio they describe.

        Parameters
        ----------
        texts
            N descriptions, such as ``slow piano, rain``.

        Returns
        -------
        numpy.ndarray
            Float32, shape ``(N, spec.dim)``.

        Raises
        ------
        InterfaceError
            If the embedder has no text side (`EmbedderSpec.text`).
        """
        raise InterfaceError(f"{self.spec.name} has no text side", code=NO_TEXT)

    def frames(self, source: Source, sample_rate: float | None = None) -> Frames:
        """Return the vector of every window of a track, which is heard whole.

        Parameters
        ----------
        source
            A file, or an array of audio: see `embed`.
        sample_rate
            The array's rate in hertz.
        """
        rate, target = self.spec.sample_rate, self.spec.loudness_lufs
        heard = levelled(lambda: self._blocks(source, sample_rate), rate, target)
        with _naming(source):
            windows = list(windows_of(heard, self.spec))
        vectors = self.embed_each(windows)
        times = np.arange(len(windows)) * self.spec.hop_s - self.spec.pad_s[0]
        return Frames(vectors, times)

    def embed(self, source: Source, sample_rate: float | None = None) -> np.ndarray:
        """Return the vector of a track: its windows' mean, by their length.

        Parameters
        ----------
        source
            A file, decoded in a worker; or an array of any PCM type, shape ``(n,)`` or
            ``(channels, n)``: see `musicflow.audio.as_mono`.
        sample_rate
            The array's rate in hertz; a file knows its own.

        Returns
        -------
        numpy.ndarray
            Float32, shape ``(spec.dim,)``.

        Raises
        ------
        ValueError
            If the array is empty, has no rate, or is of another shape or type.
        AudioError
            If the file cannot be used.
        OSError
            If it cannot be read.
        """
        # It stands on this module.
        from musicflow.embedders import coverage

        if isinstance(source, str | os.PathLike):
            with _naming(source):
                windows = coverage.windows_of_file(place(source).expanduser(), self.spec)
                return self.embed_windows(windows)
        samples = as_mono(source, sample_rate, self.spec.sample_rate)
        return self.embed_windows(coverage.windows_of_array(samples, self.spec))

    def embed_each(self, windows: Iterable[np.ndarray]) -> np.ndarray:
        """Return the vector of each window, shape ``(N, dim)``.

        Parameters
        ----------
        windows
            See `embed_windows`; one or more.
        """
        batches = batches_of_one_length(windows, self.batch_size)
        return np.concatenate([infer(self, batch).vectors for batch in batches])

    def embed_windows(self, windows: Iterable[np.ndarray]) -> np.ndarray:
        """Return the mean vector of windows, by their length.

        Parameters
        ----------
        windows
            Float32 mono in [-1, 1] at ``spec.sample_rate``, each of shape ``(n,)``.
        """
        total, samples = np.zeros(self.spec.dim), 0
        for batch in batches_of_one_length(windows, self.batch_size):
            vectors = infer(self, batch).vectors
            total += batch.shape[1] * vectors.sum(axis=0, dtype=np.float64)
            samples += batch.size
        return (total / samples).astype(np.float32)

    def _blocks(self, source: Source, sample_rate: float | None) -> Iterable[np.ndarray]:
        rate = self.spec.sample_rate
        if isinstance(source, str | os.PathLike):
            return guarded.stream(place(source).expanduser(), rate)
        return [as_mono(source, sample_rate, rate)]


class AllLayers(Embedder):
    """An embedder whose vectors are those of all its layers behind one another.

    Parameters
    ----------
    embedder
        With weights loaded.
    spec
        Its spec with all layers; see `embedders.all_layers`.
    layers
        The layers, in the order of the vectors.
    """

    def __init__(self, embedder: Embedder, spec: EmbedderSpec, layers: Iterable[str]) -> None:
        self.spec = spec
        self.tag_names = embedder.tag_names
        self.device = embedder.device
        self.batch_size = embedder.batch_size
        self._embedder, self._names = embedder, tuple(layers)

    def infer(self, windows: np.ndarray) -> Inferred:
        """See `Embedder.infer`."""
        vectors, tags = self._embedder.layers(windows)
        return Inferred(np.concatenate([vectors[name] for name in self._names], axis=1), tags)


@dataclass(frozen=True)
class EmbedderEntry:
    """An embedder as a registry holds it: a spec and a way to load it.

    Parameters
    ----------
    spec
        The spec. Nothing heavy is imported for it.
    load
        Given the spec to load, with its hop, precision, device and ``trained`` as a person wants
        them, and the folder of weights, returns the embedder.
    prepare
        Given the spec, does once what should not count as a run's time, such as to compile; it is
        called when weights were fetched. None if there is nothing to do.
    layers
        The dims of each layer that a spec may name, lowest first; empty for that of `spec` alone.
    imports
        The modules that take long to import, such as ``torch``. A run imports them once for all of
        its embedders where the system can fork; see `musicflow.worker.forks.ForkServer`.
    """

    spec: EmbedderSpec
    load: Callable[[EmbedderSpec, Path], Embedder]
    prepare: Callable[[EmbedderSpec], None] | None = None
    layers: Mapping[str, int] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


def infer(embedder: Embedder, windows: np.ndarray) -> Inferred:
    """Turn windows of one length into vectors; see `Embedder.infer`.

    Raises
    ------
    InterfaceError
        If the embedder fails, or what it returns is not what its spec says.
    """
    name = embedder.spec.name
    try:
        vectors, tags = embedder.infer(windows)
        shape, scores = np.shape(vectors), () if tags is None else np.shape(tags)
    except (EmbedderError, MemoryError):
        raise
    except Exception as error:
        what = f"{name} failed on a batch of windows with {described(error)}"
        raise InterfaceError(what) from error
    wanted = len(windows), embedder.spec.dim
    if shape != wanted:
        raise InterfaceError(f"{name} returned vectors of shape {shape} instead of {wanted}")
    if tags is not None and scores != (len(windows), len(embedder.tag_names)):
        raise InterfaceError(
            f"{name} returned tags of shape {scores} for {len(embedder.tag_names)} names"
        )
    return Inferred(np.asarray(vectors), tags)


def infer_text(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """Turn texts into vectors; see `Embedder.text`.

    Raises
    ------
    InterfaceError
        If the embedder fails, or returns anything else than one vector per text.
    """
    name, wanted = embedder.spec.name, (len(texts), embedder.spec.dim)
    try:
        vectors = np.asarray(embedder.text(texts), np.float32)
    except (EmbedderError, MemoryError):
        raise
    except Exception as error:
        raise InterfaceError(f"{name} failed on a text with {described(error)}") from error
    if vectors.shape != wanted:
        raise InterfaceError(
            f"{name} returned vectors of shape {vectors.shape} for texts instead of {wanted}"
        )
    return vectors


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Let errors of a file name it: whoever embeds thousands wants to know which."""
    try:
        yield
    except AudioError as error:
        if not isinstance(source, str | os.PathLike):
            raise
        raise AudioError(f"{source}: {error.message}", error.advice, error.code) from error


def batches_of_one_length(windows: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Stack neighbouring windows of the same length, at most `size` at once, order kept."""
    batch: list[np.ndarray] = []
    for window in windows:
        if batch and (len(batch) == size or len(window) != len(batch[0])):
            yield np.stack(batch)
            batch = []
        batch.append(window)
    if batch:
        yield np.stack(batch)
