"""Problems and notes on files and tracks, and sentences that count them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from musicflow import places
from musicflow.text import counted

FOLDER_UNREADABLE = "folder-unreadable"
KIND_NOT_READ = "kind-not-read"
NAME_NOT_UTF8 = "name-not-utf8"
NOT_A_FILE = "not-a-file"
UNEXPECTED = "unexpected"
UNREADABLE = "unreadable"
"""Codes of entries of a folder that cannot be used."""

PASSING = frozenset((UNREADABLE, places.UNREACHABLE, places.GONE, places.CHANGED, places.FORBIDDEN))
"""Codes of files that are read again by the next scan."""

LABELS_WITHOUT_AUDIO = "labels-without-audio"
AUDIO_WITHOUT_LABELS = "audio-without-labels"

GENRE_OF_FOLDER = "genre-of-folder"
"""The code of a track whose labels name no genre, so that its folder does."""

NOT_LISTED = "not-listed"
"""The code of a file that the library's table does not list."""

KNOWN_FAULT = "known-fault"
"""The code of a file that its data set's authors or users found to be faulty."""

OTHER_COPY = "other-copy"
"""The code of a folder that holds tracks that are read from another folder."""

LABELS_NOT_USED = "labels-not-used"
"""The code of a file of labels that lies in the library and is not read."""

SHORT = "short"
"""The code of a track that is shorter than one window of an embedder."""


def fault_of_reading(error: OSError) -> tuple[str, str]:
    """Return why a file cannot be read, in words, and the code of it."""
    code = error.code if isinstance(error, places.FileElsewhereError) else UNREADABLE
    return f"cannot be read: {error.strerror}", code


@dataclass(frozen=True)
class Problem:
    """Something a person should know of a file or a track.

    Parameters
    ----------
    subject
        The track's id, or the path below the library's root of a file that is no track.
    stage
        Where it was found: ``library`` or an embedder's name.
    severity
        An ``error`` leaves the track out; a ``warning`` does not. A ``note`` is no problem: notes
        are counted, not listed.
    reason
        The problem in words.
    code
        The kind of problem; empty if an earlier version stored it.
    """

    subject: str
    stage: str
    severity: Literal["error", "warning", "note"]
    reason: str
    code: str = ""


def without_notes(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that are errors or warnings."""
    return [problem for problem in problems if problem.severity != "note"]


def grouped(problems: Sequence[Problem], most: int = 3) -> list[Problem]:
    """Return problems without notes, errors first; many warnings of one kind are one problem.

    Parameters
    ----------
    problems
        Errors, warnings and notes.
    most
        More warnings than this of one stage and code become one, whose subject is their number
        and this many examples.
    """
    found = [problem for problem in problems if problem.severity == "error"]
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        if problem.severity == "warning":
            kinds.setdefault((problem.stage, problem.code or problem.reason), []).append(problem)
    for alike in kinds.values():
        found += alike if len(alike) <= most else [_in_one(alike, most)]
    return found


def _in_one(alike: Sequence[Problem], most: int) -> Problem:
    examples = ", ".join(problem.subject for problem in alike[:most])
    # What comes after a colon is of one subject.
    reasons = {problem.reason.partition(":")[0] for problem in alike}
    reason = reasons.pop() if len(reasons) == 1 else f"{alike[0].reason}; the others are alike"
    return replace(alike[0], subject=f"{len(alike)}, such as {examples}", reason=reason)


def note_lines(problems: Iterable[Problem]) -> list[str]:
    """Return one sentence per kind of note, with the number of tracks.

    Notes that depend on an embedder have one sentence per embedder. Facts of files have one
    sentence for all embedders.
    """
    subjects: dict[tuple[str, str], set[str]] = {}
    for problem in problems:
        if problem.severity == "note":
            stage = "" if problem.code in _OF_FILES else problem.stage
            subjects.setdefault((problem.code, stage), set()).add(problem.subject)
    return [_note_line(code, stage, len(found)) for (code, stage), found in subjects.items()]


def skipped_line(kinds: Mapping[str, int], most: int = 10) -> str:
    """Return a sentence with the number of files of kinds that are not read.

    Parameters
    ----------
    kinds
        The number of files by kind, most frequent first.
    most
        The number of kinds to name.

    Returns
    -------
    str
        Empty where there are none.
    """
    if not kinds:
        return ""
    named = [f"{count:,} {kind}" for kind, count in list(kinds.items())[:most]]
    total, more = sum(kinds.values()), "" if len(kinds) <= most else ", …"
    return f"{counted(total, 'file')} of kinds that are not read: {', '.join(named)}{more}"


def _note_line(code: str, stage: str, count: int) -> str:
    sentence = _OF_FILES.get(code) or _OF_EMBEDDERS.get(code, _OTHER)
    words = _ONE if count == 1 else _MANY
    return sentence.format(tracks=f"{count} {words['track']}", stage=stage, code=code, **words)


_ONE = {"track": "track", "are": "is", "were": "was", "have": "has", "break": "breaks"}
_MANY = {"track": "tracks", "are": "are", "were": "were", "have": "have", "break": "break"}

_OF_EMBEDDERS = {SHORT: "{tracks} {are} shorter than one window of {stage} and {were} padded"}
_OF_FILES = {
    "concealed": "{tracks} {have} damaged places that were concealed",
    "longer-than-stated": "{tracks} {are} longer than stated in the file and {were} read whole",
    "no-end": "{tracks} {break} off, with the end of the file missing",
    "channels-cancel": "{tracks} {have} channels that cancel each other; the loudest was taken",
    "one-sided": "{tracks} {have} one silent channel and {are} heard 6 dB down",
    "quiet": "{tracks} {are} very quiet",
    "over-full-scale": "{tracks} {are} far over full scale",
    "decoded-through": "{tracks} {were} decoded whole to hear a part",
    NOT_LISTED: "{tracks} {are} not listed in the table and {were} left out",
    GENRE_OF_FOLDER: "{tracks} {have} labels without a genre; the folder names it",
}
_OTHER = "{tracks} {have} the note {code} of {stage}"
