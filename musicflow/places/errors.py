"""Errors of places elsewhere, and what they mean."""

from musicflow.errors import MusicflowError, words_of

UNREACHABLE = "unreachable"
GONE = "gone"
CHANGED = "changed"
FORBIDDEN = "forbidden"
"""Codes of files elsewhere that cannot be read now. None of them is lasting."""

CHANGED_WORDS = "it changed while it was read"

_WORDS = 120
"""The most characters of an error's own words."""


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


def fault_of(error: Exception) -> tuple[str, str]:
    """Return the code of an error of a file system, and the reason in words."""
    words = words_of(error, _WORDS) or type(error).__name__
    name = type(error).__name__
    if isinstance(error, FileElsewhereError):
        return error.code, error.reason
    if isinstance(error, FileNotFoundError):
        return GONE, "it is not there, or not any more"
    if name == "FileExpired":
        return CHANGED, CHANGED_WORDS
    if isinstance(error, PermissionError) or "Credentials" in name or "Authentication" in name:
        return FORBIDDEN, f"access is denied ({words})"
    return UNREACHABLE, f"no answer ({words})"


def error_of(address: str, error: Exception) -> PlaceError:
    """Return the error that ends what needs a place, for one of its file system."""
    code, reason = fault_of(error)
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
