"""Places of files: a path of this machine, or an address elsewhere that fsspec reads.

`Remote` stands for an address such as ``s3://bucket/music``. It has the methods of `pathlib.Path`
that are called on a library, so that whoever reads one need not know where it lies. Credentials are
fsspec's own affair, and so are none of ours.

What fails is tried again. Then it is an error of the system, as with a file of this machine, so
that a file costs its own row. A place that answers nothing any more ends the run.
"""

from musicflow.places.errors import (
    CHANGED,
    FORBIDDEN,
    GONE,
    UNREACHABLE,
    FileElsewhereError,
    GoneError,
    PlaceError,
)
from musicflow.places.listing import Entry, Status
from musicflow.places.reading import RemoteFile, Source, settle
from musicflow.places.remote import Place, Remote, file_named, fresh, is_elsewhere, listed, place
from musicflow.places.view import View

__all__ = [
    "CHANGED",
    "FORBIDDEN",
    "GONE",
    "UNREACHABLE",
    "Entry",
    "FileElsewhereError",
    "GoneError",
    "Place",
    "PlaceError",
    "Remote",
    "RemoteFile",
    "Source",
    "Status",
    "View",
    "file_named",
    "fresh",
    "is_elsewhere",
    "listed",
    "place",
    "settle",
]
