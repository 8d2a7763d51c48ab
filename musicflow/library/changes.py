"""Changes of a library since its last scan. No file is opened."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from musicflow.library.audio_file import FileState, state_of_file
from musicflow.library.files import Rules, load_states, split_library
from musicflow.places import Place


@dataclass(frozen=True)
class Changes:
    """The state of the files per partition, now and at the last scan."""

    found: dict[str, set[FileState]]
    known: dict[str, set[FileState]]

    @property
    def changed(self) -> list[str]:
        """Return the partitions whose files differ from the last scan."""
        return [key for key, states in self.found.items() if states != self.known.get(key)]

    @property
    def gone(self) -> list[str]:
        """Return the partitions of the last scan that have no file any more."""
        return sorted(self.known.keys() - self.found.keys())

    def digest(self, partition: str) -> str:
        """Return a hash of the state of a partition's files."""
        text = repr(sorted(self.found[partition]))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def describe(self, partition: str) -> str:
        """Return the numbers of added, changed and deleted files as a phrase."""
        before = {path: state for path, *state in self.known.get(partition, ())}
        now = {path: state for path, *state in self.found[partition]}
        counts = {
            "added": len(now.keys() - before.keys()),
            "changed": sum(now[path] != before[path] for path in now.keys() & before.keys()),
            "deleted": len(before.keys() - now.keys()),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def changes(root: Place, folder: Path, rules: Rules = Rules()) -> Changes:
    """Compare the files below `root` with the last scan, which is kept in `folder`.

    Raises
    ------
    LibraryError
        If the library is missing, is empty or cannot be listed. It does not follow that its files
        were deleted.
    """
    found = split_library(root, rules)
    states = {key: {state_of_file(file) for file in files} for key, files in found.items()}
    return Changes(states, load_states(folder))
