"""`musicflow weights`: list, fetch, verify and add weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from musicflow import embedders
from musicflow.cli.console import (
    FAILED,
    USAGE,
    JsonOption,
    out,
    print_json,
    say,
    settings_of,
    stop,
    table_of,
)
from musicflow.embedders import EmbedderError, EmbedderSpec, Weights

app = typer.Typer(
    help="The weights of the embedders: their sources and local files.\n\n"
    "On a closed network, set `MUSICFLOW_WEIGHTS_MIRROR` to a folder or an address that holds the "
    "files. Or copy a file here by hand and add it with `musicflow weights add`.\n\n"
    "Example: `musicflow weights list`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def add_to(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="weights")


NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Embedders; all if none is named.")
]


@app.command(name="list")
def list_weights(as_json: JsonOption = False) -> None:
    """Show the source of each embedder's weights, and whether they are here.

    Example: `musicflow weights list`
    """
    cache = settings_of().cache
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
        for spec in _specs_of(None)
        for weights in [_weights_of(spec)]
    ]
    if as_json:
        print_json(rows)
        return
    shown = ("embedder", "state", "licence", "trained_on")
    table = table_of(f"in {cache}", [name.replace("_", " ") for name in shown], fold=True)
    for row in rows:
        table.add_row(*(str(row[name]) for name in shown))
    out.print(table)


@app.command(name="fetch")
def fetch_weights(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Fetch weights and check them; compile what their embedders compute with.

    Example: `musicflow weights fetch openl3`
    """

    def fetch(spec: EmbedderSpec, cache: Path) -> str:
        path = _weights_of(spec).fetch(cache)
        embedders.prepare(spec)
        return str(path)

    _for_weights(names, fetch, as_json)


@app.command(name="verify")
def verify_weights(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Check local weights: the bytes of the file, and the vectors of a test tone.

    Example: `musicflow weights verify musicnn`
    """
    from musicflow.embedders.verification import verify

    cache = settings_of().cache
    rows: list[dict[str, str]] = []
    for spec in _specs_of(names or None):
        if not names and _weights_of(spec).state(cache) == "missing":
            missing = {"compared": "nothing", "reference": "", "found": "its weights are not here"}
            rows.append({"embedder": spec.name, **missing})
            continue
        try:
            rows += [{"embedder": spec.name, **vars(check)} for check in verify(spec, cache)]
        except EmbedderError as error:
            rows.append({"embedder": spec.name, "error": str(error)})
    if as_json:
        print_json(rows)
    else:
        table = table_of("", ["embedder", "compared", "with", "found"], fold=True)
        for row in rows:
            known = (row.get(name, "") for name in ("embedder", "compared", "reference"))
            table.add_row(*known, row.get("found") or row["error"])
        out.print(table)
    if any("error" in row for row in rows):
        raise SystemExit(FAILED)


@app.command(name="add")
def add_weights(
    name: Annotated[str, typer.Argument(help="The embedder.")],
    file: Annotated[Path, typer.Argument(help="The file of its weights.")],
    as_json: JsonOption = False,
) -> None:
    """Check a file of weights, and copy it to the others.

    Example: `musicflow weights add openl3 ~/openl3_audio_mel128_music-v0_4_0.h5.gz`
    """
    _for_weights([name], lambda spec, cache: str(_weights_of(spec).add(file, cache)), as_json)


def _specs_of(names: Sequence[str] | None) -> list[EmbedderSpec]:
    if names is None:
        everyone = map(embedders.spec_or_stand_in, embedders.names())
        return [spec for spec in everyone if spec.weights is not None]
    specs = [embedders.spec_of(name) for name in names]
    if without := [spec.name for spec in specs if spec.weights is None]:
        stop(f"{without[0]} has no weights", USAGE)
    return specs


def _weights_of(spec: EmbedderSpec) -> Weights:
    assert spec.weights is not None
    return spec.weights


def _for_weights(
    names: Sequence[str] | None, do: Callable[[EmbedderSpec, Path], str], as_json: bool
) -> None:
    """Apply `do` to the weights of each embedder; report failures at the end."""
    cache = settings_of().cache
    done: list[dict[str, str]] = []
    for spec in _specs_of(names or None):
        try:
            done.append({"embedder": spec.name, "result": do(spec, cache), "error": ""})
        except EmbedderError as error:
            done.append({"embedder": spec.name, "result": "", "error": str(error)})
    if as_json:
        print_json(done)
    else:
        for row in done:
            say(f"{row['embedder']}: {row['error'] or row['result']}")
    if any(row["error"] for row in done):
        raise SystemExit(FAILED)
