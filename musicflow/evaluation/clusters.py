"""Clusters: groups found without labels, how well they agree with genres, and words for them."""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import threadpool_limits

from musicflow.atomic import write_atomically
from musicflow.evaluation.protocol import blocks, drawn_rows
from musicflow.index import Collection
from musicflow.library import UNKNOWN

RUNS = 10
MOST = 1000
"""Tracks of one run, at most: of more, each run draws its own."""

SEED = 0

FOLDER = "clusters"
"""The folder of clusters in a home's folder of reports."""

FEWEST, MANY = 2, 24
"""The fewest and the most clusters of a collection; between these, as many as genres."""

DRAWN = 5000
"""Tracks that clusters are looked for among, at most; all others belong to the nearest."""

WORDS = 3
"""Words of a name, at most."""

SHARE = 0.25
"""The share of a cluster's tracks that a word of its name has, unless no word has it."""

_BLOCK = 10_000
"""Tracks whose vectors are in memory at once."""

_LABELS = ("genre", "subgenres", "mood", "moods")
"""The fields whose values are words where no tag is predicted."""


@dataclass(frozen=True)
class Word:
    """A word that tells a cluster from the rest.

    Parameters
    ----------
    word
        A tag, or a label.
    share
        Of the cluster's tracks, those that have it.
    lift
        That share over the share of all tracks.
    """

    word: str
    share: float
    lift: float


@dataclass(frozen=True)
class Cluster:
    """Tracks that an embedder has near to each other.

    Parameters
    ----------
    name
        Its words, or a number where there are none. No two clusters have one name.
    words
        Those that tell most, first.
    track_ids
        Its tracks, sorted.
    """

    name: str
    words: tuple[Word, ...]
    track_ids: tuple[str, ...]


@dataclass(frozen=True)
class Clusters:
    """The clusters of a collection, the largest first.

    Parameters
    ----------
    embedder, spec_hash, state
        Of the collection.
    source
        Where words come from: tags that the embedder predicts, or labels.
    clusters
        The clusters.
    """

    embedder: str
    spec_hash: str
    state: str
    source: Literal["tags", "labels"]
    clusters: tuple[Cluster, ...]


_STORED = TypeAdapter(Clusters)


def load(folder: Path, embedder: str) -> Clusters | None:
    """Return the clusters of an embedder that are kept in a folder of reports; None without any."""
    try:
        return _STORED.validate_json(_file(folder, embedder).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def clusters(collection: Collection, folder: Path) -> Clusters:
    """Return the clusters of a collection, and keep them.

    They are those of k-means. Where the collection changed, it starts from the ones before, so that
    a new song moves no other.

    Parameters
    ----------
    collection
        The collection.
    folder
        The home's folder of reports.
    """
    manifest = collection.manifest
    last = load(folder, manifest.embedder)
    if last is not None and last.state == manifest.state:
        return last
    payloads = sorted(collection.payloads(), key=lambda payload: str(payload["track_id"]))
    ids = [payload["track_id"] for payload in payloads]
    before = last if last is not None and last.spec_hash == manifest.spec_hash else None
    belongs = _found(collection, ids, _count(payloads), before)
    source: Literal["tags", "labels"] = "labels"
    if any(payload.get("tags") for payload in payloads):
        source = "tags"
    held = [_words(payload, ["tags"] if source == "tags" else _LABELS) for payload in payloads]
    told = distinctive(held, belongs)
    members = {number: np.flatnonzero(belongs == number).tolist() for number in told}
    names: Counter[str] = Counter()
    found = []
    for number in sorted(members, key=lambda one: (-len(members[one]), members[one][0])):
        words = told[number]
        name = ", ".join(word.word for word in words) or "cluster"
        names[name] += 1
        if names[name] > 1 or not words:
            name = f"{name} {names[name]}"
        found.append(Cluster(name, words, tuple(ids[row] for row in members[number])))
    about = manifest.embedder, manifest.spec_hash, manifest.state, source
    kept = Clusters(*about, tuple(found))
    write_atomically(_file(folder, manifest.embedder), json.dumps(asdict(kept)).encode())
    return kept


def distinctive(held: Sequence[Iterable[str]], belongs: np.ndarray) -> dict[int, tuple[Word, ...]]:
    """Return the words that tell each cluster from the rest, by its number.

    The evidence of a word is its log-likelihood ratio (Dunning, Accurate methods for the statistics
    of surprise and coincidence, 1993), which large and small counts can be compared by. Only words
    that are more frequent in the cluster than elsewhere count.

    Parameters
    ----------
    held
        The words of each track.
    belongs
        The cluster of each track, shape ``(N,)``.
    """
    columns: dict[str, int] = {}
    places = [
        (number, columns.setdefault(word, len(columns)))
        for number, words in zip(belongs.tolist(), held, strict=True)
        for word in words
    ]
    sizes = np.bincount(belongs) if len(belongs) else np.zeros(0, int)
    counts = np.zeros((len(sizes), len(columns)))
    for place in places:
        counts[place] += 1
    total, names = counts.sum(axis=0), list(columns)
    found: dict[int, tuple[Word, ...]] = {}
    for number in np.flatnonzero(sizes).tolist():
        size, own = sizes[number], counts[number]
        share, overall = own / size, total / len(belongs)
        evidence = np.where(share > overall, _surprise(own, total, size, len(belongs)), 0.0)
        best = np.argsort(-evidence, kind="stable")
        best = best[evidence[best] > 0]
        frequent = best[share[best] >= SHARE]
        chosen = frequent[:WORDS] if len(frequent) else best[:1]
        found[number] = tuple(
            Word(names[one], float(share[one]), float(share[one] / overall[one]))
            for one in chosen.tolist()
        )
    return found


def _surprise(own: np.ndarray, total: np.ndarray, size: int, count: int) -> np.ndarray:
    """Return the log-likelihood ratio of each word's being in a cluster as often as elsewhere."""
    cells = np.stack([own, total - own, size - own, count - size - total + own])
    rows = np.stack([total, total, count - total, count - total])
    expected = rows * np.array([size, count - size, size, count - size])[:, None] / count
    terms = np.zeros_like(cells)
    some = cells > 0
    terms[some] = cells[some] * np.log(cells[some] / expected[some])
    ratio: np.ndarray = 2 * terms.sum(axis=0)
    return ratio


def _found(
    collection: Collection, ids: Sequence[str], count: int, before: Clusters | None
) -> np.ndarray:
    """Return the cluster of each track, shape ``(N,)``."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(ids) <= count:
        return np.arange(len(ids))
    drawn = drawn_rows(len(ids), DRAWN, SEED)
    unit = collection.vectors([ids[row] for row in drawn.tolist()])
    start: Any = "k-means++"
    if before is not None:
        of = {one: n for n, each in enumerate(before.clusters) for one in each.track_ids}
        known = np.array([of.get(ids[row], -1) for row in drawn.tolist()])
        means = [unit[known == n].mean(axis=0) for n in np.unique(known[known >= 0]).tolist()]
        if FEWEST <= len(means) <= len(unit):
            start, count = np.stack(means), len(means)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(count, init=start, n_init=1, random_state=SEED).fit(unit)
        found = np.empty(len(ids), int)
        for rows in blocks(len(ids), _BLOCK):
            found[rows] = model.predict(collection.vectors([ids[row] for row in rows.tolist()]))
    return found


def _count(payloads: Sequence[Mapping[str, Any]]) -> int:
    """Return how many clusters to look for: as many as genres, within bounds."""
    genres = {name for payload in payloads for name in _words(payload, ["genre"])[:1]}
    return int(np.clip(len(genres), FEWEST, MANY))


def _words(payload: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """Return the values of some fields of a track, each once."""
    found: list[str] = []
    for name in fields:
        value = payload.get(name) or ()
        found += [value] if isinstance(value, str) else map(str, value)
    return [word for word in dict.fromkeys(found) if word != UNKNOWN]


def _file(folder: Path, embedder: str) -> Path:
    return folder / FOLDER / f"{embedder.replace(':', '-').replace('/', '-')}.json"


# --- agreement -----------------------------------------------------------------------------------


def v_measures(vectors: np.ndarray, genres: np.ndarray) -> np.ndarray | None:
    """Return the V-measure of k-means against genres, per run.

    V-measure is the harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg,
    2007). There are as many clusters as genres.

    Parameters
    ----------
    vectors
        Of length one, shape ``(N, dim)``.
    genres
        Shape ``(N,)``.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(RUNS,)``; None if there are fewer than two genres.
    """
    # Imported here: it takes most of a second, which a search need not wait for.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import v_measure_score

    if len(np.unique(genres)) < 2:
        return None
    found = np.empty(RUNS)
    with threadpool_limits(1), warnings.catch_warnings():
        # Of vectors that are alike there are fewer clusters, which the measure tells.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for run in range(RUNS):
            some = np.random.default_rng(SEED + run).permutation(len(genres))[:MOST]
            drawn, wanted = vectors[some].astype(np.float32), genres[some]
            model = KMeans(len(np.unique(wanted)), n_init=1, random_state=SEED + run)
            found[run] = v_measure_score(wanted, model.fit_predict(drawn))
    return found
