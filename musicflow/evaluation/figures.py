"""Pictures of a comparison, as PNG and as SVG.

The SVG is for pages: it has no background, and its words are dark on a light page and light on a
dark one. The PNG, on white, is for what shows no SVG.
"""

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from musicflow.evaluation.choice import QUALITY
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.projection import COLOURS, GREY, colours
from musicflow.evaluation.results import Row
from musicflow.evaluation.statistics import Score
from musicflow.index import fused

_COLUMNS = 2
"""Panels beside each other."""

_LINE = 0.05
"""The height of a name beside a point, in units of precision."""

_MAX_GENRES = 20
"""Genres whose cells have room for a number."""

_MAX_POINTS = 5000
"""Points of a map that are drawn; of more, those that t-SNE laid out come first."""

# Greys and colours that can be read on white and on black.
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "grid.alpha": 0.3,
    "grid.color": GREY,
    "svg.fonttype": "none",
    "svg.hashsalt": "musicflow",
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.color": GREY,
    "ytick.labelcolor": "black",
}

# matplotlib gives black words no colour, so that the page's rule holds for them.
_RULES = (
    "text{fill:#222;font-family:system-ui,sans-serif!important}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)

_SHARE = LinearSegmentedColormap.from_list("share", [(0.15, 0.39, 0.92, 0), (0.15, 0.39, 0.92, 1)])
"""From nothing to blue, so that a share of 0 has the colour of the page."""


@mpl.rc_context(_STYLE)
def quality_and_speed(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw precision at 10, with its interval, over speed; untrained ones left out."""
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    axes = figure.subplots()
    trained = [row for row in rows if row.weights != "untrained"]
    measured = [row for row in trained if MAIN in row.scores and row.tracks_per_s]
    colour_of = _colours_of(rows)
    speeds = [3600 * (row.tracks_per_s or 0) for row in measured]
    heights = _apart([row.scores[MAIN].value for row in measured])
    for row, speed, height in zip(measured, speeds, heights, strict=True):
        [value], reach = _with_reach([row.scores[MAIN]])
        colour = colour_of[row.embedder]
        axes.errorbar(speed, value, yerr=reach, fmt="o", capsize=4, color=colour)
        axes.annotate(
            fused.short(row.embedder),
            (speed, height),
            xytext=(14, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )
    chance = next((row.chance for row in rows if row.chance is not None), None)
    if chance is not None:
        axes.axhline(chance, color=GREY, linestyle=":", label=f"chance {chance:.2f}")
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="tracks per hour", ylabel="precision@10 by genre", ylim=(0, 1.1))
    if measured:
        _plain_log(axes, min(speeds), max(speeds))
    axes.grid()
    return _drawn(figure)


def _colours_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return a colour per row, the same in all pictures; grey for the baseline."""
    names = [row.embedder for row in rows if row.kind != "baseline"]
    return dict.fromkeys((row.embedder for row in rows), GREY) | dict(
        zip(names, cycle(COLOURS), strict=False)
    )


def _plain_log(axes: Axes, least: float, most: float) -> None:
    """Make the horizontal axis logarithmic, with numbers as people write them."""
    axes.set_xscale("log")
    axes.margins(x=0.4)
    steps = (1, 2, 5) if most / least < 50 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))


def _plain(number: float, _: int | None = None) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def _apart(heights: Sequence[float]) -> list[float]:
    """Return the heights, raised where the names beside them would overlap."""
    apart, last = [0.0] * len(heights), -1.0
    for place in np.argsort(heights, kind="stable"):
        last = apart[place] = max(heights[place], last + _LINE)
    return apart


@mpl.rc_context(_STYLE)
def layers(sweep: Sweep) -> dict[str, bytes]:
    """Draw precision at 10 and mAP, with their intervals, over the layers; the mean of all last."""
    figure = Figure(figsize=(max(6.8, 0.5 * len(sweep.layers)), 4.0), layout="constrained")
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
    axes.grid()
    axes.legend(frameon=False, loc="upper left")
    return _drawn(figure)


def _with_reach(scores: Sequence[Score]) -> tuple[list[float], list[list[float]]]:
    """Return values, and how far their intervals reach below and above them."""
    values = [score.value for score in scores]
    below = [s.value - (s.value if s.low is None else s.low) for s in scores]
    above = [(s.value if s.high is None else s.high) - s.value for s in scores]
    return values, [below, above]


@mpl.rc_context(_STYLE)
def by_genre(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw precision at 10 of each genre, with its interval, a bar per embedder."""
    scored = [row for row in rows if row.by_genre]
    genres = sorted({genre for row in scored for genre in row.by_genre})
    lines = max(len(genres) * (len(scored) + 1), 10)
    figure = Figure(figsize=(6.8, 0.8 + 0.13 * lines), layout="constrained")
    axes = figure.subplots()
    height, colour_of = 1 / (len(scored) + 1), _colours_of(rows)
    for number, row in enumerate(scored):
        places = np.arange(len(genres)) + (number - (len(scored) - 1) / 2) * height
        scores = [
            Score(row.by_genre.get(genre, 0.0), *row.genre_intervals.get(genre, (None, None)))
            for genre in genres
        ]
        values, reach = _with_reach(scores)
        colour = colour_of[row.embedder]
        name = fused.short(row.embedder)
        axes.barh(places, values, height, label=name, color=colour, alpha=0.5)
        if row.genre_intervals:
            axes.errorbar(values, places, xerr=reach, fmt="none", ecolor=colour, elinewidth=2)
    axes.set_yticks(range(len(genres)), genres)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(xlabel="precision@10", xlim=(0, 1))
    axes.grid(axis="x")
    if scored:
        figure.legend(loc="outside upper center", frameon=False, ncols=5)
    return _drawn(figure)


@mpl.rc_context(_STYLE)
def confusion(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw the genres of the ten nearest to each genre's tracks, in %, a panel per embedder."""
    scored = [row for row in rows if row.confusion and row.kind != "baseline"]
    genres = sorted({genre for row in scored for genre in row.confusion})
    are_few = len(genres) <= _MAX_GENRES
    side = max(3.2, 0.8 + 0.33 * len(genres)) if are_few else 5.0
    figure, panels = _panels(len(scored), side)
    shares = [
        [[row.confusion.get(g, {}).get(h, 0.0) for h in genres] for g in genres] for row in scored
    ]
    for axes, row, share in zip(panels, scored, shares, strict=True):
        picture = axes.imshow(share, cmap=_SHARE, vmin=0, vmax=1)
        axes.set_title(fused.short(row.embedder))
        axes.tick_params(length=0, labelbottom=False, labelleft=False)
    # Names of genres at the left and at the bottom are enough.
    size = 9 if are_few else 5
    for axes in panels[::_COLUMNS]:
        axes.tick_params(labelleft=True)
        axes.set_yticks(range(len(genres)), genres, fontsize=size)
    for axes in panels[-_COLUMNS:]:
        axes.tick_params(labelbottom=True)
        axes.set_xticks(range(len(genres)), genres, rotation=90, fontsize=size)
    if panels:
        scale = figure.colorbar(picture, ax=panels, shrink=0.6, aspect=30, format="{x:.0%}")
        scale.set_label("share of the ten nearest")
    if are_few:
        # Laid out before the words are written, which take no room of their own: that is faster.
        _lay_out(figure)
        for axes, share in zip(panels, shares, strict=True):
            _write(axes, share)
    return _drawn(figure)


def _write(axes: Axes, shares: Sequence[Sequence[float]]) -> None:
    """Write shares into their cells, in %; nothing for what rounds to 0."""
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            if share >= 0.005:
                colour = "white" if share > 0.5 else "black"
                text = f"{100 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


@mpl.rc_context(_STYLE)
def projection(frame: pd.DataFrame) -> dict[str, bytes]:
    """Draw maps, by genre, a panel per embedder."""
    colour = colours(frame["genre"])
    names = list(frame["embedder"].unique())
    figure, panels = _panels(len(names), 4.2)
    for axes, name in zip(panels, names, strict=False):
        points = frame[frame["embedder"] == name].sort_values("placed", kind="stable")
        points = points.head(_MAX_POINTS)
        axes.scatter(
            points["x"],
            points["y"],
            c=[colour.get(genre, GREY) for genre in points["genre"]],
            s=max(2.0, min(14.0, 7000 / len(points))),
            alpha=0.8,
            linewidths=0,
            rasterized=True,
        )
        axes.set_title(name)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(True)
    shown = colour | ({"other": GREY} if frame["genre"].nunique() > len(colour) else {})
    if panels:
        marks = [panels[0].scatter([], [], color=c, label=genre) for genre, c in shown.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=6, frameon=False)
    return _drawn(figure)


def _panels(count: int, side: float) -> tuple[Figure, list[Axes]]:
    columns = max(1, min(count, _COLUMNS))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def _lay_out(figure: Figure) -> None:
    """Give the parts of a figure their places once, rather than twice per file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _drawn(figure: Figure) -> dict[str, bytes]:
    """Return a picture by suffix."""
    _lay_out(figure)
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    figure.savefig(svg, format="svg", dpi=200, transparent=True, metadata={"Date": None})
    start = b'<style type="text/css">'
    return {
        ".png": png.getvalue(),
        ".svg": svg.getvalue().replace(start, start + _RULES.encode(), 1),
    }
