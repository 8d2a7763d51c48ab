"""The program: all commands together, and their errors as sentences.

A command's module is imported when the command is called or shown, so a search does not wait for
what a run needs.
"""

import gc
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from musicflow import __version__
from musicflow.cli.console import home_in_use, out, show_log, show_what_can_be_shown, stop
from musicflow.extras import quick_imports

COMMANDS = {
    "search": ("search", "recommend", "path", "why", "duplicates", "export"),
    "evidence": ("estimate", "recommend-embedder", "layers", "tune", "votes", "clusters"),
    "run": ("demo", "run", "compare"),
    "pages": ("init", "dagster", "mlflow", "app"),
    "doctor": ("doctor",),
    "library": ("library",),
    "embedders": ("embedders",),
    "index": ("index",),
    "weights": ("weights",),
}
"""The commands that each module of `musicflow.cli` adds, in the order of the help."""

_MODULES = {name: module for module, names in COMMANDS.items() for name in names}

_MARKUP: Final = "markdown"


class _Commands(Mapping[str, Any]):
    """All commands, by name."""

    def __getitem__(self, name: str) -> Any:
        return commands_of(_MODULES[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


@cache
def commands_of(module: str) -> Mapping[str, Any]:
    """Return the commands that a module of `musicflow.cli` adds, by name."""
    program = typer.Typer(rich_markup_mode=_MARKUP)
    with quick_imports():
        import_module(f"musicflow.cli.{module}").add_to(program)
    return typer.main.get_group(program).commands


class _Program(TyperGroup):
    def __init__(self, **about: Any) -> None:
        super().__init__(**about | {"commands": _Commands()})


app = typer.Typer(
    cls=_Program,
    help="Which audio embedding serves your music best? Measure it, then search with it.",
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
    pretty_exceptions_show_locals=False,
)


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
        from musicflow.cli.errors import sentence_of

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
