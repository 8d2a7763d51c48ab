"""The tracks of a library, for pages and programs that ask by words."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, get_args

from musicflow.library import UNKNOWN, Library, Summary, Track, summary_of
from musicflow.text import folded

Sort = Literal["path", "artist", "album", "name", "year", "duration"]
SORTS: tuple[Sort, ...] = get_args(Sort)
"""What tracks can be sorted by."""

_SORT_KEYS: Mapping[Sort, Callable[[Track], tuple[Any, ...]]] = {
    "path": lambda track: (track.track_id,),
    "artist": lambda track: (*_last(track.artist), folded(track.album), track.track_id),
    "album": lambda track: (*_last(track.album), track.track_id),
    "name": lambda track: (folded(track.name), track.track_id),
    "year": lambda track: (track.year is None, track.year, track.track_id),
    "duration": lambda track: (track.duration_s, track.track_id),
}


class Catalogue(Mapping[str, Track]):
    """The tracks of a library by id, and by any words of their names."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._tracks = {track.track_id: track for track in library.tracks}
        self._texts = [(_text(track), track.track_id) for track in library.tracks]

    def __getitem__(self, track_id: str) -> Track:
        return self._tracks[track_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def __len__(self) -> int:
        return len(self._tracks)

    @cached_property
    def summary(self) -> Summary:
        """Return what the library holds."""
        return summary_of(self.library)

    def ordered(self, track_ids: Iterable[str], by: Sort) -> list[str]:
        """Return track ids in an order; those that the library does not hold come last."""
        known, gone = [], []
        for track_id in track_ids:
            track = self._tracks.get(track_id)
            if track is None:
                gone.append(track_id)
            else:
                known.append(track)
        known.sort(key=_SORT_KEYS[by])
        return [*(track.track_id for track in known), *sorted(gone)]

    def search(self, text: str) -> list[Track]:
        """Return the tracks with every word in artist, name, album, genre or id.

        Case, accents and Unicode forms do not matter; see `folded`.
        """
        words = folded(text).split()
        return [
            self._tracks[track_id]
            for held, track_id in self._texts
            if all(word in held for word in words)
        ]


def _last(text: str) -> tuple[bool, str]:
    """Return a key by which what is not known comes last."""
    return text in ("", UNKNOWN), folded(text)


def _text(track: Track) -> str:
    fields = (track.artist, track.name, track.album, track.genre, track.track_id)
    return folded(" ".join(fields))
