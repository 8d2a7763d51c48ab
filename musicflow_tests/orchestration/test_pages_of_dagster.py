"""Dagster's pages as a person meets them: a real server, a real browser, and a bad file."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import soundfile
from playwright.sync_api import Locator, Page, expect, sync_playwright

from musicflow_tests.app.conftest import _QUIET, CHROMIUM, needs_chromium
from musicflow_tests.conftest import RATE, noise, tone

pytestmark = [pytest.mark.slow, needs_chromium]

PROGRAM = [sys.executable, "-c", "from musicflow.cli import main; main()"]
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages of a home that the command line filled; gives their address."""
    folder = tmp_path_factory.mktemp("pages")
    music = folder / "music"
    for number in range(4):
        for partition, sound in (("tones", tone(220 + 20 * number)), ("noises", noise(number))):
            path = music / partition / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, RATE)
    (music / "tones" / "broken.mp3").write_text("not music " * 500)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"MUSICFLOW_HOME": str(folder / "home")}
    run = [*PROGRAM, "run", str(music), "--embedder", "mfcc"]
    subprocess.run(run, env=environment, check=True, capture_output=True)
    command = [*PROGRAM, "dagster", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert f"http://localhost:{port}" in server.stdout.readline()
        yield f"http://localhost:{port}"
        server.terminate()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET.split())
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


def row(page: Page, name: str) -> Locator:
    """Return a row of a page's table of metadata, some of which is drawn after the rest."""
    return page.locator("tr", has=page.get_by_text(name, exact=True)).last


def test_a_partition_a_run_from_the_launchpad_and_the_comparison(dagster: str, page: Page) -> None:
    page.goto(f"{dagster}/assets/raw_audio?view=partitions&partition=tones")
    expect(row(page, "tracks")).to_contain_text("4")
    expect(row(page, "failures")).to_contain_text("1 not-audio")
    expect(row(page, "why")).to_contain_text("tones/broken.mp3")

    job = "locations/musicflow.orchestration.definitions/jobs/Refresh"
    page.goto(f"{dagster}/{job}/playground")
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.locator(".CodeMirror")).not_to_contain_text("evaluate")
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("resources: {workspace: {config: {evaluate: always, tags: []}}}")
    expect(page.get_by_text("No errors")).to_be_visible()
    page.get_by_placeholder("Partition").click()
    page.get_by_text("tones", exact=True).last.click()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()

    page.goto(f"{dagster}/assets/embedder_comparison?view=overview")
    expect(row(page, "verdict")).to_contain_text("mfcc")
    expect(page.get_by_text("verdict", exact=True)).to_be_in_viewport()
    page.goto(f"{dagster}/runs")
    expect(page.get_by_text("musicflow/command").first).to_be_visible()
