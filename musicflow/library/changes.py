"""What changed in a library since its partitions were last read, seen without opening a file."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from musicflow.library.audio_file import FileState, state_of_file
from musicflow.library.files import load_states, split
from musicflow.library.walk import find
from musicflow.settings import PARTITION_SIZE


@dataclass(frozen=True)
class Changes:
    """The files by partition, as they are and as they were read."""

    found: dict[str, set[FileState]]
    known: dict[str, set[FileState]]

    @property
    def changed(self) -> list[str]:
        """The partitions whose files are not what was read of them."""
        return [key for key, states in self.found.items() if states != self.known.get(key)]

    @property
    def gone(self) -> list[str]:
        """The partitions that were read and have no file any more."""
        return sorted(self.known.keys() - self.found.keys())

    def digest(self, partition: str) -> str:
        """A name for the state that a partition's files are in."""
        text = repr(sorted(self.found[partition]))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def describe(self, partition: str) -> str:
        """How many files of a partition were added, changed or deleted, for a person to read."""
        before = {path: state for path, *state in self.known.get(partition, ())}
        now = {path: state for path, *state in self.found[partition]}
        counts = {
            "added": len(now.keys() - before.keys()),
            "changed": sum(now[path] != before[path] for path in now.keys() & before.keys()),
            "deleted": len(before.keys() - now.keys()),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def changes(
    root: Path, folder: Path, part_size: int = PARTITION_SIZE, ignore: Collection[str] = ()
) -> Changes:
    """Compare the files below `root` with what is known of them in `folder`.

    Raises
    ------
    LibraryError
        If the library is not there, is empty or cannot be listed: nothing is known then, least of
        all that its files were deleted.
    """
    found = split(find(root, ignore=ignore), part_size)
    states = {key: {state_of_file(file) for file in files} for key, files in found.items()}
    return Changes(states, load_states(folder))
