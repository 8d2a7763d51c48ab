"""The program: all commands together, and their errors as sentences."""

import gc
from typing import Annotated

import typer

from musicflow import __version__
from musicflow.cli import doctor, embedders, evidence, index, library, pages, run, search, weights
from musicflow.cli.console import home_in_use, out, show_log, show_what_can_be_shown, stop
from musicflow.cli.errors import sentence_of

app = typer.Typer(
    help="Which audio embedding serves your music best? Measure it, then search with it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)

for commands in (search, evidence, run, pages, doctor):
    commands.add_to(app)
app.add_typer(library.app, name="library")
app.add_typer(embedders.app, name="embedders")
app.add_typer(index.app, name="index")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line. An error prints one sentence and sets the exit code."""
    show_what_can_be_shown()
    show_log()
    # A library is hundreds of thousands of small objects, none of them garbage: to look for cycles
    # among them as often as Python does takes a fifth of a run.
    gc.set_threshold(50_000, 20, 100)
    try:
        app()
    except Exception as error:
        stop(*sentence_of(error, home_in_use()))
    finally:
        # Python would look through all of it once more before it exits, for a second or two.
        gc.freeze()


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit
