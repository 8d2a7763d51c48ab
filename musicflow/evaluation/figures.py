"""Pictures of a comparison, as PNG."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from musicflow.evaluation.comparison import Row


def quality_and_speed(rows: Sequence[Row]) -> bytes:
    """Precision at 10 over tracks a second, with what chance gets; trained embedders only."""
    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    trained = [row for row in rows if row.weights != "untrained"]
    measured = [row for row in trained if row.precision_at_10 is not None and row.tracks_per_s]
    for row in measured:
        assert row.tracks_per_s is not None
        assert row.precision_at_10 is not None
        axes.scatter(row.tracks_per_s, row.precision_at_10, s=60)
        axes.annotate(
            row.embedder,
            (row.tracks_per_s, row.precision_at_10),
            xytext=(8, 4),
            textcoords="offset points",
        )
    chance = next((row.chance for row in rows if row.chance is not None), None)
    if chance is not None:
        axes.axhline(chance, color="grey", linestyle=":", label=f"chance {chance:.2f}")
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="tracks a second", ylabel="precision@10 by genre", ylim=(0, 1.05))
    if measured:
        axes.set_xscale("log")
        axes.margins(x=0.4)
    axes.grid(alpha=0.3)
    return _png(figure)


def by_genre(rows: Sequence[Row]) -> bytes:
    """Precision at 10 of each genre, a bar an embedder."""
    scored = [row for row in rows if row.by_genre]
    genres = sorted({genre for row in scored for genre in row.by_genre})
    figure = Figure(figsize=(max(6.4, 0.9 * len(genres)), 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(scored), 1)
    for number, row in enumerate(scored):
        places = np.arange(len(genres)) + (number - (len(scored) - 1) / 2) * width
        axes.bar(places, [row.by_genre.get(g, 0.0) for g in genres], width, label=row.embedder)
    axes.set_xticks(range(len(genres)), genres, rotation=30, ha="right")
    axes.set(ylabel="precision@10", ylim=(0, 1.05))
    axes.grid(axis="y", alpha=0.3)
    if scored:
        axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return _png(figure)


def _png(figure: Figure) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
