"""Weights: where they come from, and how they get here whole.

A file of weights is brought beside its place, checked, and only then moved there in one step: a
download that breaks off, a full disk or a kill leaves nothing that could be taken for weights.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import filelock

from musicflow.embedders.errors import WeightsError

MIRROR_VARIABLE = "MUSICFLOW_WEIGHTS_MIRROR"
"""Names a folder or the address of one that is asked for every file first."""

TIMEOUT_S = 30.0
"""How long a server may stay silent, in seconds: before it answers and between two pieces."""

_PIP_TIMEOUT_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Weights(ABC):
    """A file of weights.

    Parameters
    ----------
    filename
        Its name in the cache, on a mirror, and where it comes from.
    digest
        What it must be: ``sha256:…`` or ``git-blob:…`` (the name that git gives a file's
        content), in hexadecimal digits. None where nobody has published it: such a file is never
        used, since nothing tells it from a damaged one.
    licence
        SPDX identifier.
    trained_on
        The data behind the weights: whether a test set was among them is for the reader to see.
    size
        Length in bytes, where known.
    declared
        Whether somebody said what these weights are; else nobody knows whether they are trained.
    """

    filename: str
    digest: str | None
    licence: str
    trained_on: str
    size: int | None = None
    declared: bool = True

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the file comes from, for people."""

    @property
    def revision(self) -> str:
        """The version of the weights, as their origin names it, or their digest."""
        return self.identity

    @abstractmethod
    def _download(self, target: Path) -> None:
        """Bring the file from its origin to `target`, raising all errors."""

    @property
    def identity(self) -> str:
        """What tells these weights from any others."""
        return self.digest or f"unknown:{self.filename}"

    def state(self, cache: Path) -> Literal["missing", "unchecked", "checked"]:
        """Return whether the file is in `cache` and was found right, by its date."""
        path = cache / self.filename
        if not path.exists():
            return "missing"
        return "checked" if self._is_remembered(path) else "unchecked"

    def fetch(self, cache: Path) -> Path:
        """Bring the file into `cache`, unless it is there, and check it.

        The mirror is asked first, then the file's own origin. A file checked before is not read
        again while its size and date stay.

        Returns
        -------
        pathlib.Path
            The checked file.

        Raises
        ------
        WeightsError
            If it cannot be fetched, or is not what it should be.
        """
        path = cache / self.filename
        if not path.exists():
            self._demand_digest()
            with self._staging(cache) as beside:
                # Another process may have brought it while this one waited.
                if not path.exists():
                    self._bring(beside, path)
        if not self._is_remembered(path):
            self.verify(cache)
        return path

    def verify(self, cache: Path) -> None:
        """Read the file in `cache` through and check it, whatever is remembered of it.

        Raises
        ------
        WeightsError
            If it is not there, or not what it should be.
        """
        path = cache / self.filename
        self._demand_digest()
        try:
            wrong = self._wrong(path)
        except OSError as error:
            reason = _reason(error)
            raise WeightsError(f"{path} cannot be read: {reason}. {self._advice}") from error
        if wrong:
            raise WeightsError(f"{path} {wrong}. Delete it and fetch it again. {self._advice}")
        self._remember(path)

    def add(self, file: Path, cache: Path) -> Path:
        """Take a file that was got by other means: check it, and copy it into `cache`.

        Returns
        -------
        pathlib.Path
            The file in the cache.

        Raises
        ------
        WeightsError
            If it is not these weights, or cannot be copied; the cache stays as it was.
        """
        path = cache / self.filename
        self._demand_digest()
        with self._staging(cache) as beside:
            shutil.copyfile(file, beside)
            if wrong := self._wrong(beside):
                raise WeightsError(f"{file} is not {self.filename}: it {wrong}.")
            self._accept(beside, path)
        return path

    def _bring(self, beside: Path, path: Path) -> None:
        failures = []
        for address, download in self._origins():
            try:
                download(beside)
                reason = self._wrong(beside)
            except (OSError, subprocess.SubprocessError, WeightsError) as error:
                reason = _reason(error)
            if reason is None:
                self._accept(beside, path)
                return
            failures.append(f"{address}: {reason}")
            beside.unlink(missing_ok=True)
        raise WeightsError(
            f"{self.filename} could not be fetched ({'; '.join(failures)})", self._advice
        )

    def _origins(self) -> Iterator[tuple[str, Callable[[Path], None]]]:
        if mirror := os.environ.get(MIRROR_VARIABLE):
            if mirror.startswith(("http://", "https://")):
                url = f"{mirror.rstrip('/')}/{quote(self.filename)}"
                yield url, partial(_http, url)
            else:
                file = Path(mirror).expanduser() / self.filename
                yield str(file), partial(shutil.copyfile, file)
        yield self.address, self._download

    @property
    def _advice(self) -> str:
        return (
            f"it comes from {self.address}; otherwise set {MIRROR_VARIABLE} to a folder or an "
            "address that holds it, or get the file yourself and run "
            "`musicflow weights add NAME FILE`"
        )

    def _demand_digest(self) -> None:
        if self.digest is None:
            raise WeightsError(
                f"no checksum of {self.filename} ({self.address}) is known, so that a damaged or "
                "exchanged file could not be told from the right one; it is not used."
            )

    @contextlib.contextmanager
    def _staging(self, cache: Path) -> Iterator[Path]:
        """Yield a place beside the file's own, for one process at a time."""
        folder = cache / f".{self.filename}.part"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(cache / f".{self.filename}.lock"):
                # A killed process leaves its folder behind; nothing in it is ever used.
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                try:
                    yield folder / self.filename
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise WeightsError(
                f"{self.filename} cannot be put into {cache}: {_reason(error)}. {self._advice}"
            ) from error

    def _wrong(self, path: Path) -> str | None:
        """Return what is wrong with a file; None if nothing is."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"has {size} bytes instead of {self.size}"
        found = digest_of(path, self.identity.partition(":")[0])
        return None if found == self.digest else f"has {found} instead of {self.digest}"

    def _accept(self, beside: Path, path: Path) -> None:
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
        self._remember(path)

    def _is_remembered(self, path: Path) -> bool:
        try:
            return _note(path).read_text("utf-8") == self._stamp(path)
        except OSError:
            return False

    def _remember(self, path: Path) -> None:
        # A cache that cannot be written costs a check at every start, nothing else.
        with contextlib.suppress(OSError):
            _note(path).write_text(self._stamp(path), "utf-8")

    def _stamp(self, path: Path) -> str:
        stat = path.stat()
        return f"{self.digest} {stat.st_size} {stat.st_mtime_ns}"


@dataclass(frozen=True, kw_only=True)
class UrlWeights(Weights):
    """A file of weights at an address.

    Parameters
    ----------
    url
        The address, ``http`` or ``https``.
    release
        The version of the file, as its origin names it.
    """

    url: str
    release: str = ""

    @property
    def address(self) -> str:
        """The address."""
        return self.url

    @property
    def revision(self) -> str:
        """The release, or the digest where there is none."""
        return self.release or self.identity

    def _download(self, target: Path) -> None:
        _http(self.url, target)


@dataclass(frozen=True, kw_only=True)
class WheelWeights(Weights):
    """A file of weights that is a wheel of the Python package registry.

    Parameters
    ----------
    package, version
        Name the wheel.
    """

    package: str
    version: str

    @property
    def revision(self) -> str:
        """The version of the package."""
        return f"{self.package} {self.version}"

    @property
    def address(self) -> str:
        """The requirement."""
        return f"the package registry ({self.package}=={self.version})"

    def _download(self, target: Path) -> None:
        # pip knows the registry, mirrors and proxies as the user has set them up. The package
        # itself is not installed: only its data is wanted.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--dest", str(target.parent)]
        done = subprocess.run(
            [*command, f"{self.package}=={self.version}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PIP_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise WeightsError((done.stderr.strip() or "pip gave no reason").splitlines()[-1])


def _http(url: str, target: Path) -> None:
    import pooch

    # A progress bar is for people; in a log it would be thousands of lines.
    bar = sys.stderr.isatty()
    # Compressed on the way, a file would arrive with another length than was announced.
    headers = {"Accept-Encoding": "identity"}
    pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT_S, headers=headers)(
        url, str(target), None
    )


def digest_of(path: Path, kind: str = "sha256") -> str:
    """Return a file's digest as `Weights` writes it: ``sha256:…``, say."""
    # git names a file's content by the SHA-1 of its kind, its length and itself.
    header = b"" if kind == "sha256" else f"blob {path.stat().st_size}\0".encode()
    algorithm = {"sha256": "sha256", "git-blob": "sha1"}[kind]
    start = partial(hashlib.new, algorithm, header, usedforsecurity=False)
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, start).hexdigest()}"


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def _reason(error: Exception) -> str:
    """Return an error in a few words; those of networks are long."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers with HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no data for {TIMEOUT_S:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the download was cut off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return getattr(error, "strerror", None) or str(error)
