"""Failures of assets: one sentence, and a retry only where that can help."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import dagster as dg
from pydantic import ValidationError

from musicflow.errors import MusicflowError, words_of
from musicflow.library import LibraryChangingError
from musicflow.settings import explain, explain_invalid, is_lasting

RETRIES, WAIT_S = 2, 5
"""The number of retries, and the seconds before the first; the second waits twice as long."""


NO_REASON = "no reason is known"


def reason_of(event: dg.DagsterEvent) -> str:
    """Return why a step failed, by the event that says so: its sentence, or the first error's."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else NO_REASON


@contextmanager
def explained() -> Iterator[None]:
    """Turn any error into a `dagster.Failure` with a sentence to act on.

    A `dagster.RetryPolicy` would also retry a step that was cancelled by hand.
    """
    try:
        yield
    except dg.Failure:
        raise
    except (LibraryChangingError, ConnectionError, TimeoutError) as error:
        _try_again(str(error), error)
    except MusicflowError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except ValidationError as error:
        raise dg.Failure(explain_invalid(error), allow_retries=False) from error
    except OSError as error:
        if not is_lasting(error):
            _try_again(explain(error), error)
        raise dg.Failure(explain(error), allow_retries=False) from error
    except Exception as error:
        # An error in a program would come again.
        reason = f"{type(error).__name__}: {words_of(error)}"
        raise dg.Failure(reason, allow_retries=False) from error


def _try_again(text: str, error: Exception) -> NoReturn:
    number = dg.OpExecutionContext.get().retry_number
    if number < RETRIES:
        raise dg.RetryRequested(RETRIES, seconds_to_wait=WAIT_S * 2**number) from error
    raise dg.Failure(text, allow_retries=False) from error
