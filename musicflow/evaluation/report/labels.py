"""Tables of the scores by labels beside the genre."""

from musicflow.errors import MusicflowError
from musicflow.evaluation.labelled import MACRO, ByLabel, Label
from musicflow.evaluation.metrics import Shown
from musicflow.evaluation.report.scores import columns
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Comparison, Row
from musicflow.evaluation.statistics import Score
from musicflow.evaluation.verdict import of_disagreement
from musicflow.index import fused


def by_label(comparison: Comparison, label: Label, *shown_in: Shown) -> list[Section]:
    """Return the scores by a label beside the genre, and the mAP of each of its values."""
    title = f"By {label.name}"
    if label.error:
        return [Section(title, text=[str(MusicflowError(label.error, label.advice))])]
    shown = [*columns(comparison, *(shown_in or ("console", "report"))), MACRO]
    rows = [row for row in comparison.rows if row.by_label.get(label.name, ByLabel()).scores]
    scored = [(row, row.by_label[label.name]) for row in rows]
    shown = [m for m in shown if any(m.name in one.scores for _, one in scored)]
    chance = scored[0][1].chance if scored else None
    queries = scored[0][1].n_queries if scored else 0
    origin = f", predicted by {label.embedder}, which favours it" if label.embedder else ""
    text = [
        f"Label: {label.name}{origin}. A hit shares one with the query. {label.tracks:,} tracks "
        f"have any of {label.values:,}; {queries:,} queries"
        + ("." if chance is None else f", chance {chance:.3f}."),
        f"Protocol: {label.protocol}.",
    ]
    if label.protocol is not None and label.protocol.note:
        text.append(f"Note: {label.protocol.note}.")
    text += [of_disagreement(label, one) for one in label.disagreements]
    table = [
        [
            fused.short(row.embedder),
            *(
                _number(row, one.scores.get(m.name), with_ends=m.compared or m is MACRO)
                for m in shown
            ),
        ]
        for row, one in scored
    ]
    found = [Section(title, ["embedder", *(m.title for m in shown)], table, text)]
    if values := sorted({value for _, one in scored for value in one.by_value}):
        table = [
            [value, *(_number(row, Score(one.by_value[value])) for row, one in scored)]
            for value in values
        ]
        head = [label.name, *(fused.short(row.embedder) for row, _ in scored)]
        found.append(Section(f"mAP by {label.name}", head, table, is_folded=True))
    return found


def _number(row: Row, found: Score | None, *, with_ends: bool = False) -> str:
    """Return a score as text; in brackets where it means nothing."""
    if found is None:
        return "–"
    if row.weights == "untrained":
        return f"({found.value:.3f})"
    has_ends = with_ends and found.low is not None
    return f"{found.value:.3f}" + (f"\n[{found.low:.2f}–{found.high:.2f}]" if has_ends else "")
