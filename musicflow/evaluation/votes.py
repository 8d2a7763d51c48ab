"""Votes: which of two tracks a person has nearer to a third, and how embedders stand by them."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from musicflow.index import Collections

ERROR = 0.05
"""The chance that an interval ever leaves out the true share."""

MOST = 1000
"""The most further votes that are spoken of."""

_STEPS = 60


@dataclass(frozen=True)
class Vote:
    """An answer to the question which of two tracks is nearer to a third.

    Parameters
    ----------
    first, second
        The two embedders.
    winner
        The one that the listener agrees with; empty where neither track was nearer.
    query
        The id of the third track.
    answers
        The id of the track that each of the two has nearer. Votes of an earlier version were on
        lists of several.
    versions
        The hashes of their specs.
    filters
        What all three tracks fulfil.
    time
        When, in ISO 8601.
    """

    first: str
    second: str
    winner: str
    query: str
    answers: Sequence[Sequence[str]]
    versions: Sequence[str] = ("", "")
    filters: Sequence[str] = ()
    time: str = ""

    def __post_init__(self) -> None:
        if self.winner not in (self.first, self.second, ""):
            raise ValueError(f"{self.winner!r} was not up for a vote")

    @property
    def is_on_triplet(self) -> bool:
        """Whether it was on two tracks, and not on two lists."""
        return [len(own) for own in self.answers] == [1, 1]


@dataclass(frozen=True)
class Standing:
    """The votes between two embedders.

    Parameters
    ----------
    better, worse
        The embedders, the one with more votes first.
    wins, losses, ties
        Votes for the first, for the second, and for neither.
    share
        That of the first among the votes for either; None without any.
    low, high
        The share's interval; see `interval`.
    is_settled
        Whether the interval leaves out a half.
    needed
        The further votes that settle it if they go on as so far; 0 where it is settled, None where
        that takes more than `MOST`.
    """

    better: str
    worse: str
    wins: int
    losses: int
    ties: int
    share: float | None
    low: float
    high: float
    is_settled: bool
    needed: int | None

    def __str__(self) -> str:
        decided = self.wins + self.losses
        if not decided:
            return f"No vote between {self.better} and {self.worse} yet."
        so_far = (
            f"{self.better} has {self.wins} of {decided} votes against {self.worse} "
            f"({self.share:.0%}, {self.low:.0%} to {self.high:.0%})"
        )
        if self.is_settled:
            return f"{so_far}: settled, your ears agree with {self.better}."
        if self.needed is None:
            return f"{so_far}: even so far, and more than {MOST:,} more would not settle it."
        return f"{so_far}: if votes go on like this, {self.needed} more would settle it."


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
    names = {field.name for field in fields(Vote)}
    votes, unreadable = [], 0
    for line in path.read_bytes().splitlines():
        try:
            said = json.loads(line).items()
            # Votes of an earlier version say more, and may not say what the answers were.
            votes.append(Vote(**{"answers": ()} | {k: v for k, v in said if k in names}))
        except (ValueError, TypeError, AttributeError):
            unreadable += bool(line.strip())
    return votes, unreadable


def standings_in(path: Path, index: Collections) -> list[Standing]:
    """Return the standings by the votes of a file, of the embedders that are published now."""
    manifests = {name: index.manifest(name) for name in index.names()}
    versions = {name: one.spec_hash for name, one in manifests.items() if one is not None}
    return standings(read(path)[0], versions)


def standings(votes: Iterable[Vote], versions: Mapping[str, str]) -> list[Standing]:
    """Return the standing of each two embedders, those with most votes first.

    Parameters
    ----------
    votes
        Those on triplets count, of embedders as they are now.
    versions
        By embedder, the hash of its spec now.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for vote in votes:
        pair = vote.first, vote.second
        if vote.is_on_triplet and tuple(vote.versions) == tuple(map(versions.get, pair)):
            first, second = sorted(pair)
            found.setdefault((first, second), Counter())[vote.winner] += 1
    stands = [standing(*pair, counts) for pair, counts in found.items()]
    return sorted(stands, key=lambda one: -(one.wins + one.losses + one.ties))


def standing(first: str, second: str, counts: Mapping[str, int]) -> Standing:
    """Return the standing of two embedders by the votes for each, and for neither ("")."""
    better, worse = sorted((first, second), key=lambda name: -counts.get(name, 0))
    wins, losses = counts.get(better, 0), counts.get(worse, 0)
    share = wins / (wins + losses) if wins else None
    further = needed(wins, losses)
    votes = wins, losses, counts.get("", 0)
    return Standing(better, worse, *votes, share, *interval(wins, losses), further == 0, further)


def interval(wins: float, losses: float) -> tuple[float, float]:
    """Return the 95 % interval of a share, which holds at all times together.

    It may be looked at after each vote, and voting may stop for any reason: the chance that it ever
    leaves out the true share is 5 % at most (Robbins, Statistical methods related to the law of the
    iterated logarithm, 1970: a uniform mixture of likelihood ratios). It is wider than an interval
    for a number of votes that was fixed before.

    Examples
    --------
    >>> [round(end, 3) for end in interval(8, 0)]
    [0.522, 1.0]
    """
    if not wins + losses:
        return 0.0, 1.0
    share = wins / (wins + losses)
    return _end(share, 0.0, wins, losses), _end(share, 1.0, wins, losses)


def _end(inside: float, outside: float, wins: float, losses: float) -> float:
    """Return where the interval ends, between a share in it and one that may not be."""
    if _is_within(outside, wins, losses):
        return outside
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if _is_within(middle, wins, losses):
            inside = middle
        else:
            outside = middle
    return inside


def needed(wins: float, losses: float) -> int | None:
    """Return the further votes that settle a pair, if they go on as so far.

    0 if it is settled, None if it would take more than `MOST`. Before the first vote, it is what
    settles it where all agree.
    """
    count = wins + losses
    share = wins / count if count else 1.0
    return next(
        (
            further
            for further in range(MOST + 1)
            if not _is_within(0.5, wins + share * further, losses + (1 - share) * further)
        ),
        None,
    )


def _is_within(share: float, wins: float, losses: float) -> bool:
    """Return whether the votes do not speak against a share."""
    if share in (0.0, 1.0):
        return not (losses if share else wins)
    mixture = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(wins + losses + 2)
    likelihood = wins * math.log(share) + losses * math.log1p(-share)
    return mixture - likelihood < math.log(1 / ERROR)


def _ends_a_line(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
