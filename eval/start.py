"""How long it takes to begin: the command line, and loading each embedder, in fresh processes.

Writes ``results/start.md``: medians in seconds, with all that is imported. OpenL3, PANNs and
wav2vec2 load seeded weights from files as upstream saves trained ones.

    python eval/start.py
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import machine

COMMANDS = ("--version", "search --help", "run --help")
PROGRAM = "import sys; sys.argv[1:] = {}; from musicflow.cli import main; main()"
CACHE = "from musicflow.settings import Settings; cache = Settings().cache; "
LOAD = CACHE + "from musicflow import embedders; embedders.load({spec}, cache)"
NAMED = "embedders.spec_of('{}')"
OPENL3 = (
    "from musicflow.embedders import openl3 as m; from pathlib import Path; "
    "m.OpenL3(m.variant(), m.read_weights(Path({path!r})))"
)
PANNS = (
    "from musicflow.embedders import panns as m; from pathlib import Path; "
    "m.Panns(m.SPEC, m.trained_weights(Path({path!r})), ())"
)
WAV2VEC2 = (
    "from musicflow.embedders import wav2vec2 as m; from pathlib import Path; "
    "m.Wav2Vec2(m.SPEC, m.trained_weights(Path({path!r})))"
)


def main() -> None:
    """Start each several times, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        openl3, panns, wav2vec2 = _seeded(Path(folder))
        programs = {
            "`import torch`, alone": "import torch",
            **{f"`musicflow {words}`": PROGRAM.format(words.split()) for words in COMMANDS},
            "mfcc": LOAD.format(spec=NAMED.format("mfcc")),
            "musicnn": LOAD.format(spec=NAMED.format("musicnn")),
            "openl3": OPENL3.format(path=str(openl3)),
            "panns": PANNS.format(path=str(panns)),
            "wav2vec2": WAV2VEC2.format(path=str(wav2vec2)),
        }
        rows = [
            f"| {name} | {statistics.median(_seconds(code) for _ in range(rounds)):.2f} |"
            for name, code in programs.items()
        ]
    text = "\n".join(
        [
            "# Starting",
            "",
            f"`python eval/start.py --rounds {rounds}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            "| what | s |",
            "|---|---|",
            *rows,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "start.md").write_text(text)
    print(text)


def _seeded(folder: Path) -> tuple[Path, Path, Path]:
    """Save files of weights as upstream does; return their paths."""
    import torch

    from musicflow.embedders import openl3, panns, wav2vec2_upstream

    paths = folder / "openl3.h5", folder / "panns.pth", folder / "wav2vec2.bin"
    openl3.write_weights(paths[0], openl3.seeded_weights(0))
    torch.save({"model": panns.seeded_model().state_dict()}, paths[1])
    torch.save(wav2vec2_upstream.seeded_model().state_dict(), paths[2])
    return paths


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
