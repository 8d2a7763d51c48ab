"""Playlists that players understand."""

import json
from collections.abc import Iterable
from typing import Any, Literal

from musicflow.text import joined

PlaylistFormat = Literal["m3u8", "json"]


def playlist(tracks: Iterable[dict[str, Any]], form: PlaylistFormat) -> str:
    """Write tracks as a playlist.

    Parameters
    ----------
    tracks
        Their payloads (`musicflow.index.fields.payload_of`).
    form
        ``m3u8``: extended M3U in UTF-8, as RFC 8216, section 4.1, has its basic tags. ``json``:
        a list of what is known.
    """
    if form == "json":
        shown = [track | {"artist": joined(track["artist"])} for track in tracks]
        return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    lines = ["#EXTM3U"]
    for track in tracks:
        title = f"{joined(track['artist'])} - {track['name']}"
        lines.append(f"#EXTINF:{track['duration_s']:.0f},{_line(title)}")
        lines.append(_line(track["path"]))
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """Return a text on one line: a tag may hold line breaks."""
    return " ".join(text.splitlines())
