"""A file below a library's root, and what is known of it."""

from dataclasses import dataclass

from musicflow.library.problems import KIND_NOT_READ
from musicflow.library.tags import Tags

FileState = tuple[str, int, int] | tuple[str, int, int, str]
"""Path, size in bytes and time in nanoseconds; elsewhere with the ETag, where there is one."""


@dataclass(frozen=True)
class AudioFile(Tags):
    """An audio file and its tags, or a thing in its place that is of no use.

    `error` says why it is of no use, and `code` is the reason's code. Both are empty otherwise.
    """

    path: str
    """Below the library's root, with forward slashes; a folder's ends in one."""
    size: int
    mtime_ns: int
    content_hash: str = ""
    duration_s: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    former_hash: str = ""
    """The hash that an earlier version gave to the same content; empty if there was none."""
    version: int = 0
    """The version of the scan that examined it."""
    error: str = ""
    code: str = ""
    etag: str = ""
    """A text that changes with the content; empty for a file of this machine."""
    marks: str = ""
    """Where packets lie in a file elsewhere; see `audio.Marks`."""

    @property
    def is_skipped(self) -> bool:
        """Return whether its kind is not read: it is counted, but is no problem."""
        return self.code == KIND_NOT_READ


def state_of_file(file: AudioFile) -> FileState:
    """Return path, size, time and ETag, which change when a file does."""
    state = file.path, file.size, file.mtime_ns
    return (*state, file.etag) if file.etag else state
