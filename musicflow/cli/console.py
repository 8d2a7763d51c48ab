"""Options, tables, progress and errors that the commands share."""

import io
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from musicflow.settings import HOME, Home, HomeError, Settings, expanded
from musicflow.text import shown


class _Console(Console):
    """A console on which all texts are `plain`: they come from files as often as from here."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*map(_plain, objects), **how)


def _plain(printed: Any) -> Any:
    return Text(plain(printed)) if isinstance(printed, str) else printed


# A pipe has no width, so that nothing is cut for it.
out = _Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000)
err = _Console(stderr=True)

USAGE = 2
"""The exit code of a command that was given wrong or missing arguments."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in shells."""

FAILED = 1
"""The exit code of work that failed."""

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The folder of all results (or set MUSICFLOW_HOME)."),
]
LibraryArgument = Annotated[
    str,  # A path would lose the slashes of an address.
    typer.Argument(
        metavar="LIBRARY",
        help="The folder of music, or an address such as s3://bucket/music.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(home: Path | None = None, **given: Any) -> Settings:
    """Return the settings of a home, with the options that were given; None is a value."""
    settings = Settings(**given if home is None else given | {"home": home})
    _homes.append(settings.paths)
    return settings


_homes: list[Home] = []


def home_in_use() -> Home:
    """Return the home that the command worked on, or would have."""
    if _homes:
        return _homes[-1]
    try:
        return Home(expanded(Path(os.environ.get("MUSICFLOW_HOME", HOME))).absolute())
    except HomeError:
        return Home(Path(tempfile.gettempdir(), "musicflow"))


_LINE_EVERY_S = 10.0


def progress(items: Iterable, title: str, total: int) -> Iterator:
    """Iterate with a progress bar; with a line every ten seconds where it is no terminal."""
    if not total:
        yield from items
        return
    if not err.is_terminal:
        last = time.monotonic()
        if total == 1:
            # One piece of work may take minutes, and has no parts to count.
            say(f"{title} …", err)
        for number, item in enumerate(items):
            if time.monotonic() - last > _LINE_EVERY_S:
                last = time.monotonic()
                say(f"{title}: {number} of {total}", err)
            yield item
        return
    bar = BarColumn(bar_width=None)
    text = TextColumn("{task.description}", markup=False)
    left = TimeRemainingColumn()
    columns = (text, bar, MofNCompleteColumn(), left)
    with Progress(*columns, console=err, transient=True, redirect_stderr=False) as bars:
        yield from bars.track(items, total=total, description=plain(title))


class _Others(io.TextIOBase):
    """Standard error for what this program is made of: a log, which may be on a full disk."""

    def __init__(self, log: Path, terminal: TextIO) -> None:
        self._log, self._terminal = log, terminal

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(text)
        return len(text)

    def fileno(self) -> int:
        return self._terminal.fileno()


@contextmanager
def others_logged(home: Home) -> Iterator[None]:
    """Leave standard error to our own sentences; what others write to it goes to the home's log.

    Dagster and MLflow write the SQL and tracebacks of errors that they raise, too.
    """
    terminal = sys.stderr
    err.file = terminal
    try:
        with redirect_stderr(_Others(home.error_log, terminal)):
            yield
    finally:
        err.file = None  # type: ignore[assignment]


class _Lines(logging.Handler):
    """Prints each record as a plain line, above a progress bar if one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), err)


def show_log() -> None:
    """Show this package's warnings and notices on standard error."""
    log = logging.getLogger("musicflow")
    log.setLevel(logging.INFO)
    log.handlers = [_Lines()]


class _Table(Table):
    """A table of plain texts."""

    def add_row(self, *cells: Any, **how: Any) -> None:
        super().add_row(*map(self._cell, cells), **how)

    def _cell(self, text: object) -> Text:
        return Text(plain(text))


class _Cut(_Table):
    """A table whose cells stay on one line; the widest columns are cut first."""

    def _cell(self, text: object) -> Text:
        # The cell rather than its column: Rich cuts columns that may not wrap all alike, until
        # nothing is left of the short ones.
        return Text(plain(text), no_wrap=True, overflow="ellipsis")


def table_of(title: str, columns: Sequence[str], fold: bool = False) -> Table:
    """Return an empty table that fits a terminal: long cells are cut, or folded."""
    table = (_Table if fold else _Cut)(
        title=Text(plain(title), "table.title") if title else None,
        title_justify="left",
        box=None,
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in columns:
        head = Text(name, no_wrap=not fold, overflow="ellipsis")
        table.add_column(head, overflow="fold" if fold else "ellipsis")
    return table


def plain(text: object) -> str:
    """Return a text from outside on one line, without what a terminal obeys; see `shown`."""
    return shown(str(text))


def say(text: object, console: Console = out, style: str = "") -> None:
    """Print a text on one line, however long: terminals break it."""
    console.print(str(text), soft_wrap=True, style=style)


def print_json(value: object) -> None:
    """Print JSON to standard output, in UTF-8 whatever the terminal's encoding.

    Numbers that are not finite, which JSON has not, are null.
    """
    how: dict[str, Any] = {"indent": 2, "ensure_ascii": False, "allow_nan": False}
    try:
        text = json.dumps(value, **how)
    except ValueError:
        text = json.dumps(_of_finite(value), **how)
    # Half a character, which names of files can hold, becomes JSON's own escape.
    print_bytes(f"{text}\n".encode("utf-8", "backslashreplace"))


def _of_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _of_finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_of_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_bytes(content: bytes) -> None:
    """Write to standard output, as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def show_what_can_be_shown() -> None:
    """Let tables and sentences replace what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def stop(message: str, code: int) -> NoReturn:
    """End the command with a sentence and an exit code."""
    err.print(Text.assemble(("error:", "red"), " ", plain(message)), soft_wrap=True)
    raise SystemExit(code)
