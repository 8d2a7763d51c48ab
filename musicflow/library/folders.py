"""Any folder of music: ``<root>/<genre>/…``, with names from the files' own tags."""

from pathlib import Path, PurePosixPath

from musicflow.library.audio_file import AudioFile
from musicflow.library.problems import Problem
from musicflow.library.track import UNKNOWN, Track, fields_from
from musicflow.text import normalized


def read(root: Path, files: list[AudioFile]) -> tuple[list[Track], list[Problem]]:
    """Make a track of each usable file; the topmost folder is its genre."""
    return [_track(root, file) for file in files if not file.error], []


def _track(root: Path, file: AudioFile) -> Track:
    path = PurePosixPath(file.path)
    return Track(
        track_id=file.path,
        path=str(root / file.path),
        content_hash=file.content_hash,
        former_hash=file.former_hash,
        duration_s=file.duration_s,
        sample_rate=file.sample_rate,
        name=file.title or normalized(path.stem) or UNKNOWN,
        genre=normalized(path.parts[0] if len(path.parts) > 1 else "") or UNKNOWN,
        **fields_from(file),
    )
