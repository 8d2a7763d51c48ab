"""`musicflow library`: check a folder of music before a run, and fetch known data sets."""

import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from musicflow.cli.console import (
    FAILED,
    HomeOption,
    JsonOption,
    LibraryArgument,
    out,
    print_json,
    progress,
    say,
    settings_of,
    stop,
    table_of,
)
from musicflow.cli.options import takes_settings
from musicflow.evaluation import report
from musicflow.library import Library, Summary, skipped_line, without_notes
from musicflow.library.fetch import Size, data_set
from musicflow.library.fetch import fetch as fetch_set
from musicflow.pipeline.library_check import Check, Cost
from musicflow.pipeline.library_check import check as find
from musicflow.text import duration

MOST = 20
"""The most rows of a table that are shown; JSON holds all."""

app = typer.Typer(
    help="The folder of music: what a run would find in it, and data sets to fetch.\n\n"
    "Example: `musicflow library check ~/Music`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def add_to(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="library")


@app.command()
@takes_settings("embedders", "library_format", "genre", "genre_level", "ignore")
def check(
    folder: LibraryArgument,
    given: dict[str, Any],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run would find: layout, tracks, labels, genres, problems and cost.

    New files are read once, and a run does not read them again. Nothing is embedded.

    Example: `musicflow library check ~/Music`
    """
    found = find(settings_of(home=home, library=folder, **given), progress)
    if as_json:
        print_json(_json(found))
    else:
        _show(found)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="ludwig, gtzan or fma.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to put it into.")],
    size: Annotated[Size, typer.Option(help="The size of FMA.")] = "small",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is fetched.")] = (
        False
    ),
) -> None:
    """Fetch a known data set from where its authors keep it, once you agree to its size.

    Kaggle's need an account and a key of your own; see https://www.kaggle.com/settings.

    Example: `musicflow library fetch fma ~/fma --size small`
    """
    found, target = data_set(name, size), folder.expanduser().absolute()
    say(f"{found.title}. Licence: {found.licence}.")
    for source in found.sources:
        say(f"  {source.address} ({source.megabytes:g} MB)")
    say(f"About {found.megabytes:,.0f} MB are downloaded into {target}, and unpacked there.")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Go on?", err=True)):
        stop("nothing was fetched: add --yes to agree", FAILED)
    fetch_set(found, target, say)
    say(f"Now: musicflow library check {target}")


def _json(found: Check) -> dict[str, Any]:
    library, answer = found.library, asdict(replace(found, cuts=()))
    del answer["library"]
    answer["cuts"] = [
        {"track_id": one.track_id, "of": other.track_id} | cut.as_json
        for one, other, cut in found.cuts
    ]
    problems = [asdict(problem) for problem in without_notes(library.problems)]
    return answer | {"problems": problems}


def _show(found: Check) -> None:
    summary = found.summary
    say(f"{found.root}: {found.library.reading}")
    formats = ", ".join(f"{count} {suffix}" for suffix, count in summary.formats.items())
    say(f"{summary.tracks} tracks, {summary.hours:.1f} hours: {formats}")
    _show_labels(summary)
    _show_genres(summary)
    for line in _lines(summary):
        say(line)
    for one, other, cut in found.cuts[:MOST]:
        say(f"{one.track_id} is a cut of {other.track_id}: {cut}")
    if (more := len(found.cuts) - MOST) > 0:
        say(f"… and {more} more cuts")
    for doubt in found.doubts:
        say(f"{doubt}")
    _show_problems(found.library)
    _show_costs(found.costs)


def _show_labels(summary: Summary) -> None:
    table = table_of("Labels", ["field", "tracks", "share"])
    for name, count in summary.labelled.items():
        table.add_row(name, str(count), f"{count / summary.tracks:.0%}")
    out.print(table)


def _show_genres(summary: Summary) -> None:
    table = table_of(f"{len(summary.genres)} genres", ["genre", "tracks"])
    for name, count in list(summary.genres.items())[:MOST]:
        table.add_row(name, str(count))
    out.print(table)
    if (more := len(summary.genres) - MOST) > 0:
        say(f"… and {more} more")


def _lines(summary: Summary) -> Iterable[str]:
    for group in summary.alike[:MOST]:
        yield f"These genres look alike: {', '.join(group)}"
    if summary.copies:
        count = sum(map(len, summary.copies))
        some = ", ".join(summary.copies[0][:3])
        yield f"{count} tracks are copies of one another, such as {some}"
    if summary.missing:
        yield f"Labels without an audio file: {summary.missing}"
    yield from summary.notes
    if skipped := skipped_line(summary.skipped):
        yield skipped


def _show_problems(library: Library) -> None:
    problems = report.problem_lines(library.problems)
    if not problems:
        return
    table = table_of("Problems", ["what", "reason"], fold=True)
    for what, _, reason in problems[:MOST]:
        table.add_row(what, reason)
    out.print(table)
    if (more := len(problems) - MOST) > 0:
        say(f"… and {more} more")


def _show_costs(costs: Iterable[Cost]) -> None:
    table = table_of("Embedders", ["embedder", "to embed", "time", "disk MB", "weights"])
    for cost in costs:
        time = "not measured" if cost.seconds is None else duration(cost.seconds)
        row = (cost.embedder, str(cost.tracks), time, f"{cost.disk_mb:.1f}", cost.weights or "–")
        table.add_row(*row)
    out.print(table)
    if any(cost.seconds is None for cost in costs):
        say("`musicflow estimate LIBRARY` measures the time on a sample.")
