"""A check of a library: what a run would find and take, before anything is computed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from musicflow import embedders
from musicflow.evaluation.duplicates import cut_tracks
from musicflow.library import (
    Doubt,
    Library,
    Progress,
    Rules,
    Summary,
    Track,
    doubts,
    no_progress,
    read_library,
    summary_of,
)
from musicflow.library.recordings import Cut, Verdicts
from musicflow.pipeline.estimate import disk_mb
from musicflow.settings import Settings
from musicflow.store import store_of


@dataclass(frozen=True)
class Cost:
    """The cost of one embedder.

    Parameters
    ----------
    embedder
        Its label.
    tracks
        The number of contents without a current vector.
    seconds
        The time for them at the speed measured in this home; None if nothing was measured.
    disk_mb
        Disk space of all vectors and collections.
    weights
        The state of its weights: ``missing``, ``unchecked``, ``checked``, or empty without any.
    """

    embedder: str
    tracks: int
    seconds: float | None
    disk_mb: float
    weights: str


@dataclass(frozen=True)
class Check:
    """What a run would find.

    Parameters
    ----------
    root
        The library.
    layout, layout_reason
        The layout, and what tells it.
    genre_source, genre_reason
        Where genres come from, and why.
    music
        The folder below the root that holds the music; empty if it is the root.
    summary
        What the library holds.
    doubts
        Why a comparison would mean little.
    costs
        The cost of each embedder of the settings.
    library
        The library itself.
    cuts
        The pairs of a track and a longer one that it is a cut of, as far as a run found them.
    """

    root: str
    layout: str
    layout_reason: str
    genre_source: str
    genre_reason: str
    music: str
    summary: Summary
    doubts: tuple[Doubt, ...]
    costs: tuple[Cost, ...]
    library: Library
    cuts: tuple[tuple[Track, Track, Cut], ...]


def check(settings: Settings, progress: Progress = no_progress) -> Check:
    """Scan the library of the settings, and say what a run would find. Nothing is embedded.

    The scan is kept, so that a run does not repeat it: in the home, or in the cache where the home
    holds another library.

    Raises
    ------
    LibraryError
        If it holds no usable track.
    """
    assert settings.library is not None
    library = read_library(settings, _folder(settings), progress)
    return Check(
        root=library.root,
        layout=library.format,
        layout_reason=library.layout_reason,
        genre_source=library.genre_source,
        genre_reason=library.genre_reason,
        music=Rules.of(settings).music(settings.library),
        summary=summary_of(library),
        doubts=doubts(library),
        costs=costs(library, settings),
        library=library,
        cuts=tuple(cut_tracks(library.tracks, Verdicts.load(settings.paths.recordings))),
    )


def costs(library: Library, settings: Settings) -> tuple[Cost, ...]:
    """Return the cost of each embedder of the settings for a library."""
    store = store_of(settings)
    contents = {track.content_hash for track in library.tracks}
    former = {track.content_hash: track.former_hash for track in library.tracks}
    found = []
    for name in settings.embedders:
        spec = embedders.spec_for(name, settings)
        known = store.known(spec)
        work = sum(hash_ not in known and former[hash_] not in known for hash_ in contents)
        each, load_s = store.pace(spec)
        found.append(
            Cost(
                spec.label,
                work,
                0.0 if not work else each and load_s + work * each,
                disk_mb(spec, len(library.tracks)),
                spec.weights.state(settings.cache) if spec.weights and spec.trained else "",
            )
        )
    return tuple(found)


def _folder(settings: Settings) -> Path:
    """Return the folder that keeps the scan."""
    home, root = settings.paths.library, str(settings.library)
    if Library.root_in(home) in ("", root):
        return home
    return settings.cache / "checks" / hashlib.sha256(root.encode("utf-8", "replace")).hexdigest()
