"""Any folder of music: ``<root>/<genre>/…``, with names from the files' own tags."""

from pathlib import Path, PurePosixPath

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.problems import Problem
from musicflow.library.track import UNKNOWN, Track, track_of
from musicflow.text import normalized


def read(root: Path, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each usable file; the topmost folder is its genre."""
    return [_track(root, file) for file in files if not file.error], []


def _track(root: Path, file: AudioFile) -> Track:
    parts = PurePosixPath(file.path).parts
    genre = normalized(parts[0]) if len(parts) > 1 else ""
    return track_of(root, file, genre=genre or UNKNOWN)


def detect(root: Path) -> Detection | None:
    """Detect any folder."""
    return Detection("it is a folder") if root.is_dir() else None


LAYOUT = Layout("folders", detect, read)
