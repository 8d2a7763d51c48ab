"""Which audio files there are, and what their bytes and headers say.

Reading a library again costs a look at sizes and times: only a file that is new or changed is
hashed and probed.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import mutagen
import pyarrow as pa
import pyarrow.parquet as pq

from musicflow import audio
from musicflow.library.track import LibraryError
from musicflow.settings import write_atomically

Progress = Callable[[Iterable, str, int], Iterator]
"""Wraps an iterable so that a person sees it go by: ``progress(items, title, total)``."""


def quietly(items: Iterable, _title: str, _total: int) -> Iterator:
    """The `Progress` that shows nothing."""
    return iter(items)


@dataclass(frozen=True)
class AudioFile:
    """An audio file: its state on disk, its content, and the tags in it.

    `error` says why the file is of no use, and is empty otherwise.
    """

    path: str
    """Below the library's root, with forward slashes."""
    size: int
    mtime_ns: int
    content_hash: str = ""
    duration_s: float = 0.0
    sample_rate: int = 0
    artist: str = ""
    title: str = ""
    album: str = ""
    error: str = ""


def scan(root: Path, folder: Path, progress: Progress = quietly) -> list[AudioFile]:
    """Find the audio files below `root`.

    Parameters
    ----------
    root
        The library.
    folder
        Where what is known of the files is kept between scans.
    progress
        Shows how far it is.

    Returns
    -------
    list of AudioFile
        Sorted by path; those that are of no use carry their error.

    Raises
    ------
    LibraryError
        If `root` is no folder, cannot be listed, or holds no audio file.
    """
    if not root.is_dir():
        raise LibraryError(f"there is no folder {root}")
    found = sorted(_walk(root), key=lambda file: file.path)
    if not found:
        suffixes = " ".join(sorted(audio.AUDIO_SUFFIXES))
        raise LibraryError(f"no audio files lie below {root} (looked for {suffixes})")
    known = {_state(file): file for file in _load(folder)}
    fresh = [file for file in found if _state(file) not in known]
    with ThreadPoolExecutor() as pool:
        examined = pool.map(lambda file: _examine(root, file), fresh)
        known |= {_state(file): file for file in progress(examined, "Reading files", len(fresh))}
    files = [known[_state(file)] for file in found]
    if fresh or len(files) != len(known):
        _save(folder, files)
    return files


def _walk(root: Path) -> Iterator[AudioFile]:
    def fail(error: OSError) -> None:
        raise LibraryError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for directory, subdirectories, names in os.walk(root, onerror=fail):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        for name in names:
            path = Path(directory, name)
            if path.suffix.lower() not in audio.AUDIO_SUFFIXES or name.startswith("."):
                continue
            relative = path.relative_to(root).as_posix()
            try:
                status = path.stat()
            except OSError as error:
                yield AudioFile(_printable(relative), 0, 0, error=f"{error.strerror}")
                continue
            file = AudioFile(_printable(relative), status.st_size, status.st_mtime_ns)
            if file.path != relative:
                file = replace(file, error="the name is not valid UTF-8; rename the file")
            yield file


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _state(file: AudioFile) -> tuple[str, int, int]:
    return file.path, file.size, file.mtime_ns


def _examine(root: Path, file: AudioFile) -> AudioFile:
    if file.error:
        return file
    path = root / file.path
    try:
        with path.open("rb") as content:
            content_hash = hashlib.file_digest(content, "sha256").hexdigest()
        info = audio.probe(path)
    except audio.AudioError as error:
        return replace(file, error=str(error))
    except OSError as error:
        return replace(file, error=f"cannot be read: {error.strerror}")
    return replace(
        file,
        content_hash=content_hash,
        duration_s=info.duration_s,
        sample_rate=info.sample_rate,
        **_tags(path),  # type: ignore[arg-type]
    )


def _tags(path: Path) -> dict[str, str]:
    """Artist, title and album, as far as the file says."""
    try:
        tags = mutagen.File(path, easy=True) or {}
    except mutagen.MutagenError:
        # The audio is fine; that its tags are not is no reason to leave it out.
        return {}
    values = ((name, tags.get(name)) for name in ("artist", "title", "album"))
    return {name: str(value[0]).strip() for name, value in values if value}


def _load(folder: Path) -> list[AudioFile]:
    if not (folder / _FILE).exists():
        return []
    return [AudioFile(**row) for row in pq.read_table(folder / _FILE).to_pylist()]


def _save(folder: Path, files: list[AudioFile]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([asdict(file) for file in files]), sink)
    write_atomically(folder / _FILE, sink.getvalue().to_pybytes())


_FILE = "files.parquet"
