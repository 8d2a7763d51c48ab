"""Errors of queries."""

from musicflow.errors import MusicflowError


class QueryError(MusicflowError, ValueError):
    """A query cannot be answered as it stands."""

    code = "query"


class NoTrackError(QueryError):
    """A collection holds no track of this id or name."""

    code = "no-track"
