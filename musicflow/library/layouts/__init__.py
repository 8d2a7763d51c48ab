"""Layouts: ways to read tracks, with their names and genres, from a folder of music.

A layout is found by a name, an entry point in the group ``musicflow.layouts`` or the address
``package.module:NAME`` of a `Layout`. Those that ship stand in the table below.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from musicflow.errors import described
from musicflow.library.audio_file import AudioFile
from musicflow.library.problems import Problem
from musicflow.library.track import LibraryError, Track, with_list
from musicflow.library.walk import music_folder
from musicflow.places import Place
from musicflow.registry import Registry

AUTO = "auto"
"""The name that stands for the first layout that detects the folder."""

FALLBACK = "folders"
"""The layout of any other folder."""

_log = logging.getLogger(__name__)


def _no_labels(_root: Place) -> str:
    return ""


@dataclass(frozen=True)
class Detection:
    """What a layout found in a folder of its kind.

    Parameters
    ----------
    reason : str
        What tells the layout, to print: "labels.json and mp3/ lie here".
    music : str
        The folder below the root that holds the music, such as ``mp3``: the folders in it are the
        partitions. If it is empty, the music begins where the only folder of each level leads.
    """

    reason: str
    music: str = ""


@dataclass(frozen=True)
class Layout:
    """A way to lay out a folder of music.

    Parameters
    ----------
    name : str
        Its name, to show.
    detect : callable
        Given the folder of music, a `pathlib.Path` or a `Remote` with its methods, returns a
        `Detection` if it is laid out this way, else None. It is called often, so it should check a
        few names only.
    read : callable
        Given the folder of music and its audio files, returns the tracks and the problems. A
        file that cannot be used has an `error`, and makes no track.
    labels_state : callable
        Given the folder of music, returns a text that changes when its labels do. Empty if the
        files' tags are the only labels.
    labels : {"layout", "folder", "tag"}
        Where its genres come from: itself, the folders or the tags.
    """

    name: str
    detect: Callable[[Any], Detection | None]
    read: Callable[[Any, list[AudioFile]], tuple[Sequence[Track], Sequence[Problem]]]
    labels_state: Callable[[Any], str] = _no_labels
    labels: Literal["layout", "folder", "tag"] = "layout"


class LayoutError(LibraryError):
    """A layout that cannot be used."""

    code = "layout"


REGISTRY = Registry(
    "layout",
    "musicflow.layouts",
    Layout,
    {
        "ludwig": "musicflow.library.layouts.ludwig:LAYOUT",
        "fma": "musicflow.library.layouts.fma:LAYOUT",
        "manifest": "musicflow.library.layouts.manifest:LAYOUT",
        "gtzan": "musicflow.library.layouts.gtzan:LAYOUT",
        "beets": "musicflow.library.layouts.beets:LAYOUT",
        "playlists": "musicflow.library.layouts.playlists:LAYOUT",
        "tagged": "musicflow.library.layouts.tagged:LAYOUT",
        FALLBACK: "musicflow.library.layouts.folders:LAYOUT",
    },
    LayoutError,
)
"""All layouts, by name."""


def names() -> tuple[str, ...]:
    """Return the names that a layout is chosen by. Nothing is imported."""
    return (AUTO, *REGISTRY.names())


def layout_of(root: Place, name: str = AUTO) -> Layout:
    """Return the layout of a folder; see `detect`."""
    return detect(root, name)[0]


def detect(root: Place, name: str = AUTO) -> tuple[Layout, Detection]:
    """Return the layout of a folder, and what tells it.

    Parameters
    ----------
    root
        The folder of music.
    name
        A name, an address, or ``auto`` for the first layout that detects the folder as its own.

    Raises
    ------
    LayoutError
        If the name leads to no layout; the message says why. Of ``auto``, a layout that cannot
        be used is left out, with a warning in the log.
    LibraryError
        If the folder lies elsewhere and cannot be listed.
    """
    with_list(root)
    if name != AUTO:
        layout = REGISTRY.get(name)
        return layout, detection(layout, root) or Detection("asked for")
    for other in REGISTRY.names():
        if other == FALLBACK:
            continue
        try:
            layout = REGISTRY.get(other)
            if (found := detection(layout, root)) is not None:
                return layout, found
        except LayoutError as error:
            _log.warning("%s", error)
    layout = REGISTRY.get(FALLBACK)
    return layout, detection(layout, root) or Detection("it is no folder")


def detection(layout: Layout, root: Place) -> Detection | None:
    """Return what a layout found in a folder; None if the folder is not of its kind.

    Raises
    ------
    LayoutError
        If the layout fails or returns something else.
    """
    try:
        found = layout.detect(root)
    except Exception as error:
        raise _failed(layout, error) from error
    if found is not None:
        _check(layout, [found], Detection)
    return found


def music_of(root: Place, layout: str = AUTO, ignore: Iterable[str] = ()) -> str:
    """Return the folder below `root` that holds the music; empty if it is the root.

    Parameters
    ----------
    root
        The folder of music.
    layout
        The name of its layout; see `layout_of`.
    ignore
        Patterns of files to leave out; see `walk.find`.

    Raises
    ------
    LibraryError
        If the name leads to no layout, the layout fails, or a pattern is not valid.
    """
    return detect(root, layout)[1].music or music_folder(root, ignore)


def read(layout: Layout, root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Read the tracks of a folder.

    Raises
    ------
    LibraryError
        If the folder is not laid out this way, or the layout fails or returns something else.
    """
    try:
        tracks, problems = layout.read(root, files)
        found = list(tracks), list(problems)
    except (LibraryError, MemoryError):
        raise
    except Exception as error:
        raise _failed(layout, error) from error
    _check(layout, found[0], Track)
    _check(layout, found[1], Problem)
    return found


def labels_state(root: Place, layout: str | Layout = AUTO) -> str:
    """Return a text that changes when the labels of a folder do; empty where it has none.

    Parameters
    ----------
    root
        The folder of music.
    layout
        The layout, or a name of one; see `layout_of`.

    Raises
    ------
    LayoutError
        If the name leads to no layout, or the layout fails.
    """
    with_list(root)
    layout = layout_of(root, layout) if isinstance(layout, str) else layout
    try:
        return str(layout.labels_state(root))
    except Exception as error:
        raise _failed(layout, error) from error


def _check(layout: Layout, things: Sequence[object], kind: type) -> None:
    if wrong := [thing for thing in things if not isinstance(thing, kind)]:
        what = f"a {type(wrong[0]).__name__} for a {kind.__name__}"
        raise LayoutError(f"the layout {layout.name} returned {what}")


def _failed(layout: Layout, error: Exception) -> LayoutError:
    return LayoutError(f"the layout {layout.name} failed, {described(error)}")
