"""`musicflow index`: list, roll back and copy the published collections."""

from dataclasses import asdict
from typing import Annotated

import typer

from musicflow.cli.console import (
    USAGE,
    HomeOption,
    JsonOption,
    err,
    out,
    print_json,
    progress,
    say,
    settings_of,
    stop,
    table_of,
)
from musicflow.index import EmbeddedIndex, Manifest, open_index

app = typer.Typer(
    help="The published collections.\n\nExample: `musicflow index list`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def add_to(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="index")


NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Collections; all if none is named.")
]


@app.command(name="list")
def list_collections(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the published collections, and where they are.

    Example: `musicflow index list`
    """
    index = open_index(settings_of(home=home))
    manifests = [index.manifest(name) for name in index.names()]
    _show([manifest for manifest in manifests if manifest is not None], as_json)
    say(index.describe(), err)


@app.command()
def rollback(
    names: NamesArgument = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Publish the previous version again. A second rollback returns to the newer one.

    The next run publishes again what is out of date.

    Example: `musicflow index rollback musicnn`
    """
    index = open_index(settings_of(home=home))
    _show([index.rollback(name) for name in names or index.names()], as_json)


@app.command()
def copy(
    to: Annotated[str, typer.Option(help="The address of a Qdrant server.")],
    names: NamesArgument = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the home's collections to a server, without embedding again.

    The server's key is read from MUSICFLOW_QDRANT_API_KEY. Set MUSICFLOW_QDRANT_URL to search
    on the server from then on.

    Example: `musicflow index copy --to http://localhost:6333`
    """
    settings = settings_of(home=home)
    source = EmbeddedIndex(settings.paths.collections)
    target = open_index(settings.model_copy(update={"qdrant_url": to}))
    chosen = names or source.names()
    if not chosen:
        stop("nothing has been indexed yet: start with `musicflow run LIBRARY`", USAGE)
    copied = []
    for name in chosen:
        with source.open(name) as collection:
            count = collection.manifest.count
            target.publish(
                name, collection.manifest, progress(collection.scroll(), f"Copying {name}", count)
            )
            copied.append(collection.manifest)
    _show(copied, as_json)


def _show(manifests: list[Manifest], as_json: bool) -> None:
    shown = ("embedder", "count", "dim", "quantization", "spec_hash", "state")
    rows = [{name: asdict(manifest)[name] for name in shown} for manifest in manifests]
    if as_json:
        print_json(rows)
        return
    table = table_of("", ["collection", "tracks", *shown[2:]])
    for row in rows:
        table.add_row(*row.values())
    out.print(table)
