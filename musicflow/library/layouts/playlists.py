"""Playlists as labels: a track's genres are the names of the playlists that hold it.

They are detected in a folder of two or more playlists with no more than one folder beside them. In
any other folder, where tags may know better, they are read with ``--format playlists``.
"""

import re
from collections.abc import Container, Iterator
from urllib.parse import unquote, urlsplit

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import state_of
from musicflow.library.layouts.table import place_below
from musicflow.library.problems import LABELS_WITHOUT_AUDIO, Problem
from musicflow.library.track import UNKNOWN, LibraryError, Track, track_of
from musicflow.places import Place
from musicflow.text import normalized

SUFFIXES = (".m3u8", ".m3u")

_TITLE = re.compile(r"#PLAYLIST:(.*)")


def detect(root: Place) -> Detection | None:
    """Detect two or more playlists that lie alone, or beside one folder."""
    if len(found := playlists_in(root)) < 2:
        return None
    folders = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if len(folders) > 1:
        return None
    return Detection(f"{len(found)} playlists lie in it", *folders)


def labels_state(root: Place) -> str:
    """Return names, sizes and times of the playlists as a text."""
    return " ".join(f"{path.name} {state_of(path)}" for path in playlists_in(root))


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each file, with the names of its playlists as genres.

    Raises
    ------
    LibraryError
        If there is no playlist, or one cannot be read.
    """
    playlists = playlists_in(root)
    if not playlists:
        raise LibraryError(f"{root} holds no playlist ({' or '.join(SUFFIXES)})")
    held: dict[str, list[str]] = {}
    lines: dict[str, str] = {}
    for path in playlists:
        name, entries = read_playlist(path)
        for line, entry in entries:
            inner = place_below(root, root, entry) or entry
            held.setdefault(normalized(inner), []).append(name)
            lines.setdefault(normalized(inner), f"no such file: {path.name}, line {line}: {entry}")
    tracks = [_track(root, file, held) for file in files if not file.error]
    known = {normalized(file.path) for file in files}
    problems = [
        Problem(inner, "library", "warning", reason, LABELS_WITHOUT_AUDIO)
        for inner, reason in lines.items()
        if inner not in known
    ]
    return tracks, problems


def playlists_in(root: Place) -> list[Place]:
    """Return the playlists that lie in a folder, by name; none if it cannot be listed."""
    try:
        return sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError:
        return []


def read_playlist(path: Place) -> tuple[str, list[tuple[int, str]]]:
    """Return a playlist's name, and the line and path of each entry.

    Raises
    ------
    LibraryError
        If it cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error.strerror}") from error
    text = _text(raw)
    title = _TITLE.search(text)
    name = normalized(title[1]) if title else ""
    return name or normalized(path.stem), list(_entries(text))


def entries(content: bytes, known: Container[str] = ()) -> list[str]:
    """Return the paths of files in an M3U playlist, as they are written.

    Parameters
    ----------
    content
        The playlist.
    known
        The addresses of files. Others are those of streams, and are left out.
    """
    return [entry for _, entry in _entries(_text(content), known)]


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _entries(text: str, known: Container[str] = ()) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if "://" not in entry or entry in known:
            yield number, entry
        elif entry.startswith("file://"):
            yield number, unquote(urlsplit(entry).path)


def _track(root: Place, file: AudioFile, held: dict[str, list[str]]) -> Track:
    names = tuple(dict.fromkeys(held.get(normalized(file.path), ())))
    extra = {"playlists": names} if names else {}
    return track_of(root, file, genre=names[0] if names else UNKNOWN, genres=names, extra=extra)


LAYOUT = Layout("playlists", detect, read, labels_state)
