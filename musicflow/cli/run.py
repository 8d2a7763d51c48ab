"""The commands that compare embedders: demo, run, compare."""

import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from musicflow import embedders, extras, runs
from musicflow.cli import evidence
from musicflow.cli.console import (
    FAILED,
    INTERRUPTED,
    USAGE,
    HomeOption,
    JsonOption,
    LibraryArgument,
    err,
    others_logged,
    out,
    print_json,
    progress,
    say,
    settings_of,
    stop,
    table_of,
)
from musicflow.cli.options import takes_settings
from musicflow.embedders import UNTRAINED
from musicflow.evaluation import Comparison, report
from musicflow.evaluation.results import NO_COLLECTION
from musicflow.evaluation.verdict import verdict
from musicflow.library import Library, demo, doubts
from musicflow.pipeline import Plan, has_shrunk
from musicflow.pipeline.plan import why_unavailable
from musicflow.pipeline.run import is_per_embedder
from musicflow.settings import Settings
from musicflow.text import about, duration


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(name="demo")(demo_command)
    app.command()(run)
    app.command()(compare)


@takes_settings("embedders")
def demo_command(
    given: dict[str, Any], home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Compare the embedders on 28 tracks that come with a package.

    Example: `musicflow demo`
    """
    extras.require("musicflow demo", "demo")
    settings = settings_of(home=home, **given)
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


@takes_settings()
def run(
    folder: LibraryArgument,
    given: dict[str, Any],
    untrained: Annotated[
        bool, typer.Option(help="Use seeded weights: real dims and speed, meaningless quality.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the work and its estimated time, and stop.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before tracks are embedded again or go.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed, index and evaluate a folder of music, skipping what is up to date.

    The options are kept in the home's `musicflow.toml`, where Dagster reads them.

    Example: `musicflow run ~/Music --embedder musicnn --embedder mfcc`
    """
    given |= {"home": home, "library": folder}
    settings = settings_of(**given)
    if untrained:
        specs = embedders.specs_for(settings)
        names = [embedders.untrained(s).reference if s.weights else s.reference for s in specs]
        settings = settings_of(**given | {"embedders": names})
    if dry_run:
        _show_plan(runs.plan_of(settings, progress), as_json)
    else:
        _run(settings, as_json, yes)


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


_NO_WORDS = "Your tags are not predicted: no embedder has a text side, as CLAP has."


def _run(settings: Settings, as_json: bool, yes: bool = False) -> None:
    start = time.monotonic()
    plan = runs.plan_of(settings, progress)
    if settings.tags and not any(spec.text for spec in embedders.specs_for(settings)):
        say(_NO_WORDS, err)
    comparison = plan.comparison
    if comparison is not None:
        since = "Nothing is to be done" if comparison.as_of else "Nothing changed"
        say(f"{since} since {comparison.created}.", err)
        if comparison.as_of is not None:
            # A run that was killed may not have said so yet.
            report.write(comparison, settings.paths.reports)
    elif _agreed(plan, yes):
        comparison = _carried_out(plan, settings)
    else:
        stop("nothing was done", FAILED)
    _show(comparison, settings, as_json)
    say(f"Done in {duration(time.monotonic() - start)}.", err)


def _tell_of(library: Library) -> None:
    """Report how a library was read, and what is odd about it."""
    say(f"{library.name}: {library.reading}", err)
    for doubt in doubts(library):
        say(doubt, err, "yellow")


def _agreed(plan: Plan, yes: bool) -> bool:
    """Report the library, and which tracks will go or be embedded again; ask on a terminal."""
    _tell_of(plan.library)
    tracks = len(plan.library.tracks)
    shrunk = has_shrunk(tracks, plan.published)
    if shrunk:
        say(
            f"The library has {tracks} tracks; {plan.published} are published. The others will go "
            "from searches. If a disk is not mounted, stop here.",
            err,
        )
    if not plan.remade and not shrunk:
        return True
    for step in plan.remade:
        say(
            f"{step.subject}: {step.tracks} tracks have vectors by another version or other "
            f"settings and will be embedded again{about(step.seconds)}.",
            err,
        )
    return yes or not sys.stdin.isatty() or typer.confirm("Go on?", err=True)


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        steps = [asdict(step) for step in plan.steps]
        found = [asdict(doubt) for doubt in doubts(plan.library)]
        as_of = asdict(plan.as_of) if plan.as_of is not None else None
        about = {"reading": plan.library.reading, "doubts": found, "as_of": as_of}
        print_json({"tracks": len(plan.library.tracks), **about, "steps": steps})
        return
    _tell_of(plan.library)
    if not plan.steps:
        say("Nothing to do: all is up to date.")
        return
    table = table_of("", ["step", "embedder", "tracks", "why", "time"])
    for step in plan.steps:
        time = duration(step.seconds) if step.seconds is not None else "–"
        table.add_row(step.kind, step.subject, str(step.tracks), _WHY[step.reason], time)
    out.print(table)
    if plan.as_of is not None:
        say(f"The evaluation is put off: it is {plan.as_of}.")


_WHY = {
    "new": "new",
    "version": "made by another version or other settings",
    "content": "tracks, labels, tags or vectors changed",
    "results": "the results it is made of changed",
    "record": "MLflow does not have it",
}


def _carried_out(plan: Plan, settings: Settings) -> Comparison:
    try:
        with others_logged(settings.paths):
            failed = runs.carry_out(plan, settings, progress, partial(say, console=err))
    except KeyboardInterrupt:
        stop("interrupted; all finished work is kept for the next run", INTERRUPTED)
    comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
    rows = comparison.rows if comparison is not None else ()
    reported = {row.embedder for row in rows if row.error and row.code != NO_COLLECTION}
    for asset, reason in failed.items():
        if asset.rpartition("/")[2] not in reported:
            say(f"{asset} failed: {reason}", err, "red")
    if comparison is None or any(not is_per_embedder(asset) for asset in failed):
        stop("the run failed; all finished work is kept for the next one", FAILED)
    if all(row.error for row in comparison.rows if row.kind != "baseline"):
        reasons = "; ".join(f"{row.embedder}: {row.error}" for row in rows if row.error)
        stop(f"no embedder could be evaluated: {reasons}", FAILED)
    return comparison


def _trained_where_possible(labels: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """Return the embedders, untrained where weights are missing, and say so."""
    chosen = []
    for spec in map(embedders.spec_or_stand_in, labels):
        if spec.weights and (why := why_unavailable(spec, settings)):
            say(f"{spec.name} runs untrained: {why.message}", err)
            spec = embedders.untrained(spec)
        chosen.append(spec.reference)
    return tuple(chosen)


def _show(comparison: Comparison, settings: Settings, as_json: bool) -> None:
    if as_json:
        print_json(asdict(comparison))
        return
    evidence.show(comparison)
    for sentence in report.put_off_lines(comparison):
        say(sentence)
    if any(row.weights == "untrained" for row in comparison.rows):
        say(report.UNTRAINED_NOTE)
    for row in comparison.rows:
        if row.error:
            say(f"{row.embedder}: {row.error}")
    if any(row.advice for row in comparison.rows):
        say("What to do about it: see the report, or musicflow weights --help")
    if lines := report.problem_lines(comparison.problems):
        problems = table_of("Problems", ["what", "stage", "reason"], fold=True)
        for line in lines:
            problems.add_row(*line)
        out.print(problems)
    say(" ".join(verdict(comparison)))
    for sentence in report.counts(comparison):
        say(sentence)
    _show_where_next(settings)


def typed_program() -> str:
    """Return what to type for this program, as a shell reads it."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m musicflow"
    return typed.name if shutil.which(typed.name) else shlex.quote(str(typed))


def _show_where_next(settings: Settings) -> None:
    program = typed_program()
    known = Settings().home == settings.home
    option = "" if known else f" --home {shlex.quote(str(settings.home))}"
    track = Library.first_id_in(settings.paths.library)
    lines: dict[str, object] = {
        "Report": settings.paths.reports / "comparison.html",
        "Search": f"{program} search --track {shlex.quote(track)}{option}",
    }
    for name, needed in {"Dagster": extras.RECORDS, "MLflow": ("mlflow",), "App": ("app",)}.items():
        if extras.are_installed(*needed):
            lines[name] = f"{program} {name.lower()}{option}"
    out.print()
    for name, text in lines.items():
        say(f"{name:8} {text}")
