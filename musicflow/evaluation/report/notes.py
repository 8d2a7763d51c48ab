"""Notes: what the report and the console say in sentences, and the lines of problems."""

from collections.abc import Sequence

from musicflow.embedders.catalogue import is_non_commercial
from musicflow.evaluation.results import Comparison, Row
from musicflow.index import fused
from musicflow.library import Problem, grouped, note_lines, skipped_line

VOID = "This comparison means nothing, and nothing is ranked by it. Search works all the same."

UNTRAINED_NOTE = "(in brackets: seeded weights; the quality means nothing, the speed is real)"

NON_COMMERCIAL_NOTE = "* not for commercial use"


def doubt_lines(comparison: Comparison) -> list[str]:
    """Return a sentence per doubt, behind one that says whether the comparison means anything."""
    return [*([VOID] if comparison.is_void else []), *(f"{d}" for d in comparison.doubts)]


def put_off_lines(comparison: Comparison) -> list[str]:
    """Return a sentence on the tracks that the comparison is of; none if it is up to date."""
    if comparison.as_of is None:
        return []
    return [f"All figures are {comparison.as_of}: the next evaluation is put off."]


def licence_notes(rows: Sequence[Row]) -> list[str]:
    """Return what the star behind a licence means, if there is one."""
    starred = any(is_non_commercial(row.licence) for row in rows)
    return [NON_COMMERCIAL_NOTE] if starred else []


def fusion_notes(rows: Sequence[Row]) -> list[str]:
    """Return a line per fusion or tuned space: its members, and their weights."""
    notes = []
    for row in rows:
        if row.kind == "tuned":
            notes.append(f"{fused.short(row.embedder)} = {row.embedder}")
        if row.kind != "fusion":
            continue
        shares = [f"{weight:.2f} {name}" for name, weight in row.fusion.items()]
        how = f"cosines, {' + '.join(shares)}" if shares else "reciprocal ranks"
        notes.append(f"{fused.short(row.embedder)} = {row.embedder}: {how}")
    return notes


def problem_lines(problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    """Return problems, without notes, as (subject, stage, reason).

    Many of one kind are one line, and so are equal words of several stages on one subject.
    """
    stages: dict[tuple[str, str], list[str]] = {}
    for problem in grouped(problems):
        stages.setdefault((problem.subject, problem.reason), []).append(problem.stage)
    return [(what, ", ".join(where), why) for (what, why), where in stages.items()]


def counts(comparison: Comparison) -> list[str]:
    """Return a sentence per kind of note, and one on files of kinds that are not read."""
    lines = [*note_lines(comparison.problems), skipped_line(comparison.dataset.skipped)]
    return [line for line in lines if line]
