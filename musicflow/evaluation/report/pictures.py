"""The pictures of the report: which there are, and when they are drawn; `figures` draws them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from musicflow import worker
from musicflow.evaluation import layers
from musicflow.evaluation.results import COMPARISON, Comparison

PICTURES = ("confusion", "projection", "by_genre", "quality_speed")
"""The pictures of a comparison; what takes long comes first."""

SUFFIXES = (".png", ".svg")


@contextmanager
def drawing(comparison: Comparison, folder: Path) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Draw the pictures of a report beside the context, if they can be; see `worker.beside`.

    Parameters
    ----------
    comparison
        What is drawn.
    folder
        The folder of reports.

    Yields
    ------
    callable
        A function that waits for the pictures and returns them by the names of their files.
    """
    names = [*PICTURES, *(sweep.file for sweep in layers.load_all(folder))]
    with ExitStack() as stack:
        given = [(f"drawing {name}", draw, name, comparison, folder) for name in names]
        drawn = [stack.enter_context(worker.beside(*one)) for one in given]
        yield lambda: {name: content for one in drawn for name, content in one().items()}


def draw(picture: str, comparison: Comparison, folder: Path) -> dict[str, bytes]:
    """Return a picture of a report by the names of its files; none if there is nothing to draw.

    Parameters
    ----------
    picture
        One of `PICTURES`, or the `file` of a sweep.
    comparison
        What is drawn.
    folder
        The folder of reports. A picture in it of the same evaluation is taken as it is.
    """
    files = [folder / (picture + suffix) for suffix in SUFFIXES]
    last = Comparison.load(folder / COMPARISON)
    is_drawn = last is not None and last.created == comparison.created
    if is_drawn and all(file.exists() for file in files):
        return {file.name: file.read_bytes() for file in files}
    # Imported here: it takes a second, and most commands only print.
    from musicflow.evaluation import figures, projection

    rows = comparison.rows
    match picture:
        case "confusion":
            drawn = figures.confusion(rows)
        case "projection":
            shown = [row.embedder for row in rows if row.kind == "embedder" and not row.error]
            points = projection.load(folder, shown)
            drawn = figures.projection(points) if len(points) else {}
        case "by_genre":
            drawn = figures.by_genre(rows)
        case "quality_speed":
            drawn = figures.quality_and_speed(rows)
        case _:
            [sweep] = [one for one in layers.load_all(folder) if one.file == picture]
            drawn = figures.layers(sweep)
    return {picture + suffix: content for suffix, content in drawn.items()}
