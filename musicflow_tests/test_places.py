"""Libraries and vectors that lie elsewhere, against a real server of S3 with faults."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import soundfile
from fsspec import AbstractFileSystem

from musicflow import audio, cli, embedders, extras, parts, places
from musicflow.audio.excerpts import Excerpts
from musicflow.errors import MusicflowError
from musicflow.library import Library, LibraryError, examine_files, find, read_library
from musicflow.pipeline.embed import embed_tracks
from musicflow.places import (
    FileElsewhereError,
    GoneError,
    PlaceError,
    Remote,
    asking,
    listing,
    place,
    reading,
)
from musicflow.settings import Home, Settings
from musicflow.store import Embedding, EmbeddingStore, store_of
from musicflow_tests import bucket as faults
from musicflow_tests.audio.test_excerpts import song, spread
from musicflow_tests.bucket import NAME, Bucket
from musicflow_tests.conftest import RATE, noise, tone

SPEC = embedders.spec_of("mfcc")
ROOT = f"s3://{NAME}/music"


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "made-up")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("NO_PROXY", "127.0.0.1")
        made = Bucket()
        patch.setenv("AWS_ENDPOINT_URL", made.url)
        made.client().create_bucket(Bucket=NAME)
        yield made
        made.close()
        asking.filesystem.cache_clear()


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setattr(asking, "WAITS_S", [0.0] * 4)
    forget_blocks()
    asking.answers.silent.clear()
    server.empty()
    return server


def forget_blocks() -> None:
    """Have files read from the server again."""
    reading.blocks.forget()


def sound(samples: np.ndarray, rate: int = RATE, **how: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **how})
    return file.getvalue()


@pytest.fixture
def music(bucket: Bucket, tmp_path: Path) -> dict[str, bytes]:
    """A library of two genres, in the bucket and in a folder."""
    files = {f"tones/{n}.wav": sound(tone(220 + 40 * n, 0.7)) for n in range(3)}
    files |= {f"noises/{n}.flac": sound(noise(n, 0.7), format="FLAC") for n in range(3)}
    for name, content in files.items():
        bucket.put(f"music/{name}", content)
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    bucket.forget()
    return files


def settings_of(home: Home, library: object = ROOT, **given: object) -> Settings:
    return Settings(home=home.root, library=library, embedders=("mfcc",), **given)  # type: ignore[arg-type]


def problems(library: Library) -> dict[str, str]:
    return {problem.subject: problem.code for problem in library.problems}


# --- the library ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("music")
def test_a_library_elsewhere_has_the_tracks_and_vectors_of_a_local_one(
    home: Home, tmp_path: Path
) -> None:
    there = settings_of(home)
    here = settings_of(Home(tmp_path / "other"), tmp_path / "music")
    found, expected = read_library(there), read_library(here)
    assert found.fingerprint == expected.fingerprint
    assert found.tracks[0].path == f"{ROOT}/{expected.tracks[0].track_id}"
    rows = embed_tracks(found.tracks, SPEC, store_of(there), tmp_path).rows
    for content, row in embed_tracks(expected.tracks, SPEC, store_of(here), tmp_path).rows.items():
        np.testing.assert_array_equal(rows[content].vector, row.vector)


def test_single_files_elsewhere_are_examined_as_local_ones(
    music: dict[str, bytes], tmp_path: Path
) -> None:
    there, here = examine_files(
        [place(f"{ROOT}/{next(iter(music))}"), tmp_path / "music/tones/0.wav"]
    )
    assert there.path == f"{ROOT}/tones/0.wav"
    assert there.content_hash == here.content_hash


def test_a_handle_that_knows_no_size_is_no_empty_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handle(io.BytesIO):
        details: ClassVar = {"name": "sizes/a.bin", "size": None, "type": "file"}

    fsspec.filesystem("memory").pipe("/sizes/a.bin", b"abc")
    monkeypatch.setattr(Remote, "_handed", lambda _: Handle(b"abc"))
    assert place("memory://sizes/a.bin").stat().st_size == 3


def test_a_place_without_a_path_has_a_name() -> None:
    assert place("webdav://").name == "webdav"
    assert place("webdav://jazz").name == "jazz"


def test_a_second_scan_reads_only_what_changed(
    music: dict[str, bytes], bucket: Bucket, home: Home
) -> None:
    before = {t.track_id: t.content_hash for t in read_library(settings_of(home)).tracks}
    assert set(bucket.read) == {f"music/{name}" for name in music}
    bucket.forget()
    read_library(settings_of(home))
    assert not bucket.read
    bucket.put("music/tones/1.wav", sound(tone(900, 0.7)))
    bucket.delete("music/tones/2.wav")
    bucket.forget()
    after = {t.track_id: t.content_hash for t in read_library(settings_of(home)).tracks}
    assert set(bucket.read) == {"music/tones/1.wav"}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"tones/1.wav"}
    assert before.keys() - after.keys() == {"tones/2.wav"}


def test_an_etag_tells_a_change_that_size_and_time_do_not(
    music: dict[str, bytes], bucket: Bucket, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_nanoseconds", lambda _: 0)
    read_library(settings_of(home))
    other = bytearray(music["tones/0.wav"])
    other[-1] ^= 1
    bucket.put("music/tones/0.wav", bytes(other))
    bucket.forget()
    read_library(settings_of(home))
    assert set(bucket.read) == {"music/tones/0.wav"}


def test_labels_that_lie_beside_the_music_are_read(
    music: dict[str, bytes], bucket: Bucket, home: Home
) -> None:
    rows = [f"{name},{'calm' if 'tones' in name else 'loud'},{ROOT}/{name}" for name in music]
    bucket.put("music/manifest.csv", "\n".join(["path,genre,note", *rows]).encode())
    bucket.put("music/.musicflowignore", b"2.*\n")
    library = read_library(settings_of(home))
    assert library.format == "manifest"
    assert {t.track_id: t.genre for t in library.tracks} == {
        name: "calm" if "tones" in name else "loud" for name in music if "2." not in name
    }


@pytest.mark.usefixtures("music")
def test_a_layout_that_needs_a_database_says_so(home: Home) -> None:
    with pytest.raises(LibraryError, match="cannot be read at s3://bucket/music"):
        read_library(settings_of(home, library_format="beets"))


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.busy, faults.cut_off])
def test_what_fails_once_is_tried_again(
    music: dict[str, bytes], bucket: Bucket, home: Home, fault: faults.Fault
) -> None:
    bucket.fault = faults.once_each(fault)
    library = read_library(settings_of(home))
    assert (len(library.tracks), problems(library)) == (len(music), {})


def test_an_answer_that_takes_too_long_is_not_waited_for(
    music: dict[str, bytes], bucket: Bucket, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_REQUEST_S", 0.5)
    slow = faults.on("music/tones/1.wav", faults.slow(1.0))
    bucket.fault = faults.once_each(slow)
    library = read_library(settings_of(home))
    assert (len(library.tracks), problems(library)) == (len(music), {})


@pytest.mark.parametrize(
    ("fault", "code"),
    [(faults.busy, "unreachable"), (faults.cut_off, "unreachable"), (faults.gone, "gone")],
)
def test_a_file_that_cannot_be_read_costs_its_row_until_it_can(
    music: dict[str, bytes], bucket: Bucket, home: Home, fault: faults.Fault, code: str
) -> None:
    bucket.fault = faults.on("music/noises/1.flac", fault)
    library = read_library(settings_of(home))
    assert problems(library) == {"noises/1.flac": code}
    assert len(library.tracks) == len(music) - 1
    bucket.forget()
    assert len(read_library(settings_of(home)).tracks) == len(music)
    assert set(bucket.read) == {"music/noises/1.flac"}


def test_a_file_that_breaks_off_on_the_way_is_never_taken_for_a_short_one(bucket: Bucket) -> None:
    content = sound(noise(0, 8.0))
    bucket.put("long.wav", content)

    def late(environ: faults.Environ, start: Callable) -> object:
        last = int(environ["HTTP_RANGE"].rpartition("-")[2])
        return faults.busy(environ, start) if last > len(content) // 2 else None

    bucket.fault = faults.on("long.wav", late)  # type: ignore[arg-type]
    with pytest.raises(FileElsewhereError) as raised:
        audio.examine(place(f"s3://{NAME}/long.wav"))
    assert raised.value.code == "unreachable"


def test_a_file_that_cannot_be_read_is_embedded_by_the_next_run(
    music: dict[str, bytes], bucket: Bucket, home: Home, tmp_path: Path
) -> None:
    library = read_library(settings_of(home))
    forget_blocks()
    vectors = EmbeddingStore(tmp_path / "store")
    bucket.fault = faults.on("music/noises/1.flac", faults.gone)
    done = embed_tracks(library.tracks, SPEC, vectors, tmp_path)
    assert [(p.subject, p.code) for p in done.problems if p.severity == "error"] == [
        ("noises/1.flac", "gone")
    ]
    assert done.embedded == len(music) - 1
    bucket.forget()
    forget_blocks()
    assert embed_tracks(library.tracks, SPEC, vectors, tmp_path).embedded == 1


def test_a_file_that_changed_since_it_was_opened_is_not_mixed(bucket: Bucket) -> None:
    bucket.put("a.bin", bytes(200_000))
    file = place(f"s3://{NAME}/a.bin").open("rb")
    file.read(10)
    bucket.put("a.bin", bytes(200_001))
    file.seek(150_000)
    with pytest.raises(FileElsewhereError) as raised:
        file.read(10)
    assert raised.value.code == "changed"


@pytest.mark.usefixtures("music")
def test_a_place_that_does_not_answer_is_one_sentence_and_changes_nothing(
    bucket: Bucket,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = settings_of(home)
    read_library(settings).save(home.library)
    before = {path: path.read_bytes() for path in home.library.rglob("*.parquet")}
    bucket.fault = faults.busy
    command = ["musicflow", "run", ROOT, "--embedder", "mfcc", "--home", str(home.root)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    [told] = capfd.readouterr().err.splitlines()
    assert told.startswith("error: s3://bucket/music does not answer")
    assert {path: path.read_bytes() for path in home.library.rglob("*.parquet")} == before
    with pytest.raises(LibraryError) as raised:
        read_library(settings_of(home))
    assert raised.value.code == places.UNREACHABLE


@pytest.mark.usefixtures("music")
def test_a_place_that_falls_silent_ends_the_run(bucket: Bucket, home: Home, tmp_path: Path) -> None:
    bucket.fault = lambda environ, start: (
        faults.busy(environ, start) if "/tones/" in faults.key_of(environ) else None
    )
    with pytest.raises(PlaceError) as raised:
        read_library(settings_of(home))
    assert raised.value.code == places.UNREACHABLE
    bucket.forget()
    library = read_library(settings_of(home))
    # The partition that was read to its end is not read again.
    assert {key.split("/")[1] for key in bucket.read} == {"tones"}
    forget_blocks()
    bucket.fault = faults.busy
    vectors = EmbeddingStore(tmp_path / "store")
    with pytest.raises(PlaceError, match="s3://bucket does not answer"):
        embed_tracks(library.tracks, SPEC, vectors, tmp_path)
    bucket.forget()
    assert embed_tracks(library.tracks, SPEC, vectors, tmp_path).problems == ()


# --- a part of a file ----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seconds"), [("mp3", 30), ("flac", 30), ("wav", 30), ("ogg", 60)])
def test_only_what_is_heard_is_read_with_the_same_samples(
    bucket: Bucket, tmp_path: Path, kind: str, seconds: int
) -> None:
    path = tmp_path / f"a.{kind}"
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        for part in np.split(song(1, 44_100, seconds), seconds):
            file.write(part)
    bucket.put(path.name, path.read_bytes())
    there = place(f"s3://{NAME}/{path.name}")
    expected, info = audio.examine(path), audio.examine(there)
    assert info == expected
    forget_blocks()
    bucket.forget()
    spans = spread(seconds, RATE, count=2, heard_s=1.5)
    through = Excerpts(path, RATE, spans)
    local, remote = (Excerpts(one, RATE, spans, marks=info.marks) for one in (path, there))
    for samples, here, found in zip(through, local, remote, strict=True):
        np.testing.assert_array_equal(here, samples)
        np.testing.assert_array_equal(found, samples)
    for one in (local, remote):
        assert (one.notes, one.seconds) == (through.notes, through.seconds)
    assert bucket.served[path.name] < 0.5 * path.stat().st_size


# --- vectors -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("music")
def test_homes_share_vectors_that_lie_elsewhere(bucket: Bucket, home: Home, tmp_path: Path) -> None:
    where = f"s3://{NAME}/vectors"
    one = settings_of(home, tmp_path / "music", store=where, cache=tmp_path / "cache")
    other = settings_of(
        Home(tmp_path / "other"), tmp_path / "music", store=where, cache=tmp_path / "elsewhere"
    )
    tracks = read_library(one).tracks
    made = embed_tracks(tracks, SPEC, store_of(one), tmp_path)
    again = embed_tracks(tracks, SPEC, store_of(other), tmp_path)
    assert (made.embedded, again.embedded) == (len(tracks), 0)
    for content, row in made.rows.items():
        np.testing.assert_array_equal(again.rows[content].vector, row.vector)
    bucket.forget()
    assert len(store_of(other).read(SPEC)) == len(tracks)
    assert not bucket.read


@pytest.mark.usefixtures("bucket")
def test_what_one_home_merges_the_other_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_MANY", 4)
    where = Remote(f"s3://{NAME}/vectors")
    one, other = (EmbeddingStore(tmp_path / name, where) for name in "ab")
    vector = np.ones(SPEC.dim, np.float32)
    for number in range(5):
        one.add(SPEC, [Embedding(f"{number}", vector)])
        if number == 2:
            assert len(other.known(SPEC)) == 3
    assert len(list((where / SPEC.label / SPEC.hash).glob("*.parquet"))) == 1
    assert len(other.known(SPEC)) == 5
    assert len(list((tmp_path / "b").rglob("*.parquet"))) == 1


# --- addresses -----------------------------------------------------------------------------------


def test_an_address_keeps_its_slashes_through_settings_and_the_home(home: Home) -> None:
    settings = settings_of(home, f"{ROOT}/")
    assert str(settings.library) == ROOT
    assert str(Settings.model_validate(settings.model_dump(mode="json")).library) == ROOT
    assert isinstance(place("/music/a:b"), Path)
    assert place("file:///music") == Path("/music")


def test_an_address_with_a_password_is_refused(home: Home) -> None:
    with pytest.raises(PlaceError, match=r"sftp://me:…@host/music holds a password") as raised:
        settings_of(home, "sftp://me:secret@host/music")
    assert "secret" not in str(raised.value)


def test_a_package_that_is_missing_is_told_as_such(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.filesystem.cache_clear()
    monkeypatch.setitem(extras.EXTRAS, "s3", ("no_such_module",))
    with pytest.raises(MusicflowError, match=r"pip install 'musicflow\[s3\]'") as raised:
        read_library(settings_of(home))
    assert raised.value.code == extras.MISSING


def test_a_folder_that_may_not_be_listed_is_a_row_and_no_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = asking.filesystem("memory://listed")
    # Most file systems list folder by folder.
    monkeypatch.setattr(type(memory), "find", AbstractFileSystem.find)
    memory.pipe_file("/listed/a/1.wav", b"1")
    memory.pipe_file("/listed/b/2.wav", b"2")

    def ls(path: str, **how: object) -> object:
        if path.rstrip("/").endswith("/b"):
            raise denied
        return listed(path, **how)

    denied: Exception = PermissionError(13, "permission is denied")
    listed = memory.ls
    monkeypatch.setattr(memory, "ls", ls)
    found = find(place("memory://listed"))
    assert {file.path: file.code for file in found} == {"a/1.wav": "", "b/": "folder-unreadable"}
    denied = OSError("reset by peer")
    monkeypatch.setattr(asking, "WAITS_S", [])
    with pytest.raises(LibraryError) as raised:
        find(place("memory://listed"))
    assert raised.value.code == places.UNREACHABLE


@pytest.mark.usefixtures("bucket")
def test_a_place_that_is_not_there_is_told_as_such(home: Home) -> None:
    with pytest.raises(LibraryError, match="there is no s3://other-bucket/music"):
        read_library(settings_of(home, "s3://other-bucket/music"))
    with pytest.raises(LibraryError, match="nothing lies below s3://bucket/none"):
        read_library(settings_of(home, f"s3://{NAME}/none"))
    with pytest.raises(GoneError):
        place(f"s3://{NAME}/none.wav").open("rb")
