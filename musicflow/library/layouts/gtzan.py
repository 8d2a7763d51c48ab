"""The layout of GTZAN: ``genres/<genre>/<genre>.00000.au``, or ``.wav`` as Kaggle has it.

GTZAN names no artists, and has repeated and distorted clips (Sturm, arXiv:1306.1461). Lists of
artists, github.com/julianofoleiss/gtzan_sturm_filter_3folds_stratified, are read if they lie in
``gtzan_artists/`` beside the music: a line per clip, ``./blues_00012.wav<tab>1``, and none for a
faulty clip. The fault-filtered split (Kereliuk, Sturm and Larsen, arXiv:1507.04761),
github.com/coreyker/dnn-mgr, is read from ``gtzan_split/``, three lists of clips such as
``blues/blues.00029.wav``. `musicflow library fetch gtzan` puts both there.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.nested import bases, below, entries, joined, state_of
from musicflow.library.problems import KNOWN_FAULT, Problem
from musicflow.library.track import LibraryError, Track, track_of
from musicflow.places import Place

MUSIC = ("genres_original", "genres")
ARTISTS = "gtzan_artists"
SPLIT = "gtzan_split"
PARTS = {"train": "training", "valid": "validation", "test": "test"}
"""The names of the split's parts, by those of their files."""
GENRES = frozenset(
    ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
)

_CLIP = re.compile(r"([a-z]+)\.(\d{5})\.(wav|au|mp3|flac)", re.IGNORECASE)
_LISTED = re.compile(r"\./([a-z]+)_(\d{5})\.wav\s+(\d+)")
_BROKEN = {"jazz.00054": "Kaggle's archive holds a broken copy of this clip"}


def detect(root: Place) -> Detection | None:
    """Detect folders of genres that hold clips of GTZAN's names, at most two folders deep."""
    for base in bases(root):
        for name in MUSIC:
            if _has_clips(root / base / name):
                return Detection(f"{joined(base, name)}/ holds GTZAN's clips", joined(base, name))
    if root.name in MUSIC and _has_clips(root):
        return Detection("it holds GTZAN's clips")
    return None


def labels_state(root: Place) -> str:
    """Return a text that changes when the lists beside the music do; empty without them."""
    music = _music(root)
    lists = [*_lists(root, music), *_lists(root, music, SPLIT)]
    return " ".join(state_of(path) for path in lists)


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each clip. Known faults are reported.

    Raises
    ------
    LibraryError
        If a list of artists or of the split cannot be read.
    """
    music = _music(root)
    artists, parts = _artists(_lists(root, music)), _parts(_lists(root, music, SPLIT))
    tracks, problems = [], []
    for file in files:
        inner = below(file.path, music)
        if inner is None:
            continue
        path = PurePosixPath(inner)
        clip = path.stem.lower()
        if file.error:
            if clip in _BROKEN:
                problems.append(_fault(file.path, _BROKEN[clip]))
            continue
        fields: dict[str, Any] = {"genre": path.parent.name}
        if clip in parts:
            fields["extra"] = {"split": parts[clip]}
        if artists and clip in artists:
            fields["artists"] = (f"GTZAN artist {artists[clip]}",)
        elif artists:
            reason = "the lists of artists leave it out: it repeats another clip, or is distorted"
            problems.append(_fault(file.path, reason))
        tracks.append(track_of(root, file, **fields))
    return tracks, problems


def _fault(path: str, reason: str) -> Problem:
    return Problem(path, "library", "warning", f"a known fault of GTZAN: {reason}", KNOWN_FAULT)


def _music(root: Place) -> str:
    found = detect(root)
    return found.music if found else ""


def _has_clips(folder: Place) -> bool:
    """Return whether the first file of a folder of a genre has the name of a clip."""
    try:
        genres = [entry.name for entry in entries(folder) if entry.name.lower() in GENRES]
        for genre in genres:
            for entry in entries(folder / genre):
                if match := _CLIP.fullmatch(entry.name):
                    return match[1].lower() == genre.lower()
    except OSError:
        pass
    return False


def _lists(root: Place, music: str, folder: str = ARTISTS) -> list[Place]:
    # Beside the folder of music, or beside the library if that is the folder.
    base = (root / music).parent
    return sorted((base / folder).glob("*_groups.txt" if folder == ARTISTS else "*_filtered.txt"))


def _artists(lists: list[Place]) -> dict[str, str]:
    """Return the number of each clip's artist."""
    text = "\n".join(map(_text, lists))
    return {f"{genre}.{number}": artist for genre, number, artist in _LISTED.findall(text)}


def _parts(lists: list[Place]) -> dict[str, str]:
    """Return the part of the split that each clip is of."""
    return {
        PurePosixPath(line).stem.lower(): part
        for path in lists
        if (part := PARTS.get(path.name.partition("_")[0]))
        for line in _text(path).split()
    }


def _text(path: Place) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise LibraryError(f"a list of GTZAN's clips cannot be read: {error}") from error


LAYOUT = Layout("gtzan", detect, read, labels_state)
