"""The results of a comparison, and how they are stored."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter, ValidationError

from musicflow.atomic import write_atomically
from musicflow.evaluation.corrections import Corrected
from musicflow.evaluation.labelled import ByLabel, Label
from musicflow.evaluation.metrics import Measure
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.space import Health
from musicflow.evaluation.statistics import SURE, Difference, Interval, Score
from musicflow.evaluation.stress import Stressed
from musicflow.library import Doubt, Problem

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = "comparison.json"
"""The file of the last comparison in the folder of reports."""

Kind = Literal["embedder", "fusion", "tuned", "baseline"]

NO_COLLECTION = "no-collection"
"""The code of a row whose embedder could be loaded but made no collection."""


@dataclass(frozen=True)
class Contest:
    """The scores of a tuned space and of what it is measured against, on the same queries.

    Parameters
    ----------
    queries
        Queries, pairs or triplets.
    scores
        By name: the tuned space first, then the best embedder alone and the fusion.
    differences
        Between these, by the paired test.
    """

    queries: int
    scores: dict[str, Score]
    differences: tuple[Difference, ...]

    def is_surely_won_by(self, name: str) -> bool:
        """Whether one is surely better than each other; of none, it is not."""
        mine = [d for d in self.differences if name in (d.better, d.worse)]
        return bool(mine) and all(d.better == name and d.p < SURE for d in mine)


@dataclass(frozen=True)
class Moved:
    """A track that came closer to another, or moved away from it, by its rank in the answers."""

    query: str
    track: str
    before: int
    after: int


@dataclass(frozen=True)
class Tuned:
    """What a tuned space was learned from, and what that brought.

    Parameters
    ----------
    label
        What it was learned from.
    learned_from
        Tracks, pairs or triplets.
    kind
        Which of these.
    classes
        Classes of tracks; 0 of the others.
    weight, shrinkage
        What was chosen in folds for the published space; see `tuning.space.Choice`.
    known
        Scores where the query's fold was not learned from, but the rest of the corpus was.
    new
        Scores where neither the query nor its candidates were learned from.
    others
        P@10 by other labels, by the label: before tuning, and after.
    hubness
        Before tuning, and after.
    closer, away
        The tracks that came closer and that moved away most.
    """

    label: str
    learned_from: int
    kind: Literal["tracks", "pairs", "triplets"]
    classes: int
    weight: float
    shrinkage: float | None
    known: Contest
    new: Contest
    others: dict[str, tuple[Score, Score]] = field(default_factory=dict)
    hubness: tuple[float, float] | None = None
    closer: tuple[Moved, ...] = ()
    away: tuple[Moved, ...] = ()

    @property
    def measure(self) -> str:
        """The name of its score: P@10 by its label, or the share of judgements that hold."""
        return "P@10" if self.kind == "tracks" else "judgements kept"

    def is_recommended(self, name: str) -> bool:
        """Whether it is surely better than the best embedder alone and the fusion."""
        return self.known.is_surely_won_by(name)


@dataclass(frozen=True)
class Row:
    """The results of one embedder, a fusion of several, a tuned space, or the random baseline.

    Parameters
    ----------
    embedder
        Its name, or that of the fusion.
    kind
        What the row is of.
    weights
        ``trained``, ``untrained`` (seeded: scores mean nothing), ``unknown`` (a module that does
        not say), or ``none`` (it needs none).
    licence
        Of the weights (SPDX identifier); empty where there are none.
    dim
        Dimensions of its vectors.
    scores
        By the names in `Comparison.measures`; empty where nothing could be measured. A score
        named ``subgenre_…`` takes a shared subgenre for relevance. The classifiers of a weighted
        fusion see the vectors of all members side by side, whatever their weights, because each
        dimension is standardised. A fusion by rank has no probe: it has no vectors.
    chance
        The mean precision of a random ranking.
    exclude
        The rule that was followed.
    n_queries, n_failed
        Queries with a relevant candidate, and tracks without a vector.
    tracks_per_s, x_realtime
        Speed of the pass that made the vectors, decoding included: tracks per second, and
        seconds of audio per second.
    decode_ms, embed_ms
        Milliseconds per track.
    cores
        Processor cores kept busy.
    granted
        The processor time that it had, as a share of what it would have had on a machine without
        other work.
    load_s
        Seconds to load the model, without importing what it is made of.
    peak_rss_mb
        The most memory that the embedder's process held, in megabytes.
    query_ms
        Milliseconds per search of the collection.
    bytes_per_vector
        Bytes of a vector.
    device, precision
        Where and in which arithmetic the model ran.
    agreement_at_10
        The share of the collection's first ten that are as near as those of exact search.
    by_genre
        Precision at 10 by the genre of the query.
    genre_intervals
        The ends of their 95 % intervals; empty in a comparison of an earlier version.
    confusion
        The genres of the first ten candidates, by the genre of the query: shares.
    space
        The health of the space.
    corrected
        The results with hubness corrected, one per correction.
    by_label
        Scores by other labels than the genre, by the names in `Comparison.labels`.
    stressed
        The results with deformed queries, one per deformation; empty where none was asked for.
    fusion
        Weights of a weighted fusion's members, by name.
    tuned
        Of a tuned space: what it was learned from, and what that brought.
    spec_hash
        The hash of the embedder's spec, or of a tuned space.
    mlflow_run_id
        The run that holds this row.
    ranked
        Whether it may be ranked: not where the whole comparison means nothing.
    faults
        Codes of what to know of an embedder from outside; see `embedders.looks`.
    error, advice, code
        Why there are no scores, what to do about it, and the kind of error; empty if there are.
    """

    embedder: str
    kind: Kind
    weights: str
    dim: int
    scores: dict[str, Score] = field(default_factory=dict)
    chance: float | None = None
    exclude: str = ""
    n_queries: int = 0
    n_failed: int = 0
    tracks_per_s: float | None = None
    x_realtime: float | None = None
    decode_ms: float | None = None
    embed_ms: float | None = None
    cores: float | None = None
    granted: float | None = None
    load_s: float | None = None
    peak_rss_mb: float | None = None
    query_ms: float | None = None
    bytes_per_vector: int | None = None
    device: str = ""
    precision: str = ""
    agreement_at_10: float | None = None
    by_genre: dict[str, float] = field(default_factory=dict)
    genre_intervals: dict[str, Interval] = field(default_factory=dict)
    confusion: dict[str, dict[str, float]] = field(default_factory=dict)
    space: Health | None = None
    corrected: tuple[Corrected, ...] = ()
    by_label: dict[str, ByLabel] = field(default_factory=dict)
    stressed: tuple[Stressed, ...] = ()
    fusion: dict[str, float] = field(default_factory=dict)
    tuned: Tuned | None = None
    spec_hash: str = ""
    licence: str = ""
    mlflow_run_id: str | None = None
    ranked: bool = True
    faults: tuple[str, ...] = ()
    error: str = ""
    advice: str = ""
    code: str = ""

    def value(self, name: str) -> float | None:
        """Return a score's value; None if there is none."""
        score = self.scores.get(name)
        return None if score is None else score.value

    @property
    def all_scores(self) -> dict[str, Score]:
        """The scores, and those by other labels, such as ``playlist/map``."""
        by_label = {
            f"{label}/{name}": score
            for label, found in self.by_label.items()
            for name, score in found.scores.items()
        }
        return self.scores | by_label

    @property
    def meaningful(self) -> bool:
        """Whether its scores say something: seeded weights and the baseline do not.

        Nothing does where genres are none.
        """
        return self.ranked and self.kind != "baseline" and self.weights != "untrained"


@dataclass(frozen=True)
class Dataset:
    """The evaluated library; `failed` counts the files and tracks with an error."""

    name: str
    fingerprint: str
    tracks: int
    failed: int
    skipped: dict[str, int] = field(default_factory=dict)
    """The number of files of each kind that is not read, most frequent first."""


@dataclass(frozen=True)
class AsOf:
    """The tracks that a comparison is of, where the library has changed since.

    Parameters
    ----------
    covered
        Tracks of the library that took part as they are.
    tracks
        Tracks of the library.
    evaluated
        Tracks of the library at the evaluation.
    """

    covered: int
    tracks: int
    evaluated: int

    @property
    def changed(self) -> float:
        """The tracks that are new, gone or changed, as a share of the larger library."""
        most = max(self.tracks, self.evaluated)
        return (most - self.covered) / most if most else 0.0

    def __str__(self) -> str:
        gone = self.evaluated - self.covered
        rest = f"; {gone:,} {'is' if gone == 1 else 'are'} gone or changed" if gone else ""
        return f"as of {self.covered:,} of {self.tracks:,} tracks{rest}"


@dataclass(frozen=True)
class Comparison:
    """All rows, with the library and the protocol.

    Parameters
    ----------
    dataset
        The library.
    protocol
        The rule that was followed.
    measures
        The scores in `rows`, in the order of tables.
    rows
        Embedders, then fusions, then tuned spaces, then the baseline.
    differences
        Between all rows with meaningful scores.
    problems
        Of the library, the embedders and the evaluation.
    state
        A name for everything that the results follow from; see `state.state_of`.
    created
        When, in ISO 8601.
    mlflow_experiment_id, mlflow_run_id
        Where MLflow holds it.
    doubts
        Why it means little, or nothing.
    labels
        The labels beside the genre that were asked for.
    reading
        How the library was read, in one line.
    frame
        A name for what it follows from beside the tracks; see `state.frame_of`.
    as_of
        The tracks that it is of, where a new evaluation was put off; None if it is up to date.
    """

    dataset: Dataset
    protocol: Protocol
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    problems: tuple[Problem, ...]
    state: str
    created: str
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    doubts: tuple[Doubt, ...] = ()
    labels: tuple[Label, ...] = ()
    reading: str = ""
    frame: str = ""
    as_of: AsOf | None = None

    @property
    def is_void(self) -> bool:
        """Whether it means nothing, so that nothing is ranked by it."""
        return any(doubt.voids for doubt in self.doubts)

    def is_of(self, other: "Comparison") -> bool:
        """Whether both measure the same: tracks, embedders and tuned spaces."""
        mine, its = ({row.embedder: row.spec_hash for row in one.rows} for one in (self, other))
        return self.state == other.state and mine == its

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> "Comparison | None":
        """Read a saved comparison; None if there is none, or one of another version."""
        try:
            return _STORED.validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    @property
    def fusions(self) -> dict[str, dict[str, float]]:
        """The weights of each fusion's members, by its name; none of one by rank."""
        return {row.embedder: row.fusion for row in self.rows if row.kind == "fusion"}

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a row per embedder and score, with 95 % interval and cost.

        Long form: the columns are ``embedder``, ``kind``, ``weights``, ``dim``, ``metric``,
        ``value``, ``low``, ``high``, ``tracks_per_s`` and ``peak_rss_mb``. A metric by another
        label than the genre is called as in ``playlist/map``.
        """
        import pandas as pd

        names = ("embedder", "kind", "weights", "dim")
        return pd.DataFrame(
            {name: getattr(row, name) for name in names}
            | {"metric": metric, **vars(score)}
            | {"tracks_per_s": row.tracks_per_s, "peak_rss_mb": row.peak_rss_mb}
            for row in self.rows
            for metric, score in row.all_scores.items()
        )

    def with_runs(self, experiment: str, parent: str, children: Mapping[str, str]) -> "Comparison":
        """Return the same with the MLflow runs that hold it."""
        rows = tuple(replace(row, mlflow_run_id=children.get(row.embedder)) for row in self.rows)
        return replace(self, rows=rows, mlflow_experiment_id=experiment, mlflow_run_id=parent)


_STORED = TypeAdapter(Comparison)
