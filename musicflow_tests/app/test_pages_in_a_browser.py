"""The app's pages as a person meets them: a real server, a real browser, real music."""

import http.client
import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from musicflow.evaluation.report import write_sweep
from musicflow.settings import Home
from musicflow_tests.app.conftest import (
    RATE,
    Visitor,
    fill,
    needs_chromium,
    publish_without,
    serving,
    write_flac,
)
from musicflow_tests.conftest import noise, tone
from musicflow_tests.evaluation.made_up import SWEEP

pytestmark = [pytest.mark.slow, needs_chromium]

Visit = Callable[[str], Visitor]


def drop(visitor: Visitor, name: str, content: bytes) -> None:
    visitor.page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "audio/wav", "buffer": content}
    )


def test_a_dropped_song_is_answered_with_its_like_and_can_be_liked(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?k=4")
    file = io.BytesIO()
    soundfile.write(file, tone(275), RATE, format="WAV")
    drop(visitor, "my song.wav", file.getvalue())
    expect(visitor.cards("answers")).to_have_count(4, timeout=60_000)
    expect(visitor.cards("answers").filter(has_text="Tone")).to_have_count(4)
    visitor.press("like", ".question")
    expect(visitor.cards("for-you").first).to_contain_text("Tone")
    expect(visitor.page.locator(".chip")).to_contain_text("my song.wav")


def test_a_bad_upload_is_one_sentence_and_the_page_lives_on(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?k=4")
    drop(visitor, "<b>bad.mp3", b"not music " * 500)
    expect(visitor.said()).to_contain_text("'<b>bad.mp3': not a readable audio file")
    visitor.page.get_by_label("Search the library").fill("tone 3")
    visitor.page.get_by_role("option", name="Tone 3").click()
    expect(visitor.cards("answers")).to_have_count(4)
    expect(visitor.said()).to_have_count(0)
    drop(visitor, "notes.txt", b"la la la")
    expect(visitor.page.get_by_text("neither a kind of audio file nor a playlist")).to_be_visible()


def test_words_find_and_enter_picks_the_first(app: str, visit: Visit) -> None:
    visitor = visit(app)
    field = visitor.page.get_by_label("Search the library")
    field.fill("nobody noise")
    expect(visitor.page.get_by_role("option")).to_have_count(7)
    field.press("Escape")
    expect(visitor.page.get_by_role("option")).to_have_count(0)
    field.fill("noise 4")
    expect(visitor.page.get_by_role("option")).to_have_count(1)
    field.press("Enter")
    expect(visitor.cards("question")).to_contain_text("Noise 4")
    expect(visitor.page).to_have_url(re.compile(r"track=noises%2F4.flac"))


def test_music_goes_on_from_answer_to_answer_while_pages_change(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3")
    expect(visitor.cards("answers")).to_have_count(3)
    names = visitor.names("answers")
    visitor.press("play", ".answers")
    expect(visitor.heard()).to_have_text(names[0])
    visitor.page.get_by_role("link", name="Compare").click()
    expect(visitor.page.get_by_text("Side by side")).to_be_visible()
    # Each lasts two seconds.
    expect(visitor.heard()).to_have_text(names[1])
    visitor.page.get_by_role("button", name="Next").click()
    expect(visitor.heard()).to_have_text(names[2])
    visitor.page.get_by_role("button", name="Previous").click()
    expect(visitor.heard()).to_have_text(names[1])
    visitor.page.get_by_role("button", name="Pause").click()
    assert visitor.page.evaluate("document.querySelector('audio').paused")
    assert visitor.page.evaluate("navigator.mediaSession.metadata.title") == names[1]


def test_an_answer_tells_why_it_is_alike(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3&embedder=mfcc")
    visitor.press("why", ".answers")
    expect(visitor.page.locator(".why")).to_contain_text("Most alike, as mfcc hears them")
    with visitor.page.expect_request(re.compile(r"/audio/tones/\d\.flac")):
        visitor.page.locator(".do-passage").click()
    visitor.press("why", ".answers")
    expect(visitor.page.locator(".why")).to_have_count(0)


def test_a_queue_is_filled_and_emptied_and_saved_as_a_playlist(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3")
    expect(visitor.cards("answers")).to_have_count(3)
    for number in range(3):
        visitor.press("queue", ".answers", number)
    visitor.page.get_by_role("button", name="Queue", exact=True).click()
    rows = visitor.page.get_by_role("dialog", name="Queue").locator(".pick")
    expect(rows).to_have_count(3)
    visitor.page.get_by_role("button", name="Take out").last.click()
    expect(rows).to_have_count(2)
    visitor.page.get_by_role("button", name="Save as playlist").last.click()
    saved = visitor.saves()
    lines = saved.path().read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert [Path(line).parent.name for line in lines[2::2]] == ["tones", "tones"]
    drop(visitor, "mine.m3u8", saved.path().read_bytes())
    expect(visitor.page.locator(".chip")).to_have_count(2)
    expect(visitor.cards("for-you").first).to_be_visible()
    visitor.page.get_by_role("button", name="Clear", exact=True).click()
    expect(visitor.page.get_by_role("region", name="Player")).to_be_hidden()


def test_a_queue_outlives_a_page_that_is_loaded_anew(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3")
    visitor.press("play", ".answers", 1)
    name = visitor.names("answers")[1]
    expect(visitor.heard()).to_have_text(name)
    visitor.page.get_by_role("button", name="Pause").click()
    visitor.page.reload()
    expect(visitor.heard()).to_have_text(name)
    visitor.page.get_by_role("button", name="Queue", exact=True).click()
    expect(visitor.page.get_by_role("dialog", name="Queue").locator(".pick")).to_have_count(3)
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("dialog", name="Queue")).to_have_count(0)
    visitor.page.get_by_role("button", name="Play", exact=True).click()
    expect(visitor.page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_page_outlives_a_connection_that_breaks(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3")
    field = visitor.page.get_by_label("Another filter")
    field.fill("genre=noises")
    visitor.page.context.set_offline(True)
    # Longer than NiceGUI would keep the page of a browser that is away.
    visitor.page.wait_for_timeout(8_000)
    visitor.page.context.set_offline(False)
    expect(field).to_have_value("genre=noises")
    field.press("Enter")
    expect(visitor.page).to_have_url(re.compile("filter=genre%3Dnoises"))
    expect(visitor.cards("answers").first).to_contain_text("Noise")


def test_the_menu_keeps_the_view_and_a_key_keeps_its_place(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3&embedder=mfcc")
    like = visitor.page.locator(".question .do-like")
    like.focus()
    visitor.page.keyboard.press("Enter")
    expect(visitor.cards("for-you").first).to_be_visible()
    expect(like).to_be_focused()
    visitor.page.get_by_role("link", name="Library").click()
    expect(visitor.page).to_have_title("Library · musicflow")
    expect(visitor.page).to_have_url(re.compile("embedder=mfcc"))
    visitor.page.get_by_role("link", name="Find").click()
    expect(visitor.cards("question")).to_contain_text("Tone 3")
    expect(visitor.page.locator(".chip")).to_contain_text("Tone 3")


def test_an_embedder_that_is_gone_leaves_a_way_on(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&embedder=clap")
    expect(visitor.said().first).to_contain_text("clap")
    visitor.page.get_by_label("Search the library").fill("tone 3")
    expect(visitor.page.get_by_role("option", name="Tone 3")).to_be_visible()


def test_a_radio_goes_on_with_its_like_and_heeds_what_is_skipped(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?track=tones/3.flac&k=3")
    visitor.press("radio", ".question")
    expect(visitor.heard()).to_have_text("Tone 3")
    with visitor.page.expect_request(re.compile("/recommend")) as asked:
        visitor.page.get_by_role("button", name="Next").click()
    assert "like=tones%2F3.flac" in asked.value.url
    expect(visitor.heard()).to_have_text(re.compile("Tone [^3]"))
    # A like on the page steers it, too.
    liked = visitor.cards("answers").first.get_attribute("data-track") or ""
    visitor.press("like", ".answers")
    expect(visitor.page.locator(".chip")).to_have_count(1)
    with visitor.page.expect_request(re.compile("/recommend")) as asked:
        visitor.page.get_by_role("button", name="Next").click()
    assert f"like={quote(liked, safe='')}" in asked.value.url
    visitor.page.get_by_role("button", name="Pause").click()
    with visitor.page.expect_request(re.compile("/recommend")) as asked:
        visitor.page.get_by_role("button", name="Next").click()
    assert "dislike=tones" in asked.value.url


@pytest.mark.parametrize("path", ["../musicflow.toml", "../../etc/passwd", "/etc/passwd"])
def test_no_other_file_is_served(app: str, path: str) -> None:
    host = app.removeprefix("http://")
    for before in ("/", "/api/v1/audio/", "/report/", "/_nicegui/"):
        with closing(http.client.HTTPConnection(host)) as connection:
            connection.request("GET", f"{before}{path}")
            answer = connection.getresponse().read()
        assert b"[musicflow]" not in answer
        assert b"root:" not in answer
        assert b"embedders =" not in answer


@pytest.mark.parametrize("path", ["/", "/api/v1/similar", "/_nicegui/client/x/upload/1"])
def test_nothing_takes_a_body_without_bounds(app: str, path: str) -> None:
    with closing(http.client.HTTPConnection(app.removeprefix("http://"))) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", "1000000000000")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_likes_and_dislikes_change_the_answers_and_back_takes_them_back(
    app: str, visit: Visit
) -> None:
    start = f"{app}/?track=noises%2F1.flac&k=3&like=noises%2F2.flac&dislike=tones%2F0.flac"
    visitor = visit(start)
    expect(visitor.cards("for-you")).to_have_count(3)
    before = visitor.names("for-you")
    visitor.press("dislike", ".for-you")
    expect(visitor.page.get_by_text("Your last click brought 1 of 3 tracks in.")).to_be_visible()
    expect(visitor.page).to_have_url(re.compile(r"dislike=tones.*dislike=noises"))
    expect(visitor.cards("for-you")).to_have_count(3)
    after = visitor.names("for-you")
    assert before[0] not in after
    # The address alone brings the same answers to somebody else.
    other = visit(visitor.page.url)
    expect(other.cards("for-you")).to_have_count(3)
    assert other.names("for-you") == after
    visitor.page.go_back()
    expect(visitor.cards("for-you").first).to_contain_text(before[0])
    expect(visitor.page).to_have_url(start)
    visitor.page.go_forward()
    expect(visitor.cards("for-you").first).not_to_contain_text(before[0])
    visitor.page.get_by_role("button", name="Start over").click()
    expect(visitor.page.locator(".chip")).to_have_count(0)


def test_what_was_liked_and_is_gone_is_left_out(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/?k=3&like=noises%2F2.flac&like=0123456789abcdef&dislike=gone.flac")
    expect(visitor.cards("for-you")).to_have_count(3)
    expect(visitor.page.get_by_text("Gone, and left out of this: 2 songs.")).to_be_visible()


def test_filters_hold_for_every_answer_and_a_typo_keeps_the_last_good_ones(
    app: str, visit: Visit
) -> None:
    visitor = visit(f"{app}/?track=tones%2F0.flac&k=6")
    expect(visitor.cards("answers")).to_have_count(6)
    visitor.page.locator(".by-genre").click()
    visitor.page.get_by_role("option", name="noises").click()
    expect(visitor.cards("answers").first).to_contain_text("Noise")
    expect(visitor.cards("answers").filter(has_text="Tone")).to_have_count(0)
    expect(visitor.page).to_have_url(re.compile(r"filter=genre%3Dnoises"))
    typed = visitor.page.get_by_label("Another filter")
    typed.fill("nmae!=Noise 1")
    typed.press("Enter")
    expect(visitor.page.locator(".typed")).to_contain_text("no track has a field 'nmae'")
    expect(visitor.cards("answers")).to_have_count(6)
    typed.fill("name!=Noise 1")
    typed.press("Enter")
    expect(visitor.cards("answers").filter(has_text="Noise 1")).to_have_count(0)
    expect(typed).to_have_value("")
    visitor.page.locator(".held").get_by_role("button", name="Clear").click()
    expect(visitor.cards("answers").filter(has_text="Tone")).not_to_have_count(0)
    expect(visitor.page.locator(".by-genre")).not_to_contain_text("noises")
    visitor.page.go_back()
    expect(visitor.page.locator(".by-genre")).to_contain_text("noises")
    expect(visitor.cards("answers").filter(has_text="Tone")).to_have_count(0)


def test_embedders_are_compared_and_predicted_tags_filter_under_both(
    app: str, visit: Visit
) -> None:
    visitor = visit(f"{app}/compare?track=tones%2F0.flac&k=3")
    expect(visitor.cards("side")).to_have_count(6)
    expect(visitor.page.locator(".metric")).to_have_text(
        re.compile(r"\d+%\s*mfcc and musicnn-untrained, overlap@3")
    )
    # What musicnn predicts of tracks filters the answers of mfcc, too, and is offered there.
    tags = visitor.page.request.get(f"{app}/api/v1/facets/tags?embedder=musicnn-untrained").json()
    tag, count = min(tags.items(), key=lambda one: abs(one[1] - 6))
    visitor.go(f"{app}/?track=tones%2F0.flac&embedder=mfcc&k=50&filter={quote(f'tags={tag}')}")
    expect(visitor.cards("answers").first).to_be_visible()
    assert visitor.cards("answers").count() in (count - 1, count)
    expect(visitor.page.locator(".by-tags")).to_contain_text(tag)


def test_an_embedder_that_cannot_take_a_filter_says_so_in_its_column(
    filled: Path, tmp_path: Path, visit: Visit
) -> None:
    home = Home(shutil.copytree(filled, tmp_path / "home"))
    publish_without(home, "mfcc", "noises")
    with serving(home.root, tmp_path / "log.txt") as app:
        visitor = visit(f"{app}/compare?track=tones%2F0.flac&k=3&filter=genre%3Dnoises")
        expect(visitor.cards("side")).to_have_count(3)
        column = visitor.page.locator("section.side").filter(has_text="mfcc")
        expect(column.get_by_role("alert")).to_contain_text("no track has the genre 'noises'")
        expect(visitor.page.locator(".metric")).to_have_count(0)


def test_a_blind_vote_tells_nothing_and_counts_what_was_heard(
    app: str, visit: Visit, served_home: Home
) -> None:
    visitor = visit(f"{app}/compare?blind=yes")
    expect(visitor.cards("triplet")).to_have_count(3)
    shown = visitor.page.locator(".blind").inner_text()
    assert not re.search("Tone|Noise|tones|noises|Nobody|flac|mfcc|musicnn|0\\.\\d", shown), shown
    nearer = visitor.page.get_by_role("button", name="B is nearer")
    expect(nearer).to_be_disabled()
    for name in "ABC":
        expect(nearer).to_be_disabled()
        visitor.page.get_by_role("button", name=f"Play {name}").click()
        expect(visitor.heard()).to_have_text(name)
        expect(visitor.page.get_by_role("region", name="Player")).to_contain_text("0:02")
        visitor.page.wait_for_function("document.querySelector('audio').currentTime > 1.6")
    expect(nearer).to_be_enabled()
    before = len(votes_of(served_home))
    nearer.click()
    expect(visitor.page.get_by_text("Your vote is kept")).to_be_visible()
    expect(visitor.page.get_by_text(f"Your votes: {before + 1}")).to_be_visible()
    vote = votes_of(served_home)[-1]
    assert vote["winner"] in (vote["first"], vote["second"])
    assert {vote["first"], vote["second"]} == {"mfcc", "musicnn-untrained"}
    assert [len(own) for own in vote["answers"]] == [1, 1]
    assert all(vote["versions"])
    visitor.page.get_by_text("Your votes").click()
    expect(visitor.page.locator(".standing")).to_contain_text("7 more would settle it")


def votes_of(home: Home) -> list[dict[str, str]]:
    return (
        [json.loads(line) for line in home.votes.read_text().splitlines()]
        if home.votes.exists()
        else []
    )


def test_the_map_is_clicked_to_hear_and_to_draw_a_path(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/map")
    points = visitor.page.locator(".map .point")
    # The first to look at it waits until it is laid out.
    expect(points).to_have_count(13, timeout=90_000)
    points.nth(0).click(force=True)
    expect(visitor.cards("selected")).to_be_visible()
    name = visitor.cards("selected").locator(".name").inner_text()
    expect(visitor.heard()).to_have_text(name)
    visitor.page.get_by_role("button", name="Start a path here").click()
    expect(visitor.page.get_by_text("Now click the track where the path is to end")).to_be_visible()
    expect(points).to_have_count(13)
    points.nth(12).click(force=True)
    expect(visitor.cards("selected").locator(".name")).not_to_have_text(name)
    visitor.page.get_by_role("button", name="End it here").click()
    expect(visitor.cards("path").nth(2)).to_be_visible()
    expect(visitor.page).to_have_url(re.compile(r"start=.*&end="))
    visitor.page.get_by_role("button", name="Clear the path").click()
    expect(visitor.cards("path")).to_have_count(0)


def test_a_cluster_is_saved_as_a_playlist_of_its_name(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/map?embedder=mfcc")
    expect(visitor.page.locator(".map .point")).to_have_count(13)
    expect(visitor.page.locator(".clusters button")).to_have_count(2)
    visitor.page.locator(".clusters").get_by_role("button", name="tones").click()
    expect(visitor.page.locator(".selected .name")).to_have_text("tones · 6 tracks")
    expect(visitor.page.locator(".map .point[style*='opacity: 0.25']")).to_have_count(7)
    visitor.page.locator(".selected").get_by_role("button", name="Save as playlist").click()
    form = visitor.page.get_by_role("dialog")
    expect(form).to_contain_text("tones · 6 tracks")
    form.get_by_role("button", name="xspf").click()
    form.get_by_label("Paths start from").fill("here")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("'here' is no whole path")
    form.get_by_label("Paths start from").fill("/")
    saved = visitor.saves()
    assert saved.suggested_filename == "tones.xspf"
    assert Path(saved.path()).read_text().count(".flac</location>") == 6


def test_points_that_are_drawn_around_become_a_playlist(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/map")
    expect(visitor.page.locator(".map .point")).to_have_count(13)
    visitor.page.locator('.modebar-btn[data-val="lasso"]').click()
    box = visitor.page.locator(".map .nsewdrag").first.bounding_box()
    assert box is not None
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    visitor.page.mouse.move(*places[0])
    visitor.page.mouse.down()
    for place in places[1:]:
        visitor.page.mouse.move(*place, steps=5)
    visitor.page.mouse.up()
    expect(visitor.page.locator(".selected")).to_contain_text("13 tracks")
    visitor.page.locator(".selected").get_by_role("button", name="Save as playlist").click()
    assert len(visitor.saves().path().read_text().splitlines()) == 1 + 2 * 13


def test_the_library_tells_what_is_in_it_what_failed_and_what_is_there_twice(
    app: str, visit: Visit, served_home: Home
) -> None:
    write_sweep(SWEEP, served_home.reports)
    visitor = visit(f"{app}/library?twice=yes")
    expect(visitor.page.locator(".metric.tracks")).to_contain_text("13")
    expect(visitor.cards("rows")).to_have_count(13)
    expect(visitor.cards("twice")).to_have_count(2)
    expect(visitor.cards("twice").first).to_contain_text("Noise 0")
    expect(visitor.page.get_by_text("1 error")).to_be_visible()
    expect(visitor.page.locator(".problem-list")).to_contain_text("broken.mp3")
    expect(visitor.page.get_by_text("Layers of musicnn")).to_be_visible()
    field = visitor.page.get_by_label("Look for tracks")
    field.fill("tone")
    field.press("Enter")
    expect(visitor.cards("rows")).to_have_count(6)
    expect(visitor.page.locator(".rows .name").first).to_have_text("Tone 0")


LONG_LIST = """async () => {
    const loaded = performance.getEntriesByType("resource").map((one) => one.name);
    const { default: cards } = await import(loaded.find((name) => name.includes("cards")));
    const { createApp, h } = await import("vue");
    const song = (n) => ({ id: `${n}`, name: `song ${n}` });
    const card = (n) => ({ song: song(n), about: "", tags: [], chosen: [], links: {} });
    const page = (first) => Array.from({ length: 60 }, (_, n) => card(first + n));
    const given = { kind: "ul", actions: [], shown: {}, total: 50_000, base: "", class: "rows" };
    const onNeed = function (first) { this.first = first; };
    const place = document.querySelector(".page").appendChild(document.createElement("div"));
    createApp({
        data: () => ({ first: 0 }),
        render() {
            const { first } = this;
            return h(cards, { ...given, first, cards: page(first), onNeed: onNeed.bind(this) });
        },
    }).mount(place);
    const list = place.firstElementChild;
    list.id = "long";
    list.scrollIntoView();
    list.scrollTop = 56 * 30_000;
}"""
"""Draws a list of 50,000 made-up tracks by the page's own component, and scrolls down."""


def test_a_long_list_fetches_what_is_scrolled_to(app: str, visit: Visit) -> None:
    visitor = visit(f"{app}/library")
    expect(visitor.cards("rows")).to_have_count(13)
    visitor.page.evaluate(LONG_LIST)
    rows = visitor.page.locator("#long")
    expect(rows.get_by_text("song 30000", exact=True)).to_be_in_viewport()
    expect(rows.locator(".card")).to_have_count(60)


HOSTILE = {
    "track=../../../../etc/passwd": "no track has the id or name '../",
    "track=<script>alert(1)</script>": "no track has the id or name '<script>",
    "track=tones/3.flac%00": "the nearest are",
    "track=%EF%BF%BF%F4%8F%BF%BF": "no track has the id",
    "track=" + "x" * 5000: "no track has the id or name 'xxx",
    "track={{7*7}}${7*7}%25s{0}": "no track has the id or name '{{7*7}}${7*7}%s",
    "like=tones/1.flac&dislike=tones/1.flac": "both liked and",
    "track=tones/1.flac&k=NaN&embedder=../../etc&strategy=x": "no collection '../../etc'",
    "track=tones/1.flac&filter=nothing": "'nothing' is no filter",
    "track=tones/1.flac&filter=path=/etc": "no track has a field 'path'",
    "track=tones/1.flac&filter=duration_s<inf": "a finite number of seconds",
    "track=tones/1.flac&filter=genre=%00": "no track has the genre",
    "upload=nothing": "the song that was dropped is gone",
}


def test_a_hostile_address_is_one_clear_sentence(app: str, visit: Visit) -> None:
    visitor = visit(app)
    for query, sentence in HOSTILE.items():
        visitor.go(f"{app}/?{query}")
        expect(visitor.said().first, query).to_contain_text(sentence)
    for page in ("compare", "map", "library"):
        visitor.go(f"{app}/{page}?filter=nothing&track=tones/1.flac")
        # Beside it the library's page says what is odd about the library.
        said = visitor.said().filter(has_text="'nothing' is no filter")
        expect(said.first).to_be_visible()


def test_pages_ask_no_other_host_and_fit_a_phone(app: str, visit: Visit) -> None:
    host = app.removeprefix("http://")
    for width in (390, 820, 1440):
        visitor = visit(app)
        visitor.page.set_viewport_size({"width": width, "height": 844})
        for page in ("/?track=tones/3.flac&like=tones/1.flac", "/compare", "/map", "/library"):
            visitor.go(f"{app}{page}")
            expect(visitor.page.locator(".page .said, .page .card").first).to_be_visible()
            assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width, page
        assert visitor.hosts == {host}


MARKUP = {
    "title": "<script>window.hacked=1</script><img src=x onerror=alert(1)>",
    "artist": "[click](javascript:alert(1)) ![i](http://evil.example/i.png) www.evil.example",
    "album": "<iframe src=//evil.example></iframe> $x^2$ :red[x] \"'",
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
        visitor.page.get_by_role("button", name="Surprise me").click()
        expect(visitor.cards("question")).to_contain_text(MARKUP["title"])
        expect(visitor.cards("answers").first).to_contain_text("[click](javascript:alert(1))")
        nothing_but_text(visitor)
        visitor.press("like", ".question")
        expect(visitor.cards("for-you").first).to_be_visible()
        visitor.press("play", ".question")
        expect(visitor.heard()).to_have_text(MARKUP["title"])
        nothing_but_text(visitor)
        for page in ("map", "library", "compare"):
            visitor.go(f"{app}/{page}")
            expect(visitor.page.locator(".page").first).to_be_visible()
            nothing_but_text(visitor)


def nothing_but_text(visitor: Visitor) -> None:
    page = visitor.page
    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href*='evil'], a[href^='javascript']").count() == 0
    assert page.locator("img[src*='evil'], iframe").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    app: str, visit: Visit, scheme: Literal["light", "dark"]
) -> None:
    visitor = visit(app)
    visitor.page.emulate_media(color_scheme=scheme)
    for page in ("/?track=tones/3.flac&like=tones/1.flac", "/compare?track=tones/3.flac", "/map"):
        visitor.go(f"{app}{page}")
        expect(visitor.page.locator(".card, .map .point").first).to_be_visible()
        expect(visitor.page.locator(".waiting")).to_have_count(0)
        visitor.page.keyboard.press("Escape")
        found = Axe().run(visitor.page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        told = [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]
        assert not told, page
