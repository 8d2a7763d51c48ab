"""Pictures of a comparison, as PNG."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from musicflow.evaluation.choice import QUALITY
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.results import Row
from musicflow.evaluation.statistics import Score
from musicflow.index import fused

_COLUMNS = 3
"""Panels beside each other."""

_LINE = 0.05
"""The height of a name beside a point, in units of precision."""

_MAX_GENRES = 20
"""Genres that colours can show."""


def quality_and_speed(rows: Sequence[Row]) -> bytes:
    """Draw precision at 10, with its interval, over speed; untrained ones left out."""
    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    trained = [row for row in rows if row.weights != "untrained"]
    measured = [row for row in trained if MAIN in row.scores and row.tracks_per_s]
    heights = _apart([row.scores[MAIN].value for row in measured])
    for row, height in zip(measured, heights, strict=True):
        assert row.tracks_per_s is not None
        [value], reach = _with_reach([row.scores[MAIN]])
        point = axes.errorbar(row.tracks_per_s, value, yerr=reach, fmt="o", capsize=4)
        axes.annotate(
            fused.short(row.embedder),
            (row.tracks_per_s, height),
            xytext=(14, 0),
            textcoords="offset points",
            va="center",
            color=point.lines[0].get_color(),
        )
    chance = next((row.chance for row in rows if row.chance is not None), None)
    if chance is not None:
        axes.axhline(chance, color="grey", linestyle=":", label=f"chance {chance:.2f}")
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="tracks per second", ylabel="precision@10 by genre", ylim=(0, 1.1))
    if measured:
        axes.set_xscale("log")
        axes.margins(x=0.4)
    axes.grid(alpha=0.3)
    return _png(figure)


def _apart(heights: Sequence[float]) -> list[float]:
    """Return the heights, raised where the names beside them would overlap."""
    apart, last = [0.0] * len(heights), -1.0
    for place in np.argsort(heights, kind="stable"):
        last = apart[place] = max(heights[place], last + _LINE)
    return apart


def layers(sweep: Sweep) -> bytes:
    """Draw precision at 10 and mAP, with their intervals, over the layers; the mean of all last."""
    figure = Figure(figsize=(max(6.4, 0.5 * len(sweep.layers)), 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(sweep.layers))
    for metric, title in ((MAIN, "precision@10"), (QUALITY, "mAP")):
        scores = [layer.scores[metric] for layer in sweep.layers]
        line = axes.errorbar(places, *_with_reach(scores), fmt="o-", capsize=3, label=title)
        colour = line.lines[0].get_color()
        mean = _with_reach([sweep.mean[metric]])
        axes.errorbar([len(places)], *mean, fmt="s", capsize=3, color=colour)
    names = [*(layer.name for layer in sweep.layers), "mean of all"]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="score", ylim=(0, 1.05))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def _with_reach(scores: Sequence[Score]) -> tuple[list[float], list[list[float]]]:
    """Return values, and how far their intervals reach below and above them."""
    values = [score.value for score in scores]
    below = [s.value - (s.value if s.low is None else s.low) for s in scores]
    above = [(s.value if s.high is None else s.high) - s.value for s in scores]
    return values, [below, above]


def by_genre(rows: Sequence[Row]) -> bytes:
    """Draw precision at 10 of each genre, a bar per embedder."""
    scored = [row for row in rows if row.by_genre]
    genres = sorted({genre for row in scored for genre in row.by_genre})
    figure = Figure(figsize=(max(6.4, 0.9 * len(genres)), 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(scored), 1)
    for number, row in enumerate(scored):
        places = np.arange(len(genres)) + (number - (len(scored) - 1) / 2) * width
        values = [row.by_genre.get(genre, 0.0) for genre in genres]
        axes.bar(places, values, width, label=fused.short(row.embedder))
    axes.set_xticks(range(len(genres)), genres, rotation=30, ha="right")
    axes.set(ylabel="precision@10", ylim=(0, 1.05))
    axes.grid(axis="y", alpha=0.3)
    if scored:
        axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.22))
    return _png(figure)


def confusion(rows: Sequence[Row]) -> bytes:
    """Draw the genres of the ten nearest to each genre's tracks, a panel per embedder."""
    scored = [row for row in rows if row.confusion and row.kind != "baseline"]
    genres = sorted({genre for row in scored for genre in row.confusion})
    figure, panels = _panels(len(scored))
    for axes, row in zip(panels, scored, strict=False):
        table = [[row.confusion.get(g, {}).get(h, 0.0) for h in genres] for g in genres]
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(fused.short(row.embedder), fontsize=10)
        size = 8 if len(genres) <= _MAX_GENRES else 5
        axes.set_xticks(range(len(genres)), genres, rotation=90, fontsize=size)
        axes.set_yticks(range(len(genres)), genres, fontsize=size)
    return _png(figure)


def projection(frame: pd.DataFrame) -> bytes:
    """Draw a projection (t-SNE), by genre, a panel per embedder."""
    genres = sorted(frame["genre"].unique())
    colours = {genre: f"C{number % 10}" for number, genre in enumerate(genres)}
    marks = {genre: "os"[number // 10 % 2] for number, genre in enumerate(genres)}
    names = list(frame["embedder"].unique())
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=False):
        for genre, points in frame[frame["embedder"] == name].groupby("genre"):
            how = {"c": colours[genre], "marker": marks[genre], "label": genre}
            axes.scatter(points["x"], points["y"], s=8, alpha=0.7, linewidths=0, **how)
        axes.set_title(name, fontsize=10)
        axes.set(xticks=[], yticks=[])
    if panels and len(genres) <= _MAX_GENRES:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=6, frameon=False, markerscale=2
        )
    return _png(figure)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = max(1, min(count, _COLUMNS))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(3.6 * columns, 3.6 * rows), dpi=110, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def _png(figure: Figure) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
