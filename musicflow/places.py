"""Places of files: a path of this machine, or an address elsewhere that fsspec reads.

`Remote` stands for an address such as ``s3://bucket/music``. It has the methods of `pathlib.Path`
that are called on a library, so that whoever reads one need not know where it lies. Credentials are
fsspec's own affair, and so are none of ours.

Bytes are read by range, in blocks that grow while a file is read on, and are kept for a while.
What fails is tried again. Then it is an error of the system, as with a file of this machine, so
that a file costs its own row. A place that answers nothing any more ends the run.
"""

import contextlib
import datetime
import fnmatch
import io
import os
import queue
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from musicflow import extras, worker
from musicflow.errors import MusicflowError, words_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_T = TypeVar("_T")

BLOCK = 1 << 14
"""Bytes that are read at once, at least."""

_MOST_AHEAD = 512
"""Blocks that are read at once, at most: 8 MiB."""

_KEPT_BYTES = 64_000_000
"""Bytes of blocks that are kept, so that a file is fetched once for its sound and its tags."""

WAITS_S = [0.5, 1.0, 2.0, 4.0]
"""Seconds to wait before each new try."""

_REQUEST_S, _SLOWEST = 30.0, 50_000
"""Seconds that a request may take, and bytes per second that it may take beyond them."""

_SILENT_FILES = 3
"""A place that answers for none of so many files in a row is not asked for the others."""

_WORDS = 120
"""The most characters of an error's own words."""

UNREACHABLE = "unreachable"
GONE = "gone"
CHANGED = "changed"
FORBIDDEN = "forbidden"
"""Codes of files elsewhere that cannot be read now. None of them is lasting."""

_CHANGED = "it changed while it was read"

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)

_PASSWORD = re.compile(r"[^/@]*:[^/@]*@")


class PlaceError(MusicflowError):
    """A place elsewhere that cannot be used at all.

    Its code is ``unreachable``, ``forbidden``, ``gone``, ``missing-extra`` or ``bad-address``.
    """

    code = UNREACHABLE


class FileElsewhereError(OSError):
    """A file elsewhere that cannot be read now; another try may go well.

    Parameters
    ----------
    reason
        Why, for people.
    address
        The file.
    code
        `UNREACHABLE`, `GONE`, `CHANGED` or `FORBIDDEN`.
    """

    def __init__(self, reason: str, address: str, code: str = UNREACHABLE) -> None:
        super().__init__(reason, address, code)
        self.reason = self.strerror = reason
        self.filename, self.code = address, code

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"

    def __reduce__(self) -> tuple[type["FileElsewhereError"], tuple[str, str, str]]:
        return type(self), (self.reason, self.filename, self.code)


class GoneError(FileElsewhereError, FileNotFoundError):
    """A file elsewhere that is not there, or not any more."""


def is_elsewhere(text: str) -> bool:
    """Return whether a text is an address of a place elsewhere, rather than a path."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and found[1].lower() not in ("file", "local")


def place(where: "str | os.PathLike[str] | Remote") -> "Place":
    """Return the path or the address that a text is.

    Raises
    ------
    PlaceError
        If it is an address with a password, which would be kept in the home and shown.

    Examples
    --------
    >>> place("s3://bucket/music/").name
    'music'
    """
    if isinstance(where, Remote):
        return where
    text = os.fspath(where)
    if is_elsewhere(text):
        return Remote(text)
    found = _ADDRESS.fullmatch(text)
    return Path(found[2] if found is not None else text)


def fresh(where: "Place") -> "Place":
    """Return a place without what was listed of it before."""
    return Remote(where.address) if isinstance(where, Remote) else where


def listed(where: "Place") -> "Place":
    """Return a place; if it is elsewhere, with a list of all that lies below it.

    The list is read at once, which is far quicker than folder by folder, and stays as it is.

    Raises
    ------
    PlaceError
        If it cannot be listed. Then nothing is known of what lies there.
    """
    if isinstance(where, Remote):
        where.list()
    return where


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


class Remote:
    """A file or folder elsewhere.

    Parameters
    ----------
    address
        ``s3://bucket/music``, or any address that fsspec knows.
    listing
        All that lies below a folder around it; read when it is needed if not given.

    Raises
    ------
    PlaceError
        If the address holds a password.
    """

    def __init__(self, address: str, listing: "_Listing | None" = None) -> None:
        found = _ADDRESS.fullmatch(address)
        assert found is not None
        if _PASSWORD.match(found[2]):
            shown = f"{found[1]}://{found[2].partition(':')[0]}:…@{found[2].partition('@')[2]}"
            raise PlaceError(
                f"the address {shown} holds a password, which would be kept and shown",
                "leave it out, and give it to fsspec, in ~/.config/fsspec or the environment",
                "bad-address",
            )
        self.address = f"{found[1].lower()}://{found[2].rstrip('/')}"
        self._listing = listing
        self._status: Status | None = None
        self._handle: Any = None

    def __str__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        return f"Remote({self.address!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.address == self.address

    def __lt__(self, other: "Remote") -> bool:
        return self.address < other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __reduce__(self) -> tuple[type["Remote"], tuple[str]]:
        # Another process looks for itself.
        return Remote, (self.address,)

    # --- names -----------------------------------------------------------------------------------

    @property
    def _scheme(self) -> str:
        return self.address.partition("://")[0]

    @property
    def _path(self) -> str:
        return self.address.partition("://")[2]

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self._path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return Path(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem

    @property
    def parent(self) -> "Remote":
        """The folder that it lies in; itself if there is none."""
        above = self._path.rpartition("/")[0]
        return Remote(f"{self._scheme}://{above}", self._listing) if above else self

    def __truediv__(self, part: str) -> "Remote":
        return Remote(f"{self.address}/{part}", self._listing) if part else self

    def joinpath(self, *parts: str) -> "Remote":
        """Return a place below it."""
        return self / "/".join(filter(None, parts))

    def with_name(self, name: str) -> "Remote":
        """Return the place of another name in the same folder."""
        return self.parent / name

    def absolute(self) -> "Remote":
        """Return itself."""
        return self

    def expanduser(self) -> "Remote":
        """Return itself."""
        return self

    # --- what is there ---------------------------------------------------------------------------

    def list(self) -> None:
        """List all that lies below, if that was not done."""
        if self._listing is None:
            self._listing = _Listing(self.address, _asked(self.address, self._found))

    def _found(self) -> "dict[str, dict[str, Any]]":
        return _all_below(self._files, self._inner)

    @property
    def _files(self) -> "AbstractFileSystem":
        return _filesystem(f"{self._scheme}://{self._path.partition('/')[0]}")

    @property
    def _inner(self) -> str:
        """The path by which the file system knows it."""
        return str(self._files._strip_protocol(self.address))

    def stat(self) -> Status:
        """Return its size, time and ETag.

        Raises
        ------
        GoneError
            If there is no such file, by the list or the answer.
        FileElsewhereError
            If the place does not answer.
        """
        if self._listing is not None and (inner := self._listing.inner(self)) is not None:
            return self._listing.stat(inner, self.address)
        if self._status is None:
            self._handle = _told(self.address, self._handed)
            self._status = _status(_told(self.address, self._known))
        return self._status

    def _handed(self) -> Any:
        """Open the file as the file system does, which knows most files then."""
        return _unlisted(self._files).open(self._inner, "rb", cache_type="none")

    def _known(self) -> Mapping[str, Any]:
        details = getattr(self._handle, "details", None)
        return details if isinstance(details, Mapping) else self._files.info(self._inner)

    def take_handle(self) -> Any:
        """Return an open handle, for one user; `stat` may have left one."""
        handle, self._handle = self._handle, None
        return self._handed() if handle is None else handle

    def exists(self) -> bool:
        """Return whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Return whether there is such a file."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Return whether there is such a folder."""
        try:
            self.scandir()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError:
            return True
        return True

    def scandir(self) -> "Iterable[Entry]":
        """Return what lies in the folder, in no order.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        PermissionError
            If it may not be listed.
        FileElsewhereError
            If the place does not answer.
        """
        if self._listing is not None and (inner := self._listing.inner(self)) is not None:
            return self._listing.entries(inner, self.address)
        found = _told(self.address, lambda: _unlisted(self._files).ls(self._inner, detail=True))
        base = self._inner.strip("/")
        names = ((info["name"].strip("/"), info) for info in found)
        return [_entry(name.rpartition("/")[2], info) for name, info in names if name != base]

    def iterdir(self) -> "Iterator[Remote]":
        """Yield what lies in the folder; see `scandir`."""
        for entry in self.scandir():
            yield self / entry.name

    def glob(self, pattern: str) -> "Iterator[Remote]":
        """Yield what lies in the folder and has a name like the pattern; nothing without one."""
        with contextlib.suppress(FileNotFoundError):
            for found in self.iterdir():
                if fnmatch.fnmatchcase(found.name, pattern):
                    yield found

    # --- content ---------------------------------------------------------------------------------

    def open(self, mode: str = "r", *, encoding: str = "utf-8", newline: str | None = None) -> Any:
        """Open the file to read: bytes by range, or the whole text.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileElsewhereError
            If the place does not answer.
        """
        if mode == "rb":
            return RemoteFile(self)
        assert mode == "r"
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding=encoding, newline=newline)

    def read_bytes(self) -> bytes:
        """Return the content; see `open`."""
        with RemoteFile(self) as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the content as a text; see `open`."""
        text = self.read_bytes().decode(encoding, errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def write_bytes(self, content: bytes) -> None:
        """Put a file there, whole or not at all.

        Raises
        ------
        FileElsewhereError
            If it cannot be written.
        """
        self._status = None
        _told(self.address, lambda: _put(self._files, self._inner, content), len(content))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        try:
            _told(self.address, lambda: self._files.rm_file(self._inner))
        except FileNotFoundError:
            if not missing_ok:
                raise


Place = Path | Remote
"""Where a file or folder lies."""


class RemoteFile(io.RawIOBase):
    """A file elsewhere, read by range.

    Whoever reads it may take an error for its end, as decoders do: then it is raised when the file
    is closed.

    Parameters
    ----------
    where
        The file.
    """

    def __init__(self, where: Remote) -> None:
        self._where = where
        self.status = where.stat()
        self.failure: FileElsewhereError | PlaceError | None = None
        self._place = 0
        self._next, self._ahead = -1, 1
        self._handle: Any = None
        self._key = (where.address, self.status.etag or str(self.status.st_mtime_ns))

    @property
    def name(self) -> str:
        """The address, by which readers of tags know the kind of file."""
        return self._where.address

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        size = self.status.st_size
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read from here on.

        Raises
        ------
        FileElsewhereError
            If the place does not answer, or the file is gone or another one by now.
        """
        there = max(0, self.status.st_size - self._place)
        wanted = there if size is None or size < 0 else min(size, there)
        end, parts = self._place + wanted, []
        while self._place < end:
            number, offset = divmod(self._place, BLOCK)
            part = self._block(number)[offset : offset + end - self._place]
            parts.append(part)
            self._place += len(part)
        return b"".join(parts)

    def readinto(self, target: Any) -> int:
        """Read as much as fits; see `read`."""
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def will_read(self, start: int, end: int) -> None:
        """Fetch a range at once."""
        first, last = start // BLOCK, min(-(-end // BLOCK), self._blocks)
        while first < last and _blocks.get((*self._key, first)) is not None:
            first += 1
        if first < last:
            self._fetch(first, last)

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Close it."""
        if self._handle is not None:
            with contextlib.suppress(Exception):
                self._handle.close()
        self._handle = None
        super().close()

    @property
    def _blocks(self) -> int:
        return -(-self.status.st_size // BLOCK)

    def _block(self, number: int) -> bytes:
        found = _blocks.get((*self._key, number))
        if found is None:
            self._ahead = min(4 * self._ahead, _MOST_AHEAD) if number == self._next else 1
            last = min(number + self._ahead, self._blocks)
            known = (n for n in range(number + 1, last) if _blocks.get((*self._key, n)))
            found = self._fetch(number, next(known, last))[:BLOCK]
        return found

    def _fetch(self, first: int, last: int) -> bytes:
        """Fetch some adjoining blocks at once, and keep them."""
        start, end = first * BLOCK, min(last * BLOCK, self.status.st_size)
        try:
            content = _told(self._where.address, lambda: self._range(start, end), end - start)
        except (FileElsewhereError, PlaceError) as error:
            self.failure = error
            raise
        for number in range(first, last):
            offset = (number - first) * BLOCK
            _blocks.keep((*self._key, number), content[offset : offset + BLOCK])
        self._next = last
        return content

    def _range(self, start: int, end: int) -> bytes:
        if self._handle is None:
            self._handle = self._where.take_handle()
            self._compare(getattr(self._handle, "details", None))
        handle, self._handle = self._handle, None
        handle.seek(start)
        content = bytes(handle.read(end - start))
        # A handle that failed may stay broken, and is not taken again.
        self._handle = handle
        if len(content) != end - start:
            raise OSError(f"{len(content)} of {end - start} bytes came")
        return content

    def _compare(self, info: Any) -> None:
        if isinstance(info, Mapping) and _status(info).etag != self.status.etag:
            raise FileElsewhereError(_CHANGED, self._where.address, CHANGED)


class Source(io.RawIOBase):
    """A part of a file elsewhere, for FFmpeg, which takes an error for the end of the file.

    See `settle`, which raises the error afterwards.

    Parameters
    ----------
    file
        The file.
    start, end
        Its first byte, and the byte behind its last; None for all of it.
    """

    def __init__(self, file: Any, start: int = 0, end: int | None = None) -> None:
        self._file, self._start = file, start
        self._size = (file.seek(0, io.SEEK_END) if end is None else end) - start
        self._place = 0
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in the part."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read from here on; nothing once it failed."""
        there = max(0, self._size - self._place)
        wanted = there if size < 0 else min(size, there)
        try:
            if self.failure is not None:
                return b""
            self._file.seek(self._start + self._place)
            content = bytes(self._file.read(wanted))
        except (FileElsewhereError, PlaceError) as error:
            self.failure = error
            return b""
        self._place += len(content)
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def settle(source: object) -> None:
    """Close what FFmpeg read from, if it is a `Source`.

    Raises
    ------
    FileElsewhereError
        If it could not be read to where FFmpeg wanted to read.
    PlaceError
        If the place did not answer for other files, either.
    """
    if isinstance(source, Source):
        source.close()
        if source.failure is not None:
            raise source.failure


class _Blocks:
    """The blocks that were read last."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str, int]) -> bytes | None:
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: tuple[str, str, int], block: bytes) -> None:
        with self._lock:
            self._bytes += len(block) - len(self._kept.pop(key, b""))
            self._kept[key] = block
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])


_blocks = _Blocks(_KEPT_BYTES)


# --- listing -------------------------------------------------------------------------------------


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


class _Listing:
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
                self._entry(path, _entry(parts[-1], info))

    def inner(self, where: Remote) -> str | None:
        """Return a place as a path below the folder; None if it lies elsewhere."""
        if where.address == self._address:
            return ""
        above = f"{self._address}/"
        return where.address[len(above) :] if where.address.startswith(above) else None

    def entries(self, inner: str, address: str) -> Iterable[Entry]:
        found = self._folders.get(inner)
        if found is None:
            raise GoneError("there is no such folder", address, GONE)
        if isinstance(found, OSError):
            raise found
        return list(found.values())

    def stat(self, inner: str, address: str) -> Status:
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


def _entry(name: str, info: Mapping[str, Any]) -> Entry:
    return Entry(name, None if info.get("type") == "directory" else _status(info))


_TIMES = ("LastModified", "mtime", "modified", "last_modified", "updated", "created")
_TAGS = ("ETag", "etag", "md5Hash")


def _status(info: Mapping[str, Any]) -> Status:
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


def _all_below(files: "AbstractFileSystem", path: str) -> dict[str, Any]:
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


# --- asking --------------------------------------------------------------------------------------


@cache
def _filesystem(base: str) -> "AbstractFileSystem":
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


def _unlisted(files: "AbstractFileSystem") -> "AbstractFileSystem":
    """Return a file system that has forgotten what it listed."""
    files.invalidate_cache()
    return files


def _put(files: "AbstractFileSystem", path: str, content: bytes) -> None:
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


_answers = _Answers()


def _asked(address: str, ask: Callable[[], _T]) -> _T:
    """Ask a place for something that nothing goes on without.

    Raises
    ------
    PlaceError
        If it does not answer, is not there, or does not let us in.
    """
    try:
        return _tried(ask)
    except PlaceError:
        raise
    except Exception as error:
        raise _error_of(address, error) from error


def _told(address: str, ask: Callable[[], _T], size: int = 0) -> _T:
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
    except PlaceError:
        raise
    except Exception as error:
        code, reason = _fault_of(error)
        if code != UNREACHABLE:
            _answers.heard(base)
        elif _answers.missed(base) >= _SILENT_FILES:
            raise _error_of(base, error) from error
        kind = GoneError if code == GONE else FileElsewhereError
        raise kind(reason, address, code) from error
    _answers.heard(base)
    return found


def _tried(ask: Callable[[], _T]) -> _T:
    """Ask until an answer comes, or an error that another try does not mend."""
    with worker.waiting():
        for wait_s in WAITS_S:
            try:
                return ask()
            except Exception as error:
                if isinstance(error, MusicflowError) or _fault_of(error)[0] != UNREACHABLE:
                    raise
                time.sleep(wait_s)
        return ask()


def _in_time(ask: Callable[[], _T], limit_s: float) -> _T:
    """Ask in a thread of its own, and leave it alone when it takes too long."""
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, name="asking", daemon=True).start()
    try:
        found, error = answers.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"none within {limit_s:.0f} s") from None
    if error is not None:
        raise error
    return cast("_T", found)


def _fault_of(error: Exception) -> tuple[str, str]:
    """Return the code of an error of a file system, and the reason in words."""
    words = words_of(error, _WORDS) or type(error).__name__
    name = type(error).__name__
    if isinstance(error, FileElsewhereError):
        return error.code, error.reason
    if isinstance(error, FileNotFoundError):
        return GONE, "it is not there, or not any more"
    if name == "FileExpired":
        return CHANGED, _CHANGED
    if isinstance(error, PermissionError) or "Credentials" in name or "Authentication" in name:
        return FORBIDDEN, f"access is denied ({words})"
    return UNREACHABLE, f"no answer ({words})"


def _error_of(address: str, error: Exception) -> PlaceError:
    code, reason = _fault_of(error)
    if code == GONE:
        return PlaceError(f"there is no {address}", "name another place", code)
    if code == FORBIDDEN:
        return PlaceError(
            f"{address}: {reason}",
            "give the credentials that fsspec takes, in the environment or in ~/.config/fsspec",
            code,
        )
    return PlaceError(
        f"{address} does not answer ({words_of(error, _WORDS) or type(error).__name__})",
        "see that the place and the network are there, and run it again; nothing was changed",
        UNREACHABLE,
    )
