"""The files below a library's root, by name, size and time; no file is opened.

There is one row per audio file, per file of another kind, and per entry that cannot be used.
"""

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from musicflow import audio
from musicflow.library.audio_file import AudioFile
from musicflow.library.ignored import IGNORE_FILE, Ignored
from musicflow.library.partitions import may_hold, top_folder
from musicflow.library.problems import (
    FOLDER_UNREADABLE,
    KIND_NOT_READ,
    NAME_NOT_UTF8,
    NOT_A_FILE,
    fault_of_reading,
    skipped_line,
)
from musicflow.library.track import LibraryError, with_list
from musicflow.places import Entry, Place, Remote, place


class LibraryChangingError(LibraryError):
    """The library changed while it was read: reading it again may help."""


def find(
    root: Place,
    partitions: Collection[str] | None = None,
    ignore: Iterable[str] = (),
    music: str = "",
) -> list[AudioFile]:
    """List the files below `root`, by path, size and time alone.

    Linked folders are followed, unless their content is read anyway. Such folders lie inside the
    library or around it, or were read through another link in the same top folder.

    Parameters
    ----------
    root
        The library.
    partitions
        The partitions to list; None for all of the library.
    ignore
        Patterns of files to leave out, in git's notation, beside those of ignore files.
    music
        The folder below the root that holds the music; see `partitions`.

    Returns
    -------
    list of AudioFile
        Sorted by path, without facts of their content. Unusable entries carry an error.

    Raises
    ------
    LibraryError
        If `root` is no folder, cannot be listed, or holds no audio file, or if a pattern of
        `ignore` is not valid.
    """
    with_list(root)
    if not root.is_dir():
        what = "nothing lies below" if isinstance(root, Remote) else "there is no folder"
        raise LibraryError(f"{what} {root}: mount it, or name another library")
    ignored = Ignored.of(ignore)
    files = sorted(_walk(root, partitions, ignored, music), key=lambda file: file.path)
    if not _any_audio(files) and not (partitions and _any_audio(_walk(root, None, ignored, music))):
        suffixes = " ".join(sorted(audio.AUDIO_SUFFIXES))
        others = Counter(kind_of(file.path) for file in files if file.is_skipped)
        there = skipped_line(dict(others.most_common()))
        raise LibraryError(
            f"no audio files lie below {root} (looked for {suffixes})"
            + (f". It holds {there}" if there else "")
        )
    return files


def kind_of(path: str) -> str:
    """Return a file's suffix in lower case; empty if it is not like that of a kind."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a Path for each costs too much
    return suffix if _KIND.fullmatch(suffix) else ""


@dataclass(frozen=True)
class _Folder:
    """A folder to read: its path, its path below the root, and its path without links."""

    path: str
    relative: str
    real: str
    ignored: Ignored

    def child(self, name: str) -> tuple[str, str]:
        """Return the path of an entry, and its path below the root."""
        return _joined(self.path, name), f"{self.relative}/{name}" if self.relative else name


def music_folder(root: Place, ignore: Iterable[str] = ()) -> str:
    """Return the folder below `root` that the music begins in; empty if it is the root.

    As long as a folder holds one folder and no audio file, the music begins in that one. Links
    are not followed. Only names are read.

    Raises
    ------
    LibraryError
        If a pattern of `ignore` is not valid.
    """
    folder: _Folder | None = _Folder(str(root), "", "", Ignored.of(ignore))
    found = ""
    while folder is not None:
        found, folder = folder.relative, _only_folder(root, folder)
    return found


def _entries(root: Place, folder: _Folder) -> "list[os.DirEntry[str] | Entry]":
    if isinstance(root, Remote):
        return list((root / folder.relative).scandir())
    with os.scandir(folder.path) as listing:
        return list(listing)


def _only_folder(root: Place, folder: _Folder) -> _Folder | None:
    """Return the only folder in a folder that holds no audio file; None if there is no such."""
    try:
        entries = _entries(root, folder)
    except OSError:
        return None
    ignored = _with_ignore_file(folder, entries)
    inner: list[_Folder] = []
    for entry in entries:
        (path, relative), is_folder = folder.child(entry.name), _is_folder(entry)
        if not is_folder and kind_of(entry.name) not in audio.AUDIO_SUFFIXES:
            continue
        if _is_systems(entry.name, is_folder) or ignored.covers(relative, is_folder):
            continue
        if inner or not is_folder or entry.is_symlink():
            return None
        inner.append(_Folder(path, relative, "", ignored))
    return inner[0] if inner else None


def _any_audio(files: Iterable[AudioFile]) -> bool:
    return any(not file.is_skipped for file in files)


def _walk(
    root: Place, partitions: Collection[str] | None, ignored: Ignored, music: str
) -> Iterator[AudioFile]:
    home = str(root) if isinstance(root, Remote) else os.path.realpath(root)
    read: dict[str, set[str]] = defaultdict(set)
    waiting = [_Folder(str(root), "", home, ignored)]
    while waiting:
        folder = waiting.pop()
        if not _lies_in(folder.real, home):
            # Per top folder, so that partitions scanned one by one give the same files.
            before = read[top_folder(folder.relative, music)]
            if folder.real in before:
                continue
            before.add(folder.real)
        try:
            entries = sorted(_entries(root, folder), key=lambda entry: entry.name)
        except OSError as error:
            yield _unreadable_folder(folder, error)
            continue
        ignored = _with_ignore_file(folder, entries)
        inner = []
        for entry in entries:
            path, relative = folder.child(entry.name)
            is_folder = _is_folder(entry)
            if _is_systems(entry.name, is_folder) or ignored.covers(relative, is_folder):
                continue
            if not is_folder:
                yield from _file(entry, relative)
            elif partitions is None or may_hold(partitions, relative, music):
                real = _joined(folder.real, entry.name)
                if entry.is_symlink():
                    real = os.path.realpath(path)
                    if _lies_in(real, home) or _lies_in(home, real) or _lies_in(folder.real, real):
                        continue
                inner.append(_Folder(path, relative, real, ignored))
        waiting += reversed(inner)


def _unreadable_folder(folder: _Folder, error: OSError) -> AudioFile:
    if isinstance(error, FileNotFoundError):
        raise LibraryChangingError(f"{folder.path} vanished while it was read") from error
    reason = f"cannot be listed: {error.strerror}"
    if not folder.relative:
        raise LibraryError(f"{folder.path} {reason}") from error
    path = _printable(f"{folder.relative}/")
    return AudioFile(path, 0, 0, error=reason, code=FOLDER_UNREADABLE)


def _with_ignore_file(folder: _Folder, entries: "Iterable[os.DirEntry | Entry]") -> Ignored:
    if any(entry.name == IGNORE_FILE and entry.is_file() for entry in entries):
        return folder.ignored.below(folder.relative, place(_joined(folder.path, IGNORE_FILE)))
    return folder.ignored


def _is_folder(entry: "os.DirEntry | Entry") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_systems(name: str, is_folder: bool) -> bool:
    """Return whether a name is one that systems hide or leave behind."""
    return name.startswith(".") or (is_folder and name.casefold() in _SYSTEMS)


def _file(entry: "os.DirEntry | Entry", relative: str) -> Iterator[AudioFile]:
    """Yield the row of a file; none for companions of music, such as pictures."""
    kind, path = kind_of(entry.name), _printable(relative)
    if kind not in audio.AUDIO_SUFFIXES:
        if kind not in _COMPANIONS:
            reason = f"files of the kind {kind} are not read"
            yield AudioFile(path, 0, 0, error=reason, code=KIND_NOT_READ)
        return
    try:
        status = entry.stat()
    except OSError as error:
        reason, code = fault_of_reading(error)
        yield AudioFile(path, 0, 0, error=reason, code=code)
        return
    reason, code = "", ""
    if not stat.S_ISREG(status.st_mode):
        reason, code = "is no file but a pipe, a socket or a device; left out", NOT_A_FILE
    elif path != relative:
        reason, code = "the name is not valid UTF-8; rename the file", NAME_NOT_UTF8
    etag = getattr(status, "etag", "")
    yield AudioFile(path, status.st_size, status.st_mtime_ns, error=reason, code=code, etag=etag)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _lies_in(path: str, folder: str) -> bool:
    """Return whether a path without links is a folder or lies below it."""
    return path == folder or path.startswith(_joined(folder, ""))


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_KIND = re.compile(r"\.\w{1,10}")

_SYSTEMS = frozenset(
    name.casefold()
    for name in (
        "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs",
        "__MACOSX",
    )
)  # fmt: skip
"""Folders that systems leave: thumbnails, waste bins, files saved from a damaged disk."""

# fmt: off
_COMPANIONS = frozenset({
    "",
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jpe", ".jpeg", ".jpg", ".jxl",
    ".png", ".psd", ".svg", ".tif", ".tiff", ".webp",
    ".doc", ".docx", ".epub", ".htm", ".html", ".lrc", ".md", ".nfo", ".odt", ".pdf", ".rst",
    ".rtf", ".srt", ".txt", ".url", ".webloc",
    ".asx", ".cue", ".fpl", ".m3u", ".m3u8", ".pls", ".wpl", ".xspf", ".zpl",
    ".accurip", ".ffp", ".log", ".md5", ".sfv", ".sha1", ".sha256", ".toc",
    ".cfg", ".csv", ".dat", ".db", ".ini", ".json", ".jsonl", ".lab", ".labels", ".lnk", ".parquet",
    ".sqlite", ".sqlite3", ".toml", ".tsv", ".xml", ".yaml", ".yml",
})
"""Files that accompany music and are not counted: pictures, texts, lists, sums, data."""
# fmt: on
