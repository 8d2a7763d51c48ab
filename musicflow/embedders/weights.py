"""Weights: where they come from, and how they get here whole."""

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import filelock


class WeightsError(Exception):
    """Weights that are not to be had, or are not what they should be; says what to do."""


@dataclass(frozen=True)
class Weights:
    """A file of weights inside a wheel of the Python package registry.

    Parameters
    ----------
    package, version
        Name the wheel.
    filename, sha256
        The wheel's file name and checksum.
    licence
        SPDX identifier.
    trained_on
        The data behind the weights: whether a test set was among them is for the reader to see.
    """

    package: str
    version: str
    filename: str
    sha256: str
    licence: str
    trained_on: str

    def fetch(self, cache: Path) -> Path:
        """Bring the file into `cache`, unless it is there, and check it.

        Returns
        -------
        pathlib.Path
            The checked file.

        Raises
        ------
        WeightsError
            If it cannot be fetched, or its checksum is another.
        """
        path = cache / self.filename
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / f".{self.filename}.lock"):
            if not path.exists():
                self._download(path)
        if (found := _sha256(path)) != self.sha256:
            raise WeightsError(
                f"{path} has sha256 {found}, expected {self.sha256}. Delete it and run again."
            )
        return path

    def _download(self, path: Path) -> None:
        requirement = f"{self.package}=={self.version}"
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            # pip knows the registry, mirrors and proxies as the user has set them up. The
            # package itself is not installed: only its data is wanted.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            done = subprocess.run(
                [*command, "--disable-pip-version-check", "--dest", folder, requirement],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            wheel = Path(folder) / self.filename
            if done.returncode != 0 or not wheel.exists():
                last = (done.stderr.strip() or "pip gave no reason").splitlines()[-1]
                raise WeightsError(
                    f"{self.filename} could not be fetched from the package registry: {last}. "
                    f"Run again with a network, or put the file at {path}."
                )
            if (found := _sha256(wheel)) != self.sha256:
                raise WeightsError(
                    f"the registry's {self.filename} has sha256 {found}, expected {self.sha256}. "
                    f"It is not used. Put the right file at {path}, or report this."
                )
            wheel.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
