"""musicnn's trained network as an ONNX file, with its front end beside it.

python eval/musicnn_onnx.py musicnn.onnx
"""

import argparse
import dataclasses
from pathlib import Path

import torch

from musicflow.embedders import musicnn
from musicflow.settings import Settings
from musicflow_tests.embedders.adapters.test_onnx import MUSICNN, Network, export


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    spec = dataclasses.replace(musicnn.SPEC, device="cpu")
    network = Network(musicnn.load(spec, Settings().cache))
    export(network, torch.zeros(2, 187, 96), file, ["penultimate", "tags"])
    file.with_suffix(".toml").write_text(MUSICNN)


if __name__ == "__main__":
    main()
