"""The base of all errors that a user can cause or mend."""


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
