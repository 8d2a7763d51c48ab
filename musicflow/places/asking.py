"""Asking a place elsewhere: with the credentials that fsspec has, and again where it fails."""

import queue
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from musicflow import extras, worker
from musicflow.errors import MusicflowError, words_of
from musicflow.places.errors import (
    GONE,
    UNREACHABLE,
    FileElsewhereError,
    GoneError,
    PlaceError,
    error_of,
    fault_of,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_T = TypeVar("_T")

WAITS_S = [0.5, 1.0, 2.0, 4.0]
"""Seconds to wait before each new try."""

_REQUEST_S, _SLOWEST = 30.0, 50_000
"""Seconds that a request may take, and bytes per second that it may take beyond them."""

_SILENT_FILES = 3
"""A place that answers for none of so many files in a row is not asked for the others."""


@cache
def filesystem(base: str) -> "AbstractFileSystem":
    """Return what reads the addresses of a bucket or host, with the credentials that fsspec has.

    Raises
    ------
    PlaceError
        If a package is missing, or no package knows such addresses.
    """
    extras.require(f"an address such as {base}", "s3" if base.startswith("s3") else "remote")
    import fsspec
    from fsspec.config import conf

    scheme = base.partition("://")[0]
    own = _OPTIONS.get(scheme, {}) | conf.get(scheme, {})
    try:
        files, _ = fsspec.core.url_to_fs(base, **own, skip_instance_cache=True)
    except ImportError as error:
        raise PlaceError(
            f"{base} needs a package that is not installed ({words_of(error)})",
            "install it, and run it again",
            extras.MISSING,
        ) from error
    except ValueError as error:
        what = f"{base} is no address that fsspec knows"
        raise PlaceError(what, words_of(error), "bad-address") from error
    if scheme in ("s3", "s3a"):
        # What fails is tried again here, and nowhere else.
        files.retries = 1
    return files


_ONCE = {"config_kwargs": {"retries": {"total_max_attempts": 1, "mode": "standard"}}}
_OPTIONS: dict[str, dict[str, Any]] = {"s3": _ONCE, "s3a": _ONCE}
"""What a file system is told, unless fsspec's own settings say otherwise."""


def unlisted(files: "AbstractFileSystem") -> "AbstractFileSystem":
    """Return a file system that has forgotten what it listed."""
    files.invalidate_cache()
    return files


def put(files: "AbstractFileSystem", path: str, content: bytes) -> None:
    """Put a file there, whole or not at all."""
    files.pipe_file(path, content)
    files.invalidate_cache()


class _Answers:
    """How many files in a row a place did not answer for."""

    def __init__(self) -> None:
        self.silent: dict[str, int] = {}

    def heard(self, base: str) -> None:
        self.silent.pop(base, None)

    def missed(self, base: str) -> int:
        self.silent[base] = self.silent.get(base, 0) + 1
        return self.silent[base]


answers = _Answers()


def asked(address: str, ask: Callable[[], _T]) -> _T:
    """Ask a place for something that nothing goes on without.

    Raises
    ------
    PlaceError
        If it does not answer, is not there, or does not let us in.
    """
    try:
        return _tried(ask)
    except MusicflowError:
        raise
    except Exception as error:
        raise error_of(address, error) from error


def told(address: str, ask: Callable[[], _T], size: int = 0) -> _T:
    """Ask a place for something of one file, of so many bytes.

    Raises
    ------
    FileElsewhereError
        If it cannot be had; a `GoneError` if it is not there.
    PlaceError
        If the place did not answer for other files, either.
    """
    base = "/".join(address.split("/", 3)[:3])
    try:
        found = _tried(lambda: _in_time(ask, _REQUEST_S + size / _SLOWEST))
    except MusicflowError:
        raise
    except Exception as error:
        code, reason = fault_of(error)
        if code != UNREACHABLE:
            answers.heard(base)
        elif answers.missed(base) >= _SILENT_FILES:
            raise error_of(base, error) from error
        kind = GoneError if code == GONE else FileElsewhereError
        raise kind(reason, address, code) from error
    answers.heard(base)
    return found


def _tried(ask: Callable[[], _T]) -> _T:
    """Ask until an answer comes, or an error that another try does not mend."""
    with worker.waiting():
        for wait_s in WAITS_S:
            try:
                return ask()
            except Exception as error:
                if isinstance(error, MusicflowError) or fault_of(error)[0] != UNREACHABLE:
                    raise
                time.sleep(wait_s)
        return ask()


def _in_time(ask: Callable[[], _T], limit_s: float) -> _T:
    """Ask in a thread of its own, and leave it alone when it takes too long."""
    answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put((ask(), None))
        except Exception as error:
            answer.put((None, error))

    threading.Thread(target=run, name="asking", daemon=True).start()
    try:
        found, error = answer.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"none within {limit_s:.0f} s") from None
    if error is not None:
        raise error
    return cast("_T", found)
