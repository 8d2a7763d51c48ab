"""The report as plain text: Markdown, and a CSV of all rows."""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.report.contents import origin_of, sections, title_of
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.report.sweeps import of_sweep
from musicflow.evaluation.results import Comparison, Row


def markdown(
    comparison: Comparison, sweeps: Sequence[Sweep] = (), found_clusters: Sequence[Clusters] = ()
) -> str:
    """Return the report as Markdown."""
    lines = [f"# {title_of(comparison)}", "", origin_of(comparison.dataset, comparison.created)]
    for section in sections(comparison, sweeps, found_clusters):
        if section.head or not section.pictures:
            lines += ["", f"## {section.title}"]
            lines += [part for text in section.text for part in ("", text)]
            lines += ["", *_table(section.head, section.rows)] if section.head else []
    return "\n".join(lines) + "\n"


def markdown_of(sweep: Sweep) -> str:
    """Return a sweep as Markdown: its table, and the sentences about it."""
    return markdown_of_section(of_sweep(sweep))


def markdown_of_section(section: Section) -> str:
    """Return the sentences and the table of a part of the report as Markdown."""
    return "\n\n".join([*section.text, "\n".join(_table(section.head, section.rows))])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_csv(comparison: Comparison) -> str:
    """Return all rows with all scores and the ends of their intervals."""
    skipped = {"scores", "by_genre", "genre_intervals", "confusion", "space", "corrected"}
    skipped |= {"by_label", "stressed", "fusion", "tuned"}
    names = [field.name for field in fields(Row) if field.name not in skipped]
    scored = [
        m.name for m in comparison.measures if any(m.name in r.scores for r in comparison.rows)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = (f"{name}{end}" for name in scored for end in ("", "_low", "_high"))
    writer.writerow([*names, *ends])
    for row in comparison.rows:
        found = [row.scores.get(name) for name in scored]
        values = (v for one in found for v in ((one.value, one.low, one.high) if one else [""] * 3))
        known = {name: getattr(row, name) for name in names} | {"faults": " ".join(row.faults)}
        writer.writerow([*known.values(), *values])
    return text.getvalue()
