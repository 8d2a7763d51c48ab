"""The commands that estimate and choose, and the comparison as a table."""

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from musicflow import address, embedders
from musicflow.cli.console import (
    FAILED,
    USAGE,
    HomeOption,
    JsonOption,
    LibraryArgument,
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
from musicflow.evaluation import Comparison, Row, choice, clusters, report
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.votes import standings_in
from musicflow.index import fused
from musicflow.library import Rules
from musicflow.search import lookup
from musicflow.text import duration


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


WeightOption = Annotated[
    float, typer.Option(min=0.0, callback=_finite, help="Its weight; 0 to ignore it.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(estimate)
    app.command(name="recommend-embedder")(recommend_embedder)
    app.command()(layers)
    app.command()(tune)
    app.command()(votes)
    app.command(name="clusters")(show_clusters)


@takes_settings("embedders", "ignore")
def estimate(
    folder: LibraryArgument,
    given: dict[str, Any],
    sample: Annotated[int, typer.Option(min=2, help="The number of files to measure.")] = 24,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate the time, memory and disk that a library needs, from a sample.

    Embedders without local weights are measured with seeded ones, which cost the same.

    Example: `musicflow estimate ~/Music --embedder musicnn --embedder mfcc`
    """
    from musicflow.pipeline.estimate import estimate as measure

    settings = settings_of(home=home, library=folder, **given)
    specs = [
        embedders.untrained(spec)
        if spec.weights is not None
        and spec.trained
        and spec.weights.state(settings.cache) == "missing"
        else spec
        for spec in (embedders.spec_for(name, settings) for name in settings.embedders)
    ]
    assert settings.library is not None
    rules = Rules.of(settings)
    found = measure(
        settings.library,
        specs,
        settings.cache,
        sample,
        progress,
        rules.ignore,
        limits=rules.limits,
        log=rules.log,
    )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    first = found[0]
    say(
        f"{folder}: {first.files} files, about {first.hours_of_audio:.1f} hours; "
        f"{first.sampled} measured, {first.failed} of them unusable"
    )
    table = table_of("", ["embedder", "time", "95 %", "load s", "memory MB", "disk MB", "device"])
    for one in found:
        low, high = one.interval_s
        table.add_row(
            one.embedder,
            duration(one.seconds),
            f"{duration(low)} – {duration(high)}",
            f"{one.load_s:.1f}",
            f"{one.peak_rss_mb:.0f}",
            f"{one.disk_mb:.1f}",
            one.device,
        )
    out.print(table)
    if any(one.choices for one in found):
        table = table_of(
            "Hearing a part of each track", ["embedder", "heard", "time", "kept", "lowest"]
        )
        for one in found:
            for choice in one.choices:
                heard = f"{choice.coverage_s:g} s" if choice.coverage_s else "all"
                # Of vectors that mean nothing, a loss means nothing.
                meaningful = one.weights != "untrained"
                loss = [
                    f"{value:.3f}" if meaningful else "–" for value in (choice.kept, choice.lowest)
                ]
                table.add_row(one.embedder, heard, duration(choice.seconds), *loss)
        out.print(table)
        say(
            "kept: cosine to the vector of the whole track; 1 is the same, 0 as far as another "
            "track. Choose with --coverage."
        )


def recommend_embedder(
    quality: WeightOption = 1.0,
    speed: WeightOption = 0.25,
    size: WeightOption = 0.1,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose an embedder by the last comparison: quality, speed, vector size.

    Example: `musicflow recommend-embedder --quality 1 --speed 0.5 --size 0`
    """
    comparison = Comparison.load(settings_of(home=home).paths.reports / report.COMPARISON)
    if comparison is None:
        stop("nothing has been compared yet: start with `musicflow run LIBRARY`", USAGE)
    if not any((quality, speed, size)):
        stop("quality, speed and size cannot all be 0", USAGE)
    if comparison.is_void:
        stop(" ".join(report.doubt_lines(comparison)), FAILED)
    found = choice.rank_candidates(comparison.rows, quality, speed, size)
    if not found:
        stop("no embedder with trained weights has figures in the last comparison", USAGE)
    why = choice.reason(comparison, found)
    if as_json:
        rows = [
            {
                "embedder": one.row.embedder,
                choice.QUALITY: one.row.value(choice.QUALITY),
                "tracks_per_s": one.row.tracks_per_s,
                "bytes_per_vector": one.row.bytes_per_vector,
                "score": one.score,
                "on_front": one.on_front,
            }
            for one in found
        ]
        print_json({"choice": found[0].row.embedder, "reason": why, "candidates": rows})
        return
    table = table_of("", ["embedder", "score", "mAP", "tracks/s", "bytes", "front"])
    for one in found:
        costs = (report.cell(one.row, f) for f in ("tracks_per_s", "bytes_per_vector"))
        score = report.score(one.row, choice.QUALITY)
        front = "yes" if one.on_front else ""
        table.add_row(one.row.embedder, f"{one.score:.2f}", score, *costs, front)
    out.print(table)
    say("(front: no other is at least as good in all three and better in one)")
    say(why)


@takes_settings("embedders", "ignore", "exclude")
def layers(
    folder: LibraryArgument,
    given: dict[str, Any],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure every layer of an embedder, embedding each track once.

    A layer is then an embedder like any other: `musicflow run ~/Music --embedder musicnn#cnn3`.

    Example: `musicflow layers ~/Music --embedder musicnn`
    """
    from musicflow.runs import measure_layers

    # Names are looked up among the embedders of the home, so that a label will do.
    names = given.pop("embedders", ())
    if not names:
        stop("no embedder is named: name one as in --embedder musicnn", USAGE)
    settings = settings_of(home=home, library=folder, **given)
    specs = [embedders.spec_for(address.absolute(name), settings) for name in names]
    with others_logged(settings.paths):
        found = [measure_layers(spec, settings, progress) for spec in specs]
    if as_json:
        print_json([asdict(sweep) for sweep in found])
        return
    for sweep in found:
        title = f"{sweep.dataset.name}: {sweep.embedder}, {sweep.n_queries} queries"
        say(title)
        table = table_of("", report.LAYERS_HEAD)
        for line in report.layer_lines(sweep):
            table.add_row(*line)
        out.print(table)
        for note in (f"Protocol: {sweep.protocol}", *report.layer_notes(sweep)):
            say(note)
        page = settings.paths.reports / f"{sweep.file}.html"
        say(f"Report: {page}")


@takes_settings("embedders")
def tune(
    given: dict[str, Any],
    label: Annotated[
        str,
        typer.Option(
            metavar="LABEL",
            help="genre, subgenre, artist, playlist, likes, votes, FILE.csv, or FOLDER/.",
        ),
    ] = "genre",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a space from labels, on vectors that are there, and publish it.

    Several embedders are learned from together. Without any, all of the home are. The space is then
    searched by its name, and each run keeps it up to date.

    Example: `musicflow tune --label genre --embedder musicnn --embedder mfcc`
    """
    from musicflow.runs import tune as learn

    names = given.pop("embedders", ())
    settings = settings_of(home=home)
    text = f"{'+'.join(names or settings.embedders)}@{label}"
    with others_logged(settings.paths):
        [row] = learn([text], settings, progress)
    if as_json:
        print_json(asdict(row))
        return
    show_tuned(row)
    place = "" if home is None else f" --home {settings.home}"
    command = f"musicflow search --embedder {row.embedder} --track TRACK{place}"
    say(f"Search   {command}")


def votes(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show how embedders stand by the votes of the app's blind test.

    Example: `musicflow votes`
    """
    settings = settings_of(home=home)
    found = standings_in(settings.paths.votes, lookup.open_collections(settings))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        say("No vote yet: `musicflow app`, Compare, Blind test.")
        return
    table = table_of("", ["embedder", "against", "votes", "of", "ties", "share", "95 %", "more"])
    for one in found:
        share = "–" if one.share is None else f"{one.share:.2f}"
        more = "settled" if one.is_settled else "–" if one.needed is None else str(one.needed)
        counts = (str(n) for n in (one.wins, one.wins + one.losses, one.ties))
        table.add_row(one.better, one.worse, *counts, share, f"{one.low:.2f}–{one.high:.2f}", more)
    out.print(table)
    say("(more: votes that would settle it if they go on as so far; look as often as you like)")


def show_clusters(
    embedder: Annotated[
        str | None, typer.Option(help="The embedder; the home's first if not given.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the clusters of an embedder by name; with --json, the tracks of each.

    Example: `musicflow clusters --embedder musicnn`
    """
    settings = settings_of(home=home)
    index = lookup.open_collections(settings)
    label = lookup.first_of(settings, index)
    if embedder is not None:
        label, settings = lookup.collection_of(embedder, settings)
    with index.open(label) as collection:
        found = clusters.clusters(collection, settings.paths.reports)
    if as_json:
        print_json(asdict(found))
        return
    section = report.of_clusters(found)
    table = table_of(section.title, section.head, fold=True)
    for line in section.rows:
        table.add_row(*line)
    out.print(table)


def show_tuned(row: Row) -> None:
    """Print the two tables of a tuned space, and what it did."""
    for section in report.tuned_sections(row):
        if section.head:
            table = table_of(section.title, section.head)
            for line in section.rows:
                table.add_row(*line)
            out.print(table)
        for text in section.text:
            say(text)


def show(comparison: Comparison) -> None:
    """Print a comparison's table, with its protocol and its fusions."""
    data, last = comparison.dataset, comparison.rows[-1]
    title = (
        f"{data.name}: {data.tracks} tracks, {data.failed} failed, "
        f"{last.n_queries} queries, chance {report.cell(last, 'chance')}"
    )
    say(title)
    for line in report.doubt_lines(comparison):
        say(line, style="yellow")
    # These fit into 80 columns; the report has the rest.
    shown = report.columns(comparison, "console")
    titles = [t for m in shown for t in ([m.title, "95 %"] if m.name == MAIN else [m.title])]
    table = table_of("", ["embedder", "dim", *titles, "tracks/s", "×real", "MB"])
    for row in comparison.rows:
        scores = []
        for measure in shown:
            scores.append(report.score(row, measure.name))
            if measure.name == MAIN:
                scores.append(report.interval(row))
        costs = (report.cell(row, field) for field in ("tracks_per_s", "x_realtime", "peak_rss_mb"))
        name = fused.short(row.embedder)
        style = None if row.meaningful else "dim"
        table.add_row(name, str(row.dim), *scores, *costs, style=style)
    out.print(table)
    for label in comparison.labels:
        # The mAP of each value of a label is told by the report.
        section = report.by_label(comparison, label, "console")[0]
        by_label = table_of(section.title, section.head)
        for cells in section.rows:
            by_label.add_row(*cells)
        if section.rows:
            out.print(by_label)
        for sentence in section.text:
            say(sentence)
    notes = [f"Protocol: {comparison.protocol}", comparison.protocol.note]
    if named := [
        f"{row.embedder} {report.cell(row, 'licence')}"
        for row in comparison.rows
        if row.kind == "embedder" and row.licence
    ]:
        notes += [f"Licences: {', '.join(named)}", *report.licence_notes(comparison.rows)]
    for note in (*notes, *report.fusion_notes(comparison.rows)):
        if note:
            say(note)
