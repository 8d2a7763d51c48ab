"""Filters on what a track is, for any engine."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

KEYWORDS = ("track_id", "artist", "name", "genre", "subgenres", "album", "tags")
"""The payload fields that are matched by value; each has an index."""

DURATION = "duration_s"
"""The payload field that is compared by size."""

_OTHER_NAMES = {"subgenre": "subgenres", "tag": "tags", "id": "track_id", "duration": DURATION}
_FORM = re.compile(
    r"\s*(?P<key>\w+)\s*(?P<sign>!=|\+=|<=|>=|=|<|>)\s*(?P<value>.*\S)\s*", re.DOTALL
)

BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
"""How Qdrant calls the signs that compare."""

Sign = Literal["=", "+=", "!=", "<", "<=", ">", ">="]


class FilterError(ValueError):
    """A filter that cannot be understood; the message shows what can."""


@dataclass(frozen=True)
class Condition:
    """One demand: a field holds any of some values, all, or none; or it is within a bound.

    `values` holds texts for ``=``, ``+=`` and ``!=``, and one number for the rest.
    """

    key: str
    sign: Sign
    values: tuple[str, ...] | tuple[float]

    @property
    def choices(self) -> list[list[str]]:
        """Sets of texts, of each of which the field is to hold one."""
        values = [str(value) for value in self.values]
        return [[value] for value in values] if self.sign == "+=" else [values]


@dataclass(frozen=True)
class Filters:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Filters":
        """Read filters as people write them.

        Parameters
        ----------
        texts
            ``key=value``, ``key+=value`` or ``key!=value`` with a keyword field, or
            ``duration_s<120`` and the like. A key given several times with ``=`` asks for any of
            its values, with ``+=`` for all, with ``!=`` for none; different keys must all hold.

        Raises
        ------
        FilterError
            If a text is not of this form or names no field.
        """
        values: dict[tuple[str, Sign], list[str]] = {}
        for text in texts:
            key, sign, value = _split(text)
            values.setdefault((key, sign), []).append(value)
        return cls(tuple(_condition(key, sign, given) for (key, sign), given in values.items()))


def _split(text: str) -> tuple[str, Sign, str]:
    # What a terminal could not decode is in no tag either.
    match = _FORM.fullmatch(text.encode("utf-8", "replace").decode())
    key = match and _OTHER_NAMES.get(match["key"], match["key"])
    if match is None or key not in (*KEYWORDS, DURATION):
        raise FilterError(
            f"{text!r} is no filter. Write key=value (any of the values given), key+=value (all) "
            f"or key!=value (none) with one of {', '.join(KEYWORDS)}, or {DURATION}<120 "
            "(also <=, >, >=)"
        )
    assert key is not None
    sign: Sign = match["sign"]  # type: ignore[assignment]
    return key, sign, match["value"]


def _condition(key: str, sign: Sign, given: list[str]) -> Condition:
    if (key == DURATION) == (sign in ("=", "+=", "!=")):
        signs = "<, <=, >, >=" if key == DURATION else "=, +=, !="
        raise FilterError(f"{key!r} is compared with {signs}, not with {sign}")
    if key != DURATION:
        return Condition(key, sign, tuple(given))
    try:
        bounds = [float(value) for value in given]
    except ValueError as error:
        raise FilterError(f"{key} is compared with a number of seconds: {error}") from error
    if not all(map(math.isfinite, bounds)):
        raise FilterError(f"{key} is compared with a finite number of seconds")
    # Of several bounds on one side, the narrowest is the one that counts.
    return Condition(key, sign, (min(bounds) if "<" in sign else max(bounds),))
