"""The public Python API; `import musicflow as mf` offers it.

Each function is a few lines over the rooms below, and imports them when it is called.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from musicflow.embedders import Embedder
    from musicflow.evaluation import Comparison, Row
    from musicflow.evaluation.layers import Sweep
    from musicflow.index import Collection, Filters, Hit
    from musicflow.index.hubness import Correction
    from musicflow.library import Problem
    from musicflow.pipeline.cuts import Common
    from musicflow.settings import Settings

File = str | os.PathLike[str]


def load_embedder(name: str, *, home: File | None = None) -> "Embedder":
    """Load an embedder, fetching its weights if they are not here.

    Parameters
    ----------
    name
        Its name, such as ``musicnn``, or the address ``package.module:NAME`` of one of your own;
        ``-untrained`` behind it stands for seeded weights.
    home
        The home whose settings (hop, precision, device) count; ``~/.musicflow`` if not given.

    Returns
    -------
    Embedder
        Its ``spec`` says what it is: ``dim``, ``sample_rate``, ``licence``, ``trained_on``, …

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder.
    WeightsError
        If its weights cannot be had.

    Examples
    --------
    >>> model = load_embedder("mfcc")
    >>> model.embed(np.random.default_rng(0).uniform(-0.1, 0.1, 44_100), 44_100).shape
    (60,)
    """
    from musicflow import embedders

    settings = _settings(home)
    return embedders.load(embedders.spec_for(name, settings), settings.cache)


class Embedded(NamedTuple):
    """The vectors of some files."""

    vectors: "np.ndarray"
    """Float32, shape ``(N, dim)``, in the order of the files; NaN where a file has none."""
    problems: "tuple[Problem, ...]"
    """What is wrong with files, or worth a note; each names its file and has a code."""


def embed_files(
    paths: File | Iterable[File], embedder: str = "musicnn", *, home: File | None = None
) -> Embedded:
    """Embed files, doing only what the home does not know yet.

    Vectors are kept as those of `compare` are: by the audio of a file, so that a second call, a
    renamed or a retagged file costs no inference.

    Parameters
    ----------
    paths
        The files, or one; paths, or addresses such as ``s3://bucket/song.mp3``.
    embedder
        Its name or address; see `load_embedder`.
    home
        The folder vectors are kept in; ``~/.musicflow`` if not given.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder.
    WeightsError
        If its weights cannot be had.
    """
    from musicflow import embedders
    from musicflow.pipeline.files import embed_files
    from musicflow.places import place

    settings = _settings(home)
    spec = embedders.spec_for(embedder, settings)
    return Embedded(*embed_files([place(path) for path in _several(paths)], spec, settings))


def compare(
    library: File,
    embedders: str | Sequence[str] | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    home: File | None = None,
) -> "Comparison":
    """Compare embedders on a folder of music, as ``musicflow run`` does.

    Where Dagster and MLflow are installed, they record the run.

    Parameters
    ----------
    library
        The folder, or an address such as ``s3://bucket/music``.
    embedders
        Their names or addresses; those of the home's settings if not given.
    labels
        Labels to rank by beside the genre, such as ``playlist`` or a table ``FILE.csv``; those of
        the home's settings if not given. ``row.by_label`` and ``comparison.labels`` have what
        follows.
    home
        The folder everything is kept in; ``~/.musicflow`` if not given. One home holds one
        library.

    Returns
    -------
    Comparison
        A row per embedder, fusion and baseline; ``.to_dataframe()`` gives a table.

    Raises
    ------
    LibraryError
        If the folder holds no usable track.
    MusicflowError
        If no embedder could be compared; its advice says why.
    """
    from musicflow import runs
    from musicflow.errors import MusicflowError
    from musicflow.evaluation import Comparison, report
    from musicflow.places import place

    settings = _settings(
        home,
        library=library if isinstance(library, str) else place(library),
        embedders=None if embedders is None else _several(embedders),
        labels=None if labels is None else _several(labels),
    )
    plan = runs.plan_of(settings)
    found, failed = plan.comparison, {}
    if found is None:
        failed = runs.carry_out(plan, settings)
        found = Comparison.load(settings.paths.reports / report.COMPARISON)
    if found is None or all(row.error for row in found.rows if row.kind != "baseline"):
        reasons = "; ".join(f"{asset}: {reason}" for asset, reason in failed.items())
        raise MusicflowError("no embedder could be compared", reasons, "nothing-compared")
    return found


def layers(library: File, embedder: str = "musicnn", *, home: File | None = None) -> "Sweep":
    """Measure every layer of an embedder on a folder of music, as ``musicflow layers`` does.

    Each track is embedded once, and each layer's vectors are kept. Where MLflow is installed, it
    records the scores.

    Parameters
    ----------
    library
        The folder.
    embedder
        Its name or address; see `load_embedder`.
    home
        See `compare`.

    Returns
    -------
    Sweep
        The scores of each layer and of choices among them; ``.to_dataframe()`` gives a table.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder.
    LibraryError
        If the folder holds no usable track.
    MusicflowError
        If no two tracks share a genre.
    """
    from musicflow import embedders
    from musicflow.places import place
    from musicflow.runs import measure_layers

    settings = _settings(home, library=place(library))
    return measure_layers(embedders.spec_for(embedder, settings), settings)


def tune(label: str, embedders: Sequence[str] | None = None, *, home: File | None = None) -> "Row":
    """Learn a space from labels and publish it, as ``musicflow tune`` does.

    Parameters
    ----------
    label
        ``genre``, ``subgenre``, ``artist``, ``playlist``, ``likes``, ``votes``, or a table
        ``FILE.csv`` with the columns ``track,label``, ``track,alike`` or ``track,nearer,farther``.
    embedders
        Their names or addresses: learned from together. Those of the home's settings if not given.
    home
        A home whose library was compared; ``~/.musicflow`` if not given.

    Returns
    -------
    Row
        Its row of the comparison. ``row.embedder`` is its name, by which `open_collection` opens
        it; ``row.tuned`` says what it was learned from, and what that brought.

    Raises
    ------
    TuningError
        If there is too little to learn from; it says how much there is.
    """
    from musicflow.runs import tune as learn

    settings = _settings(home)
    names = settings.embedders if embedders is None else embedders
    [row] = learn([f"{'+'.join(names)}@{label}"], settings)
    return row


def in_common(other: File, *, home: File | None = None) -> "list[Common]":
    """Find the recordings that two libraries share, whole or in part.

    A space that was learned or chosen on one is tried fairly on the other if there are none.

    Parameters
    ----------
    other
        The home of the other library; it is only read.
    home
        The home of the first one; ``~/.musicflow`` if not given.

    Returns
    -------
    list of Common
        A track of each, and what they have in common, for each pair.

    Raises
    ------
    LibraryError
        If a home holds no library.
    """
    from musicflow.library import Library
    from musicflow.pipeline import cuts

    settings = _settings(home)
    theirs, mine = (Library.load(one.paths.library) for one in (_settings(other), settings))
    return cuts.in_common(mine, theirs, settings)


class SearchableCollection:
    """A published collection, to be searched by track, file, vector or words.

    Parameters
    ----------
    collection
        The collection.
    settings
        Those of its home.
    """

    def __init__(self, collection: "Collection", settings: "Settings") -> None:
        self._collection = collection
        self._settings = settings

    def __len__(self) -> int:
        return self._collection.count()

    def __repr__(self) -> str:
        manifest = self._collection.manifest
        return f"<collection {manifest.embedder}: {manifest.count} tracks, {manifest.dim} dims>"

    def search(
        self,
        query: "File | np.ndarray",
        k: int = 10,
        filters: Mapping[str, Any] | Iterable[str] = (),
        correct: "Correction | None" = None,
    ) -> "list[Hit]":
        """Return the k tracks that sound most like the query, best first.

        Parameters
        ----------
        query
            A track's id or name, an audio file, or a vector as the embedder gives it.
        k
            How many.
        filters
            ``{"genre": "Jazz"}``, where a list of values means any of them; or texts as the
            command line takes them, such as ``"duration_s<300"``.
        correct
            A correction of hubness, ``csls`` or ``mutual-proximity``: scores are its own.

        Raises
        ------
        QueryError
            If there is no such track, the file cannot be used, or no evaluation kept what a
            correction needs (code ``no-crowd``).
        FilterError
            If a filter is none.
        """
        import numpy as np

        from musicflow.search import query as queries
        from musicflow.search.corrected import corrected

        collection = self._collection
        if correct is not None:
            collection = corrected(collection, correct, self._settings)
        asked = self._filters(filters)
        if isinstance(query, np.ndarray):
            return queries.similar_to_vector(collection, query, k, asked)
        example = queries.example_of(collection, query, self._settings)
        if isinstance(example, str):
            return queries.similar_to_track(collection, example, k, asked)
        return queries.similar_to_vector(collection, example, k, asked)

    def search_text(
        self,
        text: str,
        k: int = 10,
        filters: Mapping[str, Any] | Iterable[str] = (),
    ) -> "list[Hit]":
        """Return the k tracks that a description suits most, best first.

        Parameters
        ----------
        text
            The description, such as ``slow piano, rain``. The embedder must have a text side, as
            CLAP does.
        k, filters
            See `search`.

        Raises
        ------
        QueryError
            If the text is empty, or the embedder has no text side (code ``no-text-side``).
        FilterError
            If a filter is none.
        """
        from musicflow.search import query as queries

        asked = self._filters(filters)
        vector = queries.example_of_text(self._collection, text, self._settings)
        return queries.similar_to_vector(self._collection, vector, k, asked)

    def _filters(self, filters: Mapping[str, Any] | Iterable[str]) -> "Filters":
        from musicflow.search import lookup
        from musicflow.search import query as queries

        others = lookup.each_open(self._settings)
        return queries.filters_for(self._collection, _filter_texts(filters), others)

    def close(self) -> None:
        """Close it; an open collection holds files."""
        self._collection.close()

    def __enter__(self) -> "SearchableCollection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_collection(name: str, *, home: File | None = None) -> SearchableCollection:
    """Open a published collection.

    Parameters
    ----------
    name
        An embedder's name or address, or the name of a fusion (``fusion:musicnn+mfcc``) or of a
        tuned space (``tuned:musicnn+mfcc@genre``).
    home
        Its home; ``~/.musicflow`` if not given.

    Raises
    ------
    NoCollectionError
        If it was not published; the message says what was.
    """
    from musicflow.search import lookup

    label, settings = lookup.collection_of(name, _settings(home))
    return SearchableCollection(lookup.open_collections(settings).open(label), settings)


def _settings(home: File | None, **given: Any) -> "Settings":
    from musicflow.settings import Settings

    values = {"home": home, **given}
    return Settings(**{name: value for name, value in values.items() if value is not None})


def _filter_texts(filters: Mapping[str, Any] | Iterable[str]) -> list[str]:
    if not isinstance(filters, Mapping):
        return list(_several(filters))
    values = {name: _several(value) for name, value in filters.items()}
    for name, several in values.items():
        _check_condition(name, several)
    return [f"{name}={value}" for name, several in values.items() for value in several]


def _check_condition(name: str, values: Sequence[Any]) -> None:
    from musicflow.index import FilterError

    if not name.isidentifier():
        text = f"{name}{values[0] if values else 'VALUE'}"
        raise FilterError(f"{name!r} is no field", f"write the condition as a text: {text!r}")
    if not values or None in values:
        raise FilterError(f"the filter {name!r} has no value", "leave it out, or name one")


def _several(given: Any) -> tuple[Any, ...]:
    """Return what was given as several: a text, a path or a number is one."""
    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)
