"""Where tracks come from: two readers over one list of files."""

from pathlib import Path

from musicflow.library import folders, ludwig
from musicflow.library.changes import Changes, changes
from musicflow.library.files import (
    AudioFile,
    LibraryChangingError,
    Progress,
    find,
    forget_parts,
    known_parts,
    load_files,
    load_states,
    quietly,
    scan,
    scan_parts,
    split,
    state_of_file,
)
from musicflow.library.ludwig import labels_state
from musicflow.library.track import UNKNOWN, Library, LibraryError, Problem, Track
from musicflow.settings import LibraryFormat

__all__ = [
    "UNKNOWN",
    "AudioFile",
    "Changes",
    "Library",
    "LibraryChangingError",
    "LibraryError",
    "Problem",
    "Progress",
    "Track",
    "changes",
    "find",
    "forget_parts",
    "join",
    "known_parts",
    "labels_state",
    "load_files",
    "load_states",
    "quietly",
    "scan",
    "scan_parts",
    "split",
    "state_of_file",
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
    tracks, problems = _READERS[layout](root, files)
    broken = [Problem(file.path, "library", "error", file.error) for file in files if file.error]
    if not tracks:
        reasons = "".join(f"\n  {problem.subject}: {problem.reason}" for problem in broken[:5])
        raise LibraryError(f"no usable track lies below {root}{reasons}")
    tracks.sort(key=lambda track: track.track_id)
    return Library(root.name, str(root), layout, tuple(tracks), (*broken, *problems), labels)
