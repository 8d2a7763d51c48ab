"""Errors of commands: a sentence and an exit code for each."""

import shlex
import sys
import traceback
from datetime import UTC, datetime

from pydantic import ValidationError

from musicflow.cli.console import FAILED, USAGE
from musicflow.errors import MusicflowError, words_of, words_of_database
from musicflow.places import FORBIDDEN, UNREACHABLE, PlaceError
from musicflow.settings import Home, HomeError, explain, explain_invalid
from musicflow.worker import WorkerError

_FAILURES = (HomeError, WorkerError, PlaceError)
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
