"""The questions that pages and programs ask of a home, answered for many at a time.

A service opens a collection once per published state, loads a model once, and computes a map once.
Its methods may be called from any thread.
"""

import io
import itertools
import random
import threading
import wave
from collections.abc import Collection as Collected
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow import embedders
from musicflow.app import uploads
from musicflow.app.catalogue import Catalogue, Sort
from musicflow.app.kept import Kept, Together
from musicflow.app.pictures import PICTURE_S, RATE, spectrogram
from musicflow.app.questions import Answer, Ballot, Open, Question, Wanted
from musicflow.app.uploads import Upload
from musicflow.audio import guarded
from musicflow.embedders import Embedder, EmbedderSpec
from musicflow.errors import words_of
from musicflow.evaluation import Comparison, abx, clusters, projection, votes
from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.results import COMPARISON
from musicflow.evaluation.votes import Standing, Vote
from musicflow.index import (
    Collection,
    FilterError,
    Filters,
    Hit,
    NoCollectionError,
    fused,
    normalize,
)
from musicflow.index.fields import of_kind
from musicflow.index.filters import field_of
from musicflow.library import Library, Track
from musicflow.library.artwork import artwork
from musicflow.library.recordings import Verdicts
from musicflow.places import place
from musicflow.search import lookup, query
from musicflow.search.answers import overlap
from musicflow.search.corrected import corrected
from musicflow.search.duplicates import Group, duplicates
from musicflow.search.errors import NoTrackError, QueryError
from musicflow.search.path import path
from musicflow.search.query import Example
from musicflow.search.recommend import Strategy, recommend
from musicflow.search.why import Why, why
from musicflow.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_MODELS = 4
"""The most models that stay in memory."""

_EXCERPT_S, _EXCERPT_RATE = 60.0, 22_050

_POOL = 5000
"""The most tracks among which triplets are looked for; of more, so many are drawn."""

_UPLOADS = 20
"""The most uploads that stay in memory."""


class Service:
    """The published collections and the library of a home.

    Parameters
    ----------
    home
        The home; that of the environment if not given.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self._known: tuple[Settings, object] | None = None
        self._opened, self._results, self._covers = Kept(16), Kept(100), Kept(2000)
        self._uploads = Kept(_UPLOADS)
        self._model = threading.Lock()
        # A page asks for many pictures at once, and a process that decodes starts slowly.
        self._beginnings = Together(
            partial(guarded.beginnings, sample_rate=RATE, seconds=PICTURE_S)
        )
        self._loaded = lru_cache(_MODELS)(embedders.load)

    @property
    def settings(self) -> Settings:
        """Return the home's settings as they are now."""
        # Reading them costs as much as an answer, and a view asks for them twenty times.
        settings, stamp = self._known or (None, None)
        now = None if settings is None else _stamp(settings.paths.settings_file)
        if settings is None or now != stamp:
            settings = Settings() if self._home is None else Settings(home=self._home)
            self._known = settings, now
        return settings

    # --- what is there ---------------------------------------------------------------------------

    def labels(self) -> list[str]:
        """Return the names of all collections, fusions last."""
        settings = self.settings
        return lookup.published(settings, lookup.open_collections(settings))

    def open(self, embedder: str | None = None, *, text: bool = False) -> Open:
        """Return a collection.

        Parameters
        ----------
        embedder
            The name of an embedder or a fusion; by default the first of the home's.
        text
            Prefer one with a text side, where none is named.

        Raises
        ------
        NoCollectionError
            If there is none.
        UnknownEmbedderError
            If there is no such embedder.
        """
        settings = self.settings
        index = lookup.open_collections(settings)
        label = embedder or lookup.first_of(settings, index, text=text)
        names, members = index.names(), fused.members(label)
        if not {*(members or (label,))} <= {*names}:
            # An address is not followed: it may lead to any module, or to a download.
            if not embedders.is_address(label):
                lookup.specs_for(label, settings)
            raise NoCollectionError.among(label, names)
        # That of a fusion follows from its members' and its weights.
        manifest = index.manifest(label)
        state = manifest.state if manifest else ""
        return Open(self._opened.once(label, state, partial(index.open, label)), settings)

    def catalogue(self) -> Catalogue:
        """Return the tracks of the library, as it was last read."""
        folder = self.settings.paths.library
        return self._results.once(
            "catalogue", _age(folder), lambda: Catalogue(Library.load(folder))
        )

    def track(self, track_id: str) -> Track:
        """Return a track of the library.

        Raises
        ------
        NoTrackError
            If there is no such track.
        """
        try:
            return self.catalogue()[track_id]
        except KeyError:
            raise NoTrackError(f"no track has the id {track_id!r}") from None

    def payloads(self, names: Sequence[str], embedder: str | None = None) -> list[dict[str, Any]]:
        """Return the payloads of some tracks, by their ids or names."""
        collection = self.open(embedder).collection
        return [collection.payload(lookup.find_track(collection, name)) for name in names]

    def cover(self, track: Track) -> tuple[bytes, str] | None:
        """Return the picture of a track and its media type.

        It is the cover art that the file carries, else its spectrogram; None without a sound.
        """
        return self._covers.once(track.content_hash, track.path, partial(self._cover, track))

    def _cover(self, track: Track) -> tuple[bytes, str] | None:
        where = place(track.path)
        if found := artwork(where):
            return found
        sound = self._beginnings(where)
        return None if isinstance(sound, Exception) else (spectrogram(sound), "image/png")

    def excerpt(self, track: Track) -> bytes:
        """Return the first minute of a track as a WAV file.

        Raises
        ------
        QueryError
            If the file cannot be used.
        """
        [samples] = guarded.beginnings([place(track.path)], _EXCERPT_RATE, _EXCERPT_S)
        if isinstance(samples, Exception):
            raise QueryError(f"{track.track_id!r} cannot be played: {words_of(samples)}")
        file = io.BytesIO()
        with wave.open(file, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(_EXCERPT_RATE)
            wav.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
        return file.getvalue()

    def comparison(self) -> Comparison | None:
        """Return the last comparison of the home's embedders; None if there is none."""
        return Comparison.load(self.settings.paths.reports / COMPARISON)

    def extents(self, opened: Open) -> dict[str, tuple[float, float]]:
        """Return the least and greatest value of each number field of a collection."""
        collection = opened.collection
        make = partial(_extents, collection)
        return self._results.once(("extents", opened.label), collection.manifest.state, make)

    def has_text_side(self, opened: Open) -> bool:
        """Return whether words can ask a collection."""
        return all(spec.text for spec in lookup.specs_for(opened.label, opened.settings))

    # --- uploads ---------------------------------------------------------------------------------

    def keep(self, upload: Upload) -> str:
        """Keep an upload for the questions that follow, and return its key."""
        self._uploads.once(upload.key, None, lambda: upload)
        return upload.key

    def kept(self, key: str) -> Upload | None:
        """Return an upload that is kept; None if there is none."""
        return self._uploads.get(key)

    def upload(self, key: str) -> Upload:
        """Return an upload that is kept.

        Raises
        ------
        QueryError
            If it is not kept any more.
        """
        if (found := self.kept(key)) is None:
            raise QueryError("the song that was dropped is gone", "drop it again", "upload-gone")
        return found

    # --- questions -------------------------------------------------------------------------------

    def similar(self, question: Question, wanted: Wanted = Wanted()) -> Answer:
        """Return the tracks that sound most like a question; see `musicflow.search.query`.

        Raises
        ------
        QueryError
            If the question cannot be answered.
        FilterError
            If a filter is none.
        """
        opened = self._asked(wanted, text=question.text is not None)
        return Answer(opened.label, self._hits(opened, question, wanted))

    def compare(
        self, question: Question, wanted: Wanted = Wanted(), named: Sequence[str] = ()
    ) -> tuple[list[Answer], dict[tuple[str, str], float]]:
        """Return the answers of several embedders to one question, and how they overlap.

        Parameters
        ----------
        question, wanted
            See `similar`.
        named
            The embedders; all published ones if empty.

        Returns
        -------
        answers : list of Answer
            One per embedder; where it cannot take the question or a filter, with the error.
        overlaps : dict
            The share of tracks that two lists of answers have in common, for each two embedders
            that answer.

        Raises
        ------
        QueryError, FilterError
            If no embedder can answer.
        """
        answers = [
            self._answer(question, replace(wanted, embedder=name))
            for name in named or self.labels()
        ]
        errors = [answer.error for answer in answers if answer.error is not None]
        if errors and len(errors) == len(answers):
            raise errors[0]
        ids = {a.embedder: [hit.track_id for hit in a.hits] for a in answers if a.error is None}
        pairs = itertools.combinations(ids, 2)
        return answers, {(a, b): overlap(ids[a], ids[b]) for a, b in pairs}

    def recommend(
        self,
        likes: Sequence[str | Upload],
        dislikes: Sequence[str | Upload],
        texts: Sequence[str] = (),
        wanted: Wanted = Wanted(),
        *,
        strategy: Strategy = "average",
        diverse: bool = False,
    ) -> Answer:
        """Return the tracks that suit likes and dislikes; see `musicflow.search.recommend`.

        Parameters
        ----------
        likes, dislikes
            Tracks by id or name, or uploads.
        texts
            Descriptions that are liked.
        wanted
            See `similar`.
        strategy, diverse
            See `musicflow.search.recommend.recommend`.
        """
        opened = self._asked(wanted, text=bool(texts))
        collection = opened.collection
        liked, disliked = (
            [self._example(opened, one) for one in several] for several in (likes, dislikes)
        )
        described: list[Example] = [self._vector(opened, Question(text=text)) for text in texts]
        hits = recommend(
            collection,
            [*liked, *described],
            disliked,
            wanted.k,
            self.filters_for(collection, wanted.filters),
            strategy=strategy,
            diverse=diverse,
            variety=wanted.variety,
            verdicts=Verdicts.load(opened.settings.paths.recordings),
        )
        return Answer(opened.label, hits)

    def why(self, track: str, other: str, embedder: str | None = None) -> Why:
        """Return what makes two tracks alike; see `musicflow.search.why.why`."""
        opened = self.open(embedder)
        return why(opened.collection, track, other, opened.settings, self._listen)

    def path(self, start: str, end: str, steps: int, wanted: Wanted = Wanted()) -> Answer:
        """Return a path from one track to another; see `musicflow.search.path`."""
        opened = self.open(wanted.embedder)
        collection = opened.collection
        first, last = (lookup.find_track(collection, name) for name in (start, end))
        asked = self.filters_for(collection, wanted.filters)
        return Answer(opened.label, path(collection, first, last, steps, asked, wanted.variety))

    def duplicates(self, embedder: str | None = None) -> tuple[str, list[Group]]:
        """Return the label of a collection, and its groups of duplicates."""
        opened = self.open(embedder)
        verdicts = Verdicts.load(opened.settings.paths.recordings)
        state = opened.collection.manifest.state, len(verdicts), len(verdicts.cuts)
        make = partial(duplicates, opened.collection, verdicts)
        return opened.label, self._results.once(("duplicates", opened.label), state, make)

    def map(self, embedder: str | None = None) -> "tuple[str, pd.DataFrame]":
        """Return the label of a collection, and the place of each of its tracks in the plane."""
        opened = self.open(embedder)
        make = partial(projection.places, opened.collection, opened.settings.paths.reports)
        state = opened.collection.manifest.state
        return opened.label, self._results.once(("map", opened.label), state, make)

    def clusters(self, embedder: str | None = None) -> Clusters:
        """Return the clusters of a collection; see `musicflow.evaluation.clusters`."""
        opened = self.open(embedder)
        folder, state = opened.settings.paths.reports, opened.collection.manifest.state
        make = partial(clusters.clusters, opened.collection, folder)
        return self._results.once(("clusters", opened.label), state, make)

    def facet(
        self, key: str, filters: Sequence[str], embedder: str | None = None
    ) -> dict[str, int]:
        """Return the number of tracks per value of a field, most first.

        Raises
        ------
        FilterError
            If there is no such field to filter by.
        """
        collection = self.open(embedder).collection
        field = field_of(key, collection.manifest.table)
        if field.kind != "keyword":
            raise FilterError(
                f"{field.name!r} has no values to count", "it is a number", "no-facet"
            )
        if field.source == "embedding":
            collection = query.teller_of(collection, self._others())
        asked, manifest = self.filters_for(collection, filters), collection.manifest
        return self._results.once(
            ("facet", manifest.embedder, field.name, asked),
            manifest.state,
            partial(collection.facet, field.name, asked),
        )

    def filters_for(self, collection: Collection, filters: Sequence[str]) -> Filters:
        """Return filters as a collection takes them; see `musicflow.search.query.filters_for`."""
        return query.filters_for(collection, filters, self._others())

    def _others(self) -> Iterator[Collection]:
        return (self.open(name).collection for name in self.labels())

    def tracks(
        self,
        words: str,
        filters: Sequence[str],
        embedder: str | None = None,
        sort: Sort = "path",
    ) -> tuple[Collection, list[str]]:
        """Return a collection, and the ids of its tracks that have words and pass filters.

        Parameters
        ----------
        words
            Words of artist, name, album, genre or id; all tracks if empty.
        filters, embedder
            See `similar`.
        sort
            What they are sorted by.
        """
        collection, catalogue = self.open(embedder).collection, self.catalogue()
        held = self._ids(collection, self.filters_for(collection, filters))
        if not words.strip():
            return collection, self._sorted(held, sort)
        named = [t.track_id for t in catalogue.search(words) if t.track_id in held]
        return collection, catalogue.ordered(named, sort)

    def _sorted(self, held: frozenset[str], sort: Sort) -> list[str]:
        state = _age(self.settings.paths.library)
        make = partial(self.catalogue().ordered, held, sort)
        return self._results.once(("sorted", held, sort), state, make)

    # --- what people say -------------------------------------------------------------------------

    def ballot(
        self, pair: tuple[str, str], filters: Sequence[str] = (), asked: Collected[str] = ()
    ) -> Ballot | None:
        """Return the next question of the blind test to two embedders.

        Parameters
        ----------
        pair
            The embedders.
        filters
            What all three tracks fulfil.
        asked
            The ids of queries that were asked before.

        Returns
        -------
        Ballot or None
            None if the two order all that is left alike.

        Raises
        ------
        FilterError
            If a filter is none, or one of the two cannot take it.
        """
        collections = [self.open(name).collection for name in pair]
        held = [self._ids(one, self.filters_for(one, filters)) for one in collections]
        catalogue = self.catalogue()
        ids = sorted(one for one in held[0] & held[1] if one in catalogue)
        if len(ids) > _POOL:
            ids = sorted(random.Random(0).sample(ids, _POOL))
        first, second = (
            self._results.once(
                ("units", one.manifest.embedder),
                (one.manifest.state, tuple(ids)),
                lambda one=one: normalize(one.vectors(ids)),  # type: ignore[misc]
            )
            for one in collections
        )
        found = abx.triplet([catalogue[one] for one in ids], (first, second), asked)
        if found is None:
            return None
        one, other = (each.manifest.spec_hash for each in collections)
        return Ballot(pair, (one, other), tuple(filters), found)

    def vote(self, ballot: Ballot, winner: str) -> None:
        """Keep a vote: for one of the ballot's embedders, or for neither ("")."""
        asked, answers = ballot.triplet, ([ballot.triplet.first], [ballot.triplet.second])
        vote = Vote(
            *(*ballot.pair, winner, asked.query),
            answers=answers,
            versions=ballot.versions,
            filters=ballot.filters,
        )
        votes.cast(self.settings.paths.votes, vote)

    def standings(self) -> list[Standing]:
        """Return how each two embedders stand by the votes."""
        settings = self.settings
        return votes.standings_in(settings.paths.votes, lookup.open_collections(settings))

    def keep_likes(self, likes: Sequence[str], dislikes: Sequence[str]) -> None:
        """Keep what was liked together, a JSON line each, so that it can be learned from."""
        path = self.settings.paths.likes
        line = {"like": likes, "dislike": dislikes}
        if len(likes) > 1 and not votes.ends_with(path, line):
            votes.append(path, line)

    # --- how they are answered -------------------------------------------------------------------

    def _ids(self, collection: Collection, filters: Filters) -> frozenset[str]:
        manifest = collection.manifest
        key = "ids", manifest.embedder, filters
        return self._results.once(
            key, manifest.state, lambda: frozenset(collection.facet("track_id", filters))
        )

    def _example(self, opened: Open, given: str | Upload) -> Example:
        if isinstance(given, Upload):
            return self._vector(opened, Question(upload=given))
        return lookup.find_track(opened.collection, given)

    def _answer(self, question: Question, wanted: Wanted) -> Answer:
        label = self.open(wanted.embedder).label
        try:
            return self.similar(question, wanted)
        except (FilterError, QueryError) as error:
            return Answer(label, error=error)

    def _asked(self, wanted: Wanted, *, text: bool = False) -> Open:
        """Return the collection that is wanted, corrected if that is."""
        opened = self.open(wanted.embedder, text=text)
        if wanted.correct is None:
            return opened
        label, settings = opened.label, opened.settings
        make = partial(corrected, opened.collection, wanted.correct, settings)
        state = opened.collection.manifest.state, _age(settings.paths.neighbours)
        key = "corrected", label, wanted.correct
        return replace(opened, collection=self._results.once(key, state, make))

    def _hits(self, opened: Open, question: Question, wanted: Wanted) -> list[Hit]:
        collection = opened.collection
        asked = self.filters_for(collection, wanted.filters)
        how = wanted.k, asked, wanted.variety
        if question.track is not None:
            track_id = lookup.find_track(collection, question.track)
            return query.similar_to_track(collection, track_id, *how)
        return query.similar_to_vector(collection, self._vector(opened, question), *how)

    def _vector(self, opened: Open, question: Question) -> np.ndarray:
        """Return the vector of a description or an upload, as the embedders give it."""
        settings = opened.settings
        if question.text is not None:
            specs = query.specs_with_text_side(opened.collection, settings)
            embed = partial(query.vector_of_text, question.text)
            source = question.text
        else:
            assert question.upload is not None
            specs = lookup.specs_of(opened.collection, settings)
            embed = partial(uploads.embed, question.upload, log=settings.paths.decoding_log)
            source = question.upload.key
        vectors = [
            self._results.once(
                ("vector", source, spec.label),
                spec.hash,
                partial(embed, spec=spec, cache=settings.cache, load=self._load),
            )
            for spec in specs
        ]
        return np.concatenate(vectors)

    def _listen(self, spec: EmbedderSpec, payload: Mapping[str, Any]) -> np.ndarray:
        """Return the normalized vectors of the windows of a track."""
        opened = self.open(spec.label)
        make = partial(
            query.frames_of_file,
            place(payload["path"]),
            spec,
            opened.settings.cache,
            log=opened.settings.paths.decoding_log,
            load=self._load,
        )
        found = self._results.once(("frames", payload["content_hash"], spec.label), spec.hash, make)
        return opened.collection.normalize(found)

    def _load(self, spec: EmbedderSpec, cache: Path) -> Embedder:
        with self._model:
            return self._loaded(spec, cache)


def _extents(collection: Collection) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    names = [field.name for field in of_kind("number", collection.manifest.table)]
    for payload in collection.payloads():
        for name in names:
            if (value := payload.get(name)) is not None:
                low, high = found.get(name, (value, value))
                found[name] = min(low, value), max(high, value)
    return found


def _stamp(file: Path) -> tuple[int, int]:
    """Return when a file was last written, and its length; zeros if there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _age(folder: Path) -> tuple[tuple[str, int], ...]:
    """Return when the files of a folder were last written."""
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(sorted((file.name, file.stat().st_mtime_ns) for file in found))
