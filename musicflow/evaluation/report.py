"""The comparison as files: JSON for machines, Markdown and CSV for people, and pictures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from musicflow.evaluation import figures
from musicflow.evaluation.comparison import Comparison, Row
from musicflow.library import Problem
from musicflow.settings import write_atomically

COMPARISON = "comparison.json"

COLUMNS = (
    ("embedder", "embedder"),
    ("weights", "weights"),
    ("dim", "dim"),
    ("precision_at_1", "P@1"),
    ("precision_at_5", "P@5"),
    ("precision_at_10", "P@10"),
    ("map", "mAP"),
    ("chance", "chance"),
    ("n_queries", "queries"),
    ("n_failed", "fail"),
    ("tracks_per_s", "tracks/s"),
    ("x_realtime", "×real"),
    ("peak_rss_mb", "MB"),
)
"""Fields of a `Row` and what a table calls them."""

UNTRAINED_NOTE = "(in brackets: seeded weights; the quality means nothing, the speed is real)"

_QUALITY = ("precision_at_1", "precision_at_5", "precision_at_10", "map")

_DECIMALS = {"tracks_per_s": 1, "x_realtime": 0, "peak_rss_mb": 0}


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write all forms of the report into `folder`; tells which files they are."""
    comparison.save(folder / COMPARISON)
    contents = {
        "comparison.md": markdown(comparison).encode(),
        "comparison.csv": _csv(comparison).encode(),
        "quality_speed.png": figures.quality_and_speed(comparison.rows),
        "by_genre.png": figures.by_genre(comparison.rows),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / COMPARISON, *(folder / name for name in contents)]


def cell(row: Row, field: str) -> str:
    """A value as a table shows it."""
    value = getattr(row, field)
    if value is None:
        return "–"
    text = f"{value:.{_DECIMALS.get(field, 3)}f}" if isinstance(value, float) else str(value)
    return f"({text})" if row.weights == "untrained" and field in _QUALITY else text


def markdown(comparison: Comparison) -> str:
    """The report as Markdown: the table, each genre, and what went wrong."""
    data = comparison.dataset
    lines = [
        f"# {data.name}",
        "",
        f"{data.tracks} tracks, {data.failed} failed · fingerprint {data.fingerprint} · "
        f"{comparison.created}",
        "",
        *_table([title for _, title in COLUMNS], _cells(comparison.rows)),
        "",
        "Genre retrieval by cosine, each track asking for the others, itself left out. "
        "Speed is that of embedding, decoding included.",
    ]
    if any(row.weights == "untrained" for row in comparison.rows):
        lines += ["", UNTRAINED_NOTE]
    lines += [f"\n{row.embedder}: {row.error}" for row in comparison.rows if row.error]
    genres = sorted({genre for row in comparison.rows for genre in row.by_genre})
    if genres:
        scored = [row for row in comparison.rows if row.by_genre]
        table = [[g, *(f"{row.by_genre[g]:.3f}" for row in scored)] for g in genres]
        lines += ["", "## P@10 by genre", ""]
        lines += _table(["genre", *(row.embedder for row in scored)], table)
    if comparison.problems:
        lines += ["", "## Problems", ""]
        lines += _table(["what", "stage", "reason"], problem_lines(comparison.problems))
    return "\n".join(lines) + "\n"


def problem_lines(problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    """Problems as (what, stage, reason); what several stages say of one thing is one line."""
    stages: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        stages.setdefault((problem.subject, problem.reason), []).append(problem.stage)
    return [(what, ", ".join(where), why) for (what, why), where in stages.items()]


def summary(problems: Sequence[Problem], most: int = 3) -> list[tuple[str, str, str]]:
    """Like `problem_lines`, but more than `most` warnings of one kind become one line."""
    errors = [problem for problem in problems if problem.severity == "error"]
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.severity == "warning":
            kinds.setdefault((problem.stage, problem.reason.split(":")[0]), []).append(problem)
    lines = problem_lines(errors)
    for (stage, kind), warnings in kinds.items():
        if len(warnings) <= most:
            lines += problem_lines(warnings)
        else:
            lines.append((f"{len(warnings)} tracks", stage, f"{kind} (see the report)"))
    return lines


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    return [[cell(row, field) for field, _ in COLUMNS] for row in rows]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field for field, _ in COLUMNS])
    writer.writerows([getattr(row, field) for field, _ in COLUMNS] for row in comparison.rows)
    return text.getvalue()
