"""The commands that open pages, and the one that prepares a home for them."""

import os
import secrets
from typing import Annotated

import typer

from musicflow import extras
from musicflow.cli.console import (
    USAGE,
    HomeOption,
    JsonOption,
    err,
    print_json,
    say,
    settings_of,
    stop,
)
from musicflow.cli.serving import HOST, Page, refuse_taken, serve
from musicflow.settings import ORIGINS, TOKEN, remember

_LOOPBACK = (HOST, "127.0.0.1", "::1")

PortOption = Annotated[int, typer.Option(help="The port of the page.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", help="Show what the program says; else it is in the home.")
]


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
        say(
            f"{settings.paths.dagster / CONFIG.name} differs from this version's, and is kept. "
            "Delete it to have it made again.",
            err,
        )
    if as_json:
        print_json({"home": str(settings.home)})
    else:
        say(f"Ready: {settings.home}")


def dagster(
    port: PortOption = 3000, home: HomeOption = None, verbose: VerboseOption = False
) -> None:
    """Open the Dagster UI on the assets of a home.

    Example: `musicflow dagster --port 3000`
    """
    extras.require("musicflow dagster", "dagster", "mlflow")
    from musicflow.orchestration.run import prepare

    refuse_taken(port)
    settings = settings_of(home=home)
    prepare(settings.paths)
    module = "musicflow.orchestration.definitions"
    page = Page("Dagster", "dagster", ["dev", "-m", module, "-p", str(port)], port, "/assets")
    if page.address != settings.dagster_url:
        remember(settings.paths, dagster_url=page.address)
    serve(page, settings, verbose)


def mlflow(
    port: PortOption = 5000, home: HomeOption = None, verbose: VerboseOption = False
) -> None:
    """Open the MLflow UI on the runs of a home.

    Example: `musicflow mlflow --port 5000`
    """
    extras.require("musicflow mlflow", "mlflow")
    from musicflow import tracking

    refuse_taken(port)
    settings = settings_of(home=home)
    client = tracking.prepare(settings.paths)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    # Its job workers serve features that are not used here, and take memory by the gigabyte.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    arguments = ["--backend-store-uri", settings.paths.tracking_uri, "--workers", "1"]
    page = Page(
        "MLflow",
        "mlflow",
        ["server", *arguments, "--port", str(port)],
        port,
        f"/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={tracking.VIEW}"
        if experiment
        else "",
    )
    if page.address != settings.mlflow_url:
        remember(settings.paths, mlflow_url=page.address)
    serve(page, settings, verbose)


def app_command(
    port: PortOption = 8501,
    address: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is all of this machine's.")
    ] = HOST,
    token: Annotated[
        str,
        typer.Option(
            envvar=TOKEN,
            help="What others must know to ask; needed with any other address than localhost.",
        ),
    ] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar=ORIGINS,
            help="A site whose pages may ask the API, such as https://player.example; repeatable.",
        ),
    ] = None,
    home: HomeOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Open the app and the JSON API: find music, compare embedders by ear, see the map.

    The API is below /api/v1; /docs describes it.

    Example: `musicflow app --port 8501`
    """
    extras.require("musicflow app", "app")
    if address not in _LOOPBACK and not token:
        stop(
            f"{address} can be reached from other machines: set a token, such as "
            f"{TOKEN}={secrets.token_urlsafe(16)}",
            USAGE,
        )
    refuse_taken(port)
    options = ["--port", str(port), "--address", address]
    os.environ |= {TOKEN: token, ORIGINS: " ".join(origin or [])}
    serve(Page("App", "musicflow.app.server", options, port), settings_of(home=home), verbose)
