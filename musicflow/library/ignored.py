"""Patterns of files to leave out of a library, in git's notation."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from musicflow.library.track import LibraryError
from musicflow.places import Place

IGNORE_FILE = ".musicflowignore"
"""The name of files with patterns, which are relative to the file's folder."""


@dataclass(frozen=True)
class Ignored:
    """Patterns per folder that they are relative to; the last one that matches decides.

    Parameters
    ----------
    levels
        The number of characters of a path above the folder, and the folder's patterns; outer
        folders first.
    """

    levels: tuple[tuple[int, GitIgnoreSpec], ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Ignored":
        """Return the patterns of the setting `ignore`.

        Raises
        ------
        LibraryError
            If a pattern is not valid.
        """
        lines = list(patterns)
        return cls(((0, _compiled(lines, "the setting ignore")),)) if lines else cls()

    def below(self, folder: str, file: Place) -> "Ignored":
        """Return these patterns with those of a folder's ignore file.

        Parameters
        ----------
        folder
            Its path below the library's root; empty for the root.
        file
            The ignore file in it.

        Raises
        ------
        LibraryError
            If the file cannot be read, or a pattern in it is not valid.
        """
        try:
            lines = file.read_text("utf-8", "surrogateescape").splitlines()
        except OSError as error:
            raise LibraryError(f"{file} cannot be read: {error.strerror}") from error
        above = len(folder) + 1 if folder else 0
        return Ignored((*self.levels, (above, _compiled(lines, str(file)))))

    def covers(self, path: str, is_folder: bool) -> bool:
        """Return whether the path of a file or folder is left out."""
        path = f"{path}/" if is_folder else path
        for above, patterns in reversed(self.levels):
            decided = patterns.check_file(path[above:]).include
            if decided is not None:
                return decided
        return False


def _compiled(lines: Iterable[str], where: str) -> GitIgnoreSpec:
    patterns: list = []
    for line in lines:
        try:
            patterns += GitIgnoreSpec.from_lines([line]).patterns
        except (ValueError, re.error) as error:
            raise LibraryError(f"{where} holds {line!r}, which is no valid pattern") from error
    return GitIgnoreSpec(patterns)
