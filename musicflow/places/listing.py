"""Lists of what lies elsewhere."""

import datetime
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musicflow.places.errors import GONE, GoneError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True)
class Status:
    """What is known of a file elsewhere without reading it, by the names of `os.stat_result`.

    Parameters
    ----------
    st_size
        Bytes.
    st_mtime_ns
        The time of the last change in nanoseconds; 0 where none is known.
    etag
        A text that changes with the content; empty where none is known.
    """

    st_size: int
    st_mtime_ns: int
    etag: str = ""
    st_mode: int = stat.S_IFREG | 0o444


@dataclass(frozen=True)
class Entry:
    """An entry of a folder, by the methods of `os.DirEntry`."""

    name: str
    status: Status | None
    """That of a file; None of a folder."""

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.status is None

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self.status is not None and stat.S_ISREG(self.status.st_mode)

    def is_symlink(self) -> bool:
        """Return False: links are not told apart elsewhere."""
        return False

    def stat(self) -> Status:
        """Return size, time and ETag."""
        return self.status or Status(0, 0, st_mode=stat.S_IFDIR)


class Listing:
    """All that lies below a folder, as a tree.

    Parameters
    ----------
    address
        The folder.
    found
        What is known of each file and folder below it, by its path below it. An error stands for a
        folder that may not be listed.
    """

    def __init__(self, address: str, found: "Mapping[str, Any]") -> None:
        self._address = address
        self._folders: dict[str, dict[str, Entry] | OSError] = {}
        if found:
            self._folders[""] = {}
        for path, info in found.items():
            parts = path.split("/")
            # A key with an empty part, as object stores allow, has no name as a path.
            if not all(parts):
                continue
            for depth in range(1, len(parts)):
                self._add("/".join(parts[:depth]))
            if isinstance(info, OSError):
                self._add(path)
                self._folders[path] = info
            elif info.get("type") == "directory":
                self._add(path)
            else:
                self._entry(path, entry_of(parts[-1], info))

    def inner(self, address: str) -> str | None:
        """Return an address as a path below the folder; None if it lies elsewhere."""
        if address == self._address:
            return ""
        above = f"{self._address}/"
        return address[len(above) :] if address.startswith(above) else None

    def entries(self, inner: str, address: str) -> Iterable[Entry]:
        """Return what lies in a folder; `address` is that of the folder.

        Raises
        ------
        GoneError
            If there is no such folder.
        PermissionError
            If it may not be listed.
        """
        found = self._folders.get(inner)
        if found is None:
            raise GoneError("there is no such folder", address, GONE)
        if isinstance(found, OSError):
            raise found
        return list(found.values())

    def stat(self, inner: str, address: str) -> Status:
        """Return what is known of a file; `address` is that of the file.

        Raises
        ------
        GoneError
            If there is no such file.
        """
        folder, _, name = inner.rpartition("/")
        found = self._folders.get(folder)
        entry = found.get(name) if isinstance(found, dict) else None
        if entry is None or entry.status is None:
            raise GoneError("there is no such file", address, GONE)
        return entry.status

    def _add(self, path: str) -> None:
        if path not in self._folders:
            self._folders[path] = {}
            self._entry(path, Entry(path.rpartition("/")[2], None))

    def _entry(self, path: str, entry: Entry) -> None:
        folder = self._folders.get(path.rpartition("/")[0])
        if isinstance(folder, dict):
            folder.setdefault(entry.name, entry)


def entry_of(name: str, info: Mapping[str, Any]) -> Entry:
    """Return the entry that a file system's facts are of."""
    return Entry(name, None if info.get("type") == "directory" else status_of(info))


_TIMES = ("LastModified", "mtime", "modified", "last_modified", "updated", "created")
_TAGS = ("ETag", "etag", "md5Hash")


def status_of(info: Mapping[str, Any]) -> Status:
    """Return size, time and ETag by a file system's facts, whose names differ."""
    times = (info.get(name) for name in _TIMES)
    tags = (info.get(name) for name in _TAGS)
    time_ns = next((_nanoseconds(value) for value in times if value), 0)
    etag = str(next((value for value in tags if value), "")).strip('"')
    mode = stat.S_IFREG if info.get("type", "file") == "file" else stat.S_IFIFO
    if info.get("type") == "directory":
        mode = stat.S_IFDIR
    return Status(int(info.get("size") or 0), time_ns, etag, mode | 0o444)


def _nanoseconds(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return 0
    if isinstance(value, datetime.datetime):
        value = value.timestamp()
    return int(value * 1_000_000) * 1000 if isinstance(value, int | float) else 0


def all_below(files: "AbstractFileSystem", path: str) -> dict[str, Any]:
    """Return what is known of all files below a folder, by their paths below it.

    Raises
    ------
    Exception
        If anything is not listed, but for folders that may not be, whose error stands for them.
    """
    from fsspec import AbstractFileSystem
    from fsspec.asyn import AsyncFileSystem

    files.invalidate_cache()
    found: dict[str, Any] = {}
    base = path.strip("/")
    plain = (AbstractFileSystem.find, getattr(AsyncFileSystem, "find", None))
    kind = type(files)
    # An object store lists a thousand files at once, whatever their folders. fsspec's own way to
    # find files goes from folder to folder, and leaves out without a word what cannot be listed.
    lists_all = kind.find not in plain or (
        isinstance(files, AsyncFileSystem) and kind._find is not AsyncFileSystem._find
    )
    if lists_all:
        infos: Iterable[Mapping[str, Any]] = files.find(path, detail=True).values()
        found = {_below(base, info["name"]): info for info in infos}
    else:
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            inner = _below(base, folder)
            try:
                entries = files.ls(folder, detail=True)
            except PermissionError as error:
                if not inner:
                    raise
                found[inner] = PermissionError(error.errno, "permission is denied", folder)
                continue
            for info in entries:
                name = _below(base, info["name"])
                if name and name != inner:
                    found[name] = info
                    if info.get("type") == "directory":
                        waiting.append(info["name"])
    files.invalidate_cache()
    return {name: info for name, info in found.items() if name and not name.endswith("/")}


def _below(base: str, name: str) -> str:
    name = name.lstrip("/")
    inside = name == base or name.startswith(f"{base}/") or not base
    return name[len(base) :].lstrip("/") if inside else ""
