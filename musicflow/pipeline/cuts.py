"""Cuts of a library, and those that two libraries have in common.

Landmarks of a content are taken once, and kept. A content that is new to the library is compared
with all others, and those not with one another again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from musicflow.audio import guarded
from musicflow.audio.errors import AudioError
from musicflow.audio.landmarks import Landmarks, landmarks
from musicflow.evaluation.cuts import candidates, hear
from musicflow.evaluation.quality import MAX_TRACKS
from musicflow.library import Library, Progress, Track, no_progress, shown_as
from musicflow.library.landmarks import LandmarkStore
from musicflow.library.recordings import Cut, Verdicts
from musicflow.pipeline.pace import LANDMARKS, Pace
from musicflow.places import place
from musicflow.settings import Settings

_KEPT_AT_ONCE = 100
"""Files whose landmarks are kept together: the most work that a kill can lose."""


def without_landmarks(library: Library, settings: Settings) -> int:
    """Return how many contents an evaluation will take the landmarks of."""
    if not are_looked_for(library, settings):
        return 0
    contents = {track.content_hash for track in library.tracks}
    return len(contents - LandmarkStore(settings.paths.landmarks).known())


def are_looked_for(library: Library, settings: Settings) -> bool:
    """Return whether an evaluation looks for cuts, by the settings and the library's size."""
    return settings.cuts and settings.exclude != "none" and len(library.tracks) <= MAX_TRACKS


def find_cuts(
    library: Library, verdicts: Verdicts, settings: Settings, progress: Progress = no_progress
) -> None:
    """Find the cuts among the tracks of a library, and keep them as verdicts in the home.

    Parameters
    ----------
    library
        The tracks.
    verdicts
        Those of before; what is found is added.
    settings
        Of the home.
    progress
        Shows progress.
    """
    store = LandmarkStore(settings.paths.landmarks)
    tracks = {track.content_hash: track for track in library.tracks}
    known = take_landmarks(tracks, store, settings, progress) & tracks.keys()
    old = store.compared & known
    if known == old:
        return
    found = shown_as(
        "Looking for cuts", lambda: list(candidates(store, known - old, known)), progress
    )
    for one, cut in progress(hear(found, tracks), "Listening to cuts", len(found)):
        if cut is not None:
            verdicts.add_cut(one.a, one.b, cut)
        elif verdicts.get(one.a, one.b) is None:
            verdicts.add(one.a, one.b, same=False)
    verdicts.save(settings.paths.recordings)
    store.set_compared(known)


def take_landmarks(
    tracks: Mapping[str, Track],
    store: LandmarkStore,
    settings: Settings,
    progress: Progress = no_progress,
) -> set[str]:
    """Take the landmarks of contents that have none; return the contents that have some.

    A file that cannot be decoded has no landmarks. One that cannot be read now is tried again.

    Parameters
    ----------
    tracks
        A track of each content hash.
    store
        Where landmarks are kept.
    settings
        Of the home.
    progress
        Shows progress.
    """
    known = store.known()
    missing = [content for content in tracks if content not in known]
    taken = guarded.landmarks_of(
        [place(tracks[content].path) for content in missing],
        timeout_s=settings.file_timeout_s,
        log=settings.paths.decoding_log,
    )
    waiting: dict[str, Landmarks] = {}
    if not missing:
        return known
    with Pace(settings.paths.pace).measure(LANDMARKS, len(missing)):
        for number, found in progress(taken, "Taking landmarks", len(missing)):
            if isinstance(found, Landmarks):
                waiting[missing[number]] = found
            elif isinstance(found, AudioError):
                waiting[missing[number]] = landmarks([])
            if len(waiting) >= _KEPT_AT_ONCE:
                store.add(waiting)
                known |= waiting.keys()
                waiting.clear()
    store.add(waiting)
    return known | waiting.keys()


@dataclass(frozen=True)
class Common:
    """A track of one library and a track of another that hold one recording.

    Parameters
    ----------
    mine, theirs
        The tracks.
    cut
        What they have in common, the first being mine.
    """

    mine: Track
    theirs: Track
    cut: Cut

    def __str__(self) -> str:
        return f"{self.mine.track_id} and {self.theirs.track_id}: {self.cut}"

    @property
    def as_json(self) -> dict[str, str | float]:
        """Return it as JSON values."""
        return {"mine": self.mine.track_id, "theirs": self.theirs.track_id} | self.cut.as_json


def in_common(
    library: Library, other: Library, settings: Settings, progress: Progress = no_progress
) -> list[Common]:
    """Find the tracks of two libraries that hold one recording, whole or in part.

    The landmarks of both are kept in the home of the settings; the other home is only read.

    Parameters
    ----------
    library
        The library of the home.
    other
        Another library.
    settings
        Of the home.
    progress
        Shows progress.
    """
    store = LandmarkStore(settings.paths.landmarks)
    mine, theirs = ({track.content_hash: track for track in one.tracks} for one in (library, other))
    both = theirs | mine
    known = take_landmarks(both, store, settings, progress)
    found = shown_as(
        "Looking for common recordings",
        lambda: list(candidates(store, mine.keys() & known, theirs.keys() & known)),
        progress,
    )
    cuts = {
        (content, content): Cut(0.0, 0.0, mine[content].duration_s)
        for content in mine.keys() & theirs.keys()
    }
    for one, cut in progress(hear(found, both), "Listening to them", len(found)):
        for a, b, found_ in ((one.a, one.b, cut), (one.b, one.a, cut and cut.turned)):
            if found_ is not None and a in mine and b in theirs:
                cuts[a, b] = found_
    return sorted(
        (Common(mine[a], theirs[b], cut) for (a, b), cut in cuts.items()),
        key=lambda one: (one.mine.track_id, one.theirs.track_id),
    )
