"""Evidence: the quality of each embedder on one library, and its cost."""

from musicflow.evaluation.comparison import compare
from musicflow.evaluation.cost import cost_of
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.results import Comparison, Dataset, Row
from musicflow.evaluation.state import is_up_to_date, state_of
from musicflow.evaluation.statistics import Score

__all__ = [
    "Comparison",
    "Dataset",
    "Method",
    "Row",
    "Score",
    "compare",
    "cost_of",
    "is_up_to_date",
    "state_of",
]
