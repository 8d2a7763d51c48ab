"""Where tracks come from: two readers over one list of files."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from musicflow.library import folders, ludwig
from musicflow.library.audio_file import AudioFile, state_of_file
from musicflow.library.changes import Changes, changes
from musicflow.library.files import (
    Progress,
    Rules,
    examine_files,
    forget_parts,
    known_parts,
    load_files,
    load_states,
    quietly,
    scan,
    scan_parts,
    split,
)
from musicflow.library.ludwig import labels_state
from musicflow.library.problems import SHORT, Problem, note_lines, skipped_line, without_notes
from musicflow.library.track import UNKNOWN, Library, LibraryError, Track, known_artists
from musicflow.library.walk import LibraryChangingError, find, kind_of
from musicflow.settings import LibraryFormat

__all__ = [
    "SHORT",
    "UNKNOWN",
    "AudioFile",
    "Changes",
    "Library",
    "LibraryChangingError",
    "LibraryError",
    "Problem",
    "Progress",
    "Rules",
    "Track",
    "changes",
    "examine_files",
    "find",
    "forget_parts",
    "join",
    "known_artists",
    "known_parts",
    "labels_state",
    "load_files",
    "load_states",
    "note_lines",
    "quietly",
    "scan",
    "scan_parts",
    "skipped_kinds",
    "skipped_line",
    "split",
    "state_of_file",
    "without_notes",
]

_READERS = {"ludwig": ludwig.read, "folders": folders.read}


def join(root: Path, files: list[AudioFile], layout: LibraryFormat = "auto") -> Library:
    """Make a library of the files that `scan` found.

    Parameters
    ----------
    root
        The folder of music.
    files
        What `scan` found there.
    layout
        ``ludwig``, ``folders``, or ``auto``: Ludwig where there are labels and audio.

    Raises
    ------
    LibraryError
        If the labels of a Ludwig library cannot be read, or no file is of use.
    """
    if layout == "auto":
        layout = "ludwig" if ludwig.is_ludwig(root) else "folders"
    labels = ludwig.labels_state(root) if layout == "ludwig" else ""
    skipped = skipped_kinds(files)
    files = [file for file in files if not file.is_skipped]
    tracks, problems = _READERS[layout](root, files)
    broken = [Problem(f.path, "library", "error", f.error, f.code) for f in files if f.error]
    if not tracks:
        reasons = "".join(f"\n  {problem.subject}: {problem.reason}" for problem in broken[:5])
        raise LibraryError(f"no usable track lies below {root}{reasons}")
    tracks.sort(key=lambda track: track.track_id)
    told = (*broken, *problems)
    return Library(root.name, str(root), layout, tuple(tracks), told, labels, skipped)


def skipped_kinds(files: Iterable[AudioFile]) -> dict[str, int]:
    """Return the number of files of each kind that is not read, most frequent first."""
    counts = Counter(kind_of(file.path) for file in files if file.is_skipped)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
