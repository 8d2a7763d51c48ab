"""Filters by payload fields, for any engine."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from musicflow.errors import MusicflowError
from musicflow.index import fields
from musicflow.index.fields import Field, Table
from musicflow.text import folded, nearest

_FORM = re.compile(
    r"\s*(?P<key>\w+)\s*(?P<sign>!=|\+=|<=|>=|=|<|>)\s*(?P<value>.*\S)\s*", re.DOTALL
)

UNKNOWN_KEY, UNKNOWN_VALUE = "filter-key", "filter-value"
"""The codes of filters by a field, or for a value, that no track has."""

BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
"""Qdrant's names for the signs that compare."""

Sign = Literal["=", "+=", "!=", "<", "<=", ">", ">="]


class FilterError(MusicflowError, ValueError):
    """A text is no filter, or asks for a value that no track has.

    Its code is ``filter``, ``filter-key`` or ``filter-value``.
    """

    code = "filter"


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
    def parse(cls, texts: Iterable[str], table: Table = fields.FIELDS) -> "Filters":
        """Read filters as people write them.

        Parameters
        ----------
        texts
            ``key=value``, ``key+=value`` or ``key!=value`` with a keyword field, or
            ``duration_s<120`` and the like with a number. A key given several times with ``=``
            asks for any of its values, with ``+=`` for all, with ``!=`` for none; different keys
            must all hold.
        table
            The fields to name.

        Raises
        ------
        FilterError
            If a text is not of this form or names no field.
        """
        values: dict[tuple[str, Sign], list[str]] = {}
        for text in texts:
            field, sign, value = _split(text, table)
            values.setdefault((field.name, sign), []).append(value)
        conditions = (_condition(table[key], sign, given) for (key, sign), given in values.items())
        return cls(tuple(conditions))


def filter_forms(table: Table = fields.FIELDS) -> str:
    """Return how filters are written, in one line."""
    keywords = ", ".join(field.name for field in fields.of_kind("keyword", table))
    numbers = ", ".join(field.name for field in fields.of_kind("number", table))
    return (
        "key=value (any of the values given), key+=value (all) or key!=value (none) with one of "
        f"{keywords}; or key<number (also <=, >, >=) with {numbers}"
    )


def field_of(name: str, table: Table = fields.FIELDS, text: str = "") -> Field:
    """Return the field with a name or alias.

    Parameters
    ----------
    name
        Of the field.
    table
        The fields to name.
    text
        The filter that asks for it, for the error.

    Raises
    ------
    FilterError
        If there is none to filter by; its code is ``filter-key``.
    """
    field = fields.find(name, table)
    if field is None:
        asked = f", which {text!r} asks for" if text else ""
        known = {name: name for name, held in table.items() if held.kind != "stored"}
        hint = nearest(folded(name), known) or f"write {filter_forms(table)}"
        raise FilterError(f"no track has a field {name!r}{asked}", hint, UNKNOWN_KEY)
    return field


def _split(text: str, table: Table) -> tuple[Field, Sign, str]:
    # What a terminal could not decode is in no tag either.
    match = _FORM.fullmatch(text.encode("utf-8", "replace").decode())
    if match is None:
        raise FilterError(f"{text!r} is no filter", f"write {filter_forms(table)}")
    sign: Sign = match["sign"]  # type: ignore[assignment]
    return field_of(match["key"], table, text), sign, match["value"]


def _condition(field: Field, sign: Sign, given: list[str]) -> Condition:
    key, number = field.name, field.kind == "number"
    if number != (sign in BOUNDS):
        signs = "<, <=, > or >=" if number else "=, += or !="
        raise FilterError(f"{key!r} cannot be compared with {sign}", f"write {signs}")
    if not number:
        return Condition(key, sign, tuple(given))
    bounds = [_number(field, value) for value in given]
    # Of several bounds on one side, the narrowest is the one that counts.
    return Condition(key, sign, (min(bounds) if "<" in sign else max(bounds),))


def _number(field: Field, text: str) -> float:
    wanted = f"a finite number of {field.unit}" if field.unit else "a finite number"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FilterError(f"{field.name!r} cannot be compared with {text!r}", f"give {wanted}")
    return value
