"""Where a data set begins: in the folder that was named, or one folder deeper."""

import os
from collections.abc import Iterator

from musicflow.places import Entry, Place, Remote

MOST = 20
"""A folder of more folders than this is no wrapper of a data set, and is not looked into."""


def bases(root: Place) -> Iterator[str]:
    """Yield the folders in which a data set may begin, as paths below `root`; itself is empty.

    Those that may not be entered, such as ``lost+found``, are left out.
    """
    yield ""
    try:
        found = [e.name for e in entries(root) if not e.name.startswith(".") and _is_open(e)]
    except OSError:
        return
    if len(found) <= MOST:
        yield from sorted(found)


def _is_open(entry: "os.DirEntry[str] | Entry") -> bool:
    may_enter = isinstance(entry, Entry) or os.access(entry.path, os.X_OK)
    return entry.is_dir() and may_enter


def entries(folder: Place) -> "list[os.DirEntry[str] | Entry]":
    """Return what lies in a folder.

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be listed.
    """
    if isinstance(folder, Remote):
        return list(folder.scandir())
    with os.scandir(folder) as found:
        return list(found)


def joined(*parts: str) -> str:
    """Join parts of a path below the root, some of which may be empty."""
    return "/".join(filter(None, parts))


def below(path: str, folder: str) -> str | None:
    """Return a path as it is below a folder; None if it lies elsewhere."""
    if not folder:
        return path
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else None


def state_of(path: Place) -> str:
    """Return size and time of a file as a text; empty if there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"
