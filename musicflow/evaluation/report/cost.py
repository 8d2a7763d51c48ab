"""The table of costs."""

from collections.abc import Sequence

from musicflow.evaluation.report.cells import cell
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Row

COSTS = (
    ("embedder", "embedder"),
    ("tracks_per_s", "tracks/s"),
    ("x_realtime", "×real"),
    ("decode_ms", "decode ms"),
    ("embed_ms", "embed ms"),
    ("cores", "cores"),
    ("load_s", "load s"),
    ("peak_rss_mb", "MB"),
    ("bytes_per_vector", "bytes per vector"),
    ("query_ms", "query ms"),
    ("agreement_at_10", "agreement@10"),
    ("device", "device"),
    ("precision", "precision"),
)
"""Fields of a `Row`, and the heads of their columns."""


def costs(rows: Sequence[Row]) -> Section:
    """Return the table of what each embedder costs."""
    table = [[cell(row, field) for field, _ in COSTS] for row in rows]
    text = "Measured by the pass that made the vectors, decoding included."
    return Section("Cost", [name for _, name in COSTS], table, [text], ["quality_speed"])
