"""Names as pages show them: those of files come from anywhere."""

import unicodedata

from musicflow.library import UNKNOWN
from musicflow.text import DIRECTIONS


def clean(text: object, longest: int = 100) -> str:
    """Return a text on one line, shortened, without control characters."""
    line = str(text)[: 4 * longest]
    if not line.isprintable():
        kept = (c for c in line if c not in DIRECTIONS)
        blank = ("Cc", "Cs", "Zl", "Zp")
        line = "".join(" " if unicodedata.category(c) in blank else c for c in kept)
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def known(artist: str) -> str:
    """Return an artist's name; empty if not known."""
    return "" if artist == UNKNOWN else clean(artist)
