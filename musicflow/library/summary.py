"""What a library holds, in numbers: tracks, labels, genres, copies and problems."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from musicflow.library.genres import key
from musicflow.library.problems import LABELS_WITHOUT_AUDIO, note_lines
from musicflow.library.track import UNKNOWN, Library, Track, known_artists
from musicflow.library.walk import kind_of


@dataclass(frozen=True)
class Summary:
    """What a library holds.

    Parameters
    ----------
    tracks
        The number of tracks.
    hours
        Their length.
    formats
        The number of tracks by the suffix of their files, most frequent first.
    labelled
        The number of tracks that have a value, by field. Values of the layout's own come last.
    genres
        The number of tracks by genre, most frequent first.
    alike
        Groups of genres that are spellings of one; see `genres.key`.
    copies
        The ids of tracks with the same audio, a group each.
    missing
        The number of labels without an audio file.
    broken
        The number of errors by code, most frequent first.
    notes
        A sentence per kind of note.
    skipped
        The number of files by kind that is not read, most frequent first.
    """

    tracks: int
    hours: float
    formats: dict[str, int]
    labelled: dict[str, int]
    genres: dict[str, int]
    alike: list[list[str]]
    copies: list[list[str]]
    missing: int
    broken: dict[str, int]
    notes: list[str]
    skipped: dict[str, int]


def summary_of(library: Library) -> Summary:
    """Return what a library holds."""
    tracks = library.tracks
    genres = _counted(name for track in tracks for name in track.labels)
    errors = (problem.code for problem in library.problems if problem.severity == "error")
    return Summary(
        tracks=len(tracks),
        hours=sum(track.duration_s for track in tracks) / 3600,
        formats=_counted(kind_of(track.path) for track in tracks),
        labelled=_labelled(tracks),
        genres=genres,
        alike=_alike(genres),
        copies=_copies(tracks),
        missing=sum(problem.code == LABELS_WITHOUT_AUDIO for problem in library.problems),
        broken=_counted(errors),
        notes=note_lines(library.problems),
        skipped=library.skipped,
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _labelled(tracks: Sequence[Track]) -> dict[str, int]:
    counts = {
        "genre": sum(bool(track.labels) for track in tracks),
        "subgenres": sum(bool(track.subgenres) for track in tracks),
        "artist": sum(bool(known_artists(track.artists)) for track in tracks),
        "album": sum(track.album != UNKNOWN for track in tracks),
        "album_artist": sum(bool(track.album_artist) for track in tracks),
        "year": sum(track.year is not None for track in tracks),
        "replaygain_db": sum(track.replaygain_db is not None for track in tracks),
    }
    own = Counter(name for track in tracks for name in track.extra)
    return counts | dict(sorted(own.items()))


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that are spellings of one."""
    groups = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _copies(tracks: Iterable[Track]) -> list[list[str]]:
    groups = defaultdict(list)
    for track in tracks:
        groups[track.content_hash].append(track.track_id)
    return [group for group in groups.values() if len(group) > 1]
