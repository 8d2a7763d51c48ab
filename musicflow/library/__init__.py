"""The library: files, and layouts that make tracks of them."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from musicflow.library import labels, layouts
from musicflow.library.audio_file import AudioFile, state_of_file
from musicflow.library.changes import Changes, changes
from musicflow.library.files import (
    Progress,
    Rules,
    examine_files,
    folders_of_home,
    forget_partitions,
    known_partitions,
    load_files,
    load_partitions,
    load_states,
    no_progress,
    scan,
    scan_by_partition,
    scan_partitions,
    shown_as,
    sorted_files,
    split,
    times_of_partitions,
)
from musicflow.library.labels import Rule
from musicflow.library.layouts import Detection, Layout, LayoutError
from musicflow.library.layouts.unused import unused_labels
from musicflow.library.meaning import Doubt, doubts
from musicflow.library.problems import (
    SHORT,
    Problem,
    grouped,
    note_lines,
    skipped_line,
    without_notes,
)
from musicflow.library.rows import Extra
from musicflow.library.summary import Summary, summary_of
from musicflow.library.track import UNKNOWN, Library, LibraryError, Track, known_artists, track_of
from musicflow.library.walk import LibraryChangingError, find, kind_of
from musicflow.places import Place, fresh
from musicflow.settings import Settings

_log = logging.getLogger("musicflow")

__all__ = [
    "SHORT",
    "UNKNOWN",
    "AudioFile",
    "Changes",
    "Detection",
    "Doubt",
    "Extra",
    "Layout",
    "LayoutError",
    "Library",
    "LibraryChangingError",
    "LibraryError",
    "Problem",
    "Progress",
    "Rule",
    "Rules",
    "Summary",
    "Track",
    "changes",
    "doubts",
    "examine_files",
    "find",
    "forget_partitions",
    "grouped",
    "join",
    "known_artists",
    "known_partitions",
    "labels_state",
    "library_as_scanned",
    "load_files",
    "load_partitions",
    "load_states",
    "no_progress",
    "note_lines",
    "read_library",
    "scan",
    "scan_partitions",
    "shown_as",
    "skipped_kinds",
    "skipped_line",
    "sorted_files",
    "split",
    "state_of_file",
    "summary_of",
    "times_of_partitions",
    "track_of",
    "without_notes",
]


def read_library(
    settings: Settings, folder: Path | None = None, progress: Progress = no_progress
) -> Library:
    """Scan the library of the settings, and make tracks of its files.

    Parameters
    ----------
    settings
        The library, and the rules of its scan and of its genres.
    folder
        Keeps the files between scans; None for the home's.
    progress
        Shows progress.

    Raises
    ------
    LibraryError
        If it holds no usable track, or lies in a folder of results of the home.
    """
    assert settings.library is not None
    check_place(settings)
    root = fresh(settings.library)
    given = root, folder or settings.paths.library, progress, Rules.of(settings)
    return _joined(root, scan_by_partition(*given), settings)


def check_place(settings: Settings) -> None:
    """Refuse a library in a folder of results; tell of a home in the library.

    Raises
    ------
    LibraryError
        If the library lies in a folder that holds results of the home.
    """
    home, root = settings.paths, settings.library
    if not isinstance(root, Path):
        return
    for folder in home.folders:
        if root.resolve().is_relative_to(folder.resolve()):
            raise LibraryError(
                f"the library {root} lies in {folder}, where the home keeps results",
                "move the music elsewhere, or name another home with --home",
            )
    if folders_of_home(settings):
        _log.warning(
            "The home %s lies in the library %s: its folders are no music, and are left out.",
            home.root,
            root,
        )


def library_as_scanned(settings: Settings) -> Library:
    """Make tracks of the files of the settings' library, as they were at the last scan.

    Raises
    ------
    LibraryError
        If no usable track was scanned.
    """
    assert settings.library is not None
    return _joined(settings.library, load_partitions(settings.paths.library), settings)


def _joined(root: Place, partitions: dict[str, list[AudioFile]], settings: Settings) -> Library:
    files = sorted_files(partitions)
    library = join(root, files, settings.library_format, Rule.of(settings))
    return replace(library, partitions=partitions)


def join(
    root: Place, files: list[AudioFile], layout: str = layouts.AUTO, rule: Rule = Rule()
) -> Library:
    """Return a library of the scanned files.

    Parameters
    ----------
    root
        The folder of music.
    files
        The files that `scan` returned.
    layout
        The name or address of the layout, or ``auto``; see `layouts.detect`.
    rule
        Where genres come from.

    Raises
    ------
    LibraryError
        If the layout cannot read the folder, no file is usable, or the table of genres cannot be
        used.
    """
    found, detection = layouts.detect(root, layout)
    state = labels_state(root, found, rule)
    skipped = skipped_kinds(files)
    files = [file for file in files if not file.is_skipped]
    tracks, problems = layouts.read(found, root, files)
    broken = [Problem(f.path, "library", "error", f.error, f.code) for f in files if f.error]
    if not tracks:
        reasons = "; ".join(f"{problem.subject}: {problem.reason}" for problem in broken[:5])
        raise LibraryError(f"no usable track lies below {root}", reasons)
    tracks.sort(key=lambda track: track.track_id)
    is_generic = layout == layouts.AUTO and found.labels == "folder"
    labelled, given = labels.label(tracks, files, root, rule, None if is_generic else found.labels)
    return Library(
        root.name,
        str(root),
        "tagged" if is_generic and given.source == "tag" else found.name,
        tuple(labelled),
        (*broken, *problems, *unused_labels(root, found)),
        state,
        skipped,
        detection.reason,
        given.source,
        given.reason,
        given.origin,
    )


def labels_state(root: Place, layout: str | Layout = layouts.AUTO, rule: Rule = Rule()) -> str:
    """Return a text that changes when the labels of a folder do, other than tags and folders.

    Raises
    ------
    LayoutError
        If the name leads to no layout, or the layout fails.
    """
    return layouts.labels_state(root, layout) + rule.state


def skipped_kinds(files: Iterable[AudioFile]) -> dict[str, int]:
    """Return the number of files of each kind that is not read, most frequent first."""
    counts = Counter(kind_of(file.path) for file in files if file.is_skipped)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
