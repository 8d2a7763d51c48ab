"""`musicflow doctor`: what a person is asked for in a bug report, on one screen."""

import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import psutil
import typer

from musicflow import __version__, embedders
from musicflow.cli.console import (
    FAILED,
    HomeOption,
    JsonOption,
    out,
    print_json,
    settings_of,
    table_of,
)
from musicflow.embedders import EmbedderError
from musicflow.embedders.compute import fastest_precision
from musicflow.index import TrackIndexError, open_index
from musicflow.kernels.processor import CPU_INFO
from musicflow.places import FileElsewhereError, Place, PlaceError, place
from musicflow.settings import Settings, explain

PACKAGES = (
    "torch",
    "torchaudio",
    "transformers",
    "numpy",
    "av",
    "soundfile",
    "qdrant-client",
    "qdrant-edge-py",
    "dagster",
    "mlflow",
    "nicegui",
)
"""The packages whose versions matter most."""

_LEAST_FREE_GB = 1.0
_ANSWER_S = 3.0


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    Parameters
    ----------
    about
        ``versions``, ``machine``, ``home``, ``weights`` or ``servers``.
    name, found
        The thing, and what was found.
    fault
        What to do about it; empty if all is well.
    """

    about: str
    name: str
    found: str
    fault: str = ""


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show versions, machine, home, weights and servers, for a bug report.

    The exit code is 1 where something needs mending.

    Example: `musicflow doctor --json`
    """
    facts = list(facts_of(settings_of(home=home)))
    if as_json:
        print_json([asdict(fact) for fact in facts])
    else:
        table = table_of("", ["", "", "found"], fold=True)
        before = ""
        for fact in facts:
            found = f"{fact.found}: {fact.fault}" if fact.fault else fact.found
            style = "red" if fact.fault else ""
            about = fact.about if fact.about != before else ""
            table.add_row(about, fact.name, found, style=style)
            before = fact.about
        out.print(table)
    if any(fact.fault for fact in facts):
        raise SystemExit(FAILED)


def facts_of(settings: Settings) -> Iterator[Fact]:
    """Look at all that matters, one thing after the other."""
    yield from _versions()
    yield from _machine()
    yield from _home(settings)
    yield from _weights(settings)
    yield from _servers(settings)


def _versions() -> Iterator[Fact]:
    yield Fact("versions", "musicflow", __version__)
    yield Fact("versions", "Python", f"{platform.python_version()}, {platform.platform()}")
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    yield Fact("versions", "packages", ", ".join(map(" ".join, found.items())))


def _machine() -> Iterator[Fact]:
    cores, threads = psutil.cpu_count(logical=False), os.cpu_count()
    about = f"{cores or '?'} cores, {threads} threads, fastest in {fastest_precision()}"
    yield Fact("machine", "processor", f"{_processor()}, {about}")
    yield Fact("machine", "GPU", _gpu())
    memory = psutil.virtual_memory()
    free = f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f}"
    yield Fact("machine", "memory", free)


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpu() -> str:
    import torch

    if torch.cuda.is_available():
        return ", ".join(
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        )
    return (
        "Apple's, by device = mps" if torch.backends.mps.is_available() else "none that torch finds"
    )


def _home(settings: Settings) -> Iterator[Fact]:
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    writable = os.access(there, os.W_OK)
    about = str(home) if there == home else f"{home}, not made yet"
    fault = "" if writable else f"{there} cannot be written to: give this user access"
    yield Fact("home", "folder", about, fault)
    free = shutil.disk_usage(there).free / 1e9
    fault = "" if free > _LEAST_FREE_GB else "make room"
    yield Fact("home", "disk", f"{free:.1f} GB free", fault)
    library = settings.library
    if library is None:
        yield Fact("home", "library", "none yet")
    else:
        yield Fact("home", "library", str(library), _absence(library))
    if settings.store is not None:
        yield Fact("home", "vectors", settings.store, _silence_of(place(settings.store)))


def _absence(library: Place) -> str:
    """Return why a library cannot be read; empty if it can."""
    try:
        there = library.is_dir()
    except FileElsewhereError as error:
        return error.reason
    except PlaceError as error:
        return str(error)
    return "" if there else "it is not there: mount it, or run another folder"


def _silence_of(store: Place) -> str:
    """Return why a store does not answer; empty if it does, also if it is not made yet."""
    try:
        store.is_dir()
    except FileElsewhereError as error:
        return error.reason
    except PlaceError as error:
        return str(error)
    return ""


def _weights(settings: Settings) -> Iterator[Fact]:
    for name in settings.embedders:
        try:
            spec = embedders.spec_for(name, settings)
        except EmbedderError as error:
            yield Fact("weights", name, error.message, error.advice or "name another")
            continue
        if spec.weights is None or not spec.trained:
            found = "needs none" if spec.weights is None else "untrained"
            yield Fact("weights", spec.label, found)
            continue
        state = spec.weights.state(settings.cache)
        fault = "musicflow weights fetch" if state == "missing" else ""
        yield Fact("weights", spec.label, f"{state} in {settings.cache}", fault)


def _servers(settings: Settings) -> Iterator[Fact]:
    place = settings.qdrant_url or str(settings.paths.collections)
    try:
        index = open_index(settings)
        count = len(index.names())
        yield Fact("servers", "index", f"{index.describe()}, {count} collections")
    except TrackIndexError as error:
        yield Fact("servers", "index", f"{place}: {error.message}", error.advice)
    except OSError as error:
        yield Fact("servers", "index", place, explain(error))
    uri = settings.paths.tracking_uri
    fault = _silence(uri) if uri.startswith(("http://", "https://")) else ""
    yield Fact("servers", "MLflow", uri, fault)


def _silence(address: str) -> str:
    """Return why a server does not answer; empty if it does."""
    try:
        urllib.request.urlopen(address, timeout=_ANSWER_S).close()
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"it does not answer ({reason}): start it, or change MLFLOW_TRACKING_URI"
    return ""
