"""The tracks of a library, for pages and programs that ask by words."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from musicflow.library import Library, Summary, Track, summary_of
from musicflow.text import folded


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


def _text(track: Track) -> str:
    fields = (track.artist, track.name, track.album, track.genre, track.track_id)
    return folded(" ".join(fields))
