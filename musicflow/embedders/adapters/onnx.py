"""``onnx:FILE``: a network in the ONNX format, run by onnxruntime.

Beside ``model.onnx`` lies ``model.toml``, which tells the front end: see `FrontEnd`. The layer is
the name of an output.
"""

from pathlib import Path
from typing import Any

import numpy as np

from musicflow.address import Address, parse
from musicflow.embedders import compute
from musicflow.embedders.adapters.files import LocalWeights, digest_of_files
from musicflow.embedders.adapters.front_end import FrontEnd, FrontEndError, read
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred


def entry(address: Address) -> EmbedderEntry:
    """Return the entry of a network; the network itself is not loaded.

    Raises
    ------
    EmbedderError
        If there is no such file, or its front end is not valid.
    """
    file = address.path.absolute()
    if not file.is_file():
        raise WeightsError(f"there is no file {file}")
    told = file.with_suffix(".toml")
    front_end = read(told)
    # Large networks keep their tensors in a second file.
    tensors = (file.with_name(f"{file.name}{end}") for end in (".data", "_data"))
    files = (file, told, *(one for one in tensors if one.is_file()))
    spec = EmbedderSpec(
        name=address.name,
        version="1",
        sample_rate=front_end.sample_rate,
        dim=front_end.dim,
        tail=front_end.tail,
        layer=address.layer or front_end.output or f"output of {front_end.dim} dims",
        weights=LocalWeights(
            files=files,
            filename=file.name,
            digest=digest_of_files(files),
            licence=front_end.licence,
            trained_on=front_end.trained_on,
        ),
        extra="onnx",
        summary=f"the ONNX network {file.name}",
        **front_end.timing,
    )
    return EmbedderEntry(spec, load)


def load(spec: EmbedderSpec, cache: Path) -> "Onnx":
    """Load the network.

    Raises
    ------
    WeightsError
        If the file changed, or seeded weights are wanted.
    """
    assert spec.weights is not None
    if not spec.trained:
        raise WeightsError(f"{spec.weights.filename} has no seeded weights")
    file = spec.weights.fetch(cache)
    address = parse(spec.address)
    assert address is not None
    return Onnx(spec, file, read(file.with_suffix(".toml")), address.layer)


class Onnx(Embedder):
    """A network of onnxruntime with its front end.

    Parameters
    ----------
    spec
        See `entry`.
    file
        The network.
    front_end
        What it takes.
    output
        The output to read; empty for that of the front end.

    Raises
    ------
    FrontEndError
        If the network has no such input or output.
    """

    def __init__(self, spec: EmbedderSpec, file: Path, front_end: FrontEnd, output: str) -> None:
        import onnxruntime

        self.spec = spec
        self.device = compute.device(spec.device)
        cuda = "CUDAExecutionProvider"
        if self.device != "cuda" or cuda not in onnxruntime.get_available_providers():
            self.device = "cpu"
        providers = ([cuda] if self.device == "cuda" else []) + ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(file), providers=providers)
        self._front_end = front_end
        inputs = {one.name: one for one in self._session.get_inputs()}
        self._input = front_end.input or next(iter(inputs))
        outputs = {one.name: one.shape for one in self._session.get_outputs()}
        self._output = output or front_end.output or _of_length(outputs, spec.dim, file)
        for name, there in ((self._input, inputs), (self._output, outputs)):
            if name not in there:
                known = ", ".join(there)
                raise FrontEndError(f"{file.name} has no {name!r}", f"it has {known}")

    def infer(self, windows: np.ndarray) -> Inferred:
        """Return the output per window, its mean over time if it has any; see `Embedder.infer`."""
        given = self._front_end(compute.tensor(windows, "cpu")).numpy()
        size = self._front_end.batch or len(given)
        found = [self._run(given[start : start + size]) for start in range(0, len(given), size)]
        vectors = np.concatenate(found)
        # (B, T, D), or (B, D, 1, 1) of a network that pools.
        if vectors.ndim == 3:
            vectors = vectors.mean(axis=1)
        return Inferred(vectors.reshape(len(vectors), -1).astype(np.float32))

    def _run(self, given: np.ndarray) -> np.ndarray:
        # Rows of silence fill a fixed batch; no row depends on another.
        missing = max(0, self._front_end.batch - len(given))
        whole = np.pad(given, [(0, missing), *[(0, 0)] * (given.ndim - 1)])
        [found] = self._session.run([self._output], {self._input: whole})
        return np.asarray(found)[: len(given)]


def _of_length(outputs: dict[str, Any], dim: int, file: Path) -> str:
    """Return the one output whose vectors have the length of the spec."""
    named = [name for name, shape in outputs.items() if dim in list(shape)[1:]]
    if len(named) != 1:
        what = ", ".join(f"{name} {list(shape)}" for name, shape in outputs.items())
        raise FrontEndError(
            f"{file.name} has {len(named)} outputs of {dim} dims", f"name one of {what}"
        )
    return named[0]
