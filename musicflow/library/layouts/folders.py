"""Any folder of music, such as ``<root>/<genre>/…``: names are those of the files' own tags.

The folders that are genres are found by `labels`.
"""

from musicflow.library.audio_file import AudioFile
from musicflow.library.layouts import Detection, Layout
from musicflow.library.problems import Problem
from musicflow.library.track import Track, track_of
from musicflow.places import Place


def read(root: Place, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each usable file."""
    return [track_of(root, file) for file in files if not file.error], []


def detect(root: Place) -> Detection | None:
    """Detect any folder."""
    return Detection("it is a folder like any other") if root.is_dir() else None


LAYOUT = Layout("folders", detect, read, labels="folder")
