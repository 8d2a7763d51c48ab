import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import mutagen
import mutagen.apev2
import mutagen.asf
import mutagen.id3
import mutagen.mp4
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicflow.library.tags import Tags, read_tags
from musicflow.text import normalized

RATE = 8000

SAID = Tags(
    artists=("Anna Berg", "AC/DC", "椎名林檎"),
    title="Duet",
    album="Ágætis byrjun",
    album_artist="Various Artists",
    genres=("Folk", "Hip-Hop"),
    year=1999,
    track_number=4,
    disc_number=2,
    compilation=True,
    replaygain_db=-6.25,
    bpm=93.0,
    key="F#m",
)
SOME = Tags(artists=("AC/DC",), title="Duet", album="Álbum", genres=("Folk",), year=1999)


# --- files of every kind -------------------------------------------------------------------------


def sound(path: Path, codec: str = "", **metadata: str) -> Path:
    """Write a short noise; FFmpeg writes it, with its metadata, where a codec is named."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(RATE // 4)
    if not codec:
        soundfile.write(path, samples, RATE)
        return path
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream: Any = container.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = 32_000
        pcm = (samples * 32_767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
        frame.sample_rate = RATE
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def dsf(path: Path) -> Path:
    data = struct.pack("<4sQ", b"data", 12 + 4096) + bytes(4096)
    form = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, 2_822_400, 1, 32_768, 4096, 0)
    head = struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(form) + len(data), 0)
    path.write_bytes(head + form + data)
    return path


def id3(tags: Tags = SAID, encoding: int = 3) -> mutagen.id3.ID3:
    frames = mutagen.id3.ID3()
    texts = {
        "TPE1": tags.artists,
        "TIT2": [tags.title],
        "TALB": [tags.album],
        "TPE2": [tags.album_artist],
        "TCON": tags.genres,
        "TDRC": ["1999-02-03"],
        "TRCK": ["4/12"],
        "TPOS": ["2/2"],
        "TCMP": ["1"],
    }
    for name, values in texts.items():
        frames.add(getattr(mutagen.id3, name)(encoding=encoding, text=list(values)))
    frames.add(mutagen.id3.TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text=["-6.25 dB"]))
    if tags.bpm is not None:
        frames.add(mutagen.id3.TBPM(encoding=3, text=[f"{tags.bpm:g}"]))
        frames.add(mutagen.id3.TKEY(encoding=3, text=[tags.key]))
    return frames


def with_id3(path: Path, tags: Tags = SAID) -> None:
    file: Any = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for frame in id3(tags).values():
        file.tags.add(frame)
    file.save()


def before_it(path: Path, tags: Tags = SAID) -> None:
    id3(tags).save(path)


def with_names(path: Path, tags: Tags = SAID, **names: str) -> None:
    """Vorbis comments, and APEv2, which both have names that anyone may choose."""
    file: Any = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    values = {
        "artist": list(tags.artists),
        "title": [tags.title],
        "album": [tags.album],
        "album artist": [tags.album_artist],
        "genre": list(tags.genres),
        "date": ["1999-02-03"],
        "track": ["4/12"],
        "disc": ["2"],
        "compilation": ["1"],
        "replaygain_track_gain": ["-6,25 dB"],
        "bpm": ["93"],
        "initialkey": ["F#m"],
    }
    for name, value in values.items():
        file[names.get(name, name)] = value
    file.save()


def with_vorbis(path: Path, tags: Tags = SAID) -> None:
    names = {"album artist": "albumartist", "track": "tracknumber", "disc": "discnumber"}
    with_names(path, tags, **names)


def with_ape(path: Path, tags: Tags = SAID) -> None:
    with_names(path, tags, date="Year")


def with_atoms(path: Path, tags: Tags = SAID) -> None:
    file = mutagen.mp4.MP4(path)
    file.update(
        {
            "©ART": list(tags.artists),
            "©nam": [tags.title],
            "©alb": [tags.album],
            "aART": [tags.album_artist],
            "©gen": list(tags.genres),
            "©day": ["1999"],
            "trkn": [(4, 12)],
            "disk": [(2, 0)],
            "cpil": True,
            "----:com.apple.iTunes:replaygain_track_gain": [b"-6.25 dB"],
            "tmpo": [93],
            "----:com.apple.iTunes:initialkey": [b"F#m"],
        }
    )
    file.save()


def with_asf(path: Path, tags: Tags = SAID) -> None:
    file = mutagen.asf.ASF(path)
    file.update(
        {
            "Author": list(tags.artists),
            "Title": [tags.title],
            "WM/AlbumTitle": [tags.album],
            "WM/AlbumArtist": [tags.album_artist],
            "WM/Genre": list(tags.genres),
            "WM/Year": ["1999"],
            "WM/TrackNumber": [mutagen.asf.ASFDWordAttribute(4)],
            "WM/PartOfSet": ["2/2"],
            "WM/IsCompilation": [mutagen.asf.ASFBoolAttribute(True)],
            "replaygain_track_gain": ["-6.25 dB"],
            "WM/BeatsPerMinute": ["93"],
            "WM/InitialKey": ["F#m"],
        }
    )
    file.save()


KINDS: dict[str, tuple[str, Callable[..., None]]] = {
    "id3.mp3": ("", with_id3),
    "id3.wav": ("", with_id3),
    "id3.aiff": ("", with_id3),
    "id3.tta": ("tta", with_id3),
    "id3.dsf": ("dsf", with_id3),
    "id3.aac": ("aac", before_it),
    "id3.flac": ("", before_it),
    "vorbis.flac": ("", with_vorbis),
    "vorbis.ogg": ("", with_vorbis),
    "vorbis.opus": ("libopus", with_vorbis),
    "ape.wv": ("wavpack", with_ape),
    "atoms.m4a": ("aac", with_atoms),
    "asf.wma": ("wmav2", with_asf),
}


def made(folder: Path, kind: str) -> Path:
    path = folder / kind
    codec, _ = KINDS[kind]
    return dsf(path) if codec == "dsf" else sound(path, codec)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tags_says_every_field(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    assert read_tags(path) == Tags()
    KINDS[kind][1](path)
    assert asdict(read_tags(path)) == asdict(SAID)


INFO = {"artist": "AC/DC", "title": "Duet", "album": "Álbum", "genre": "Folk", "date": "1999"}


@pytest.mark.parametrize(
    ("name", "codec", "said"),
    [
        ("info.wav", "pcm_s16le", SOME),
        ("tags.mka", "flac", SOME),
        ("tags.webm", "libopus", SOME),
        ("info.caf", "pcm_s16be", SOME),
        ("udta.mov", "aac", SOME),
        ("name.aiff", "pcm_s16be", Tags(artists=("AC/DC",), title="Duet")),
    ],
)
def test_what_mutagen_does_not_know_ffmpeg_says(
    tmp_path: Path, name: str, codec: str, said: Tags
) -> None:
    path = sound(tmp_path / name, codec, author="AC/DC", **INFO)
    assert asdict(read_tags(path)) == asdict(said)


def test_a_file_that_cannot_be_opened_is_an_error_and_a_text_file_says_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError):
        read_tags(tmp_path / "missing.mp3")
    (tmp_path / "text.mp3").write_text("no music " * 99)
    assert read_tags(tmp_path / "text.mp3") == Tags()


# --- what tags say -------------------------------------------------------------------------------


def tagged(path: Path, *frames: mutagen.id3.Frame) -> Tags:
    tags = mutagen.id3.ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path)
    return read_tags(path)


@pytest.mark.parametrize(
    ("texts", "genres"),
    [
        (["17"], ("Rock",)),
        (["(17)"], ("Rock",)),
        (["(4)Eurodance", "(17)(9)"], ("Disco", "Eurodance", "Rock", "Metal")),
        (["(255)", "254", "Unknown"], ()),
        (["Rock; Pop"], ("Rock; Pop",)),
        (["1999 bis heute"], ("1999 bis heute",)),
    ],
)
def test_genres_of_id3_may_be_numbers(
    tmp_path: Path, texts: list[str], genres: tuple[str, ...]
) -> None:
    frame = mutagen.id3.TCON(encoding=3, text=texts)
    assert tagged(tmp_path / "a.mp3", frame).genres == genres


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1999", 1999),
        ("19990203", 1999),
        ("03/02/1999", 1999),
        ("0000", None),
        ("", None),
        ("99", None),
    ],
)
def test_a_year_is_found_in_any_date(tmp_path: Path, text: str, year: int | None) -> None:
    path = sound(tmp_path / "a.flac")
    file = mutagen.File(path)
    file["date"] = text
    file.save()
    assert read_tags(path).year == year


@pytest.mark.parametrize(
    ("text", "number"),
    [("4", 4), ("04/12", 4), ("0", None), ("0/0", None), ("A1", None), ("9" * 40, None)],
)
def test_a_place_on_an_album_is_a_number_from_one(
    tmp_path: Path, text: str, number: int | None
) -> None:
    frame = mutagen.id3.TRCK(encoding=3, text=[text])
    assert tagged(tmp_path / "a.mp3", frame).track_number == number


def test_where_the_artists_are_named_one_by_one_the_credit_gives_way(tmp_path: Path) -> None:
    credit = mutagen.id3.TPE1(encoding=3, text=["Anna Berg feat. Otto Lind"])
    for texts, artists in (
        (["Anna Berg", "Otto Lind"], ("Anna Berg", "Otto Lind")),
        (["Anna Berg/Otto Lind"], ("Anna Berg feat. Otto Lind",)),
    ):
        each = mutagen.id3.TXXX(encoding=3, desc="Artists", text=texts)
        assert tagged(tmp_path / "a.mp3", credit, each).artists == artists


def test_gain_is_read_as_everyone_writes_it(tmp_path: Path) -> None:
    mp3 = sound(tmp_path / "a.mp3")
    gain = mutagen.id3.RVA2(desc="track", channel=1, gain=-3.5, peak=0.5)
    assert tagged(mp3, gain).replaygain_db == -3.5
    opus = sound(tmp_path / "a.opus", "libopus")
    file = mutagen.File(opus)
    file["R128_TRACK_GAIN"] = "-1280"
    file.save()
    assert read_tags(opus).replaygain_db == 0.0


def test_the_gain_that_mp3gain_writes_behind_an_mp3_joins_its_id3(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.mp3")
    tagged(path, mutagen.id3.TIT2(encoding=3, text=["Duet"]))
    behind = mutagen.apev2.APEv2()
    behind.update({"replaygain_track_gain": "+1.50 dB", "Title": "Another"})
    behind.save(path)
    assert read_tags(path) == Tags(title="Duet", replaygain_db=1.5)


# --- tags that lie -------------------------------------------------------------------------------


def frame_of(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">IH", len(content), 0) + content


def test_a_tag_that_is_not_what_it_says_costs_no_other(tmp_path: Path) -> None:
    """An album in Latin-1 that calls itself UTF-8, and an artist in a code that is none."""
    path = sound(tmp_path / "a.mp3")
    frames = (
        frame_of(b"TALB", b"\x03Yorokobi's \xceantra\0")
        + frame_of(b"TPE1", b"\x63Joy")
        + frame_of(b"TIT2", b"\x03Lay Down\0")
        + frame_of(b"TDRC", b"\x002013\0\0\0\0")
    )
    head = b"ID3\x04\0\0" + bytes([0, 0, len(frames) >> 7, len(frames) & 127])
    path.write_bytes(head + frames + path.read_bytes())
    assert read_tags(path) == Tags(title="Lay Down", year=2013)


@pytest.mark.parametrize(
    "error", [KeyError(100), UnicodeDecodeError("utf-8", b"", 0, 1, ""), OSError()]
)
def test_whatever_a_tag_library_raises_costs_its_own_tags_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    path = sound(tmp_path / "a.mp3")
    title = mutagen.id3.TIT2(encoding=3, text=["Duet"])
    tagged(path, title, mutagen.id3.TCON(encoding=3, text=["17"]))
    with monkeypatch.context() as broken:
        broken.setattr(mutagen.id3.TCON, "genres", property(fail))
        assert read_tags(path) == Tags(title="Duet")
    monkeypatch.setattr(mutagen, "File", fail)
    assert read_tags(path) == Tags(title="Duet", genres=("Rock",))


LATIN = [
    ("Björk", "Jóga", "Homogenic"),
    ("Sigur Rós", "Svefn-g-englar", "Ágætis byrjun"),
    ("Motörhead", "Ace of Spades", ""),
    ("Mötley Crüe", "Ä", "Ö"),
    ("Beyoncé", "Déjà Vu", "B'Day"),
    ("Röyksopp", "Só Easy", "Melody A.M."),
    ("Ásgeir", "Dýrð í dauðaþögn", "Dýrð í dauðaþögn"),
    ("Caetano Veloso", "Você é Linda", "Uns"),
    ("Ärä", "Älä", "Öölä"),
    ("É", "À", "Ô"),
    ("Don’t", "“Heroes”", "€"),
]
OTHERS = [
    ("cp1251", ("Кино", "Группа крови", "Группа крови")),
    ("cp1251", ("Алла Пугачёва", "Миллион алых роз", "Best Of")),
    ("cp1253", ("Μίκης Θεοδωράκης", "Ζορμπάς", "Τα τραγούδια μου")),
    ("cp932", ("くるり", "東京", "さよならストレンジャー")),
    ("cp932", ("フィッシュマンズ", "ナイトクルージング", "空中キャンプ")),
    ("gb18030", ("崔健", "一无所有", "新长征路上的摇滚")),
    ("cp949", ("조용필", "돌아와요 부산항에", "창밖의 여자")),
    ("utf-8", ("Björk", "Кино", "椎名林檎")),
]


@pytest.mark.parametrize(
    ("page", "names"), [*(("cp1252", names) for names in LATIN), *OTHERS], ids=str
)
@pytest.mark.parametrize("kind", ["a.mp3", "a.wav"])
def test_the_code_page_is_told_by_all_tags_and_latin_names_stay(
    tmp_path: Path, page: str, names: tuple[str, str, str], kind: str
) -> None:
    raw = [name.encode(page).decode("latin-1") for name in names]
    if kind == "a.mp3":
        (tmp_path / kind).touch()
        frames = ("TPE1", "TIT2", "TALB")
        texts = zip(frames, raw, strict=True)
        all_ = [getattr(mutagen.id3, frame)(encoding=0, text=[text]) for frame, text in texts]
        tags = tagged(tmp_path / kind, *all_)
    else:
        info = dict(zip(("artist", "title", "album"), raw, strict=True))
        with av.open(str(tmp_path / kind), "w", metadata_encoding="latin-1") as container:
            container.metadata.update(info)
            stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE), np.int16), "s16", "mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
        tags = read_tags(tmp_path / kind)
    assert (*tags.artists, tags.title, tags.album) == names


def test_too_little_text_is_not_guessed_at(tmp_path: Path) -> None:
    raw = "Кино".encode("cp1251").decode("latin-1")
    assert tagged(tmp_path / "a.mp3", mutagen.id3.TPE1(encoding=0, text=[raw])).artists == (raw,)


# --- anything ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(
    ("kind", "put"),
    [
        ("id3.mp3", with_id3),
        ("id3.wav", with_id3),
        ("vorbis.flac", with_vorbis),
        ("vorbis.ogg", with_vorbis),
        ("ape.wv", with_ape),
        ("atoms.m4a", with_atoms),
        ("asf.wma", with_asf),
    ],
)
def test_any_text_comes_back_as_it_was_put(
    tmp_path: Path, kind: str, put: Callable[..., None]
) -> None:
    path = made(tmp_path, kind)

    @quick
    @given(st.lists(texts, min_size=1, max_size=3), texts, texts)
    def comes_back(artists: list[str], title: str, album: str) -> None:
        put(path, replace(SAID, artists=tuple(artists), title=title, album=album))
        found = read_tags(path)
        assert found.artists == tuple(dict.fromkeys(filter(None, map(normalized, artists))))
        assert (found.title, found.album) == (normalized(title), normalized(album))

    comes_back()


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_to_a_file_is_an_error(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    KINDS[kind][1](path)
    whole = path.read_bytes()
    places = st.tuples(st.integers(0, min(len(whole), 4000) - 1), st.integers(0, 255))

    @quick
    @given(st.lists(places, max_size=20), st.integers(0, len(whole)))
    def is_read(changes: list[tuple[int, int]], end: int) -> None:
        content = bytearray(whole)
        for place, byte in changes:
            content[place] = byte
        path.write_bytes(content[: max(end, 200)])
        found = read_tags(path)
        assert found.title == normalized(found.title)

    is_read()
