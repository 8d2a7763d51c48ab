"""Questions to a home, and answers: what pages and web API hand to the service and get from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from musicflow.app.uploads import Upload
from musicflow.evaluation.abx import Triplet
from musicflow.index import Collection, FilterError, Hit
from musicflow.index.hubness import Correction
from musicflow.search.errors import QueryError
from musicflow.search.variety import Variety
from musicflow.settings import Settings


@dataclass(frozen=True)
class Question:
    """The source of a query: one of a track's id or name, a description, or an upload."""

    track: str | None = None
    text: str | None = None
    upload: Upload | None = None

    def __post_init__(self) -> None:
        if [self.track, self.text, self.upload].count(None) != 2:
            raise QueryError(
                "a query needs one source", "give a track, a text or a file", "no-question"
            )


@dataclass(frozen=True)
class Wanted:
    """What answers are wanted, whatever the question.

    Parameters
    ----------
    k
        How many at most.
    filters
        What each must fulfil, as the command line takes it.
    embedder
        The embedder or fusion that answers; the home's first if not given.
    correct
        A correction of hubness; see `musicflow.search.corrected`.
    variety
        What a list of them may hold.
    """

    k: int = 10
    filters: tuple[str, ...] = ()
    embedder: str | None = None
    correct: Correction | None = None
    variety: Variety = Variety()


@dataclass(frozen=True)
class Answer:
    """What one embedder answers to a question, or why it does not."""

    embedder: str
    hits: Sequence[Hit] = ()
    error: FilterError | QueryError | None = None


@dataclass(frozen=True)
class Ballot:
    """A question of the blind test.

    Parameters
    ----------
    pair
        The embedders.
    versions
        The hashes of their specs.
    filters
        What the tracks fulfil.
    triplet
        The query, and the track that each of the two has nearer.
    """

    pair: tuple[str, str]
    versions: tuple[str, str]
    filters: tuple[str, ...]
    triplet: Triplet


@dataclass(frozen=True)
class Open:
    """A collection, and the settings under which files and texts can ask it."""

    collection: Collection
    settings: Settings

    @property
    def label(self) -> str:
        """Return the name of its embedder or fusion."""
        return self.collection.manifest.embedder
