"""The layout of the Ludwig music dataset: ``mp3/<genre>/<id>.mp3`` and ``labels.json``.

The labels are in DynamoDB's notation, where each value names its type:
``{"tracks": {id: {"artist": {"S": "…"}, "subgenres": {"L": [{"S": "…"}]}, …}}}``.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.problems import (
    AUDIO_WITHOUT_LABELS,
    FOLDER_UNREADABLE,
    LABELS_WITHOUT_AUDIO,
    Problem,
)
from musicflow.library.track import UNKNOWN, LibraryError, Track, track_of
from musicflow.text import normalized

AUDIO = "mp3"
LABELS = "labels.json"


def detect(root: Path) -> Detection | None:
    """Detect a file of labels beside the folder of audio."""
    if (root / LABELS).is_file() and (root / AUDIO).is_dir():
        return Detection(f"{LABELS} and {AUDIO}/ lie in it", AUDIO)
    return None


def labels_state(root: Path) -> str:
    """Return size and time of the file of labels as a text; empty without one."""
    try:
        status = (root / LABELS).stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def read(root: Path, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Join the labels with the audio.

    Audio without labels is a track of the genre its folder names; labels without audio are no
    track. Both are reported.

    Raises
    ------
    LibraryError
        If the labels are missing or are not of this form.
    """
    labels = _labels(root / LABELS)
    tracks: dict[str, Track] = {}
    problems: list[Problem] = []

    def report(subject: str, code: str, reason: str, severity: Any = "warning") -> None:
        problems.append(Problem(subject, "library", severity, reason, code))

    for file in files:
        path = PurePosixPath(file.path)
        if path.parts[0] != AUDIO or file.code == FOLDER_UNREADABLE:
            continue
        if path.stem in tracks:
            reason = f"another file has the id {path.stem} already; left out"
            report(file.path, "same-id", reason, "error")
            continue
        label = labels.pop(path.stem, None)
        if label is None:
            report(file.path, AUDIO_WITHOUT_LABELS, f"no labels for this audio in {LABELS}")
        elif not isinstance(label, dict):
            report(
                file.path, "labels-invalid", f"its labels in {LABELS} are not an object; ignored"
            )
            label = None
        if not file.error:
            tracks[path.stem] = _track(root, file, label)
    for track_id in labels:
        reason = f"labels without audio: no {AUDIO}/<genre>/{track_id}.*"
        report(track_id, LABELS_WITHOUT_AUDIO, reason)
    return list(tracks.values()), problems


def _labels(path: Path) -> dict[str, Any]:
    try:
        labels = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LibraryError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise LibraryError(f"{path} is not valid JSON: {error}") from error
    tracks = labels.get("tracks") if isinstance(labels, dict) else None
    if not isinstance(tracks, dict):
        raise LibraryError(f'{path} has no object "tracks"')
    return tracks


def _track(root: Path, file: AudioFile, label: dict[str, Any] | None) -> Track:
    path = PurePosixPath(file.path)
    folder = path.parts[1] if len(path.parts) > 2 else UNKNOWN
    fields = {"genre": {"S": folder}} if label is None else label
    subgenres = [*_strings(fields.get("subgenres")), *_strings(fields.get("otherSubgenres"))]
    artists = tuple(dict.fromkeys(_strings(fields.get("artist"))))
    return track_of(
        root,
        file,
        track_id=path.stem,
        name=_first(fields.get("name"), file.title),
        genre=_first(fields.get("genre")),
        subgenres=tuple(dict.fromkeys(subgenres)),
        artists=artists or file.artists,
    )


def _first(value: Any, otherwise: str = "") -> str:
    return next(_strings(value), otherwise or UNKNOWN)


def _strings(value: Any) -> Iterator[str]:
    """Yield all non-blank texts in a DynamoDB value, in lists of any depth."""
    if isinstance(value, str):
        if text := normalized(value):
            yield text
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        yield from _strings([value.get(kind) for kind in ("S", "SS", "L")])


LAYOUT = Layout("ludwig", detect, read, labels_state)
