"""Tags of audio files: one reader for every kind of tags, whatever the container.

Each kind of tags becomes pairs of a name and a text, in the kind's own names (`TPE1`,
`WM/AlbumTitle`, `©alb`); one table says which field a name stands for. Mutagen reads ID3, Vorbis
comments, APEv2, MP4 and ASF; FFmpeg reads the rest (RIFF INFO, Matroska, CAF, AIFF's own chunks).
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import av
import mutagen
import mutagen.apev2
import mutagen.asf
import mutagen.id3

from musicflow import places
from musicflow.places import Place, Remote, Source
from musicflow.text import normalized


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The tags of a file: normalized texts, empty where a tag is missing.

    Parameters
    ----------
    artists
        Every artist of the track, in order.
    title, album, album_artist
        The track's title, its album, and who made the album.
    genres
        Every genre, in order.
    year
        The year of release.
    track_number, disc_number
        The place on the album, from 1.
    compilation
        Whether the album gathers tracks of several artists.
    replaygain_db
        What ReplayGain adds to the track's level, in decibels.
    bpm
        Beats per minute.
    key
        The musical key, as the program that found it writes it: "Am", "8A".
    """

    artists: tuple[str, ...] = ()
    title: str = ""
    album: str = ""
    album_artist: str = ""
    genres: tuple[str, ...] = ()
    year: int | None = None
    track_number: int | None = None
    disc_number: int | None = None
    compilation: bool = False
    replaygain_db: float | None = None
    bpm: float | None = None
    key: str = ""


def read_tags(path: Place) -> Tags:
    """Read the tags of an audio file.

    A tag that cannot be read is left out; the others are kept. A text is never split at
    separators ("AC/DC", "Simon & Garfunkel"): several artists are several values.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with path.open("rb") as file:
        found = [_tags(_pairs(reader, file)) for reader in _READERS]
    said = _first_said(found)
    return said if said != _NONE else _tags(_pairs_of_ffmpeg(path))


# --- from pairs to fields ------------------------------------------------------------------------

Raw = str | bytes
"""The text of a tag; bytes where the tag does not say in which code page they are."""

_NAMES = {
    "artist": ("artist", "tpe1", "©art", "author", "wm/author", "track/artist"),
    # Picard keeps the credit ("A feat. B") as the artist, and the artists apart.
    "artists": ("artists", "wm/artists"),
    "title": ("title", "tit2", "©nam", "track/title"),
    "album": ("album", "talb", "©alb", "wm/albumtitle", "album/title"),
    "album_artist": (
        *("albumartist", "album artist", "album_artist", "tpe2", "aart", "wm/albumartist"),
        "album/artist",
    ),
    "genre": ("genre", "tcon", "©gen", "wm/genre"),
    "year": (
        *("tdrc", "tyer", "date", "year", "©day", "wm/year", "recorded date", "date_recorded"),
        *("tdrl", "date_released", "album/date_released", "tdor", "originaldate", "originalyear"),
    ),
    "track": ("trck", "tracknumber", "track", "trkn", "wm/tracknumber", "track number"),
    "disc": ("tpos", "discnumber", "disc", "disk", "wm/partofset"),
    "compilation": ("compilation", "tcmp", "cpil", "wm/iscompilation", "itunescompilation"),
    "bpm": ("tbpm", "bpm", "tmpo", "wm/beatsperminute"),
    "key": ("tkey", "initialkey", "initial key", "wm/initialkey", "key"),
    "gain": ("replaygain_track_gain", "rva2:track"),
    "gain_r128": ("r128_track_gain",),
}
"""The names of each field in all kinds of tags, in lower case; the first one found counts."""


def _first_said(found: Sequence[Tags]) -> Tags:
    """Return tags whose every field is the first that is set in `found`."""
    said: dict[str, Any] = {}
    for tags in reversed(found):
        said |= {name: value for name, value in vars(tags).items() if value != getattr(_NONE, name)}
    return Tags(**said)


def _tags(pairs: Iterable[tuple[str, Raw]]) -> Tags:
    values: dict[str, list[Raw]] = {}
    for name, value in pairs:
        if name.casefold() in _KNOWN:
            values.setdefault(name.casefold(), []).append(value)
    page = _code_page([v for found in values.values() for v in found if isinstance(v, bytes)])

    def texts(field: str) -> tuple[str, ...]:
        for name in _NAMES[field]:
            decoded = (normalized(_decoded(value, page)) for value in values.get(name, ()))
            if found := tuple(dict.fromkeys(filter(None, decoded))):
                return found
        return ()

    def first(field: str) -> str:
        return next(iter(texts(field)), "")

    def number(field: str, form: re.Pattern[str]) -> int | None:
        matches = (form.search(text) for text in texts(field))
        return next((int(match[1]) for match in matches if match and int(match[1])), None)

    return Tags(
        artists=max(texts("artist"), texts("artists"), key=len),
        title=first("title"),
        album=first("album"),
        album_artist=first("album_artist"),
        genres=texts("genre"),
        year=number("year", _YEAR),
        track_number=number("track", _PLACE),
        disc_number=number("disc", _PLACE),
        compilation=first("compilation").casefold() in ("1", "true", "yes"),
        replaygain_db=_gain(first("gain"), first("gain_r128")),
        bpm=_bpm(first("bpm")),
        key=first("key"),
    )


def _bpm(text: str) -> float | None:
    """Return beats per minute; None where programs write 0, which stands for unknown."""
    match = _DECIMAL.match(text)
    return (float(match[0].replace(",", ".")) or None) if match else None


def _gain(decibels: str, r128: str) -> float | None:
    """Return the gain in dB; R128 (RFC 7845) has 1/256 dB, from a level 5 dB lower."""
    if match := _DECIBELS.match(decibels):
        return float(match[0].replace(",", "."))
    if match := _DECIBELS.match(r128):
        return float(match[0].replace(",", ".")) / 256 + 5.0
    return None


_NONE = Tags()
_KNOWN = frozenset(name for names in _NAMES.values() for name in names)
_YEAR = re.compile(r"(?<!\d)([12]\d{3})")
_PLACE = re.compile(r"^(\d{1,9})(?!\d)")
_DECIMAL = re.compile(r"\d{1,3}([.,]\d{1,9})?(?!\d)", re.ASCII)
_DECIBELS = re.compile(r"[-+]?\d{1,5}([.,]\d{1,9})?", re.ASCII)


# --- code pages ----------------------------------------------------------------------------------

_PAGES = ("cp1251", "cp1253", "cp932", "gb18030", "big5", "cp949", "cp1252")
"""Code pages to choose from. KOI8-R is left out: it looks like cp1251 with the case swapped."""

_FEWEST = 8
_SHARE = 0.5
_CONFIDENCE = 0.05
_LEAD = 2.0


def _decoded(value: Raw, page: str | None) -> str:
    if isinstance(value, str):
        return value
    for encoding in filter(None, ("utf-8", page, "cp1252")):
        try:
            return value.decode(encoding)
        except UnicodeDecodeError:
            continue
    return value.decode("latin-1")


def _code_page(values: Iterable[bytes]) -> str | None:
    """Guess the code page of a file's tags; None if they may be Latin, as most are.

    All tags of a file are judged together, since one name is too short. A Latin text has few
    letters beyond ASCII; any other has many. The detector is asked only if there are `_FEWEST`,
    and they are `_SHARE` of the letters. Its answer must be clear, because it finds Cyrillic in
    "Beyoncé", and Korean in two Chinese names.
    """
    foreign = b"\n".join(value for value in values if not _is_utf8(value))
    beyond = sum(byte >= 0x80 for byte in foreign)
    letters = beyond + len(re.findall(rb"[A-Za-z]", foreign))
    if beyond < max(_FEWEST, _SHARE * letters):
        return None
    # Imported here: few files need it.
    import chardet

    guesses = chardet.detect_all(
        foreign, ignore_threshold=True, compat_names=False, include_encodings=_PAGES
    )
    best, second = (*(guess["confidence"] for guess in guesses), 0.0, 0.0)[:2]
    return guesses[0]["encoding"] if best >= max(_CONFIDENCE, _LEAD * second) else None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# --- from files to pairs -------------------------------------------------------------------------


def _pairs_of_ffmpeg(path: Place) -> list[tuple[str, Raw]]:
    """Return FFmpeg's pairs, their texts as bytes, since not all are UTF-8."""
    source = Source(path.open("rb")) if isinstance(path, Remote) else str(path)
    pairs: list[tuple[str, Raw]] = []
    with (
        contextlib.suppress(Exception),
        av.open(source, metadata_encoding="latin-1") as container,
    ):
        parts = [container.metadata, *(s.metadata for s in container.streams.audio[:1])]
        pairs = [(name, text.encode("latin-1")) for part in parts for name, text in part.items()]
    places.settle(source)
    return pairs


def _pairs(reader: Callable[[BinaryIO], Any], file: BinaryIO) -> list[tuple[str, Raw]]:
    """Return the pairs of a mutagen reader, without the tags that cannot be read."""
    pairs: list[tuple[str, Raw]] = []
    file.seek(0)
    # The audio may be fine even if the tags cannot be read.
    with contextlib.suppress(Exception):
        tags = reader(file)
        for name in tags.keys():  # noqa: SIM118 - those of ASF are a list
            with contextlib.suppress(Exception):
                pairs += _pairs_of_tag(name, tags[name])
    return pairs


def _tags_of_file(file: BinaryIO) -> Any:
    return mutagen.File(file).tags


_READERS = (_tags_of_file, partial(mutagen.id3.ID3, translate=False), mutagen.apev2.APEv2)
"""Readers of tags of the file's own kind, of ID3 before AAC and FLAC, and of APEv2 behind MP3.
ID3 is not translated, since one bad frame would make all of it fail."""


def _pairs_of_tag(name: str, value: Any) -> Iterator[tuple[str, Raw]]:
    if isinstance(value, mutagen.id3.Frame):
        yield from _pairs_of_frame(value)
        return
    several = isinstance(value, list | mutagen.apev2.APETextValue)
    for each in value if several else [value]:
        # iTunes has names of its own as "----:com.apple.iTunes:NAME".
        yield name.rsplit(":", 1)[-1], _text(each)


def _pairs_of_frame(frame: Any) -> Iterator[tuple[str, Raw]]:
    """Yield the pairs of an ID3 frame; "Latin" texts may be in any code page."""
    if frame.FrameID == "RVA2":
        yield frame.HashKey, f"{frame.gain} dB"
    if not frame.FrameID.startswith("T"):
        return
    name = frame.desc if frame.FrameID == "TXXX" else frame.FrameID
    latin = frame.encoding == mutagen.id3.Encoding.LATIN1
    for text in map(str, frame.genres if name == "TCON" else frame.text):
        # "Unknown" stands for a number that names no genre.
        if (name, text) != ("TCON", "Unknown"):
            yield name, text.encode("latin-1") if latin else text


def _text(value: Any) -> Raw:
    """Return the text of a value of MP4, APEv2, ASF or a Vorbis comment."""
    if isinstance(value, mutagen.asf.ASFBaseAttribute):
        value = value.value
    if isinstance(value, tuple):
        # MP4 has the number of a track and of all tracks.
        value = value[0]
    return value if isinstance(value, str | bytes) else str(value)
