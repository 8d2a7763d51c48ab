"""The comparison of embedders on a folder of music, as ``results/comparison.md`` shows it.

Runs `musicflow run` in a home of its own, then checks its P@10 and mAP against a plain loop over
the same vectors in float64, and writes the report with date, machine and commit.

    python eval/comparison.py genre_clips --embedder musicnn --embedder mfcc
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import machine
from sklearn.metrics import average_precision_score

from musicflow import embedders
from musicflow.evaluation import Comparison, report
from musicflow.evaluation.protocol import Exclusion, album_keys, artist_keys
from musicflow.index import normalize, open_index
from musicflow.library import UNKNOWN, Library
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore, stack

RUN = "from musicflow.cli import main; main()"


def main() -> None:
    """Run, check, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--embedder", action="append")
    parser.add_argument("--home", type=Path, help="keep the home here, to go on from it")
    options = parser.parse_args()
    names = options.embedder or ["musicnn", "mfcc"]
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        arguments = [word for name in names for word in ("--embedder", name)]
        command = ["run", str(options.library), *arguments, "--home", str(home)]
        subprocess.run([sys.executable, "-c", RUN, *command], check=True)
        settings = Settings(home=home)
        comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
        assert comparison is not None
        checked = [_check(comparison, name, settings) for name in names]
    shown = " ".join(f"--embedder {name}" for name in names)
    about = f"`python eval/comparison.py {options.library.name} {shown}`, {machine()}."
    lines = report.markdown(comparison).split("\n## Problems")[0].splitlines()
    text = "\n".join([lines[0], "", about, *lines[1:], "", "## Checked", "", *checked, ""])
    (Path(__file__).parent / "results" / "comparison.md").write_text(text)
    print(text)


def _check(comparison: Comparison, name: str, settings: Settings) -> str:
    """Compute two figures again, one query at a time, and tell how far they are off."""
    row = next(row for row in comparison.rows if row.embedder == name)
    if row.error:
        return f"- {name}: {row.error}"
    library = Library.load(settings.paths.library)
    rows = EmbeddingStore(settings.paths.embeddings).read(embedders.spec_of(name))
    copies = {p.subject for p in comparison.problems if p.stage == "evaluation"}
    tracks = [
        track
        for track in library.tracks
        if track.track_id not in copies
        and (made := rows.get(track.content_hash)) is not None
        and made.vector is not None
    ]
    if len(tracks) != comparison.protocol.corpus:
        return f"- {name}: not checked, since another embedder could not take all tracks"
    manifest = open_index(settings).manifest(name)
    assert manifest is not None
    vectors = normalize(stack([rows[track.content_hash] for track in tracks]), manifest)
    exact = vectors.astype(np.float64)
    by_artist = comparison.protocol.exclude == "artist"
    both = zip(artist_keys(tracks), album_keys(tracks), strict=True)
    keys = [(*artists, *albums) for artists, albums in both] if by_artist else []
    exclusion = Exclusion(len(tracks), keys)
    genres = np.array([track.genre for track in tracks])
    precision, average = [], []
    for query, genre in enumerate(genres):
        others = np.flatnonzero(~exclusion.of(np.array([query]))[0])
        right = genres[others] == genre
        if genre == UNKNOWN or not right.any():
            continue
        scores = exact[others] @ exact[query]
        best = np.argsort(-scores, kind="stable")[:10]
        precision.append(right[best].mean())
        average.append(average_precision_score(right, scores))
    again = {"precision_at_10": np.mean(precision), "map": np.mean(average)}
    off = [abs(value - row.scores[name].value) for name, value in again.items()]
    return (
        f"- {name}: P@10 and mAP computed again, query by query, differ by {off[0]:.0e} and "
        f"{off[1]:.0e}"
    )


if __name__ == "__main__":
    main()
