"""Lay the Free Music Archive's data set out by top genre, as `musicflow run` reads folders.

Links, not copies: ``<music>/<top genre>/<track id>.mp3``. Artists and albums are in the tags.

    python eval/fma.py fma_small fma_metadata/tracks.csv music
"""

import argparse
import os
from pathlib import Path

import pandas as pd


def main() -> None:
    """Link what both the archive and its table of tracks have."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path, help="what fma_small.zip unpacks to")
    parser.add_argument("table", type=Path, help="tracks.csv of fma_metadata.zip")
    parser.add_argument("music", type=Path, help="the folder to make")
    given = parser.parse_args()
    # Two header rows: group and name.
    genres = pd.read_csv(given.table, index_col=0, header=[0, 1])["track", "genre_top"]
    linked, without = 0, 0
    for path in sorted(given.archive.glob("*/*.mp3")):
        genre = genres.get(int(path.stem))
        if not isinstance(genre, str):
            without += 1
            continue
        link = given.music / genre.replace("/", "-").strip() / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            os.link(path, link)
        linked += 1
    print(f"{linked} tracks below {given.music}; {without} have no top genre and were left out")


if __name__ == "__main__":
    main()
