"""Answers for programs: the same from the command line and the web service."""

from collections.abc import Sequence
from typing import Any

from musicflow.index import Hit
from musicflow.index.fields import FIELDS
from musicflow.search.duplicates import Group
from musicflow.text import several


def answers_of(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return answers as JSON values.

    Parameters
    ----------
    hits
        The answers, best first.

    Returns
    -------
    list of dict
        ``rank`` from 1, ``score``, the fields of the payload (null where a track has none), with
        artists and genres as lists, and ``duplicates``.
    """
    return [
        {"rank": rank, "score": round(hit.score, 6)}
        | track_of(hit.payload)
        | {"duplicates": list(hit.duplicates)}
        for rank, hit in enumerate(hits, 1)
    ]


def group_of(group: Group) -> dict[str, Any]:
    """Return a group of duplicates as JSON values.

    Returns
    -------
    dict
        ``answers``, and ``cuts``: the track ``track_id`` has ``seconds`` from ``from_s`` on in
        common with the track ``of``. There they begin at ``of_s`` and last ``speed`` times as long.
    """
    cuts = [
        {"track_id": shared.track_id, "of": shared.of} | shared.cut.as_json for shared in group.cuts
    ]
    return {"answers": answers_of(group.hits), "cuts": cuts}


def track_of(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a track's payload as JSON values; see `answers_of`."""
    lists = {name: several(payload[name]) for name in ("artist", "genre")}
    return dict.fromkeys(FIELDS) | payload | lists


def overlap(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of tracks that two lists of answers have in common.

    Parameters
    ----------
    first, second
        Track ids. The share is that of the longer list; two empty lists are alike.
    """
    longer = max(len(first), len(second))
    return len(set(first) & set(second)) / longer if longer else 1.0
