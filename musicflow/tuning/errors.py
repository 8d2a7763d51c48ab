"""What can go wrong when a space is tuned."""

from musicflow.errors import MusicflowError


class TuningError(MusicflowError):
    """A space cannot be tuned.

    Its code is ``few-labels``, ``unknown-label``, ``bad-labels`` or ``no-vectors``.
    """

    code = "tuning"
