"""Commands run in this process, on a library made up here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musicflow import cli, embedders, library
from musicflow.index import open_index
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.settings import Settings, remember
from musicflow.store import EmbeddingStore

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["musicflow", *arguments])
        capfd.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run


def ingest(music: Path, home: Path) -> None:
    """Bring the collection of a home up to date, without Dagster and an evaluation."""
    settings = Settings(home=home, library=music, embedders=("mfcc",))
    spec, store = embedders.spec_of("mfcc"), EmbeddingStore(settings.paths.embeddings)
    found = library.join(music, library.scan(music, settings.paths.library), "auto")
    embed_tracks(found.tracks, spec, store, settings.cache)
    build_collection(found.tracks, spec, store, open_index(settings))
    remember(settings.paths, library=music, embedders=("mfcc",))
