"""Cells: fields and scores of a row as text for a table."""

from musicflow.embedders.catalogue import marked
from musicflow.evaluation.metrics import MAIN, Measure
from musicflow.evaluation.results import Row
from musicflow.index import fused

_DECIMALS = {
    "tracks_per_s": 1,
    "x_realtime": 0,
    "decode_ms": 1,
    "embed_ms": 1,
    "cores": 1,
    "load_s": 1,
    "peak_rss_mb": 0,
}


def cell(row: Row, field: str) -> str:
    """Return a field of a row as text for a table."""
    value = getattr(row, field)
    if value is None:
        return "–"
    if field == "embedder":
        return fused.short(row.embedder)
    if field == "licence":
        return marked(row.licence)
    return f"{value:.{_DECIMALS.get(field, 3)}f}" if isinstance(value, float) else str(value)


def score(row: Row, name: str) -> str:
    """Return a score as text for a table; in brackets where it means nothing."""
    value = row.value(name)
    if value is None:
        return "–"
    return f"({value:.3f})" if row.weights == "untrained" else f"{value:.3f}"


def interval(row: Row, name: str = MAIN) -> str:
    """Return a score's interval as text for a table; empty if it means nothing."""
    found = row.scores.get(name)
    if found is None or found.low is None or found.high is None or row.weights == "untrained":
        return ""
    return f"{found.low:.2f}–{found.high:.2f}"


def with_interval(row: Row, measure: Measure) -> str:
    """Return a score, with its interval where differences are tested or words ask."""
    ends = interval(row, measure.name) if measure.compared or measure.labels == "words" else ""
    return score(row, measure.name) + (f"\n[{ends}]" if ends else "")
