"""The report as a person meets it: on a desk, on a phone, by day and by night."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from musicflow.audio.deformations import DEFORMATIONS
from musicflow.evaluation import Comparison, Dataset, Row, Score
from musicflow.evaluation.corrections import Corrected
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.report import write
from musicflow.evaluation.statistics import Change, Difference
from musicflow.evaluation.stress import Stressed
from musicflow.library import Problem
from musicflow_tests.app.conftest import needs_chromium
from musicflow_tests.evaluation.made_up import MEASURES

pytestmark = [pytest.mark.slow, needs_chromium]

GENRES = [f"genre {n}" for n in range(12)]


def row(name: str, kind: str = "embedder", **more: object) -> Row:
    shares = {genre: dict.fromkeys(GENRES, 1 / 12) for genre in GENRES}
    scores = {measure.name: Score(0.5, 0.4, 0.6) for measure in MEASURES}
    given = {"n_queries": 1000, "licence": "CC-BY-NC-SA-4.0", "confusion": shares} | more
    by_genre = dict.fromkeys(GENRES, 0.5)
    ends = dict.fromkeys(GENRES, (0.4, 0.6))
    compared = [measure.name for measure in MEASURES if measure.compared]
    change = Change(0.1, (0.05, 0.15), 0.01)
    corrected = Corrected(
        "mutual-proximity",
        {metric: scores[metric] for metric in compared},
        dict.fromkeys(compared, change),
        hubs=(("a/very/long/path/without/a/blank.mp3", 90, 10),),
    )
    found = Row(name, kind, "trained", 2048, scores, 0.1, by_genre=by_genre, genre_intervals=ends)  # type: ignore[arg-type]
    stressed = tuple(
        Stressed(deformation, 200, Score(0.7), Score(0.6), change, 0.5, 0.9)
        for deformation in DEFORMATIONS
    )
    found = replace(found, corrected=(corrected,), stressed=stressed)
    return replace(found, tracks_per_s=3.0, x_realtime=90.0, peak_rss_mb=900.0, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("musicnn", "openl3", "panns", "wav2vec2", "clap-music-and-speech")
    fusion = row("fusion:" + "+".join(names), "fusion", fusion=dict.fromkeys(names, 0.2))
    rows = (*map(row, names), fusion, row("random", "baseline"))
    problems = tuple(
        Problem(f"a/very/long/path/without/a/blank/{'x' * n}.mp3", "library", "error", "cut off")
        for n in range(100)
    )
    difference = Difference("musicnn", "openl3", "map", 0.1, (0.0, 0.2), 0.04)
    dataset = Dataset("a_library_with_a_name_of_many_letters_and_without_a_blank", "abc", 1100, 100)
    protocol = Protocol("artist", 1000, 0, 500)
    given = (dataset, protocol, MEASURES, rows, (difference,), problems, "state")
    folder = tmp_path_factory.mktemp("report")
    write(Comparison(*given, "2026-01-01T12:00:00+00:00"), folder)
    return folder / "comparison.html"


@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_the_report_fits_the_screen_and_the_time_of_day(
    browser: Browser, page: Path, width: int
) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        opened = context.new_page()
        opened.goto(page.as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(ground.split("(")[1].split(",")[0]) < 64) == is_dark
        # Whatever is wider than the page scrolls in a box of its own.
        assert opened.locator(":is(table, img):not(.wide *)").count() == 0
        assert opened.evaluate("[...document.images].every(one => one.naturalWidth > 300)")
        if width >= 1280:
            quality = opened.locator("table").first
            assert quality.evaluate("it => it.scrollWidth <= it.parentElement.clientWidth")
        context.close()
