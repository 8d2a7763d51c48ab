"""`musicflow embedders`: list what there is to choose from, and check one."""

from dataclasses import asdict
from typing import Annotated

import typer

from musicflow import embedders
from musicflow.cli.console import (
    FAILED,
    HomeOption,
    JsonOption,
    out,
    print_json,
    say,
    settings_of,
    table_of,
)
from musicflow.embedders import catalogue
from musicflow.embedders.catalogue import Offer

app = typer.Typer(rich_markup_mode="markdown", invoke_without_command=True)


def add_to(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="embedders")


_KINDS = {
    "here": "Here",
    "named": "Named by the settings",
    "known": "Known outside (none was tried with trained weights)",
}


@app.callback()
def list_embedders(
    context: typer.Context, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show the embedders that are here, and known ones outside with their licences.

    Example: `musicflow embedders`
    """
    if context.invoked_subcommand is not None:
        return
    offers = catalogue.offers(embedders.specs_for(settings_of(home=home)))
    if as_json:
        print_json([asdict(offer) | {"commercial": offer.is_commercial} for offer in offers])
        return
    for kind, title in _KINDS.items():
        _show(title, [offer for offer in offers if offer.kind == kind])
    say("* not for commercial use")
    say("A name of your own: NAME=ADDRESS, or [aliases.NAME] in musicflow.toml.")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="An embedder's name, alias or address.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try an embedder on made-up sounds: does it repeat itself, do sounds differ, how fast is it.

    Example: `musicflow embedders check hear:my_module`
    """
    from musicflow.pipeline.check import check as try_out

    settings = settings_of(home=home)
    spec = embedders.spec_for(name, settings)
    found = try_out(spec, settings.cache)
    if as_json:
        facts = {"embedder": spec.label, "spec_hash": spec.hash, "licence": spec.licence}
        print_json(facts | asdict(found))
    else:
        speed = "hears no audio"
        if found.x_realtime is not None:
            speed = f"{found.x_realtime:.0f} times real time on {found.device}, without decoding"
        lines = {
            "embedder": spec.label,
            "what": spec.summary,
            "spec": spec.hash,
            "vectors": f"{spec.dim} dims, layer {spec.layer}",
            "windows": f"{spec.window_s:g} s at {spec.sample_rate} Hz, every {spec.hop_s:g} s",
            "licence": catalogue.marked(spec.licence),
            "loading": f"{found.load_s:.1f} s",
            "speed": speed,
            "faults": "none" if not found.faults else "",
        }
        for title, text in lines.items():
            say(f"{title:9} {text}")
        for fault in found.faults:
            say(f"  {fault.code}: {fault.reason}")
    if any(fault.code != "remote-code" for fault in found.faults):
        raise SystemExit(FAILED)


def _show(title: str, offers: list[Offer]) -> None:
    if not offers:
        return
    columns = ["name", "dims", "Hz", "window", "size", "licence", "genres, as published"]
    table = table_of(title, columns, fold=True)
    for offer in offers:
        facts = (f"{offer.dim}", f"{offer.sample_rate}", f"{offer.window_s:g} s")
        unknown = offer.error and ("", "", "")
        cells = (
            offer.name,
            *(unknown or facts),
            offer.size,
            catalogue.marked(offer.licence),
            offer.genre,
        )
        table.add_row(*cells)
    out.print(table)
    for offer in offers:
        words = "takes words" if offer.text else ""
        how = ". ".join(filter(None, (offer.error, offer.address, words, offer.install)))
        if how:
            say(f"{offer.name}: {how}")
    out.print()
