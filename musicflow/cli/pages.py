"""The commands that open pages, and the one that prepares a home for them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from musicflow import extras
from musicflow.cli.console import HomeOption, JsonOption, err, out, print_json, settings_of
from musicflow.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(init)
    app.command()(dagster)
    app.command()(mlflow)
    app.command(name="app")(app_command)


def init(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a home ready for Dagster and MLflow. A home that is ready stays as it is.

    Example: `musicflow init --home ~/music-lab`
    """
    extras.require("musicflow init", "dagster", "mlflow")
    from musicflow.orchestration.run import CONFIG, has_own_configuration, prepare

    settings = settings_of(home=home)
    prepare(settings.paths)
    if has_own_configuration(settings.paths):
        err.print(
            f"{settings.paths.dagster / CONFIG.name} differs from this version's, and is kept. "
            "Delete it to have it made again.",
            soft_wrap=True,
        )
    if as_json:
        print_json({"home": str(settings.home)})
    else:
        out.print(f"Ready: {settings.home}", soft_wrap=True)


def dagster(
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 3000,
    home: HomeOption = None,
) -> None:
    """Open the Dagster UI on the assets of a home.

    Example: `musicflow dagster --port 3000`
    """
    extras.require("musicflow dagster", "dagster", "mlflow")
    from musicflow.orchestration.run import prepare

    settings = settings_of(home=home)
    prepare(settings.paths)
    module = "musicflow.orchestration.definitions"
    _exec(settings, "dagster", ["dev", "-m", module, "-p", str(port)])


def mlflow(
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 5000,
    home: HomeOption = None,
) -> None:
    """Open the MLflow UI on the runs of a home.

    Example: `musicflow mlflow --port 5000`
    """
    extras.require("musicflow mlflow", "mlflow")
    from musicflow import tracking

    settings = settings_of(home=home)
    tracking.prepare(settings.paths)
    uri = settings.paths.tracking_uri
    _exec(settings, "mlflow", ["server", "--backend-store-uri", uri, "--port", str(port)])


def app_command(
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 8501,
    home: HomeOption = None,
) -> None:
    """Open the app: find music, compare embedders by ear, see the map.

    Example: `musicflow app --port 8501`
    """
    extras.require("musicflow app", "app")
    page = str(Path(__file__).parents[1] / "app" / "main.py")
    options = ["--server.port", str(port), "--server.address", "localhost"]
    _exec(settings_of(home=home), "streamlit", ["run", page, *options])


def _exec(settings: Settings, program: str, arguments: list[str]) -> NoReturn:
    # Run by the interpreter, since a program's file has another name on each system. The safe
    # path (-P) keeps files of the current folder from standing in for modules.
    command = [sys.executable, "-P", "-m", program, *arguments]
    environment = os.environ | {
        "MUSICFLOW_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.paths.dagster),
    }
    if sys.platform != "win32":
        os.execve(command[0], command, environment)
    # On Windows, execve starts another process, and the shell would not wait for it.
    raise SystemExit(subprocess.call(command, env=environment))
