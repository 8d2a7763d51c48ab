"""The app, timed in a browser: from its start to the first answers, and from a click to the next.

A home that is there is served by `musicflow app`, and visited in headless Chromium. Writes
``results/app.md``: a row per home, medians in milliseconds; its sections below stay.

    python eval/app.py home-of-500 home-of-30000
"""

import argparse
import contextlib
import io
import itertools
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile
from machine import machine
from playwright.sync_api import Page, sync_playwright

from musicflow.app.service import Service

ROUNDS = 7
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HEAD = ("tracks", "start", "first page", "page again", "click", "like", "filter", "upload")


def main() -> None:
    """Visit each home, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("homes", type=Path, nargs="+")
    homes = parser.parse_args().homes
    rows = [_row(home.absolute()) for home in homes]
    text = "\n".join(
        [
            "# The app",
            "",
            f"`python eval/app.py {' '.join(home.name for home in homes)}`, "
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}.",
            "",
            "Milliseconds, the browser on the same machine. *Start*: from the command to an "
            "address that answers. *First page*: a question with ten answers, the first one "
            f"asked. The rest are medians of {ROUNDS}: the same page in a new visit; from a click "
            "on an answer to its own answers; from a like to the list that follows it; from a "
            "filter to answers that pass it; from a dropped file to its answers, the model in "
            "memory.",
            "",
            f"| {' | '.join(HEAD)} |",
            f"|{'---|' * len(HEAD)}",
            *rows,
            "",
        ]
    )
    path = Path(__file__).parent / "results" / "app.md"
    _, heading, below = path.read_text().partition("\n## ")
    path.write_text(f"{text}{heading}{below}")
    print(text)


def _row(home: Path) -> str:
    _, ids = Service(home).tracks("", ())
    track = ids[len(ids) // 2]
    numbers = itertools.count(10_000)
    with _serving(home) as (address, start), sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)

        def visit() -> Page:
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{address}/?track={track}")
            page.locator(".answers .card").nth(9).wait_for()
            return page

        first = _ms(visit)
        page = visit()
        figures = [
            start,
            first,
            _median(visit),
            _median(lambda: _next_question(page)),
            _median(lambda: _like(page)),
            _median(lambda: _filter(page, numbers)),
            _median(lambda: _upload(page)),
        ]
        browser.close()
    return f"| {len(ids):,} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |"


@contextlib.contextmanager
def _serving(home: Path) -> Iterator[tuple[str, float]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = "from musicflow.cli import main; main()"
    begun = time.perf_counter()
    command = [sys.executable, "-c", program, "app", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            address = f"http://localhost:{port}"
            urllib.request.urlopen(f"{address}/api/v1/health").close()
            yield address, 1e3 * (time.perf_counter() - begun)
        finally:
            server.terminate()


def _next_question(page: Page) -> None:
    before = page.locator(".question .name").inner_text()
    page.locator(".answers .do-ask").nth(3).click()
    _wait(page, before, "document.querySelector('.question .name')?.innerText !== before")


def _like(page: Page) -> None:
    before = page.locator(".chip").count()
    page.locator(".answers .do-like[aria-pressed=false]").first.click()
    _wait(page, before, "document.querySelectorAll('.chip').length > before")
    page.locator(".for-you .card").first.wait_for()


def _filter(page: Page, numbers: Iterator[int]) -> None:
    before = page.url
    field = page.get_by_label("Another filter")
    field.fill(f"duration_s<{next(numbers)}")
    field.press("Enter")
    _wait(page, before, "location.href !== before && document.querySelector('.answers .card')")


def _upload(page: Page) -> None:
    file = io.BytesIO()
    soundfile.write(
        file, np.random.default_rng().uniform(-0.1, 0.1, 30 * 22_050), 22_050, format="WAV"
    )
    before = page.url
    page.locator('input[type="file"]').set_input_files(
        {"name": "song.wav", "mimeType": "audio/wav", "buffer": file.getvalue()}
    )
    _wait(page, before, "location.href !== before && document.querySelector('.answers .card')")


def _wait(page: Page, before: object, until: str) -> None:
    page.wait_for_function(
        f"(before) => !document.querySelector('.waiting') && ({until})", arg=before
    )


def _median(work: Callable[[], object]) -> float:
    return statistics.median(_ms(work) for _ in range(ROUNDS))


def _ms(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
