"""Hubness corrected, few shots, clusters and layers, on a folder of music.

Runs `musicflow run` in a home of its own, and writes ``results/evidence.md``.

    python eval/evidence.py genre_clips
"""

import argparse
import tempfile
from pathlib import Path

from machine import machine

import musicflow as mf
from musicflow.evaluation import report

EMBEDDERS = ("musicnn", "mfcc")


def main() -> None:
    """Compare, and write some tables of the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--home", type=Path, help="keep the home here, to go on from it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        comparison = mf.compare(options.library, EMBEDDERS, home=home)
        sweep = mf.layers(options.library, "musicnn", home=home)
    text = "\n".join(
        [
            f"# Evidence on {comparison.dataset.name}",
            "",
            f"`python eval/evidence.py {options.library.name}`, {comparison.created[:10]}, "
            f"{machine()}.",
            "",
            f"Protocol: {comparison.protocol}.",
        ]
    )
    for section in (report.corrections(comparison), report.few_labels(comparison.rows)):
        text += f"\n\n## {section.title}\n\n{report.markdown_of_section(section)}"
    text += f"\n\n## Layers of {sweep.embedder}\n\n{report.markdown_of(sweep)}"
    (Path(__file__).parent / "results" / "evidence.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
