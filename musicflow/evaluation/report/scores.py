"""Tables of scores by genre, of words as queries, and of differences between embedders."""

from collections.abc import Sequence

from musicflow.errors import MusicflowError
from musicflow.evaluation import choice
from musicflow.evaluation.labelled import MACRO
from musicflow.evaluation.metrics import FEW_SHOTS, PROBE, V_MEASURE, Measure, Shown
from musicflow.evaluation.probe import DRAWS, SHOTS
from musicflow.evaluation.report.cells import cell, interval, score, with_interval
from musicflow.evaluation.report.notes import (
    UNTRAINED_NOTE,
    fusion_notes,
    licence_notes,
    put_off_lines,
)
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Comparison, Row
from musicflow.index import fused

LEFT = (("embedder", "embedder"), ("weights", "weights"), ("licence", "licence"), ("dim", "dim"))
RIGHT = (("chance", "chance"), ("n_queries", "queries"), ("n_failed", "fail"))
"""Fields of a `Row` beside its scores, and the heads of their columns."""

METHOD = (
    "Each track is a query, compared with the others by cosine; a hit shares a genre. Ranges are "
    "95 % of bootstrap resamples over the queries. Ranks and scores are computed anew in each "
    "evaluation; neighbours, duplicates, cuts and map for what changed since the last."
)


def columns(comparison: Comparison, *shown: Shown) -> list[Measure]:
    """Return the scores by genre that a table has columns for."""
    return [m for m in comparison.measures if m.labels == "genre" and m.shown in shown]


def quality(comparison: Comparison) -> Section:
    """Return the main table, and the rule that its scores follow."""
    rows, shown = comparison.rows, columns(comparison, "console", "report")
    text = [METHOD, f"Protocol: {comparison.protocol}."]
    text += put_off_lines(comparison)
    text += [f"Library: {comparison.reading}."] if comparison.reading else []
    text += [f"Note: {comparison.protocol.note}."] if comparison.protocol.note else []
    scored = [row for row in rows if row.scores]
    shared = [one for one in RIGHT if len({cell(row, one[0]) for row in scored}) == 1]
    if shared:
        told = (f"{title} {cell(scored[0], name)}" for name, title in shared)
        text.append(f"The same in all rows: {', '.join(told)}.")
    right = [one for one in RIGHT if one not in shared]
    text += [UNTRAINED_NOTE] if any(row.weights == "untrained" for row in rows) else []
    text += licence_notes(rows)
    text += fusion_notes(rows)
    text += [
        f"{row.embedder}: {MusicflowError(row.error, row.advice)}" for row in rows if row.error
    ]
    table = [
        [
            *(cell(row, name) for name, _ in LEFT),
            *(with_interval(row, measure) for measure in shown),
            *(cell(row, name) for name, _ in right),
        ]
        for row in rows
    ]
    titles = (*(title for _, title in LEFT), *(m.title for m in shown), *(t for _, t in right))
    return Section("Quality", titles, table, text)


def subgenres(comparison: Comparison) -> Section | None:
    """Return the table of scores by subgenre; None if no row has any."""
    shown = [m for m in comparison.measures if m.labels == "subgenre"]
    rows = [row for row in comparison.rows if any(m.name in row.scores for m in shown)]
    if not rows:
        return None
    table = [[fused.short(row.embedder), *(score(row, m.name) for m in shown)] for row in rows]
    text = "A hit shares a subgenre; in nDCG, it counts by how many it shares."
    return Section("Subgenres", ["embedder", *(m.title for m in shown)], table, [text])


def by_genre(rows: Sequence[Row]) -> list[Section]:
    """Return the table of each genre's scores, and the picture of their confusion."""
    genres = sorted({genre for row in rows for genre in row.by_genre})
    table = [[genre, *(_of_genre(row, genre) for row in rows)] for genre in genres]
    head = ["genre", *(fused.short(row.embedder) for row in rows)]
    text = "Rows are the genre of the query, columns those of the ten nearest, in %."
    return [
        Section("P@10 by genre", head, table, pictures=["by_genre"], is_folded=True),
        Section("Confusion", text=[text], pictures=["confusion"]),
    ]


def _of_genre(row: Row, genre: str) -> str:
    """Return a row's precision at 10 for a genre, with its interval if it is known."""
    ends = row.genre_intervals.get(genre)
    value = f"{row.by_genre[genre]:.3f}"
    return value + (f"\n[{ends[0]:.2f}–{ends[1]:.2f}]" if ends else "")


def text_queries(rows: Sequence[Row], asked: Sequence[Measure]) -> Section:
    """Return the table of scores with words as queries."""
    table = [
        [fused.short(row.embedder), *(with_interval(row, m) for m in asked)]
        for row in rows
        if any(m.name in row.scores for m in asked)
    ]
    text = (
        "Captions, tags and names of genres as queries, of embedders with a text side. R@k is the "
        "share of a text's tracks among the first k candidates. Random is the mean of random "
        "rankings."
    )
    notes = " ".join(f"{m.title}: {m.help}" for m in asked)
    head = ["embedder", *(m.title for m in asked)]
    return Section("Words as queries", head, table, [text, notes])


def differences(comparison: Comparison) -> Section:
    """Return the table of differences between embedders, with their tests."""
    titles = {measure.name: measure.title for measure in comparison.measures}
    table = [
        [
            fused.short(d.better),
            fused.short(d.worse),
            titles[d.metric],
            f"{d.difference:+.3f}",
            f"{d.interval[0]:+.3f} to {d.interval[1]:+.3f}",
            choice.format_p(d.p).removeprefix("= "),
            "yes" if d.p < 0.05 else "no",
        ]
        for d in comparison.differences
    ]
    head = ["better", "than", "in", "by", "95 %", "p", "real"]
    text = (
        "Of the same queries, paired. The p of a permutation test is corrected for the number of "
        "pairs (Holm)."
    )
    return Section("Which differences are real", head, table, [text])


def few_labels(rows: Sequence[Row]) -> Section:
    """Return the table of the probe, few shots and clusters."""
    shown = (PROBE, FEW_SHOTS, V_MEASURE)
    table = [
        [
            fused.short(row.embedder),
            *(
                score(row, one.name) + (f"\n[{ends}]" if (ends := interval(row, one.name)) else "")
                for one in shown
            ),
        ]
        for row in rows
        if any(one.name in row.scores for one in shown)
    ]
    text = (
        f"The probe learns from four fifths of the tracks, {SHOTS} shots from {SHOTS} tracks per "
        f"genre, k-means from none. Few shots are the mean of {DRAWS} draws, and V-measure is that "
        "of 10 runs of k-means with as many clusters as genres; their ranges are 95 % of the mean."
    )
    return Section("With few labels", ["embedder", *(one.title for one in shown)], table, [text])


def meanings(comparison: Comparison) -> Section:
    """Return the table of what the columns mean."""
    shown = columns(comparison, "console", "report")
    shown += [MACRO] if comparison.labels else []
    table = [[m.title, m.help] for m in shown if m.help]
    return Section("Columns", ["column", "meaning"], table)
