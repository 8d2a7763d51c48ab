"""Data sets and libraries of other programs, made in their own shapes."""

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FMA_COLUMNS = {
    "album": "comments date_created date_released engineer favorites id information listens "
    "producer tags title tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created "
    "favorites id latitude location longitude members name related_projects tags website "
    "wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top "
    "genres genres_all information interest language_code license listens lyricist number "
    "publisher tags title",
}
"""The columns of fma_metadata/tracks.csv, whose header has three lines."""


def fma_table(rows: dict[int, dict[tuple[str, str], object]]) -> str:
    pairs = [(owner, name) for owner, names in FMA_COLUMNS.items() for name in names.split()]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["", *(owner for owner, _ in pairs)])
    writer.writerow(["", *(name for _, name in pairs)])
    writer.writerow(["track_id", *("" for _ in pairs)])
    for number, row in rows.items():
        writer.writerow([number, *(row.get(pair, "") for pair in pairs)])
    return text.getvalue()


FMA_GENRES = """genre_id,#tracks,parent,title,top_level
10,13845,0,Pop,10
21,8389,0,Hip-Hop,21
1235,14938,0,Instrumental,1235
"""


def manifest(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table as its suffix says; CSV as the csv module does, with a column for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_parquet(path)


def add_items(beets: Any, database: Path, music: Path, **items: dict[str, Any]) -> None:
    """Have beets add items to its library, by the path of their files."""
    database.parent.mkdir(parents=True, exist_ok=True)
    library = beets.Library(str(database), str(music))
    for name, fields in items.items():
        item = beets.Item(path=os.fsencode(music / f"{name}.wav"))
        item.update(fields)
        library.add(item)
    library._close()


SHAPES = ("gtzan", "fma", "manifest", "beets")


def lay_out(shape: str, music: Mapping[Path, str], root: Path) -> None:
    """Copy music into a library of another shape, with its genres.

    Parameters
    ----------
    shape
        One of `SHAPES`.
    music
        The genre of each file.
    root
        The library.
    """
    names = {path: f"audio/{number}{path.suffix}" for number, path in enumerate(music)}
    if shape == "gtzan":
        # Its genres are a closed list.
        names = {
            path: f"Data/genres_original/{genre}/{genre}.{number:05d}{path.suffix}"
            for number, (path, genre) in enumerate(music.items())
        }
    if shape == "fma":
        names = {p: f"fma_small/000/{n:06d}{p.suffix}" for n, p in enumerate(music)}
    for path, name in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, root / name)
    if shape == "fma":
        rows = {n: {("track", "genre_top"): genre} for n, genre in enumerate(music.values())}
        (root / "fma_metadata").mkdir()
        (root / "fma_metadata" / "tracks.csv").write_text(fma_table(rows))
    if shape == "manifest":
        said = [{"path": names[path], "genre": genre} for path, genre in music.items()]
        manifest(root / "manifest.csv", said)
    if shape == "beets":
        import beets.library

        items = {Path(names[path]).stem: {"genres": [genre]} for path, genre in music.items()}
        add_items(beets.library, root / "library.db", root / "audio", **items)
