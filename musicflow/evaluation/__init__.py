"""Evidence: which embedder brings the tracks of a genre together, and what it costs."""

from musicflow.evaluation.comparison import (
    Comparison,
    Dataset,
    Row,
    compare,
    cost_of,
    state_of,
    still_holds,
)

__all__ = ["Comparison", "Dataset", "Row", "compare", "cost_of", "state_of", "still_holds"]
