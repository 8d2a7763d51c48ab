"""The app's pages as a person meets them: a real server, a real browser, real music."""

import http.client
import io
import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import expect

from musicflow.settings import Home
from musicflow_tests.app.conftest import (
    RATE,
    Visitor,
    fill,
    needs_chromium,
    serving,
    write_flac,
)
from musicflow_tests.conftest import noise, tone

pytestmark = [pytest.mark.slow, needs_chromium]

Visit = Callable[[str], Visitor]


def drop(visitor: Visitor, name: str, content: bytes) -> None:
    visitor.page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "audio/wav", "buffer": content}
    )


def test_a_dropped_song_is_answered_with_its_like(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?k=4")
    file = io.BytesIO()
    soundfile.write(file, tone(275), RATE, format="WAV")
    drop(visitor, "my song.wav", file.getvalue())
    expect(visitor.cards("answer")).to_have_count(4, timeout=60_000)
    for number in range(4):
        expect(visitor.cards("answer").nth(number)).to_contain_text("Tone")
    expect(visitor.page.get_by_test_id("stImage").first).to_be_visible()


def test_a_bad_upload_is_one_sentence_and_the_page_lives_on(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?k=4")
    drop(visitor, "<b>bad</b>.mp3", b"not music " * 500)
    expect(visitor.said()).to_contain_text("'<b>bad</b>.mp3': not a readable audio file")
    visitor.page.get_by_label("Search the library").fill("tone 3")
    visitor.press("match-")
    expect(visitor.cards("answer")).to_have_count(4)
    expect(visitor.said()).to_have_count(0)


def test_a_search_by_words_and_the_player(app: str, visit: Visit) -> None:
    visitor = visit(app)
    visitor.page.get_by_label("Search the library").fill("nobody noise")
    expect(visitor.page.get_by_text("8 of", exact=False)).to_have_count(0)
    visitor.page.get_by_label("Search the library").fill("tone 3")
    visitor.press("match-")
    expect(visitor.cards("question")).to_contain_text("Tone 3")
    expect(visitor.page).to_have_url(re.compile(r"track=tones"))
    visitor.press("play-question")
    player = visitor.page.get_by_test_id("stSidebar").locator("audio")
    expect(player).to_have_attribute("src", re.compile(r"/media/\w+\.(flac|bin)"))
    assert visitor.page.request.get(player.get_attribute("src") or "").body()[:4] == b"fLaC"


@pytest.mark.parametrize(
    "path",
    [
        "/media/../../../../etc/passwd",
        "/media/..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/media//etc/passwd",
        "/app/static/../main.py",
        "/app/static/..%2Fmain.py",
        "/.streamlit/config.toml",
        "/musicflow.toml",
        "/component/..%2F..%2Fetc%2Fpasswd",
        "/_stcore/upload_file/../../etc/passwd",
    ],
)
def test_no_other_file_is_served(app: str, path: str) -> None:
    host, _, port = app.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        connection.request("GET", path)
        body = connection.getresponse().read()
    assert not any(secret in body for secret in (b"root:", b"import ", b"embedders", b"maxUpload"))


def test_likes_and_dislikes_change_the_answers(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones%2F0.flac&k=3")
    visitor.press("like-question")
    expect(visitor.cards("for-you")).to_have_count(3)
    expect(visitor.cards("for-you").first).to_contain_text("Tone")
    # Liking a noise as well, and disliking tones, turns the list over.
    visitor.go(f"{app}/?track=noises%2F1.flac&k=3&like=noises%2F2.flac&dislike=tones%2F0.flac")
    expect(visitor.cards("for-you").first).to_contain_text("Noise")
    visitor.press("dislike-for-you")
    expect(visitor.page.get_by_text("Your last click brought")).to_be_visible()
    expect(visitor.page).to_have_url(re.compile(r"dislike=tones.*dislike=noises"))
    # The address alone brings the same answers to somebody else, whose page is not drawn anew.
    visitor.settle()
    other = visit(visitor.page.url)
    expect(other.cards("for-you")).to_have_count(3)
    names = [text.split("\n")[1] for text in other.cards("for-you").all_inner_texts()]
    expect(visitor.cards("for-you")).to_have_count(3)
    for number, name in enumerate(names):
        expect(visitor.cards("for-you").nth(number)).to_contain_text(name)


def test_a_filter_holds_for_every_answer_and_is_kept_in_the_address(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones%2F0.flac&k=6")
    expect(visitor.cards("answer")).to_have_count(6)
    box = visitor.page.get_by_test_id("stSidebar").get_by_role("combobox", name="Genre").first
    box.click()
    visitor.page.get_by_role("option", name="noises").click()
    expect(visitor.cards("answer").first).to_contain_text("Noise")
    expect(visitor.cards("answer").filter(has_text="Tone")).to_have_count(0)
    expect(visitor.page).to_have_url(re.compile(r"genre=noises"))


def test_embedders_are_compared_side_by_side(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/compare?track=tones%2F0.flac&k=3")
    expect(visitor.cards("side-mfcc")).to_have_count(3)
    expect(visitor.cards("side-musicnn-untrained")).to_have_count(3)
    expect(visitor.page.get_by_test_id("stMetric")).to_contain_text("overlap@3")
    expect(visitor.page.get_by_test_id("stMetricValue")).to_have_text(re.compile(r"\d+%"))


def test_a_blind_vote_is_kept_and_counted(app: str, visit: Visit, served_home: Home) -> None:
    visitor = visit(f"{app}/compare?how=Blind+test&track=tones%2F1.flac")
    expect(visitor.cards("blind-A").first).to_be_visible()
    lists = visitor.cards("blind-").all_inner_texts()
    assert not re.search("mfcc|musicnn|0\\.\\d", " ".join(lists))
    before = len(votes_of(served_home))
    visitor.page.get_by_role("button", name="B suits better").click()
    expect(visitor.page.get_by_text("Your vote is kept")).to_be_visible()
    expect(visitor.page.get_by_text(f"votes: {before + 1}")).to_be_visible()
    vote = votes_of(served_home)[-1]
    assert vote["winner"] == vote["second"]
    assert {vote["first"], vote["second"]} == {"mfcc", "musicnn-untrained"}


def votes_of(home: Home) -> list[dict[str, str]]:
    return (
        [json.loads(line) for line in home.votes.read_text().splitlines()]
        if home.votes.exists()
        else []
    )


def test_the_map_is_clicked_to_hear_and_to_draw_a_path(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/map")
    points = visitor.page.locator(".stPlotlyChart .point")
    expect(points).to_have_count(13)
    points.nth(0).click(force=True)
    expect(visitor.cards("map")).to_be_visible()
    first = visitor.cards("map").inner_text()
    visitor.press("path-start")
    # A click while the chart is drawn anew would be lost.
    expect(visitor.page.get_by_text("Now click the track")).to_be_visible()
    visitor.settle()
    points.nth(12).click(force=True)
    expect(visitor.cards("map")).not_to_have_text(first)
    visitor.settle()
    visitor.press("path-end")
    expect(visitor.page.get_by_text("path", exact=True)).to_be_visible()
    expect(visitor.cards("path").nth(2)).to_be_visible()


def test_the_library_tells_what_is_in_it_what_failed_and_what_is_there_twice(
    app: str, visit: Visit
) -> None:
    visitor = visit(f"{app}/library?twice=true")
    expect(visitor.page.get_by_test_id("stMetric").first).to_contain_text("13")
    expect(visitor.cards("twice-0")).to_have_count(2)
    expect(visitor.cards("twice-0").first).to_contain_text("Noise 0")
    expect(visitor.page.get_by_text("1 error")).to_be_visible()


MARKUP = {
    "title": "<script>window.hacked=1</script><img src=x onerror=alert(1)>",
    "artist": "[click](javascript:alert(1)) ![i](http://evil.example/i.png) www.evil.example",
    "album": "<iframe src=//evil.example></iframe> $x^2$ :red[x]",
}


def test_a_home_begins_empty_then_shows_hostile_names_as_text(tmp_path: Path, visit: Visit) -> None:
    home = Home(tmp_path / "home")
    with serving(home.root, tmp_path / "log.txt") as app:
        visitor = visit(app)
        expect(visitor.page.get_by_text("Nothing has been indexed yet")).to_be_visible()
        expect(visitor.page.get_by_text("musicflow run ~/Music")).to_be_visible()
        for number in range(5):
            path = tmp_path / "music" / "<b>genre<b>" / f"<svg onload=alert({number})>.flac"
            write_flac(path, noise(number), **MARKUP)
        fill(home, tmp_path / "music", ("mfcc",))
        visitor.page.get_by_role("button", name="Look again").click()
        visitor.press("surprise")
        expect(visitor.cards("question")).to_contain_text(MARKUP["title"])
        expect(visitor.cards("answer").first).to_contain_text("[click](javascript:alert(1))")
        nothing_but_text(visitor)
        visitor.press("like-question")
        expect(visitor.cards("for-you").first).to_be_visible()
        visitor.press("play-question")
        nothing_but_text(visitor)
        for page in ("map", "library", "compare"):
            visitor.go(f"{app}/{page}")
            expect(visitor.page.get_by_role("heading").first).to_be_visible()
            nothing_but_text(visitor)


def nothing_but_text(visitor: Visitor) -> None:
    page = visitor.page
    assert page.evaluate("window.hacked") is None
    assert page.locator(".stApp a[href*='evil'], .stApp a[href^='javascript']").count() == 0
    assert page.locator(".stApp img[src*='evil'], .stApp iframe, .stApp .katex").count() == 0
