"""A section of the report, which each form shows in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of the report: a table, with the text before it."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: Sequence[str] = ()
    pictures: Sequence[str] = ()
    """Names of the page's pictures, without a suffix."""
    is_folded: bool = False
    """Whether the page shows the table only to those who ask."""
