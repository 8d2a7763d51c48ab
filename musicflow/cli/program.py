"""The commands that make a home and show it: demo, run, compare, init, dagster, mlflow, app."""

import os
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from musicflow import __version__, embedders, extras
from musicflow.cli import evidence, index, search, weights
from musicflow.cli.console import (
    FAILED,
    INTERRUPTED,
    USAGE,
    HomeOption,
    IgnoreOption,
    JsonOption,
    err,
    home_in_use,
    out,
    plain,
    print_json,
    progress,
    settings_of,
    show_log,
    stop,
    table_of,
)
from musicflow.embedders import UNTRAINED, EmbedderError
from musicflow.errors import MusicflowError, words_of, words_of_database
from musicflow.evaluation import Comparison, report
from musicflow.index import FilterError, TrackIndexError
from musicflow.library import Library, demo, without_notes
from musicflow.pipeline import Plan, Step, plan_of
from musicflow.pipeline.plan import why_unavailable
from musicflow.search.errors import QueryError
from musicflow.settings import (
    Device,
    Exclude,
    Home,
    HomeError,
    Precision,
    Settings,
    explain,
    explain_invalid,
)
from musicflow.worker import WorkerError

app = typer.Typer(
    help="Which audio embedding serves your music best? Measure it, then search with it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)

search.add_to(app)
evidence.add_to(app)
app.add_typer(index.app, name="index")
app.add_typer(weights.app, name="weights")

EmbeddersOption = Annotated[
    list[str] | None,
    typer.Option("--embedder", help="An embedder to compare; give it again for more."),
]


def main() -> None:
    """Run the command line; any error is one sentence and an exit code."""
    show_log()
    try:
        app()
    except (HomeError, WorkerError) as error:
        stop(str(error), FAILED)
    except (EmbedderError, FilterError, MusicflowError, QueryError, TrackIndexError) as error:
        stop(str(error), USAGE)
    except ValidationError as error:
        stop(explain_invalid(error), USAGE)
    except SettingsError as error:
        stop(f"{error}: a list is written as JSON, like '[\"mfcc\"]'", USAGE)
    except OSError as error:
        stop(explain(error), FAILED)
    except Exception as error:
        stop(_unforeseen(error, home_in_use()), FAILED)


def _unforeseen(error: Exception, home: Home) -> str:
    """Return a sentence about an error of a database, or of this program.

    The traceback of the program's own errors is kept in the home's log.
    """
    if words := words_of_database(error):
        return (
            f"a database in {home.root} cannot be used: {words}. Make room, give the user of "
            "this process access, or wait until no other process holds it; then run it again"
        )
    sentence = f"{type(error).__name__}: {words_of(error)}"
    try:
        home.error_log.parent.mkdir(parents=True, exist_ok=True)
        with home.error_log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {shlex.join(sys.argv)}\n")
            log.writelines(traceback.format_exception(error))
    except OSError as unwritten:
        return f"{sentence}. Its traceback could not be written: {explain(unwritten)}"
    return f"{sentence}. This is a fault of musicflow; its traceback is in {home.error_log}"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command(name="demo")
def demo_command(
    embedder: EmbeddersOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Compare the embedders on 28 tracks that come with a package.

    Example: `musicflow demo`
    """
    extras.require("musicflow demo", "dagster", "mlflow", "demo")
    settings = settings_of(home=home, embedders=embedder)
    root = settings.paths.demo
    if settings.library not in (None, root):
        stop(
            f"the home {settings.home} holds the library {settings.library}. Give the demo a "
            "home of its own: musicflow demo --home DIR",
            USAGE,
        )
    names = [label.removesuffix(UNTRAINED) for label in settings.embedders]
    labels = _trained_where_possible(names, settings)
    demo.lay_out(root)
    _run(settings_of(home=home, library=root, library_format="ludwig", embedders=labels), as_json)


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(metavar="LIBRARY", help="The folder of music.")],
    embedder: EmbeddersOption = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="LAYOUT",
            help="How the folder is laid out: auto, ludwig, folders, or package.module:NAME.",
        ),
    ] = None,
    ignore: IgnoreOption = None,
    untrained: Annotated[
        bool, typer.Option(help="Seeded weights: real dims and speed, no meaningful quality.")
    ] = False,
    hop: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SECONDS", help="An embedder's hop, where not its own."),
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Arithmetic of models that have a choice.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where models run.")] = None,
    exclude: Annotated[
        Exclude | None, typer.Option(help="What an evaluation leaves out beside the query.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="One more precision@k, beside 1, 5 and 10.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and how long it takes.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before embedding anything again.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed, index and evaluate a folder of music, doing only what is not done yet.

    What is given is remembered in the home's `musicflow.toml`: Dagster works with it from then on.

    Example: `musicflow run ~/Music --embedder musicnn --embedder mfcc`
    """
    extras.require("musicflow run", "dagster", "mlflow")
    given = {
        "home": home,
        "library": folder,
        "library_format": layout,
        "ignore": ignore,
        "embedders": embedder,
        "hop_s": dict(map(_hop, hop or [])),
        "precision": precision,
        "device": device,
        "exclude": exclude,
        "k": k,
    }
    settings = settings_of(**given)
    if untrained:
        specs = embedders.specs_for(settings)
        names = [embedders.untrained(s).reference if s.weights else s.reference for s in specs]
        settings = settings_of(**given | {"embedders": names})
    if dry_run:
        _show_plan(plan_of(settings, progress), as_json)
    else:
        _run(settings, as_json, yes)


@app.command()
def compare(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the last comparison.

    Example: `musicflow compare --json`
    """
    settings = settings_of(home=home)
    path = settings.paths.reports / report.COMPARISON
    comparison = Comparison.load(path)
    if comparison is None:
        stop("nothing has been compared yet: start with `musicflow run LIBRARY`", USAGE)
    _show(comparison, settings, as_json)


@app.command()
def init(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a home ready for Dagster and MLflow. Doing it again changes nothing.

    Example: `musicflow init --home ~/music-lab`
    """
    extras.require("musicflow init", "dagster", "mlflow")
    from musicflow.orchestration.run import CONFIG, has_own_configuration, prepare

    settings = settings_of(home=home)
    prepare(settings.paths)
    if has_own_configuration(settings.paths):
        err.print(
            f"{settings.paths.dagster / CONFIG.name} is not as this version would make it, and "
            "stays as it is. To have it made anew, delete it first.",
            soft_wrap=True,
        )
    if as_json:
        print_json({"home": str(settings.home)})
    else:
        out.print(f"Ready: {settings.home}", soft_wrap=True)


@app.command()
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
    _become(settings, "dagster", ["dev", "-m", module, "-p", str(port)])


@app.command()
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
    _become(settings, "mlflow", ["server", "--backend-store-uri", uri, "--port", str(port)])


@app.command(name="app")
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
    _become(settings_of(home=home), "streamlit", ["run", page, *options])


def _hop(text: str) -> tuple[str, str]:
    name, equals, seconds = text.partition("=")
    if not equals:
        stop(f"--hop {text} names no seconds: write it like --hop openl3=0.1", USAGE)
    return name, seconds


def _run(settings: Settings, as_json: bool, yes: bool = False) -> None:
    plan = plan_of(settings, progress)
    comparison = plan.comparison
    if comparison is not None:
        err.print(f"Nothing changed since {comparison.created}.")
    elif _agreed(plan, yes):
        comparison = _materialize(settings)
    else:
        stop("nothing was done", FAILED)
    _show(comparison, settings, as_json)


def _agreed(plan: Plan, yes: bool) -> bool:
    """Say that vectors will be made again, and ask on a terminal."""
    if not plan.remade:
        return True
    for step in plan.remade:
        err.print(
            f"{step.subject}: {step.tracks} tracks have vectors by another version or other "
            f"settings and will be embedded again{_about(step)}.",
            soft_wrap=True,
        )
    return yes or not sys.stdin.isatty() or typer.confirm("Go on?", err=True)


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        steps = [asdict(step) for step in plan.steps]
        print_json({"tracks": len(plan.library.tracks), "steps": steps})
        return
    if not plan.steps:
        out.print("Nothing to do: all is up to date.")
        return
    table = table_of("", ["step", "embedder", "tracks", "why", "time"])
    for step in plan.steps:
        time = _duration(step.seconds) if step.seconds is not None else "–"
        table.add_row(step.kind, step.subject, str(step.tracks), _WHY[step.reason], time)
    out.print(table)


_WHY = {
    "new": "new",
    "version": "made by another version or other settings",
    "content": "tracks, labels or vectors changed",
    "results": "what it follows from changed",
}


def _about(step: Step) -> str:
    return f" (about {_duration(step.seconds)})" if step.seconds is not None else ""


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _materialize(settings: Settings) -> Comparison:
    with err.status("Starting…"):
        from musicflow.orchestration.run import is_per_embedder, materialize
    try:
        failed = materialize(settings, lambda _context: progress, err.print)
    except KeyboardInterrupt:
        stop("interrupted; what was done is kept for the next run", INTERRUPTED)
    comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
    told = {row.embedder for row in comparison.rows if row.error} if comparison else set()
    for asset, reason in failed.items():
        if asset.rpartition("/")[2] not in told:
            err.print(f"[red]{asset} failed:[/red] {plain(reason)}", soft_wrap=True)
    if comparison is None or any(not is_per_embedder(asset) for asset in failed):
        stop("the run did not come to its end; what was done is kept for the next one", FAILED)
    if all(row.error for row in comparison.rows if row.kind != "baseline"):
        stop("no embedder could be evaluated", FAILED)
    return comparison


def _trained_where_possible(labels: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """Labels, those whose weights cannot be had replaced by untrained ones, and said so."""
    chosen = []
    for spec in map(embedders.spec_or_stand_in, labels):
        if spec.weights and (why := why_unavailable(spec, settings)):
            err.print(f"{spec.name} runs untrained: {plain(why.message)}", soft_wrap=True)
            spec = embedders.untrained(spec)
        chosen.append(spec.reference)
    return tuple(chosen)


def _show(comparison: Comparison, settings: Settings, as_json: bool) -> None:
    if as_json:
        print_json(asdict(comparison))
        return
    evidence.show(comparison)
    if any(row.weights == "untrained" for row in comparison.rows):
        out.print(report.UNTRAINED_NOTE)
    for row in comparison.rows:
        if row.error:
            out.print(f"{row.embedder}: {plain(row.error)}", soft_wrap=True, highlight=False)
    if any(row.advice for row in comparison.rows):
        out.print("What to do about it: see the report, or musicflow weights --help")
    if without_notes(comparison.problems):
        problems = table_of("Problems", ["what", "stage", "reason"], fold=True)
        for line in report.summary(comparison.problems):
            problems.add_row(*map(plain, line))
        out.print(problems)
    for sentence in report.counts(comparison):
        out.print(plain(sentence), soft_wrap=True, highlight=False)
    _show_where_next(settings)


def _show_where_next(settings: Settings) -> None:
    typed = Path(sys.argv[0])
    program = typed.name if shutil.which(typed.name) else str(typed)
    known = Settings().home == settings.home
    option = "" if known else f" --home {settings.home}"
    track = Library.load(settings.paths.library).tracks[0].track_id
    lines = {
        "Report": settings.paths.reports / "comparison.html",
        "Search": f"{program} search --track {shlex.quote(track)}{option}",
        "Dagster": f"{program} dagster{option}",
        "MLflow": f"{program} mlflow{option}",
        "App": f"{program} app{option}",
    }
    out.print()
    for name, text in lines.items():
        out.print(f"{name:8} {plain(text)}", soft_wrap=True, highlight=False)


def _become(settings: Settings, program: str, arguments: list[str]) -> NoReturn:
    # By the interpreter, for a program's file has another name on each system. Safe path: a file
    # in the folder that a person happens to be in is no module of ours.
    command = [sys.executable, "-P", "-m", program, *arguments]
    environment = os.environ | {
        "MUSICFLOW_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.paths.dagster),
    }
    if sys.platform != "win32":
        os.execve(command[0], command, environment)
    # Elsewhere the process would be another one, and the shell would not wait for it.
    raise SystemExit(subprocess.call(command, env=environment))
