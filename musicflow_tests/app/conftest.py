"""A small home with two embedders that need no weights, and the app on it in a real browser."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mutagen.flac
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Dialog, Download, Locator, Page, expect, sync_playwright

from musicflow import embedders
from musicflow.index import EmbeddedIndex
from musicflow.library import Library, join, scan
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.settings import Home, remember
from musicflow.store import EmbeddingStore
from musicflow_tests.conftest import RATE, noise, tone, work_here

EMBEDDERS = ("mfcc", "musicnn-untrained")


def fill(home: Home, root: Path, labels: tuple[str, ...] = EMBEDDERS) -> None:
    """Ingest a folder of music, without Dagster."""
    library = join(root, scan(root, home.library))
    library.save(home.library)
    store, index = EmbeddingStore(home.embeddings), EmbeddedIndex(home.collections)
    for spec in map(embedders.spec_of, labels):
        embed_tracks(library.tracks, spec, store, Path("unused"))
        build_collection(library.tracks, spec, store, index)
    remember(home, library=root, embedders=labels)


def publish_without(home: Home, label: str, genre: str) -> None:
    """Publish a collection that lacks the tracks of a genre."""
    tracks = [one for one in Library.load(home.library).tracks if genre not in one.labels]
    store, index = EmbeddingStore(home.embeddings), EmbeddedIndex(home.collections)
    build_collection(tracks, embedders.spec_of(label), store, index)


def compose(root: Path) -> Path:
    """Six tones and six noises, one of these there twice, and a file that is no music."""
    for number in range(6):
        write_flac(root / f"tones/{number}.flac", tone(220 + 20 * number), title=f"Tone {number}")
        write_flac(root / f"noises/{number}.flac", noise(number), title=f"Noise {number}")
    shutil.copyfile(root / "noises/0.flac", root / "noises/again.flac")
    (root / "noises/broken.mp3").write_text("not music " * 500)
    return root


def write_flac(path: Path, samples: np.ndarray, **tags: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    file = mutagen.flac.FLAC(path)
    file.update({"artist": "Nobody"} | tags)
    file.save()


@pytest.fixture(scope="package")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that tests copy, or only read."""
    folder = tmp_path_factory.mktemp("app")
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        fill(Home(folder / "home"), compose(folder / "music"))
    return folder / "home"


@contextmanager
def serving(
    home: Path, log: Path, command: str = "app", health: str = "/api/v1/health"
) -> Iterator[str]:
    """The pages of a command on a home; gives their address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = "from musicflow.cli import main; main()"
    given = [sys.executable, "-c", program, command, "--home", str(home), "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(given, stdout=output, stderr=subprocess.STDOUT)
    try:
        address = f"http://localhost:{port}"
        _wait_for(address + health, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(address).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"no page came:\n{log.read_text()}")


@pytest.fixture(scope="package")
def served_home(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home of the app that browsers visit."""
    return Home(shutil.copytree(filled, tmp_path_factory.mktemp("served") / "home"))


@pytest.fixture(scope="package")
def app(served_home: Home) -> Iterator[str]:
    """The address of an app."""
    log = served_home.root.with_name("log.txt")
    with serving(served_home.root, log) as address:
        yield address
    assert "Traceback" not in log.read_text()


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="Chromium is not installed, so the app's pages go untested: apt-get install chromium",
)

_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --mute-audio "
    "--autoplay-policy=no-user-gesture-required"
)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this folder alone: Playwright keeps an event loop, and Dagster wants one to itself."""
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET.split())
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], "Visitor"]]:
    """Open an address as a new visitor; fails if a page ran into an error of its own."""
    contexts, visitors = [], []

    def visit(address: str) -> Visitor:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        contexts.append(context)
        context.set_default_timeout(20_000)
        visitor = Visitor(context.new_page())
        visitors.append(visitor)
        visitor.go(address)
        return visitor

    yield visit
    for context in contexts:
        context.close()
    assert not [error for visitor in visitors for error in visitor.errors]


class Visitor:
    """A person at the app, as far as tests need one."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _refuse(self, dialog: Dialog) -> None:
        self.errors.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def go(self, address: str) -> None:
        self.page.goto(address)

    def press(self, action: str, where: str = "", number: int = 0) -> None:
        """Press a card's button."""
        self.page.locator(f"{where} .do-{action}").nth(number).click()

    def saves(self) -> Download:
        """Save the playlist that the page asks about."""
        with self.page.expect_download() as saved:
            self.page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
        return saved.value

    def cards(self, where: str) -> Locator:
        """The cards of a list, or of the question."""
        return self.page.locator(f".{where} .card")

    def names(self, where: str) -> list[str]:
        """The names on the cards of a list."""
        return [text.split("\n")[1] for text in self.cards(where).all_inner_texts()]

    def heard(self) -> Locator:
        """The name in the player."""
        return self.page.get_by_role("region", name="Player").locator(".name")

    def said(self) -> Locator:
        """What the page says is wrong."""
        return self.page.get_by_role("alert")
