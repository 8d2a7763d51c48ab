"""The base of all errors that a user can cause or mend, and words for all others."""

import sys
from collections.abc import Iterator


class MusicflowError(Exception):
    """An error with a sentence for people, advice, and a code for programs.

    Parameters
    ----------
    message
        What is wrong, with the value.
    advice
        What to do about it; may be empty.
    code
        A short, stable name of this kind of error; the class's own if not given.

    Examples
    --------
    >>> str(MusicflowError("steps must be at least 1, not 0", "give a larger number"))
    'steps must be at least 1, not 0: give a larger number'
    """

    code = "error"

    def __init__(self, message: str, advice: str = "", code: str = "") -> None:
        # All of it in `args`, so that an error survives the way between processes.
        super().__init__(message, advice, code)
        self.message = message
        self.advice = advice
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}: {self.advice}" if self.advice else self.message


def words_of(error: BaseException, longest: int = 300) -> str:
    """Return an error's own words on one line: a database's without the SQL.

    Parameters
    ----------
    error
        Any error. One that was raised from a database's has the database's words.
    longest
        The most characters.
    """
    text = " ".join((words_of_database(error) or str(error)).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def described(error: BaseException, longest: int = 300) -> str:
    """Return an error's kind and its words, such as ``KeyError: 'x'``; see `words_of`."""
    return f"{type(error).__name__}: {words_of(error, longest)}"


def words_of_database(error: BaseException) -> str:
    """Return the words of the database that an error comes from; empty if from none."""
    found = error_of_database(error)
    return "" if found is None else str(found)


def error_of_database(error: BaseException) -> BaseException | None:
    """Return the error of the database that an error comes from; None if from none."""
    # What was never imported raised nothing.
    library = sys.modules.get("sqlalchemy.exc")
    if library is not None:
        for cause in _causes(error):
            if isinstance(cause, library.DBAPIError):
                return cause.orig
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        context = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or context
