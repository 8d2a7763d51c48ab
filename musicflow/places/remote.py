"""Addresses of files and folders elsewhere, with the methods of `pathlib.Path`."""

import contextlib
import fnmatch
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from musicflow.places.asking import asked, filesystem, put, told, unlisted
from musicflow.places.errors import PlaceError
from musicflow.places.listing import Entry, Listing, Status, all_below, entry_of, status_of
from musicflow.places.reading import RemoteFile

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)

_PASSWORD = re.compile(r"[^/@]*:[^/@]*@")


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


def file_named(text: str) -> "Place | None":
    """Return the file whose path or address a text is; None if it is that of none.

    Any text will do, such as the name of a track.

    Raises
    ------
    OSError
        If a place elsewhere does not answer.
    """
    where = place(text)
    if isinstance(where, Remote):
        return where if where.is_file() else None
    # Names may begin with ~, or be longer than a path.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        where = where.expanduser()
        return where if where.is_file() else None
    return None


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

    def __init__(self, address: str, listing: "Listing | None" = None) -> None:
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
        """The last part of the address; its scheme if it has no path."""
        return self._path.rpartition("/")[2] or self._scheme

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
            self._listing = Listing(self.address, asked(self.address, self._found))

    def _found(self) -> "dict[str, dict[str, Any]]":
        return all_below(self._files, self._inner)

    @property
    def _files(self) -> "AbstractFileSystem":
        return filesystem(f"{self._scheme}://{self._path.partition('/')[0]}")

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
        if self._listing is not None and (inner := self._listing.inner(self.address)) is not None:
            return self._listing.stat(inner, self.address)
        if self._status is None:
            self._handle = told(self.address, self._handed)
            self._status = status_of(told(self.address, lambda: self.known_by(self._handle)))
        return self._status

    def _handed(self) -> Any:
        """Open the file as the file system does, which knows most files then."""
        return unlisted(self._files).open(self._inner, "rb", cache_type="none")

    def known_by(self, handle: Any) -> Mapping[str, Any]:
        """Return what an open handle knows of the file; the place is asked where that is nothing.

        A handle of WebDAV does not know even the size.
        """
        details = getattr(handle, "details", None)
        if isinstance(details, Mapping) and details.get("size") is not None:
            return details
        return cast("Mapping[str, Any]", self._files.info(self._inner))

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
        if self._listing is not None and (inner := self._listing.inner(self.address)) is not None:
            return self._listing.entries(inner, self.address)
        found = told(self.address, lambda: unlisted(self._files).ls(self._inner, detail=True))
        base = self._inner.strip("/")
        names = ((info["name"].strip("/"), info) for info in found)
        return [entry_of(name.rpartition("/")[2], info) for name, info in names if name != base]

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
        told(self.address, lambda: put(self._files, self._inner, content), len(content))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        try:
            told(self.address, lambda: self._files.rm_file(self._inner))
        except FileNotFoundError:
            if not missing_ok:
                raise


Place = Path | Remote
"""Where a file or folder lies."""
