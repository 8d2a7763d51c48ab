"""Tuned spaces: learned where labels or vectors changed, published, and measured."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from musicflow import embedders
from musicflow.atomic import read_arrays, write_arrays
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import Comparison, Method, Row, duplicates, labels, retrieval, space
from musicflow.evaluation.comparison import common_spaces
from musicflow.evaluation.cost import BYTES_PER_VALUE, cost_of_fusion
from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.labels import LabelError
from musicflow.evaluation.neighbours import KeptNeighbours
from musicflow.evaluation.protocol import Keys, drawn_rows
from musicflow.evaluation.quality import MAX_TRACKS
from musicflow.evaluation.space import Neighbours
from musicflow.evaluation.state import ready_of
from musicflow.index import Manifest, TrackIndex, fused, normalize, tuned
from musicflow.index.tuned import Projection, side_by_side
from musicflow.library import Library, Progress, Track, no_progress, shown_as
from musicflow.library.recordings import Verdicts
from musicflow.pipeline.joined import JoinedStore
from musicflow.pipeline.pace import Pace
from musicflow.pipeline.publish import (
    MANY_CHANGES,
    TunedSpec,
    build_collection,
    collection_state,
    is_published,
    standardizer,
)
from musicflow.settings import Home, Settings, is_file
from musicflow.store import Embedding, EmbeddingStore, stack, with_vector
from musicflow.tuning import TuningError, evidence, sources
from musicflow.tuning import space as spaces

_BLOCK = 4096


@dataclass(frozen=True)
class Wanted:
    """A tuned space that the settings name.

    Parameters
    ----------
    specs
        Its embedders.
    source
        What it is learned from: a label, a preference, a table, or a folder of playlists.
    home
        Where preferences are kept.
    """

    specs: tuple[EmbedderSpec, ...]
    source: str
    home: Home = field(default_factory=lambda: Home(Path()))

    @property
    def label(self) -> str:
        """Return the label in its name; that of a table is the table's name."""
        return labels.name_of(self.source)

    @property
    def name(self) -> str:
        """Return its name."""
        return tuned.name_of([spec.label for spec in self.specs], self.label)

    @property
    def text(self) -> str:
        """Return it as the settings name it; see `wanted`."""
        return f"{'+'.join(spec.reference for spec in self.specs)}@{self.source}"

    def check(self, tracks: Sequence[Track], store: EmbeddingStore) -> None:
        """Refuse what cannot be learned: too little is told, or tracks have no vectors.

        Raises
        ------
        TuningError
            It says how much there is, and how much it takes.
        """
        usable = usable_tracks(self, tracks, store)
        if not usable:
            names = " and ".join(spec.label for spec in self.specs)
            raise TuningError(
                f"no track has vectors of {names}", "run `musicflow run` with them", "no-vectors"
            )
        self.judgements(usable)

    def judgements(self, tracks: Sequence[Track]) -> Judgements:
        """Return what tracks tell of each other.

        Raises
        ------
        TuningError
            If that is too little, or cannot be read.
        """
        if self.source == "likes":
            found = sources.read_likes(self.home.likes, tracks)
        elif self.source == "votes":
            found = sources.read_votes(self.home.votes, tracks)
        else:
            try:
                found = labels.judgements(self.source, tracks)
            except LabelError as error:
                raise TuningError(error.message, error.advice, error.code) from error
        return sources.usable(found, self.source)


def wanted(settings: Settings, text: str) -> Wanted:
    """Return the tuned space that a text such as ``musicnn+mfcc@genre`` names.

    Raises
    ------
    TuningError
        If it names no label.
    UnknownEmbedderError
        If it names an unknown embedder.
    """
    names, _, source = text.rpartition("@")
    if is_file(source):
        source = str(Path(source).expanduser().absolute())
    names_of_labels = (*sources.LABELS, *sources.PREFERENCES)
    if not is_file(source) and source not in names_of_labels:
        known = ", ".join(names_of_labels)
        raise TuningError(
            f"{source!r} is no label",
            f"give one of {known}, a table FILE.csv, or FOLDER/",
            "unknown-label",
        )
    specs = tuple(embedders.spec_for(name, settings) for name in names.split("+"))
    return Wanted(specs, source, settings.paths)


def all_wanted(settings: Settings) -> list[Wanted]:
    """Return the tuned spaces that the settings name; see `wanted`."""
    return [wanted(settings, text) for text in settings.tuned]


@dataclass(frozen=True)
class Source:
    """What a tuned space is learned from, by marks: one per track.

    Parameters
    ----------
    contents
        A mark of each track's content, rising, shape ``(N,)``.
    told
        A mark of the content and of all that is told of it, in the same order.
    """

    contents: np.ndarray
    told: np.ndarray

    @classmethod
    def of(cls, tracks: Sequence[Track], judgements: Judgements) -> "Source":
        """Return the marks of tracks."""
        told: list[list] = [
            [track.content_hash, *own] for track, own in zip(tracks, judgements.labels, strict=True)
        ]
        for rows in (*judgements.pairs.tolist(), *judgements.triplets.tolist()):
            told[rows[0]].append([tracks[row].content_hash for row in rows])
        contents = np.array([_mark([track.content_hash]) for track in tracks], np.uint64)
        order = np.argsort(contents, kind="stable")
        return cls(contents[order], np.array([_mark(one) for one in told], np.uint64)[order])

    def identity(self, one: Wanted) -> str:
        """Return a name for it and all else that a tuned space follows from."""
        parts = [spaces.VERSION, one.name, [spec.hash for spec in one.specs]]
        digest = hashlib.sha256(json.dumps(parts).encode())
        digest.update(np.sort(self.told).tobytes())
        return digest.hexdigest()[:16]

    def still_tells(self, now: "Source") -> bool:
        """Return whether a space that was learned from it need not be learned anew.

        It need where something else is told of one of its tracks, or `MANY_CHANGES` are new or
        gone.
        """
        same = len(np.intersect1d(self.contents, now.contents))
        changed = same - len(np.intersect1d(self.told, now.told))
        moved = len(np.unique(self.contents)) + len(np.unique(now.contents)) - 2 * same
        return changed <= 0 and moved <= MANY_CHANGES * len(self.contents)

    def save(self, path: Path, identity: str) -> None:
        """Keep it as the source of a learned space."""
        write_arrays(path, identity=identity, contents=self.contents, told=self.told)

    @classmethod
    def load(cls, path: Path, identity: str) -> "Source | None":
        """Return the source of a learned space; None if it is not known."""
        kept = read_arrays(path, "identity", "contents", "told")
        if kept is None or str(kept[0]) != identity:
            return None
        return cls(*kept[1:])


def _mark(values: Sequence) -> int:
    text = json.dumps(values).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def current_spec(
    one: Wanted, tracks: Sequence[Track], index: TrackIndex, settings: Settings
) -> TunedSpec | None:
    """Return a published tuned space as it is, where it need not be learned anew; else None.

    Parameters
    ----------
    one
        The space.
    tracks
        Those with a vector of each of its embedders.
    index, settings
        Where it is published, and those of the home.
    """
    manifest = index.manifest(one.name)
    if manifest is None or not manifest.spec_hash.startswith(tuned.spec_hash(_hash(one), "")):
        return None
    identity = tuned.identity_of(manifest.spec_hash)
    now = Source.of(tracks, one.judgements(tracks))
    before = Source.load(_record(one, settings), identity)
    if now.identity(one) == identity or (before is not None and before.still_tells(now)):
        return TunedSpec(one.name, manifest.spec_hash, manifest.dim, manifest.projection)
    return None


def _record(one: Wanted, settings: Settings) -> Path:
    return settings.paths.tuned / f"{one.name.removeprefix(tuned.TUNED)}.npz"


def _hash(one: Wanted) -> str:
    return fused.spec_hash([spec.hash for spec in one.specs])


def usable_tracks(one: Wanted, tracks: Sequence[Track], store: EmbeddingStore) -> list[Track]:
    """Return the tracks that have a vector of each embedder of a tuned space."""
    return with_vector(tracks, JoinedStore(store, one.specs).known(None))


def is_current(
    one: Wanted,
    tracks: Sequence[Track],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
) -> bool:
    """Return whether a tuned space need be neither learned nor published. No vector is read.

    One that cannot be learned any more is not current: the run says why.
    """
    usable, manifest = usable_tracks(one, tracks, store), index.manifest(one.name)
    try:
        spec = current_spec(one, usable, index, settings)
    except TuningError:
        return False
    return (
        spec is not None
        and manifest is not None
        and is_published(manifest, collection_state(usable, spec), index)
    )


def tune(
    one: Wanted,
    tracks: Sequence[Track],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
    progress: Progress = no_progress,
) -> Manifest:
    """Publish a tuned space; learn it first, unless it is current.

    Raises
    ------
    TuningError
        If there is too little to learn from.
    """
    usable = usable_tracks(one, tracks, store)
    spec = current_spec(one, usable, index, settings)
    if spec is None:
        title = f"Learning {one.name} from {len(usable)} tracks"
        spec = shown_as(title, lambda: _learned(one, usable, store, settings), progress)
    given = usable, spec, JoinedStore(store, one.specs), index
    return build_collection(*given, Pace(settings.paths.pace), progress)


def _learned(
    one: Wanted, tracks: Sequence[Track], store: EmbeddingStore, settings: Settings
) -> TunedSpec:
    judgements = one.judgements(tracks)
    units, dims, centers, scales = [], [], [], []
    for spec in one.specs:
        rows = store.read(spec, {track.content_hash for track in tracks})
        center, scale = standardizer(tracks, rows) if spec.standardize else ((), ())
        dims.append(spec.dim)
        centers.append(np.array(center) if center else np.zeros(spec.dim))
        scales.append(np.array(scale) if scale else np.ones(spec.dim))
        units.append(_unit([rows[t.content_hash] for t in tracks], centers[-1], scales[-1]))
    # As large as the vectors: it must not be held while they are learned from.
    del rows
    shares = spaces.balanced(units)
    whole = side_by_side(units, shares).astype(np.float32) if len(units) > 1 else units[0]
    del units
    choice = spaces.choose(*_to_choose_by(whole, tracks, judgements, one.label, settings))
    learned = spaces.learn(whole, judgements, choice)
    projection = Projection(
        *(np.array(dims), np.concatenate(centers), np.concatenate(scales), shares),
        *(learned.mean, learned.directions, learned.weight),
        shrinkage=np.nan if choice.shrinkage is None else choice.shrinkage,
    )
    source = Source.of(tracks, judgements)
    identity = source.identity(one)
    source.save(_record(one, settings), identity)
    hash_ = tuned.spec_hash(_hash(one), identity)
    return TunedSpec(one.name, hash_, projection.dim, projection.to_text())


def _unit(rows: Sequence[Embedding], center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    unit = np.empty((len(rows), len(center)), np.float32)
    for start in range(0, len(rows), _BLOCK):
        some = stack(rows[start : start + _BLOCK])
        unit[start : start + _BLOCK] = normalize((some - center) / scale)
    return unit


def _to_choose_by(
    whole: np.ndarray,
    tracks: Sequence[Track],
    judgements: Judgements,
    label: str,
    settings: Settings,
) -> tuple[np.ndarray, Judgements, np.ndarray]:
    """Return what the choice in folds is made by: each recording once, kin together."""
    drawn = drawn_rows(len(whole), spaces.MAX_TRACKS, spaces.SEED)
    some, unit = [tracks[row] for row in drawn.tolist()], whole[drawn]
    once, cuts = _each_once(some, [space.neighbours(unit)], settings)
    drawn, unit = drawn[once], unit[once]
    some = [some[row] for row in once.tolist()]
    ground = evidence.Ground(some, {}, (), Method.of(settings), cuts=cuts)
    own = judgements.of(drawn)
    _, kin = evidence.rules(ground, own, label)
    return whole[drawn], own, kin


def _each_once(
    tracks: Sequence[Track], near: Sequence[Neighbours], settings: Settings
) -> tuple[np.ndarray, Keys]:
    """Return the row numbers of the first track of each recording, and the keys of their cuts."""
    verdicts = Verdicts.load(settings.paths.recordings)
    first = duplicates.recordings(tracks, near, verdicts=verdicts)
    verdicts.save(settings.paths.recordings)
    once = np.flatnonzero(first == np.arange(len(tracks)))
    cuts = duplicates.cuts(tracks, first, verdicts)
    return once, [cuts[row] for row in once.tolist()]


def are_measured(comparison: Comparison, settings: Settings, index: TrackIndex) -> bool:
    """Return whether a comparison has a row for each published tuned space as it is."""
    rows = {row.embedder: row.spec_hash for row in comparison.rows if row.kind == "tuned"}
    manifests = {one.name: index.manifest(one.name) for one in all_wanted(settings)}
    return rows == {name: m.spec_hash for name, m in manifests.items() if m is not None}


def with_tuned(
    comparison: Comparison,
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
    progress: Progress = no_progress,
) -> Comparison:
    """Return a comparison with a row for each published tuned space.

    Those that it has already are not measured again. A tuned space is measured on the tracks that
    the comparison is of.
    """
    if are_measured(comparison, settings, index):
        return comparison
    found = [one for one in all_wanted(settings) if index.manifest(one.name) is not None]
    rows = [row for row in comparison.rows if row.kind != "tuned"]
    names = {row.embedder for row in comparison.rows if row.kind == "tuned"}
    kept = [d for d in comparison.differences if not {d.better, d.worse} & names]
    if found:
        ground = ground_of(library, specs, store, index, settings)
        for one in found:
            title = f"Measuring {one.name}"
            row = shown_as(title, partial(_row, one, ground, rows, index), progress)
            rows.insert(len(rows) - 1, replace(row, exclude=comparison.protocol.exclude))
            if row.tuned is not None and one.label == "genre":
                kept += [d for d in row.tuned.known.differences if one.name in (d.better, d.worse)]
    return replace(
        comparison,
        rows=tuple(rows),
        differences=tuple(kept),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def ground_of(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
) -> evidence.Ground:
    """Return the tracks and vectors of the comparison, each recording once."""
    ready, manifests = ready_of(specs, store, index)
    rows = {spec.label: store.read(spec) for spec in ready}
    tracks, units = common_spaces(library, ready, manifests, rows)
    meaningful = [spec.label for spec in ready if spec.weights_state != "untrained"]
    method, once = Method.of(settings), np.arange(len(tracks))
    cuts: Keys = ()
    kept, ids = KeptNeighbours(settings.paths.neighbours), [track.track_id for track in tracks]
    looked_at = meaningful if len(tracks) <= MAX_TRACKS else []
    near = {name: kept.find(name, units[name], ids) for name in looked_at}
    if method.exclude != "none":
        once, cuts = _each_once(tracks, list(near.values()), settings)
    recordings = [tracks[row] for row in once.tolist()]
    return evidence.Ground(
        recordings,
        {label: unit[once] for label, unit in units.items()},
        meaningful,
        method,
        len(tracks) - len(once),
        cuts,
    )


def _row(one: Wanted, ground: evidence.Ground, rows: Sequence[Row], index: TrackIndex) -> Row:
    """Return the row of a tuned space; its error where it cannot be measured."""
    manifest = index.manifest(one.name)
    assert manifest is not None
    members = [row for row in rows if row.embedder in {spec.label for spec in one.specs}]
    states = {row.weights for row in members}
    cost = cost_of_fusion(members) | {"bytes_per_vector": BYTES_PER_VALUE * manifest.dim}
    row = Row(
        one.name,
        "tuned",
        next((s for s in ("untrained", "trained", "unknown") if s in states), "none"),
        manifest.dim,
        n_failed=max((row.n_failed for row in members), default=0),
        spec_hash=manifest.spec_hash,
        licence=", ".join(sorted({row.licence for row in members if row.licence})),
        **cost,
    )
    try:
        if missing := {spec.label for spec in one.specs} - ground.units.keys():
            reason = f"it takes vectors of {', '.join(sorted(missing))}, which are not compared"
            raise TuningError(reason, code="no-vectors")
        judgements = one.judgements(ground.tracks)
        projection = tuned.projection_of(manifest.projection)
        figures, found = evidence.measure(one.name, ground, judgements, projection)
    except TuningError as error:
        return replace(row, error=error.message, advice=error.advice, code=error.code)
    whole = evidence.joined_of(one.name, ground, projection)
    ids = [track.track_id for track in ground.tracks]
    with index.open(one.name) as collection:
        unit = projection.of_unit(whole).astype(np.float32)
        agreement = retrieval.agreement(collection, unit, ids)
    return replace(row, tuned=found, **vars(figures), **vars(agreement))
