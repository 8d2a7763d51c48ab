"""The layout of the Ludwig music dataset: ``mp3/<genre>/<id>.mp3`` and ``labels.json``.

The labels are in DynamoDB's notation, where each value names its type:
``{"tracks": {id: {"artist": {"S": "…"}, "subgenres": {"L": [{"S": "…"}]}, …}}}``. Kaggle's archive
holds ``mp3/mp3/<genre>/…``. The other parts of the data set (``mfccs/``, ``spectogram/``,
``subgeneres.json``) are not needed and not read.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.genres import key
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import bases, below, joined, state_of
from musicflow.library.problems import (
    AUDIO_WITHOUT_LABELS,
    FOLDER_UNREADABLE,
    GENRE_OF_FOLDER,
    LABELS_WITHOUT_AUDIO,
    Problem,
)
from musicflow.library.track import UNKNOWN, LibraryError, Track, track_of
from musicflow.places import Place
from musicflow.text import normalized

AUDIO = "mp3"
LABELS = "labels.json"

_AUDIO = (f"{AUDIO}/{AUDIO}", "audio/audio", AUDIO, "audio")
"""Folders of the audio, the innermost first."""


def detect(root: Place) -> Detection | None:
    """Detect a file of labels beside the folder of audio, here or one folder deeper."""
    if (found := _find(root)) is None:
        return None
    base, audio = found
    return Detection(f"{joined(base, LABELS)} lies beside {audio}/", joined(base, audio))


def labels_state(root: Place) -> str:
    """Return size and time of the file of labels as a text; empty without one."""
    return state_of(_place(root)[0])


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Join the labels with the audio.

    The genre is that of the folder where the labels name none. Labels without audio are no
    track. Both are reported.

    Raises
    ------
    LibraryError
        If the labels are missing or are not of this form.
    """
    path, music = _place(root)
    labels = _labels(path)
    said = (_first(label.get("genre")) for label in labels.values() if isinstance(label, dict))
    spelled = {key(genre): genre for genre in said if genre}
    tracks: dict[str, Track] = {}
    problems: list[Problem] = []

    def report(subject: str, code: str, reason: str, severity: Any = "warning") -> None:
        problems.append(Problem(subject, "library", severity, reason, code))

    for file in files:
        inner = below(file.path, music)
        if inner is None or file.code == FOLDER_UNREADABLE:
            continue
        track_id = PurePosixPath(inner).stem
        if track_id in tracks:
            reason = f"another file has the id {track_id} already; left out"
            report(file.path, "same-id", reason, "error")
            continue
        label = labels.pop(track_id, None)
        if label is None:
            report(file.path, AUDIO_WITHOUT_LABELS, f"no labels for this audio in {LABELS}")
        elif not isinstance(label, dict):
            report(
                file.path, "labels-invalid", f"its labels in {LABELS} are not an object; ignored"
            )
        if file.error:
            continue
        label = label if isinstance(label, dict) else {}
        genre, folder = _first(label.get("genre")), PurePosixPath(inner).parent.name
        # Where the labels have the genre, too, it is spelled as there.
        as_folder = spelled.get(key(folder), normalized(folder))
        if not genre and folder and label:
            reason = f"no genre in {LABELS}; the folder names it"
            report(track_id, GENRE_OF_FOLDER, reason, "note")
        tracks[track_id] = _track(root, file, track_id, label, genre or as_folder)
    for track_id in labels:
        reason = f"labels without audio: no {music}/<genre>/{track_id}.*"
        report(track_id, LABELS_WITHOUT_AUDIO, reason)
    return list(tracks.values()), problems


def _find(root: Place) -> tuple[str, str] | None:
    """Return the folder of the data set below the root, and that of its audio below that."""
    for base in bases(root):
        if (root / base / LABELS).is_file():
            for audio in _AUDIO:
                if (root / base / audio).is_dir():
                    return base, audio
    return None


def _place(root: Place) -> tuple[Place, str]:
    """Return the file of labels, and the folder of audio below the root."""
    base, audio = _find(root) or ("", AUDIO)
    return root / base / LABELS, joined(base, audio)


def _labels(path: Place) -> dict[str, Any]:
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


def _track(root: Place, file: AudioFile, track_id: str, label: dict[str, Any], genre: str) -> Track:
    subgenres = [*_strings(label.get("subgenres")), *_strings(label.get("otherSubgenres"))]
    artists = tuple(dict.fromkeys(_strings(label.get("artist"))))
    return track_of(
        root,
        file,
        track_id=track_id,
        name=_first(label.get("name")) or file.title or UNKNOWN,
        genre=genre or UNKNOWN,
        subgenres=tuple(dict.fromkeys(subgenres)),
        artists=artists or file.artists,
    )


def _first(value: Any) -> str:
    return next(_strings(value), "")


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
