"""Files that a model from outside is made of: their digest, and facts that are dear to find out.

A digest stands for the content. It is remembered by a file's size and date, so that a large file is
read once.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from musicflow.atomic import write_atomically
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.weights import Weights, digest_of
from musicflow.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LocalWeights(Weights):
    """Files of this machine, used where they lie.

    Parameters
    ----------
    files
        All that decide a vector.
    """

    files: tuple[Path, ...]

    @property
    def address(self) -> str:
        """The first file."""
        return str(self.files[0])

    @property
    def folder(self) -> Path:
        """The folder of the first file."""
        return self.files[0].parent

    def state(self, cache: Path) -> Literal["missing", "unchecked", "checked"]:  # noqa: ARG002
        """Return whether the files are there; they are what their digest says."""
        return "checked" if all(file.exists() for file in self.files) else "missing"

    def fetch(self, cache: Path) -> Path:
        """Return the first file.

        Raises
        ------
        WeightsError
            If the files are not there, or others than when the spec was made.
        """
        self.verify(cache)
        return self.files[0]

    def verify(self, cache: Path) -> None:  # noqa: ARG002
        """Check the files; see `fetch`."""
        if (found := digest_of_files(self.files)) != self.digest:
            raise WeightsError(f"{self.address} has {found} instead of {self.digest}")

    def _download(self, target: Path) -> None:
        raise WeightsError(f"{target.name} is used where it lies: {self.address}")


def digest_of_files(files: Iterable[Path]) -> str:
    """Return one digest for the names and contents of files.

    Raises
    ------
    WeightsError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            stat = file.stat()
            about = f"{file.absolute()} {stat.st_size} {stat.st_mtime_ns}"
            known = remembered(about, partial(digest_of, file))
        except OSError as error:
            raise WeightsError(f"{file} cannot be read: {error.strerror}") from error
        digest.update(json.dumps([file.name, known]).encode())
    return f"sha256:{digest.hexdigest()}"


def remembered(about: str, find_out: Callable[[], Any]) -> Any:
    """Return what a function finds out, which is kept on disk under a text.

    Parameters
    ----------
    about
        All that the answer depends on.
    find_out
        Returns what JSON can hold.
    """
    name = hashlib.sha256(about.encode()).hexdigest()[:32]
    path = _folder() / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text("utf-8"))
    found = find_out()
    # A cache that cannot be written costs time alone.
    with contextlib.suppress(OSError):
        write_atomically(path, json.dumps(found).encode())
    return found


@cache
def _folder() -> Path:
    return Settings().cache / "outside"
