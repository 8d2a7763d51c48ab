"""How an asset fails: in one sentence, and tried again only where that can help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import ValidationError

from musicflow.embedders import UnknownEmbedderError, WeightsError
from musicflow.index import TrackIndexError
from musicflow.library import LibraryChangingError, LibraryError
from musicflow.settings import HomeError, explain, is_lasting

RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)
"""After 5 and 10 seconds: a disk or a network may have had a moment of weakness."""

_FORESEEN = (HomeError, LibraryError, WeightsError, TrackIndexError, UnknownEmbedderError)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what an asset runs into into a `dagster.Failure` whose text a person can act on."""
    try:
        yield
    except dg.Failure:
        raise
    except (LibraryChangingError, ConnectionError, TimeoutError) as error:
        raise dg.Failure(f"{error}. It is tried again.") from error
    except _FORESEEN as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"the setting {where!r} is not valid: {first['msg']}"
        raise dg.Failure(reason, allow_retries=False) from error
    except OSError as error:
        raise dg.Failure(explain(error), allow_retries=not is_lasting(error)) from error
    except Exception as error:
        # A mistake in a program makes it again.
        reason = f"{type(error).__name__}: {error}"
        raise dg.Failure(reason, allow_retries=False) from error
