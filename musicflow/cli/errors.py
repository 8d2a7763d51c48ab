"""Errors of commands: a sentence and an exit code for each."""

import errno
import shlex
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from musicflow.cli.console import FAILED, USAGE
from musicflow.errors import MusicflowError, error_of_database, words_of, words_of_database
from musicflow.places import FORBIDDEN, UNREACHABLE, PlaceError
from musicflow.settings import Home, HomeError, explain, explain_invalid
from musicflow.worker import WorkerError

_FAILURES = (HomeError, WorkerError, PlaceError)
_LEAST_FREE = 1_000_000
"""Bytes without which SQLite can write nothing."""

_UNREADABLE = frozenset((UNREACHABLE, FORBIDDEN))
"""Codes of places that may answer another time."""


def sentence_of(error: Exception, home: Home) -> tuple[str, int]:
    """Return a sentence about an error, and the exit code of the command.

    Parameters
    ----------
    error
        The error that ended the command.
    home
        The home that keeps the traceback of an unforeseen error.
    """
    found = error_of_database(error)
    if found is not None and (sentence := _of_database(found, home)):
        return sentence, FAILED
    if isinstance(error, _FAILURES):
        return str(error), FAILED
    if isinstance(error, MusicflowError) and error.code in _UNREADABLE:
        return str(error), FAILED
    if isinstance(error, MusicflowError):
        return str(error), USAGE
    if isinstance(error, ValidationError):
        return explain_invalid(error), USAGE
    if isinstance(error, OSError):
        return explain(error), FAILED
    return _unforeseen(error, home), FAILED


def _of_database(error: BaseException, home: Home) -> str:
    """Return what to do about an error of SQLite; empty where that is not known."""
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    full = shutil.disk_usage(home.root).free < _LEAST_FREE if home.root.is_dir() else False
    if kind == sqlite3.SQLITE_FULL or (kind == sqlite3.SQLITE_IOERR and full):
        return explain(OSError(errno.ENOSPC, "", str(home.root)))
    if kind in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        files = " and ".join(map(str, damaged_databases(home)))
        return (
            f"{files or f'a database in {home.root}'} is damaged: put it aside, with the -wal and "
            "-shm files of its name, and the next run makes a new one. Vectors, collections and "
            "reports stay. The records of earlier runs are in that file alone: keep it, since "
            "`sqlite3 FILE .recover` may read them"
        )
    return ""


def damaged_databases(home: Home) -> Iterator[Path]:
    """Look for the databases of Dagster and MLflow that cannot be read."""
    for file in sorted((*home.dagster.rglob("*.db"), *home.mlflow.glob("*.db"))):
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
                [[told]] = database.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            told = str(error)
        if told != "ok":
            yield file


def _unforeseen(error: Exception, home: Home) -> str:
    """Return a sentence about an error of a database, or of this program.

    The traceback of the program's own errors is kept in the home's log.
    """
    if words := words_of_database(error):
        return (
            f"a database in {home.root} cannot be used: {words}. Make room, give the user of "
            "this process access, or wait until no other process holds it; then run it again"
        )
    sentence = f"{type(error).__name__}: {words_of(error)}"
    try:
        home.error_log.parent.mkdir(parents=True, exist_ok=True)
        with home.error_log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {shlex.join(sys.argv)}\n")
            log.writelines(traceback.format_exception(error))
    except OSError as unwritten:
        return f"{sentence}. Its traceback could not be written: {explain(unwritten)}"
    return f"{sentence}. This is a fault of musicflow; its traceback is in {home.error_log}"
