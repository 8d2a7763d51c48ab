"""The commands that answer, as a person or a script asks them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musicflow.index.fields import FIELDS
from musicflow.index.fused import save_weights
from musicflow.settings import Home
from musicflow_tests.cli.conftest import ingest
from musicflow_tests.conftest import RATE, Run, noise, tone


@pytest.fixture(scope="module")
def home_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tracks, indexed once for all the tests that only ask."""
    root = tmp_path_factory.mktemp("search")
    for number in range(6):
        write_audio(root / "music" / "tones" / f"{number}.wav", tone(220 + 20 * number))
        write_audio(root / "music" / "noises" / f"{number}.wav", noise(number))
    ingest(root / "music", root / "home")
    remember_fusion(Home(root / "home"))
    return root / "home"


def remember_fusion(home: Home) -> None:
    """A fusion of one embedder, so that it is known what it must answer."""
    save_weights(home.fusions, {"fusion:mfcc": {"mfcc": 1.0}})


@pytest.fixture(autouse=True)
def _use_it(home_of_all: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICFLOW_HOME", str(home_of_all))


def write_audio(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)


def test_search_by_track_answers_with_ranks_and_fields(run: Run) -> None:
    code, printed, _ = run("search", "--track", "tones/3.wav", "-k", "4", "--json")
    answers = json.loads(printed)
    assert code == 0
    assert [answer["rank"] for answer in answers] == [1, 2, 3, 4]
    assert all(answer["genre"] == ["tones"] for answer in answers)
    assert all(answer["artist"] == ["Unknown"] for answer in answers)
    assert "tones/3.wav" not in [answer["track_id"] for answer in answers]
    assert answers[0].keys() == {"rank", "score", "duplicates", *FIELDS}


def test_search_by_a_file_from_outside(run: Run, write: Any) -> None:
    outside = write("../outside.wav", tone(255))
    code, printed, _ = run("search", str(outside), "-k", "3", "--json")
    assert code == 0
    assert all(answer["genre"] == ["tones"] for answer in json.loads(printed))


def test_search_with_filters(run: Run) -> None:
    arguments = ["search", "--track", "tones/3.wav", "--json", "--filter"]
    assert all(a["genre"] == ["noises"] for a in json.loads(run(*arguments, "genre=noises")[1]))
    nothing = run(*arguments[:-2], "--filter", "duration_s>9999")
    assert (nothing[0], nothing[1]) == (0, "Nothing found: no track passes the filters.\n")


def test_columns_that_say_nothing_are_left_out(run: Run) -> None:
    printed = run("search", "--track", "tones/3.wav")[1]
    assert "track" in printed
    assert "artist" not in printed
    assert "Unknown" not in printed


def test_recommend_goes_by_likes_and_dislikes(run: Run) -> None:
    likes = ["--like", "tones/1.wav", "--like", "tones/2.wav"]
    code, printed, _ = run("recommend", *likes, "-k", "4", "--json")
    answers = json.loads(printed)
    assert code == 0
    assert all(answer["genre"] == ["tones"] for answer in answers)
    assert not {answer["track_id"] for answer in answers} & {"tones/1.wav", "tones/2.wav"}
    noisy = run("recommend", "--like", "noises/1.wav", "--dislike", "tones/1.wav", "--json")[1]
    assert json.loads(noisy)[0]["genre"] == ["noises"]


def test_a_file_from_outside_can_be_liked(run: Run, write: Any) -> None:
    outside = write("../outside.wav", tone(255))
    code, printed, errors = run("recommend", "--like", str(outside), "-k", "3", "--json")
    assert code == 0, errors
    assert all(answer["genre"] == ["tones"] for answer in json.loads(printed))


ASKED = [
    ["search", "--track", "tones/3.wav", "--filter", "id!=tones/4.wav"],
    ["search", "FILE"],
    ["recommend", "--like", "tones/1.wav", "--like", "FILE", "--dislike", "noises/1.wav"],
    ["recommend", "--like", "tones/1.wav", "--strategy", "best-score", "--diverse"],
    ["path", "tones/0.wav", "noises/0.wav", "--steps", "3"],
    ["duplicates"],
]


@pytest.mark.parametrize("arguments", ASKED, ids=" ".join)
def test_a_fusion_of_one_answers_as_the_one_does(
    run: Run, write: Any, arguments: list[str]
) -> None:
    outside = str(write("../outside.wav", tone(255)))
    arguments = [outside if word == "FILE" else word for word in arguments]
    answers = []
    for embedder in ("mfcc", "fusion:mfcc", "rrf:mfcc"):
        code, printed, errors = run(*arguments, "--embedder", embedder, "--json")
        assert code == 0, errors
        answers.append(json.loads(printed))
        assert f"by {embedder}" in run(*arguments, "--embedder", embedder)[1]
    alone, weighted, by_rank = answers
    assert ids(weighted) == ids(alone)
    if "--diverse" not in arguments:  # which sets scores off against likenesses
        assert ids(by_rank) == ids(alone)


def test_a_fusion_is_found_by_the_short_name_that_tables_show(run: Run) -> None:
    words = ["search", "--track", "tones/3.wav", "--json", "--embedder"]
    assert run(*words, "fusion") == run(*words, "fusion:mfcc")


def ids(answers: list[Any]) -> list[Any]:
    return [ids(one) if isinstance(one, list) else one["track_id"] for one in answers]


def test_names_work_where_ids_do(run: Run) -> None:
    by_id = run("search", "--track", "tones/3.wav", "--json")[1]
    code, _, errors = run("search", "--track", "noises/3", "--json")
    assert code == 2
    assert "'noises/3.wav'" in errors
    code, _, errors = run("search", "--track", "3", "--json")
    assert code == 2
    assert "2 tracks are called '3'" in errors
    assert json.loads(by_id)


def test_a_path_becomes_a_playlist(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home_of_all: Path
) -> None:
    code, printed, _ = run("path", "tones/0.wav", "noises/0.wav", "--steps", "2", "--json")
    answers = json.loads(printed)
    assert code == 0
    assert [answers[0]["track_id"], answers[-1]["track_id"]] == ["tones/0.wav", "noises/0.wav"]
    monkeypatch.setattr("sys.stdin", io.StringIO(printed))
    target = tmp_path / "way.m3u8"
    assert run("export", "--playlist", "m3u8", "--output", str(target))[0] == 0
    lines = target.read_text("utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[1] == "#EXTINF:2,Unknown - 0"
    assert lines[2] == str(home_of_all.parent / "music" / "tones" / "0.wav")
    assert len(lines) == 1 + 2 * len(answers)


def test_a_playlist_is_extended(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.m3u8"
    assert run("export", "tones/1.wav", "tones/2.wav", "--output", str(mine))[0] == 0
    mine.write_text(f"{mine.read_text()}gone.mp3\n")
    code, printed, errors = run("recommend", "--like-playlist", str(mine), "-k", "3", "--json")
    assert code == 0
    names = {answer["track_id"] for answer in json.loads(printed)}
    assert len(names) == 3
    assert names.isdisjoint({"tones/1.wav", "tones/2.wav"})
    assert "1 of 3 entries" in errors
    mine.write_text("gone.mp3\n")
    code, _, errors = run("recommend", "--like-playlist", str(mine))
    assert code == 2
    assert "is a track of the library" in errors


def test_a_playlist_of_named_tracks_as_json(run: Run) -> None:
    tracks = json.loads(run("export", "tones/1.wav", "noises/2.wav", "--playlist", "json")[1])
    assert [track["track_id"] for track in tracks] == ["tones/1.wav", "noises/2.wav"]


def test_copies_are_listed_together(run: Run, music: Path, tmp_path: Path) -> None:
    (music / "noises" / "copy.wav").write_bytes((music / "noises" / "4.wav").read_bytes())
    ingest(music, tmp_path / "home")
    code, printed, _ = run("duplicates", "--home", str(tmp_path / "home"), "--json")
    assert code == 0
    groups = [{track["track_id"] for track in group["answers"]} for group in json.loads(printed)]
    assert {"noises/4.wav", "noises/copy.wav"} in groups


def test_a_collection_can_be_rolled_back(run: Run, music: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    ingest(music, home)
    (music / "noises" / "5.wav").unlink()
    ingest(music, home)
    counts = []
    for _ in range(2):
        [row] = json.loads(run("index", "rollback", "mfcc", "--home", str(home), "--json")[1])
        counts.append(row["count"])
    assert counts == [12, 11]
    _, printed, where = run("index", "list", "--home", str(home), "--json")
    [row] = json.loads(printed)
    assert row["count"] == 11
    assert where == f"{home / 'collections'}, by the embedded engine\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serch"], "Did you mean 'search'?"),
        (["search"], "say what to search with"),
        (["search", "--track", "tones/33.wav"], "the nearest"),
        (["search", "--track", "tones/3.wav", "-k", "0"], "at least 1"),
        (["search", "--track", "tones/3.wav", "-k", "9" * 30], "at most 10,000,000, not 999"),
        (["recommend", "--like", "tones/3.wav", "-k", "9" * 30], "at most 10,000,000, not 999"),
        (["path", "tones/1.wav", "noises/2.wav", "--steps", "9" * 30], "at most 1,000, not 999"),
        (["search", "--track", "tones/3.wav", "--filter", "zip=3"], "no track has a field 'zip'"),
        (["search", "--track", "tones/3.wav", "--filter", "genre=tnes"], "the nearest are tones"),
        (["search", "--track", "tones/3.wav", "--embedder", "mfc"], "the nearest is mfcc"),
        (["search", "nowhere.wav"], "No such file"),
        (["search", "--track", "1", "--embedder", "rrf:mfcc+nope"], "no embedder is called 'nope'"),
        (["search", "--track", "1", "--embedder", "rrf:mfcc+musicnn"], "no collection 'musicnn'"),
        (["path", "a", "b", "--embedder", "fusion:musicnn+mfcc"], "weights for fusion:mfcc"),
        (["search", "--track", "1", "--embedder", "rrf"], "'rrf' lacks its members: none is"),
        (["search", "--track", "1", "--embedder", "tuned:genre"], "lacks its members"),
        (["run", ".", "--embedder", "fusion"], "'fusion' is a fusion or a tuned space, not an"),
        (["run", ".", "--embedder", "rrf:mfcc+musicnn"], "is a fusion or a tuned space, not an"),
        (["run", ".", "--embedder", "fusion:mfcc"], "is a fusion or a tuned space, not an"),
        (["layers", ".", "--embedder", "fusion"], "is a fusion or a tuned space, not an embedder"),
        (["tune", "--embedder", "rrf:mfcc+musicnn"], "is a fusion or a tuned space, not an"),
        (["duplicates", "--with", "/no/where"], "there is no home /no/where: name another home"),
        (["duplicates", "--with", "."], "no library has been read yet in the home"),
        (["search", "--track", "1", "--correct", "csls"], "no evaluation measured it"),
        (["recommend"], "at least one track that is liked"),
        (["recommend", "--like", "nowhere.wav"], "no track has the id or name 'nowhere.wav'"),
        (["recommend", "--like", "tones/1.wav", "--dislike", "tones/1.wav"], "both liked and"),
        (["path", "tones/1.wav", "tones/1.wav"], "to itself: give two"),
        (["path", "tones/1.wav", "tones/2.wav", "--steps", "-1"], "steps must be at least 1"),
        (["export", "tones/1.wav", "--output", "/proc/x.m3u8"], "cannot be written"),
        (["index", "rollback", "mfcc"], "no earlier version"),
        (["index", "rollback", "nope"], "no collection 'nope' (published: mfcc)"),
        (["index", "copy", "--to", "nowhere"], "not the address of a server"),
    ],
)
def test_questions_that_cannot_be_answered_exit_2_with_a_sentence(
    run: Run, arguments: list[str], sentence: str
) -> None:
    code, printed, errors = run(*arguments)
    assert code == 2
    assert sentence in " ".join(errors.split())
    assert "Traceback" not in errors
    assert printed == ""


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '[{"track_id": 3}]', "null", "\ud800"])
def test_only_answers_are_taken_for_answers(
    run: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code, _, errors = run("export")
    assert code == 2
    assert "does not hold what a command prints" in errors


HOSTILE = [
    "",
    " ",
    "-",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "tones",
    "tones/../tones/1.wav",
    "tones/1.wav/",
    "TONES\\1.WAV",
    "~root",
    "$HOME",
    "`id`",
    "'; DROP TABLE tracks; --",
    '" OR 1=1',
    "<script>alert(1)</script>",
    "[red]red[/red]",
    "[/]",
    "%s%n%d",
    "{0.__class__}",
    "\n\n",
    "\t",
    "\x1b[2J",
    "\x07",
    "\u202egnp.exe",
    "\u200b",
    "\ufeff",
    "\U0001f3b5" * 50,
    "e\u0301" * 100,
    "a" * 10_000,
    "9" * 400,
    "-1",
    "1e309",
    "nan",
    "None",
    "*",
    ".*",
    "(((((((((((((((((((a",
    "=",
    "!=",
    "key=",
    "genre=",
    "a=b=c",
    "duration_s<nan",
    "duration_s<1e999",
    "duration_s<<3",
    "\udcff",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_words_get_a_sentence(run: Run, number: int) -> None:
    text = HOSTILE[number]
    for arguments in (
        ["search", f"--track={text}"],
        ["search", "--track", "tones/1.wav", f"--filter={text}"],
        ["search", "--track", "tones/1.wav", f"--filter=artist={text}x"],
        ["recommend", f"--like={text}"],
        ["path", "tones/1.wav", "--", text],
    ):
        code, printed, errors = run(*arguments)
        assert (code, printed) == (2, ""), arguments
        assert "Traceback" not in errors
        assert errors.strip()
