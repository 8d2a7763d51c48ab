"""Tuned spaces: what a person has already said of music, learned by a linear projection."""

from musicflow.tuning.errors import TuningError

__all__ = ["TuningError"]
