"""The home that publishes on a server: the names it uses there, and what tells it from others."""

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from musicflow.library import Library, LibraryError
from musicflow.settings import Settings

_FORMER = "musicflow"
"""The namespace of all homes before each had its own."""

_KEY = "home"
"""What a collection's metadata call its owner."""


@dataclass(frozen=True)
class Owner:
    """A home, as a server knows it.

    Parameters
    ----------
    namespace
        The beginning of the names of all its aliases and collections.
    id
        Its identity; empty for a writer without a home.
    name
        How sentences call it.
    former_namespace
        Where its collections may be from before; empty for nowhere.
    locks
        The folder of its locks; None for a writer without a home.
    library
        The folder of its library.
    """

    namespace: str = _FORMER
    id: str = ""
    name: str = ""
    former_namespace: str = ""
    locks: Path | None = None
    library: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Owner":
        """Return the home of the settings.

        With a namespace that is set, a home that cannot be written to is one that only reads.
        """
        home, namespace = settings.paths, settings.qdrant_namespace
        if namespace is None:
            identity = home.identity
            namespace, former = f"{_FORMER}-{identity[:8]}", _FORMER
        else:
            identity, former = "", ""
            with contextlib.suppress(OSError):
                identity = home.identity
        name = f"{home.root} on {socket.gethostname()}"
        return cls(namespace, identity, name, former, home.locks, home.library)

    @property
    def mark(self) -> dict[str, Any]:
        """Return the metadata that say whose a collection is."""
        return {_KEY: {"id": self.id, "name": self.name}} if self.id else {}

    @property
    def has_library(self) -> bool:
        """Return whether there is music in this home: one without only searches in others'."""
        return self.library is not None and self.library.exists()

    def owns(self, metadata: Mapping[str, Any] | None) -> bool:
        """Return whether metadata say that a collection is this home's."""
        return owner_of(metadata).get("id", "") == self.id

    def holds(self, track_ids: Iterable[str]) -> bool:
        """Return whether most of some tracks are in this home's library."""
        try:
            known = {track.track_id for track in Library.load(self.library).tracks}  # type: ignore[arg-type]
        except (LibraryError, OSError, TypeError):
            return False
        found = [track_id in known for track_id in track_ids]
        return 2 * sum(found) > len(found)

    @contextlib.contextmanager
    def alone(self, name: str, wait: bool = True) -> Iterator[bool]:
        """Keep this home's other writers of a collection out; yield whether that was possible."""
        if self.locks is None:
            yield True
            return
        self.locks.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.locks / f"{name}.lock", timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def owner_of(metadata: Mapping[str, Any] | None) -> Mapping[str, str]:
    """Return the id and the name of a collection's home; empty if it is from before."""
    return (metadata or {}).get(_KEY) or {}


def without_owner(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what metadata say beside the owner."""
    return {key: value for key, value in (metadata or {}).items() if key != _KEY}
