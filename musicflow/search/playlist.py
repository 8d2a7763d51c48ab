"""Playlists that players understand."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit
from xml.etree import ElementTree

from musicflow.index import Collection
from musicflow.library.layouts.playlists import SUFFIXES as M3U_SUFFIXES
from musicflow.library.layouts.playlists import entries
from musicflow.places import is_elsewhere
from musicflow.search.errors import QueryError
from musicflow.text import joined, normalized, several

PlaylistFormat = Literal["m3u8", "xspf", "json"]

SUFFIXES = (*M3U_SUFFIXES, ".xspf", ".json")
"""Of the playlists that `tracks_in` reads."""

MEDIA_TYPES: dict[PlaylistFormat, str] = {
    "m3u8": "application/vnd.apple.mpegurl",
    "xspf": "application/xspf+xml",
    "json": "application/json",
}


@dataclass(frozen=True)
class LeftOut:
    """A track that a playlist does not hold.

    Parameters
    ----------
    track_id
        The track.
    code
        ``gone``: its file is not there. ``name``: the format cannot hold its path.
    """

    track_id: str
    code: Literal["gone", "name"]

    def __str__(self) -> str:
        reason = {
            "gone": "its file is gone",
            "name": "a line of a playlist cannot hold its path",
        }[self.code]
        return f"{self.track_id!r} is left out: {reason}"


@dataclass(frozen=True)
class Written:
    """A playlist as text, and the tracks that it does not hold."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Paths:
    """How a playlist names files.

    Parameters
    ----------
    relative_to
        The folder that paths start from; None for whole paths.
    mapped
        A beginning of paths, and what stands in its place: ``("/music", "/data/music")`` for a
        player that sees the library elsewhere.
    """

    relative_to: Path | None = None
    mapped: tuple[str, str] | None = None

    @classmethod
    def read(cls, relative_to: str = "", mapped: str = "") -> "Paths":
        """Read how a playlist names files, as pages and programs say it; nothing if empty.

        Raises
        ------
        QueryError
            If the folder is no whole path, or the mapping has no two sides.
        """
        if relative_to and not Path(relative_to).is_absolute():
            raise QueryError(f"{relative_to!r} is no whole path", "write /music", "relative-to")
        return cls(Path(relative_to) if relative_to else None, mapping(mapped) if mapped else None)

    def of(self, path: str) -> str:
        """Return the path of a file as the playlist has it."""
        if self.mapped is not None:
            start, instead = (side.rstrip("/") for side in self.mapped)
            if path == start or path.startswith(f"{start}/"):
                path = instead + path.removeprefix(start)
        if self.relative_to is None or is_elsewhere(path):
            return path
        return os.path.relpath(path, self.relative_to.absolute())


def mapping(text: str) -> tuple[str, str]:
    """Read how paths are mapped, ``/music=/data/music``.

    Raises
    ------
    QueryError
        If the text has no two sides.
    """
    start, sign, instead = text.partition("=")
    if not sign or not start or not instead:
        raise QueryError(f"{text!r} maps nothing", "write /music=/data/music", "mapping")
    return start, instead


def playlist(
    tracks: Iterable[dict[str, Any]],
    form: PlaylistFormat,
    paths: Paths = Paths(),
    is_there: Callable[[str], bool] = lambda path: is_elsewhere(path) or Path(path).is_file(),
) -> Written:
    """Write tracks as a playlist.

    Parameters
    ----------
    tracks
        Their payloads (`musicflow.index.fields.payload_of`).
    form
        ``m3u8``: extended M3U in UTF-8, as RFC 8216, section 4.1, has its basic tags. ``xspf``:
        XSPF 1 (https://www.xspf.org/spec). ``json``: a list of what is known.
    paths
        How files are named.
    is_there
        Whether a file is there, by its path; files elsewhere are not looked for.

    Returns
    -------
    Written
        The playlist. Files that are gone are left out, and paths that a line cannot hold.
    """
    kept: list[dict[str, Any]] = []
    left_out: list[LeftOut] = []
    for track in tracks:
        if not is_there(track["path"]):
            left_out.append(LeftOut(track["track_id"], "gone"))
        elif form == "m3u8" and track["path"].splitlines() != [track["path"]]:
            left_out.append(LeftOut(track["track_id"], "name"))
        else:
            kept.append(track | {"path": paths.of(track["path"])})
    return Written(_WRITERS[form](kept), tuple(left_out))


def tracks_in(
    content: bytes, collection: Collection, folder: Path | None = None
) -> tuple[list[str], list[str]]:
    """Return the tracks that an M3U, XSPF or JSON playlist names, and its entries that are none.

    An entry is a track by its whole path; else by the name of its file and of the folder that
    holds it, so that a playlist of another machine is understood, if just one track has these.

    Parameters
    ----------
    content
        The playlist.
    collection
        Where to look.
    folder
        The folder of the playlist, which relative paths start from.

    Returns
    -------
    track_ids : list of str
        Each once, in the order of the playlist.
    unknown : list of str
        The entries, as they are written.

    Raises
    ------
    QueryError
        If the playlist names no file.
    """
    ids = {payload["path"]: payload["track_id"] for payload in collection.payloads()}
    named = _of_json(content) or _of_xspf(content) or entries(content, ids)
    if not named:
        advice = "give an M3U, XSPF or JSON playlist"
        raise QueryError("the playlist names no file", advice, "empty-playlist")
    alike: dict[str, list[str]] = {}
    for path in ids:
        alike.setdefault(_parts(path)[-1], []).append(path)
    found: dict[str, None] = {}
    unknown: list[str] = []
    for entry in named:
        path = _match(entry, ids, alike, folder)
        if path is None:
            unknown.append(entry)
        else:
            found[ids[path]] = None
    return list(found), unknown


def _of_json(content: bytes) -> list[str]:
    """Return the paths of files in a playlist as `playlist` writes it; none of another."""
    try:
        tracks = json.loads(content.decode("utf-8", "surrogateescape"))
        return [str(track["path"]) for track in tracks]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _of_xspf(content: bytes) -> list[str]:
    """Return the paths of files in an XSPF playlist; none of another."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return []
    # Where there are several, they are copies of one file.
    listed = (track.findtext("{*}location", "") for track in root.iterfind("{*}trackList/{*}track"))
    return [_path(location.strip()) for location in listed if location.strip()]


def _path(location: str) -> str:
    """Return the path at the address of a file, whole or from a folder on; others as they are."""
    address = urlsplit(location)
    if address.scheme not in ("", "file"):
        return location
    return os.fsdecode(unquote_to_bytes(address.path))


def _match(
    entry: str, ids: Mapping[str, str], alike: Mapping[str, list[str]], folder: Path | None
) -> str | None:
    """Return the path of the track that an entry means."""
    if entry in ids:
        return entry
    whole = os.path.normpath(os.path.join(str(folder or ""), entry))  # noqa: PTH118
    if whole in ids:
        return whole
    parts = _parts(entry)
    end = parts[-2:]
    found = [path for path in alike.get(parts[-1], ()) if _parts(path)[-len(end) :] == end]
    return found[0] if len(found) == 1 else None


def _parts(path: str) -> tuple[str, ...]:
    """Return the parts of a path, of any system; at least one."""
    return PurePosixPath(normalized(path).replace("\\", "/")).parts or ("",)


def _json(tracks: Sequence[dict[str, Any]]) -> str:
    shown = [track | {"artist": several(track["artist"])} for track in tracks]
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"


def _m3u8(tracks: Sequence[dict[str, Any]]) -> str:
    lines = ["#EXTM3U"]
    for track in tracks:
        title = " ".join(f"{joined(track['artist'])} - {track['name']}".splitlines())
        path = track["path"]
        lines.append(f"#EXTINF:{track['duration_s']:.0f},{title}")
        # A line that begins like this is a comment.
        lines.append(f"./{path}" if path.startswith("#") else path)
    return "\n".join(lines) + "\n"


def _xspf(tracks: Sequence[dict[str, Any]]) -> str:
    root = ElementTree.Element("playlist", version="1", xmlns="http://xspf.org/ns/0/")
    listed = ElementTree.SubElement(root, "trackList")
    for track in tracks:
        values = {
            "location": _location(track["path"]),
            "title": normalized(track["name"]),
            "creator": normalized(joined(track["artist"])),
            "album": normalized(track.get("album") or ""),
            "duration": f"{1000 * track['duration_s']:.0f}",
        }
        entry = ElementTree.SubElement(listed, "track")
        for name, value in values.items():
            if value:
                ElementTree.SubElement(entry, name).text = value
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _location(path: str) -> str:
    """Return the address of a file: any name of a file can be one."""
    if is_elsewhere(path):
        return path
    address = quote(os.fsencode(path))
    return f"file://{address}" if path.startswith("/") else address


_WRITERS: dict[PlaylistFormat, Callable[[Sequence[dict[str, Any]]], str]] = {
    "m3u8": _m3u8,
    "xspf": _xspf,
    "json": _json,
}
