"""Text as people write it: made regular where it comes in, and matched as it is read."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache

DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of writing, so that a name reads as another."""


def normalized(text: str) -> str:
    """Return a text in one Unicode form, fit to be kept and shown.

    Characters that no one can read are left out: control characters, NUL among them, byte order
    marks, and lone surrogates, which no file can hold. A tab or a line break becomes a space.
    What remains is composed (NFC), and has no white space around it. All else stays as it was
    written: this is the text that is shown.
    """
    kept = _UNREADABLE.sub("", _BREAKS.sub(" ", text))
    return unicodedata.normalize("NFC", kept).strip()


def shown(text: str) -> str:
    """Return a text as a terminal shows it: on one line, with what it would obey as escapes.

    These are control characters, among them those that begin a terminal's commands, and marks that
    turn the direction of writing, so that a name reads as another. Half characters, which names of
    files can hold, are no UTF-8.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], _BREAKS.sub(" ", text))


@lru_cache(1 << 15)
def folded(text: str) -> str:
    """Return the form of a text that is matched: one for all that read alike.

    It is never shown. These count as the same:

    - upper and lower case, by Unicode's full folding: "STRASSE" and "straße";
    - letters with and without accents, in Latin, Greek, Cyrillic, Hebrew and Arabic script, where
      keyboards lack them and writers leave them out: "Björk" and "Bjork", "ё" and "е". The marks
      of other scripts are no accents ("が" is not "か") and count;
    - letters that are one with a stroke, or two in one, and that Unicode does not take apart:
      "Mø" and "Mo", "Æ" and "AE", as Lucene's ASCII folding has them;
    - forms of compatibility (NFKC): full and half width, ligatures, "…" and "...";
    - all dashes and hyphens, all apostrophes and accents used as such, all double quotes;
    - white space of any kind and number; and what has no width does not count.

    "Hip-hop" and "hip hop" stay two, as "ö" and "oe" do: there the letters differ. Folding a text
    again changes nothing.
    """
    if text.isascii():
        text = text.translate(_SIGNS)
    else:
        # Some capitals come to light when a character is taken apart, and some folds can be.
        for form in ("NFC", "NFKD", "NFKD"):
            text = unicodedata.normalize(form, text).translate(_SIGNS).casefold()
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).translate(_LETTERS)
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.casefold().split())


def joined(names: str | Sequence[str]) -> str:
    """Return names as one text; a text as it is, which old collections hold."""
    return names if isinstance(names, str) else ", ".join(names)


def several(names: str | Sequence[str]) -> list[str]:
    """Return names as a list; a text, which old collections hold, is one."""
    return [names] if isinstance(names, str) else list(names)


def nearest(wanted: str, known: Mapping[str, str]) -> str:
    """Return a hint that names the nearest of some texts; empty where none is near.

    Parameters
    ----------
    wanted
        What was asked for, `folded`.
    known
        The texts to name, by their folded forms.
    """
    within = [text for text in known if wanted and wanted in text][:3]
    near = within or get_close_matches(wanted, list(known), n=3, cutoff=0.5)
    names = list(dict.fromkeys(known[text] for text in near))
    return f"the nearest {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 track`` or ``1,200 tracks``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration as a person would say it, in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """Return a time within a track, such as 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def about(seconds: float | None) -> str:
    """Return an estimated duration in brackets, behind a blank; empty if there is none."""
    return "" if seconds is None else f" (about {duration(seconds)})"


_BREAKS = re.compile(r"[\t-\r\x85\u2028\u2029]+")
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_OBEYED = re.compile(f"[\x00-\x1f\x7f-\x9f\ufeff\ud800-\udfff{DIRECTIONS}]")
_ACCENTS = re.compile(
    "[\u0300-\u036f\u1dc4-\u1dff"  # Latin, Greek, Cyrillic
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"  # Arabic
)
_WIDTHLESS = (0xAD, 0x34F, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F))
_WIDTHLESS += (*range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF)
_SIGNS = str.maketrans(
    dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-")
    | dict.fromkeys("‘’‚‛′‵`´ʹʻʼʽˈˊˋ＇｀׳", "'")
    | dict.fromkeys("“”„‟″‶«»＂״〝〞〟", '"')
    | dict.fromkeys("〜～", "~")
    | dict.fromkeys(map(chr, _WIDTHLESS))
)
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ı": "i"}
    | {"æ": "ae", "œ": "oe", "ŋ": "n"}
)
