"""Blind votes: a person's choices between two embedders, and their totals."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

_Z = 1.959964
"""The normal distribution's 97.5 % point, for intervals of 95 %."""


@dataclass(frozen=True)
class Vote:
    """One judgement.

    `first` and `second` are the embedders in the order they were shown; `winner` is one of them,
    or empty where both were alike. `query` is a track id, or ``upload``. `answers` are the track
    ids that each of the two answered with; empty in votes of before.
    """

    first: str
    second: str
    winner: str
    query: str
    k: int
    time: str = ""
    answers: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        if self.winner not in (self.first, self.second, ""):
            raise ValueError(f"{self.winner!r} was not up for a vote")


@dataclass(frozen=True)
class Standing:
    """The votes for and against one embedder.

    `share` counts a tie as half a win; `low` and `high` bound it at 95 % (Wilson, Probable
    inference, the law of succession, and statistical inference, 1927).
    """

    embedder: str
    votes: int
    wins: int
    ties: int
    share: float
    low: float
    high: float


def cast(path: Path, vote: Vote) -> None:
    """Append a vote to a file of JSON lines; see `append`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append(path, asdict(vote) | {"time": now})


def append(path: Path, values: Mapping[str, Any]) -> None:
    """Append values to a file of JSON lines, and wait until they are on disk.

    A line is written in one piece, and after a line that a crash tore, a new one is begun.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = _line(values)
    with filelock.FileLock(path.with_suffix(".lock")), path.open("a+b", buffering=0) as file:
        if file.tell() and not _ends_a_line(file.fileno(), file.tell()):
            line = b"\n" + line
        file.write(line)
        os.fsync(file.fileno())


def ends_with(path: Path, values: Mapping[str, Any]) -> bool:
    """Return whether the last line of a file of JSON lines holds these values."""
    line = _line(values)
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(line)))
            return file.read() == line
    except FileNotFoundError:
        return False


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def read(path: Path) -> tuple[list[Vote], int]:
    """Return the votes of a file, and the number of its unreadable lines."""
    if not path.exists():
        return [], 0
    votes, unreadable = [], 0
    for line in path.read_bytes().splitlines():
        try:
            votes.append(Vote(**json.loads(line)))
        except (ValueError, TypeError):
            unreadable += bool(line.strip())
    return votes, unreadable


def standings(votes: Iterable[Vote]) -> list[Standing]:
    """Return each embedder's share of its votes, best first."""
    taken = list(votes)
    names = sorted({name for vote in taken for name in (vote.first, vote.second)})
    return sorted((_standing(name, taken) for name in names), key=lambda s: -s.share)


def wilson(wins: float, votes: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `votes`."""
    share, spread = wins / votes, _Z**2 / votes
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _standing(name: str, votes: list[Vote]) -> Standing:
    mine = [vote for vote in votes if name in (vote.first, vote.second)]
    wins = sum(vote.winner == name for vote in mine)
    ties = sum(not vote.winner for vote in mine)
    points = wins + ties / 2
    return Standing(name, len(mine), wins, ties, points / len(mine), *wilson(points, len(mine)))


def _ends_a_line(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
