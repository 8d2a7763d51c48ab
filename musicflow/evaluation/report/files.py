"""The files of the report: written into the folder of reports, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from musicflow.atomic import write_atomically
from musicflow.evaluation import clusters, layers
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.report.contents import origin_of
from musicflow.evaluation.report.page import html, page_of
from musicflow.evaluation.report.pictures import drawing
from musicflow.evaluation.report.plain import as_csv, markdown
from musicflow.evaluation.report.sweeps import of_sweep
from musicflow.evaluation.results import COMPARISON, Comparison


def write(
    comparison: Comparison, folder: Path, pictures: Mapping[str, bytes] | None = None
) -> list[Path]:
    """Write all forms of the report into `folder`, and return their paths.

    Parameters
    ----------
    comparison
        What is reported.
    folder
        The folder of reports.
    pictures
        Those of `drawing`; they are drawn if they are not given.
    """
    if pictures is None:
        with drawing(comparison, folder) as drawn:
            pictures = drawn()
    sweeps, rows = layers.load_all(folder), comparison.rows
    grouped = [clusters.load(folder, row.embedder) for row in rows if row.meaningful]
    found = [one for one in grouped if one is not None]
    comparison.save(folder / COMPARISON)
    contents = {
        "comparison.md": markdown(comparison, sweeps, found).encode(),
        "comparison.csv": as_csv(comparison).encode(),
        "comparison.html": html(comparison, pictures, sweeps, found).encode(),
        **pictures,
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / COMPARISON, *(folder / name for name in contents)]


def write_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """Write a sweep into `folder`: JSON, its picture and a page; renew the comparison's report.

    Returns
    -------
    list of Path
        The files of the sweep, its page first.
    """
    from musicflow.evaluation import figures

    sweep.save(folder)
    pictures = {sweep.file + suffix: content for suffix, content in figures.layers(sweep).items()}
    title = f"Layers of {sweep.embedder} on {sweep.dataset.name}"
    page = page_of(title, origin_of(sweep.dataset, sweep.created), [of_sweep(sweep)], pictures)
    contents = {f"{sweep.file}.html": page.encode(), **pictures}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    comparison = Comparison.load(folder / COMPARISON)
    if comparison is not None:
        write(comparison, folder)
    return [*(folder / name for name in contents), folder / f"{sweep.file}.json"]
