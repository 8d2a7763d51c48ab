"""The command line: thin commands over the floors below.

Heavy modules (Dagster, MLflow, torch) are imported where they are needed, so that help, a search
or a run with nothing to do answers at once.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from musicflow import __version__, embedders, library, recommend
from musicflow.embedders import UNTRAINED, EmbedderSpec, UnknownEmbedderError, Weights, WeightsError
from musicflow.embedding_store import EmbeddingStore
from musicflow.evaluation import Comparison, report, state_of
from musicflow.index import FilterError, Filters, TrackIndexError, open_index
from musicflow.ingestion import collection_state, is_published
from musicflow.library import Library, LibraryError, demo
from musicflow.recommend import QueryError
from musicflow.settings import LibraryFormat, Settings, remember

app = typer.Typer(
    help="Which audio embedding serves your music best? Measure it, then search with it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)

weights_app = typer.Typer(
    help="The weights of the embedders: what there are, and what is here.\n\n"
    "On a closed network, set `MUSICFLOW_WEIGHTS_MIRROR` to a folder or an address that holds the "
    "files, or get a file by other means and `musicflow weights add` it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(weights_app, name="weights")

out = Console()
err = Console(stderr=True)

_ADVICE = " It comes from"
"""Where a `WeightsError` goes over from what happened to what can be done."""

USAGE = 2
"""Exit code of a question that cannot be answered as it stands."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FAILED = 1
"""Exit code of work that did not come to its end."""

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The folder everything is kept in (or MUSICFLOW_HOME)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
EmbeddersOption = Annotated[
    list[str] | None,
    typer.Option("--embedder", help="An embedder to compare; give it again for more."),
]


def main() -> None:
    """Run the command line; a foreseen error is one sentence and an exit code."""
    try:
        app()
    except (
        FilterError,
        LibraryError,
        QueryError,
        TrackIndexError,
        UnknownEmbedderError,
        WeightsError,
    ) as error:
        _stop(str(error), USAGE)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        _stop(f"the setting {where!r} is not valid: {first['msg']}", USAGE)


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
    settings = _settings(home=home, embedders=embedder)
    root = settings.paths.demo
    if settings.library not in (None, root):
        _stop(
            f"the home {settings.home} holds the library {settings.library}. Give the demo a "
            "home of its own: musicflow demo --home DIR",
            USAGE,
        )
    names = [label.removesuffix(UNTRAINED) for label in settings.embedders]
    labels = _trained_where_possible(names, settings.cache)
    demo.lay_out(root)
    _run(_settings(home=home, library=root, library_format="ludwig", embedders=labels), as_json)


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(metavar="LIBRARY", help="The folder of music.")],
    embedder: EmbeddersOption = None,
    layout: Annotated[
        LibraryFormat | None, typer.Option("--format", help="How the folder is laid out.")
    ] = None,
    untrained: Annotated[
        bool, typer.Option(help="Seeded weights: real dims and speed, no meaningful quality.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed, index and evaluate a folder of music, doing only what is not done yet.

    The library and the embedders are remembered in the home's `musicflow.toml`: Dagster works
    with them from then on.

    Example: `musicflow run ~/Music --embedder musicnn --embedder mfcc`
    """
    given = {"home": home, "library": folder, "library_format": layout, "embedders": embedder}
    settings = _settings(**given)
    if untrained:
        specs = [embedders.spec_of(label) for label in settings.embedders]
        labels = [embedders.untrained(s).label if s.weights else s.label for s in specs]
        settings = _settings(**given | {"embedders": labels})
    _run(settings, as_json)


@app.command()
def compare(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the last comparison.

    Example: `musicflow compare --json`
    """
    settings = _settings(home=home)
    path = settings.paths.reports / report.COMPARISON
    comparison = Comparison.load(path)
    if comparison is None:
        _stop("nothing has been compared yet: start with `musicflow run LIBRARY`", USAGE)
    _show(comparison, settings, as_json)


@app.command()
def search(
    file: Annotated[
        Path | None, typer.Argument(help="An audio file, of the library or not.")
    ] = None,
    track: Annotated[str | None, typer.Option(help="A track of the library, by its id.")] = None,
    embedder: Annotated[str | None, typer.Option(help="The embedder to search with.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many answers.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option("--filter", help="key=value, key!=value or duration_s<120; repeatable."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the tracks that sound most like a file or a track.

    Example: `musicflow search --track calm_acoustic_1 -k 5 --filter genre=acoustic`
    """
    if (file is None) == (track is None):
        _stop("say what to search with: a FILE, or --track ID", USAGE)
    settings = _settings(home=home)
    filters = Filters.parse(where or [])
    index = open_index(settings)
    published = [name for name in settings.embedders if name in index.names()]
    spec = embedders.spec_of(embedder or next(iter(published), settings.embedders[0]))
    with index.open(spec.label) as collection:
        if track is not None:
            hits = recommend.similar_to_track(collection, track, k, filters)
        else:
            assert file is not None
            cache = settings.cache
            hits = recommend.similar_to_file(collection, file, spec, cache, k, filters)
    fields = ("track_id", "artist", "name", "genre", "subgenres", "path")
    answers = [
        {"rank": rank, "score": round(hit.score, 6)} | {f: hit.payload[f] for f in fields}
        for rank, hit in enumerate(hits, 1)
    ]
    if as_json:
        _print_json(answers)
    elif not answers:
        out.print("No track fulfils the filters.")
    else:
        table = _table(f"by {spec.label}", ["", "score", "track", "artist", "name", "genre"])
        for answer in answers:
            cells = [answer[f] for f in ("track_id", "artist", "name", "genre")]
            table.add_row(str(answer["rank"]), f"{answer['score']:.3f}", *map(_plain, cells))
        out.print(table)


@app.command()
def init(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a home ready for Dagster and MLflow. Doing it again changes nothing.

    Example: `musicflow init --home ~/music-lab`
    """
    from musicflow.orchestration.run import prepare

    settings = _settings(home=home)
    prepare(settings.paths)
    if as_json:
        _print_json({"home": str(settings.home)})
    else:
        out.print(f"Ready: {settings.home}", soft_wrap=True)


NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Embedders; all if none is named.")
]


@weights_app.command(name="list")
def list_weights(as_json: JsonOption = False) -> None:
    """Show where each embedder's weights come from, and whether they are here.

    Example: `musicflow weights list`
    """
    cache = _settings().cache
    rows = [
        {
            "embedder": spec.name,
            "state": weights.state(cache),
            "licence": weights.licence,
            "trained_on": weights.trained_on,
            "file": weights.filename,
            "address": weights.address,
            "digest": weights.digest,
            "size": weights.size,
        }
        for spec, weights in _weights_of(None)
    ]
    if as_json:
        _print_json(rows)
        return
    shown = ("embedder", "state", "licence", "trained_on")
    table = _table(f"in {cache}", [name.replace("_", " ") for name in shown], fold=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in shown))
    out.print(table)


@weights_app.command(name="fetch")
def fetch_weights(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Fetch weights and check them.

    Example: `musicflow weights fetch openl3`
    """
    _for_weights(names, lambda weights, cache: str(weights.fetch(cache)), as_json)


@weights_app.command(name="verify")
def verify_weights(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Read the weights that are here through again, and check them.

    Example: `musicflow weights verify musicnn`
    """

    def verify(weights: Weights, cache: Path) -> str:
        weights.verify(cache)
        return str(cache / weights.filename)

    here = [
        s.name for s, w in _weights_of(names) if names or w.state(_settings().cache) != "missing"
    ]
    _for_weights(here, verify, as_json)


@weights_app.command(name="add")
def add_weights(
    name: Annotated[str, typer.Argument(help="The embedder.")],
    file: Annotated[Path, typer.Argument(help="Its weights, got by other means.")],
    as_json: JsonOption = False,
) -> None:
    """Check a file of weights that was got by other means, and take it in.

    Example: `musicflow weights add openl3 ~/openl3_audio_mel128_music-v0_4_0.h5.gz`
    """
    _for_weights([name], lambda weights, cache: str(weights.add(file, cache)), as_json)


def _weights_of(names: Sequence[str] | None) -> list[tuple[EmbedderSpec, Weights]]:
    specs = [embedders.spec_of(name) for name in (embedders.names() if names is None else names)]
    if without := [spec.name for spec in specs if spec.weights is None and names is not None]:
        _stop(f"{without[0]} has no weights", USAGE)
    return [(spec, spec.weights) for spec in specs if spec.weights is not None]


def _for_weights(
    names: Sequence[str] | None, do: Callable[[Weights, Path], str], as_json: bool
) -> None:
    """Do something with the weights of each embedder; one that fails does not stop the rest."""
    cache = _settings().cache
    done: list[dict[str, str]] = []
    for spec, weights in _weights_of(names or None):
        try:
            done.append({"embedder": spec.name, "file": do(weights, cache), "error": ""})
        except WeightsError as error:
            done.append({"embedder": spec.name, "file": "", "error": str(error)})
    if as_json:
        _print_json(done)
    else:
        for row in done:
            out.print(
                f"{row['embedder']}: {_plain(row['error'] or row['file'])}",
                soft_wrap=True,
                highlight=False,
            )
    if any(row["error"] for row in done):
        raise SystemExit(FAILED)


@app.command()
def dagster(
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 3000,
    home: HomeOption = None,
) -> None:
    """Open the Dagster UI on the assets of a home.

    Example: `musicflow dagster --port 3000`
    """
    from musicflow.orchestration.run import prepare

    settings = _settings(home=home)
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
    from musicflow import tracking

    settings = _settings(home=home)
    tracking.prepare(settings.paths)
    uri = tracking.tracking_uri(settings.paths)
    _become(settings, "mlflow", ["server", "--backend-store-uri", uri, "--port", str(port)])


@app.command(name="app")
def app_command(
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 8501,
    home: HomeOption = None,
) -> None:
    """Open the app: find music, compare embedders by ear, see the map.

    Example: `musicflow app --port 8501`
    """
    page = str(Path(__file__).with_name("app") / "main.py")
    options = ["--server.port", str(port), "--server.address", "localhost"]
    _become(_settings(home=home), "streamlit", ["run", page, *options])


def _run(settings: Settings, as_json: bool) -> None:
    for label in settings.embedders:
        embedders.spec_of(label)
    assert settings.library is not None
    files = library.scan(settings.library, settings.paths.library, _progress)
    found = library.join(settings.library, files, settings.library_format)
    comparison = _unchanged(settings, found)
    if comparison is not None:
        err.print(f"Nothing changed since {comparison.created}.")
    else:
        kept = ("library", "library_format", "embedders")
        remember(settings.paths, **{name: getattr(settings, name) for name in kept})
        comparison = _materialize(settings)
    _show(comparison, settings, as_json)


def _unchanged(settings: Settings, found: Library) -> Comparison | None:
    """The last comparison, if it is what a run would come to again."""
    home = settings.paths
    comparison = Comparison.load(home.reports / report.COMPARISON)
    if comparison is None or comparison.mlflow_run_id is None:
        return None
    store, index = EmbeddingStore(home.embeddings), open_index(settings)
    states = []
    for spec in map(embedders.spec_of, settings.embedders):
        if store.unavailable(spec) and _why_unavailable(spec, settings.cache):
            states.append((spec, ""))
            continue
        known = store.known(spec)
        if any(track.content_hash not in known for track in found.tracks):
            return None
        usable = [track for track in found.tracks if not known[track.content_hash]]
        state, manifest = collection_state(usable, spec), index.manifest(spec.label)
        if manifest is None or not is_published(manifest, state, index):
            return None
        states.append((spec, state))
    return comparison if comparison.state == state_of(found, states) else None


def _why_unavailable(spec: EmbedderSpec, cache: Path) -> str:
    """Why the weights are not there and cannot be fetched now; empty if they are or can."""
    try:
        if spec.weights is not None and spec.trained:
            spec.weights.fetch(cache)
    except WeightsError as error:
        return str(error)
    return ""


def _trained_where_possible(labels: Iterable[str], cache: Path) -> tuple[str, ...]:
    """Labels, those whose weights cannot be had replaced by untrained ones, and said so."""
    chosen = []
    for spec in map(embedders.spec_of, labels):
        if why := _why_unavailable(spec, cache):
            reason = why.partition(_ADVICE)[0]
            err.print(f"{spec.name} runs untrained: {_plain(reason)}", soft_wrap=True)
            spec = embedders.untrained(spec)
        chosen.append(spec.label)
    return tuple(chosen)


def _materialize(settings: Settings) -> Comparison:
    with err.status("Starting…"):
        from musicflow.orchestration.run import materialize
    try:
        failed = materialize(settings, lambda _context: _progress)
    except KeyboardInterrupt:
        _stop("interrupted; what was done is kept for the next run", INTERRUPTED)
    comparison = Comparison.load(settings.paths.reports / report.COMPARISON)
    told = {row.error for row in comparison.rows} if comparison is not None else set()
    for asset, reason in failed.items():
        if reason not in told:
            err.print(f"[red]{asset} failed:[/red] {_plain(reason)}", soft_wrap=True)
    if comparison is None or any("/" not in asset for asset in failed):
        _stop("the run did not come to its end; what was done is kept for the next one", FAILED)
    if all(row.precision_at_10 is None for row in comparison.rows if row.embedder != "random"):
        _stop("no embedder could be evaluated", FAILED)
    return comparison


def _show(comparison: Comparison, settings: Settings, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(comparison))
        return
    data, last = comparison.dataset, comparison.rows[-1]
    title = (
        f"{data.name}: {data.tracks} tracks, {data.failed} failed, "
        f"{last.n_queries} queries, chance {report.cell(last, 'chance')}"
    )
    # What fits into 80 columns; the title and the labels say the rest.
    without = ("weights", "chance", "n_queries")
    columns = [column for column in report.COLUMNS if column[0] not in without]
    table = _table(title, [name for _, name in columns])
    for row in comparison.rows:
        style = "dim" if row.embedder == "random" or row.weights == "untrained" else None
        table.add_row(*(report.cell(row, field) for field, _ in columns), style=style)
    out.print(table)
    if any(row.weights == "untrained" for row in comparison.rows):
        out.print(report.UNTRAINED_NOTE)
    for row in comparison.rows:
        if row.error:
            reason = row.error.partition(_ADVICE)[0]
            out.print(f"{row.embedder}: {_plain(reason)}", soft_wrap=True, highlight=False)
    if any(_ADVICE in row.error for row in comparison.rows):
        out.print("How to get weights by other means: musicflow weights --help")
    if comparison.problems:
        problems = _table("Problems", ["what", "stage", "reason"], fold=True)
        for line in report.summary(comparison.problems):
            problems.add_row(*map(_plain, line))
        out.print(problems)
    _show_where_next(settings)


def _show_where_next(settings: Settings) -> None:
    typed = Path(sys.argv[0])
    program = typed.name if shutil.which(typed.name) else str(typed)
    known = Settings().home == settings.home
    option = "" if known else f" --home {settings.home}"
    track = Library.load(settings.paths.library).tracks[0].track_id
    lines = {
        "Report": settings.paths.reports / "comparison.md",
        "Search": f"{program} search --track {shlex.quote(track)}{option}",
        "Dagster": f"{program} dagster{option}",
        "MLflow": f"{program} mlflow{option}",
        "App": f"{program} app{option}",
    }
    out.print()
    for name, text in lines.items():
        out.print(f"{name:8} {_plain(text)}", soft_wrap=True, highlight=False)


def _settings(**given: Any) -> Settings:
    return Settings(**{name: value for name, value in given.items() if value})


def _progress(items: Iterable, title: str, total: int) -> Iterator:
    if not total:
        yield from items
        return
    bar = BarColumn(bar_width=None)
    text = TextColumn("{task.description}")
    left = TimeRemainingColumn()
    with Progress(text, bar, MofNCompleteColumn(), left, console=err, transient=True) as progress:
        yield from progress.track(items, total=total, description=title)


def _table(title: str, columns: Sequence[str], fold: bool = False) -> Table:
    table = Table(
        title=_plain(title),
        title_justify="left",
        box=None,
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in columns:
        table.add_column(name, overflow="fold" if fold else "ellipsis", no_wrap=not fold)
    return table


def _plain(text: object) -> str:
    """Text from files, with what Rich would take for markup left as it is."""
    return escape(str(text))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _become(settings: Settings, program: str, arguments: list[str]) -> NoReturn:
    path = Path(sys.executable).with_name(program)
    environment = os.environ | {
        "MUSICFLOW_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.paths.dagster),
    }
    os.execve(path, [program, *arguments], environment)


def _stop(message: str, code: int) -> NoReturn:
    err.print(f"[red]error:[/red] {_plain(message)}", soft_wrap=True, highlight=False)
    raise SystemExit(code)
