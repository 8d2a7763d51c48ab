"""Errors of files that cannot be used, and notes on files that can."""

from dataclasses import dataclass

from musicflow.errors import MusicflowError


class AudioError(MusicflowError):
    """A file that cannot be used.

    Its code is one of ``empty``, ``unreadable``, ``not-audio``, ``no-decoder``, ``bad-header``,
    ``truncated``, ``damaged``, ``no-samples``, ``silent``, ``not-finite``, ``too-long``,
    ``unexpected``.
    """

    code = "not-audio"


@dataclass(frozen=True)
class Note:
    """A fact worth knowing about a file that can be used.

    Parameters
    ----------
    code
        ``concealed``, ``longer-than-stated``, ``no-end``, ``channels-cancel``, ``one-sided``,
        ``quiet``, ``over-full-scale`` or ``decoded-through``.
    text
        The fact in words.
    """

    code: str
    text: str


def reason_of(error: Exception) -> str:
    """Return an error's reason, by FFmpeg or the system, without the file's name."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
