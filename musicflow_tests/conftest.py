"""What tests share: small libraries of made-up sound, and homes of their own."""

import contextlib
import ctypes
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musicflow import worker
from musicflow.settings import Home, Settings

RATE = 22_050

CACHE = str(Settings().cache)
"""The folder of weights that whoever runs the tests has."""

LONG = (
    "test_kills.py",
    "test_automation.py",
    "test_plugins.py",
    "test_trouble.py",
    "test_pages_in_a_browser.py",
    "test_wav2vec2.py",
    "test_program.py",
    "test_embed.py",
    "test_panns.py",
    "test_hub.py",
    "test_bad_library.py",
    "test_service.py",
    "test_verification.py",
    "test_evidence.py",
)
"""The files that take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left alone with one at the end."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    """Give back what was freed after each file: the C library keeps most of a model's."""
    yield
    # Only that of GNU has the function.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it; downloaded weights are shared."""
    monkeypatch.setenv("MUSICFLOW_CACHE", CACHE)
    monkeypatch.setenv("MUSICFLOW_HOME", str(tmp_path / "home"))
    for name in Settings.model_fields.keys() - {"cache", "home"}:
        monkeypatch.delenv(f"MUSICFLOW_{name.upper()}", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True)
def _own_log() -> None:
    """No test sees the log as a command, or a library with loggers of its own, left it."""
    log = logging.getLogger("musicflow")
    log.handlers, log.disabled, log.propagate = [], False, True
    log.setLevel(logging.WARNING)
    logging.disable(logging.NOTSET)


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Do in this process what would be done in workers.

    A worker takes up to two seconds to import what this process has already.
    """

    def each(function: Callable, items: list, **_: object) -> Iterator[tuple[int, object]]:
        for number, item in enumerate(items):
            try:
                yield number, function(item)
            except Exception as error:
                yield number, error

    def iterate(_: str, function: Callable, *arguments: object, **__: object) -> Iterator:
        yield from function(*arguments)

    patch.setattr(worker, "each", each)
    patch.setattr(worker, "iterate", iterate)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; gives exit code, standard output and standard error."""

    # Imported here: the tests of one room need no command.
    from musicflow import cli

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


@pytest.fixture(autouse=True)
def _workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the workers, but for tests that are about them."""
    if request.node.get_closest_marker("workers") is None:
        work_here(monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty databases of Dagster and MLflow. Making them takes a third of a first run."""
    # Imported here: the quick tests need neither.
    import mlflow

    from musicflow.orchestration.run import prepare_dagster

    home = Home(tmp_path_factory.mktemp("databases"))
    prepare_dagster(home)
    home.mlflow.mkdir()
    mlflow.MlflowClient(home.tracking_uri).search_experiments()
    return home.root


@pytest.fixture
def ready(home: Home, databases: Path) -> None:
    """Give the home databases that were made once, where the test is not about them."""
    shutil.copytree(databases, home.root, dirs_exist_ok=True)


def tone(hertz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def noise(seed: int, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write audio below the library's folder, making the folders on the way."""

    def write(name: str, samples: np.ndarray, rate: int = RATE, **how: str) -> Path:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **how)
        return path

    return write


def write_music(folder: Path) -> Path:
    """Write a library of two genres that any ear can tell apart: six tones, six noises."""
    for number in range(6):
        for genre, sound in (("tones", tone(220 + 20 * number)), ("noises", noise(number))):
            path = folder / genre / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, RATE)
    return folder


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return write_music(tmp_path / "music")
