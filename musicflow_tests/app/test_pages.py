"""The app's pages without a browser: what they answer, and what they say to bad addresses."""

import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import streamlit as st
from streamlit.testing.v1 import AppTest

from musicflow.app.catalogue import Catalogue
from musicflow.app.view import extents
from musicflow.evaluation.report import write_sweep
from musicflow.index import EmbeddedIndex
from musicflow.index.fused import save_weights
from musicflow.library import Library, Track
from musicflow.settings import Home
from musicflow_tests.app.conftest import MAIN, fill, write_flac
from musicflow_tests.conftest import RATE, tone
from musicflow_tests.embedders.adapters import models
from musicflow_tests.evaluation.made_up import SWEEP
from musicflow_tests.index.conftest import MANIFEST, points, vectors

Page = Callable[..., AppTest]


@pytest.fixture
def page(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """Open a page of the filled home by its address."""
    monkeypatch.setenv("MUSICFLOW_HOME", str(filled))

    def page(name: str = "find", **query: str | list[str]) -> AppTest:
        test = AppTest.from_file(MAIN, default_timeout=60)
        test.query_params.update(query)
        test.run()
        if name != "find":
            test.switch_page(f"{name}.py")
            test.query_params.update(query)
            test.run()
        assert not test.exception
        return test

    return page


def names(page: AppTest) -> list[str]:
    """The tracks that the page's cards are about, from the top."""
    return [text.value.split("**")[1] for text in page.markdown if text.value.count("**") == 2]


def press(page: AppTest, key: str) -> None:
    next(button for button in page.button if (button.key or "").startswith(key)).click().run()
    assert not page.exception


def test_a_track_is_answered_with_its_like(page: Page) -> None:
    asked, *answers = names(page(track="tones/3.flac", k="4"))
    assert asked == "Tone 3"
    assert len(answers) == 4
    assert all(name.startswith("Tone") for name in answers)


def test_every_answer_fulfils_the_filters(page: Page) -> None:
    look = {"track": "tones/3.flac", "k": "50"}
    noises = [f"Noise {number}" for number in (0, 0, 1, 2, 3, 4, 5)]
    assert sorted(names(page(genre="noises", **look))[1:]) == noises
    assert sorted(names(page(**{"not-genre": "tones"}, **look))[1:]) == noises
    assert sorted(names(page(where="genre=noises\nname!=Noise 0", **look))[1:]) == noises[2:]
    assert names(page(genre="noises", where="genre!=noises", **look)) == ["Tone 3"]


def test_a_number_is_chosen_between_the_least_and_the_greatest(tmp_path: Path) -> None:
    index = EmbeddedIndex(tmp_path)
    index.publish("toy", MANIFEST, points(vectors(5)))
    with index.open("toy") as collection:
        assert extents(collection) == {"duration_s": (0.0, 40.0)}


def test_without_an_answer_the_page_says_why(page: Page) -> None:
    shown = page(track="tones/3.flac", where="genre=noise")
    assert "no track has the genre 'noise': the nearest is noises" in told(shown)


def told(page: AppTest) -> str:
    """What the page says in boxes, as a person reads it."""
    return " ".join(box.value.replace("\\", "") for box in [*page.error, *page.info])


def test_picking_disliking_and_taking_back(page: Page) -> None:
    shown = page(k="3")
    shown.text_input("words").set_value("TONE nobody 3").run()
    press(shown, "match-")
    assert names(shown)[0] == "Tone 3"
    press(shown, "like-question")
    liked = names(shown)
    press(shown, "dislike-answer")
    assert shown.query_params["like"] == "tones/3.flac"
    assert shown.query_params["dislike"] == "tones/2.flac"
    assert names(shown) != liked
    press(shown, "chosen-dislike")
    assert "dislike" not in shown.query_params
    assert names(shown) == liked


def test_starting_over_forgets_likes_and_dislikes(page: Page) -> None:
    shown = page(like="tones/3.flac", dislike="noises/1.flac")
    press(shown, "forget")
    assert names(shown) == []
    assert not {"like", "dislike"} & set(shown.query_params)


def test_variety_and_a_cap_by_artist_are_kept_in_the_address(page: Page) -> None:
    # All tracks are by one artist.
    assert len(names(page(like="tones/3.flac", most="2", k="10"))) == 2
    assert len(names(page(like="tones/3.flac", k="10"))) == 10
    shown = page(like="tones/3.flac", diverse="true", strategy="best-score", k="5")
    assert shown.toggle("diverse").value
    assert shown.radio("strategy").value == "best-score"
    assert len(names(shown)) == 5


def test_liking_what_was_disliked_changes_sides(page: Page) -> None:
    shown = page(track="tones/3.flac", dislike="tones/3.flac", like="tones/1.flac")
    press(shown, "like-question")
    assert shown.query_params["like"] == ["tones/1.flac", "tones/3.flac"]
    assert "dislike" not in shown.query_params


def test_a_disliked_track_never_comes_back(page: Page) -> None:
    shown = page(like="tones/3.flac", dislike=["tones/2.flac", "tones/4.flac"], k="50")
    assert not {"Tone 2", "Tone 3", "Tone 4"} & set(names(shown))


@pytest.mark.slow
def test_words_are_asked_where_the_embedder_has_a_text_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Page
) -> None:
    clap = models.save("clap", tmp_path / "clap")
    for number in range(3):
        write_flac(tmp_path / f"music/{number}.flac", tone(220 + 90 * number), title=f"T{number}")
    home = Home(tmp_path / "home")
    fill(home, tmp_path / "music", ("mfcc", f"clap=hub:{clap}"))
    monkeypatch.setenv("MUSICFLOW_HOME", str(home.root))
    assert "description" not in [box.key for box in page().text_input]
    shown = page(embedder="clap")
    assert names(shown) == []
    shown.text_input("description").set_value(" ").run()
    assert names(shown) == []
    shown.text_input("description").set_value("slow piano, rain").run()
    assert sorted(names(shown)) == ["T0", "T1", "T2"]
    assert names(page(embedder="clap", description="slow piano, rain")) == names(shown)
    # A track that is picked takes the place of the words.
    shown.text_input("words").set_value("T1").run()
    press(shown, "match-")
    assert names(shown)[0] == "T1"
    assert not shown.text_input("description").value


@pytest.mark.slow
def test_an_upload_can_be_liked(page: Page) -> None:
    shown = page(k="3")
    file = io.BytesIO()
    soundfile.write(file, tone(285), RATE, format="WAV")
    shown.file_uploader[0].upload("song.wav", file.getvalue()).run()
    assert all(name.startswith("Tone") for name in names(shown)[1:])
    press(shown, "like-question")
    assert [b.label.replace("\\", "") for b in shown.button if b.key == "chosen-like-0"] == [
        "song.wav"
    ]
    assert "like" not in shown.query_params


@pytest.mark.parametrize(
    ("file", "said"), [("gone.flac", "The file is gone"), ("a.aiff", "The first minute")]
)
def test_what_cannot_be_played_as_it_is_is_said_to_be(
    page: Page, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, said: str
) -> None:
    soundfile.write(tmp_path / "a.aiff", tone(440), RATE)
    home = Home(shutil.copytree(filled, tmp_path / "copy"))
    music = Library.load(home.library)
    moved = [dataclasses.replace(track, path=str(tmp_path / file)) for track in music.tracks]
    dataclasses.replace(music, tracks=tuple(moved)).save(home.library)
    monkeypatch.setenv("MUSICFLOW_HOME", str(home.root))
    st.cache_resource.clear()
    shown = page(track="tones/3.flac", k="2")
    press(shown, "play-question")
    assert any(said in text.value for text in [*shown.warning, *shown.caption])
    st.cache_resource.clear()


def test_a_new_state_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, music = Home(tmp_path / "home"), tmp_path / "music"
    monkeypatch.setenv("MUSICFLOW_HOME", str(home.root))
    for number in range(3):
        write_flac(music / f"a/{number}.flac", tone(220 + 20 * number), title=f"Tone {number}")
    shown = AppTest.from_file(MAIN, default_timeout=60)
    shown.query_params["track"] = "a/0.flac"
    shown.run()
    assert "Nothing has been indexed yet" in shown.markdown[0].value
    fill(home, music, ("mfcc",))
    shown.run()
    assert len(names(shown)) == 3
    write_flac(music / "b/new.flac", tone(225), title="New")
    fill(home, music, ("mfcc",))
    shown.run()
    assert "New" in names(shown)
    assert sorted(shown.multiselect("genre").options) == ["a", "b"]
    shown.text_input("words").set_value("new").run()
    assert [b.key for b in shown.button if "match-" in (b.key or "")] == ["match-b/new.flac"]


LINES = ["cnn1", "penultimate", "mean of all", "best of these tracks", "nested choice"]


def test_the_library_page_lists_problems_and_counts_notes_and_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, music = Home(tmp_path / "home"), tmp_path / "music"
    monkeypatch.setenv("MUSICFLOW_HOME", str(home.root))
    for number in range(3):
        write_flac(music / f"a/{number}.flac", tone(220 + 20 * number))
    write_flac(music / "a/short.flac", tone(220, 0.3))
    (music / "a/x.mid").touch()
    (music / "a/pipe.mp3").symlink_to("/dev/null")
    fill(home, music, ("mfcc",))
    write_sweep(SWEEP, home.reports)
    shown = AppTest.from_file(MAIN, default_timeout=60).run()
    shown.switch_page("library.py").run()
    assert not shown.exception
    assert [one.label for one in shown.expander if "Layers" in one.label] == ["Layers of musicnn"]
    assert any(list(frame.value.get("layer", ())) == LINES for frame in shown.dataframe)
    [problems] = [metric.value for metric in shown.metric if metric.label == "Problems"]
    assert problems == "1"
    captions = [caption.value.replace("\\", "") for caption in shown.caption]
    assert "1 track is shorter than one window of mfcc and was padded" in captions
    assert "1 file of kinds that are not read: 1 .mid" in captions


def test_a_vote_that_cannot_be_kept_is_said_to_be(
    page: Page, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(shutil.copytree(filled, tmp_path / "copy"))
    home.votes.mkdir()
    monkeypatch.setenv("MUSICFLOW_HOME", str(home.root))
    shown = page("compare", how="Blind test", track="tones/1.flac")
    assert "votes.jsonl: Is a directory" in told(shown)
    next(button for button in shown.button if button.label == "Both alike").click().run()
    assert not shown.exception
    assert "votes.jsonl: Is a directory" in told(shown)


@pytest.mark.parametrize("words", ["beyonce", "BEYONCÉ halo", "hälo", "ハロ"])
def test_words_find_a_track_whatever_their_case_and_accents(words: str) -> None:
    track = Track("a/1.mp3", "/a/1.mp3", "", 1.0, 8000, artists=("Beyoncé",), name="Halo ハロー")
    other = Track("b/2.mp3", "/b/2.mp3", "", 1.0, 8000, artists=("Nobody",), name="Hello")
    library = Library("x", "/", "folders", (track, other), ())
    assert Catalogue(library).search(words) == [track]


FUSIONS = ["fusion:mfcc+musicnn-untrained", "rrf:mfcc+musicnn-untrained"]


@pytest.fixture
def fused_home(filled: Path, tmp_path: Path) -> Home:
    """The filled home, with weights of fusions, one of what is not published."""
    home = Home(shutil.copytree(filled, tmp_path / "copy"))
    weights = {"mfcc": 0.9, "musicnn-untrained": 0.1}
    save_weights(home.fusions, {FUSIONS[0]: weights, FUSIONS[1]: {}, "rrf:mfcc+openl3": {}})
    return home


@pytest.fixture
def page_of_fusions(page: Page, fused_home: Home, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("MUSICFLOW_HOME", str(fused_home.root))
    return page


def test_fusions_are_offered_once_their_weights_are_known(
    page_of_fusions: Page, fused_home: Home
) -> None:
    shown = page_of_fusions()
    assert shown.selectbox("embedder").options == ["mfcc", "musicnn-untrained", *FUSIONS]
    fused_home.fusions.unlink()
    shown.run()
    assert shown.selectbox("embedder").options == ["mfcc", "musicnn-untrained"]


@pytest.mark.parametrize("label", FUSIONS)
def test_a_fusion_finds_and_recommends(page_of_fusions: Page, label: str) -> None:
    look = {"embedder": label, "track": "tones/3.flac", "like": "noises/1.flac", "k": "4"}
    shown = page_of_fusions(**look)
    assert shown.selectbox("embedder").value == label
    asked, *answers = names(shown)
    assert asked == "Tone 3"
    assert [name.split()[0] for name in answers] == ["Tone"] * 4 + ["Noise"] * 4
    *_, last = names(page_of_fusions(**look, genre="tones"))
    assert last.startswith("Tone")


def test_fusions_are_compared_and_mapped(page_of_fusions: Page) -> None:
    track = {"track": "tones/3.flac", "k": "4"}
    shown = page_of_fusions("compare", **{"with": ["mfcc", *FUSIONS]}, **track)
    assert [len(shown.metric), len(names(shown))] == [3, 1 + 3 * 4]
    for name in ("map", "library"):
        shown = page_of_fusions(name, embedder=FUSIONS[0], twice="true")
        assert not shown.error
    assert names(shown).count("Noise 0") == 2


@pytest.mark.slow
def test_an_upload_is_heard_by_all_members(page_of_fusions: Page) -> None:
    shown = page_of_fusions(k="3", embedder=FUSIONS[0])
    file = io.BytesIO()
    soundfile.write(file, tone(285), RATE, format="WAV")
    shown.file_uploader[0].upload("song.wav", file.getvalue()).run()
    assert [name.split()[0] for name in names(shown)[1:]] == ["Tone"] * 3
    assert len(shown.session_state["vectors"]) == 2


def test_the_score_waits_for_votes(page: Page) -> None:
    shown = page("compare", how="Blind test", track="tones/1.flac")
    assert any("No vote yet" in text.value for text in shown.markdown)


LIKE = {"track": "tones/1.flac"}

HOSTILE: dict[str, tuple[dict[str, str | list[str]], str]] = {
    "a path": ({"track": "../../../../etc/passwd"}, "no track has the id '../"),
    "an absolute path": ({"track": "/etc/passwd"}, "no track has the id '/etc"),
    "an address": ({"track": "file:///etc/passwd"}, "no track has the id 'file:"),
    "markup": ({"track": "<script>alert(1)</script>"}, "no track has the id '<script>"),
    "a link": ({"track": "[a](javascript:alert(1))"}, "no track has the id '[a]"),
    "a null": ({"track": "tones/3.flac\0"}, "the nearest are tones/3.flac"),
    "no character": ({"track": "\uffff\ufffd\U0010ffff"}, "no track has the id"),
    "a long id": ({"track": "x" * 5_000}, "no track has the id 'xxx"),
    "a pattern": ({"track": "(a+)+$" * 50}, "no track has the id '(a+)+$"),
    "an injection": ({"track": "' OR 1=1 --"}, "no track has the id"),
    "a template": ({"track": "{{7*7}}${7*7}%s%n{0}"}, "no track has the id '{{7*7}}${7*7}%s"),
    "right to left": ({"track": "\u202egnp.exe"}, "no track has the id"),
    "an empty id": ({"track": ""}, ""),
    "a like of nothing": ({"like": "nothing"}, "no track has the id 'nothing'"),
    "an empty like": ({"like": ""}, ""),
    "both at once": ({"like": "tones/1.flac", "dislike": "tones/1.flac"}, "both liked and"),
    "the same like often": ({"like": ["tones/1.flac"] * 500}, ""),
    "many likes": ({"like": [f"nothing {n}" for n in range(500)]}, "the id 'nothing 0'"),
    "a dislike alone": ({"dislike": "tones/1.flac"}, ""),
    "a dislike of nothing": ({"like": "tones/1.flac", "dislike": "nothing"}, "'nothing'"),
    "no answers": (LIKE | {"k": "0"}, ""),
    "minus one": (LIKE | {"k": "-1"}, ""),
    "too many answers": (LIKE | {"k": "99999999999999999999"}, ""),
    "not a number": (LIKE | {"k": "NaN"}, ""),
    "an unknown embedder": ({"embedder": "../../etc"}, ""),
    "an unknown genre": (LIKE | {"genre": "<b>"}, ""),
    "an unknown strategy": ({"like": "tones/1.flac", "strategy": "__import__('os')"}, ""),
    "a length upside down": (LIKE | {"duration_s": ["9", "1"]}, ""),
    "a length of text": (LIKE | {"duration_s": ["a", "b"]}, ""),
    "no filter": (LIKE | {"where": "nothing"}, "'nothing' is no filter"),
    "an unknown field": (LIKE | {"where": "path=/etc/passwd"}, "no track has a field 'path'"),
    "a length of letters": (LIKE | {"where": "duration_s<abc"}, "a finite number of seconds"),
    "an endless length": (LIKE | {"where": "duration_s<inf"}, "a finite number of seconds"),
    "a filter by a null": (LIKE | {"where": "genre=\0"}, "no track has the genre"),
    "a filter by no character": (LIKE | {"where": "genre=\uffff"}, "no track has the genre"),
    "a thousand filters": (LIKE | {"where": "genre=a\n" * 1000}, "no track has the genre 'a'"),
    "a query of the engine": (LIKE | {"where": '{"must": [{"has_id": [1]}]}'}, "is no filter"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_address_is_one_clear_sentence_or_changes_nothing(page: Page, what: str) -> None:
    address, sentence = HOSTILE[what]
    shown = page(**address)
    if sentence:
        assert sentence in told(shown)
    assert len(shown.error) <= bool(sentence)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare", "map", "library"])
def test_every_page_says_what_is_wrong_with_an_address(page: Page, name: str) -> None:
    assert "'nothing' is no filter" in told(page(name, where="nothing"))
    assert page(name, track="nothing", like="nothing", embedder="nothing", k="-1")
