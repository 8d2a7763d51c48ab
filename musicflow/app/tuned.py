"""Tuned spaces on the page of the library: learn one, and hear what it moved."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nicegui import ui

from musicflow.app.cards import Deck
from musicflow.app.names import clean
from musicflow.app.shared import Session, errors_shown, heading, problem, waiting
from musicflow.evaluation import Row, report
from musicflow.evaluation.results import Moved
from musicflow.index import Hit
from musicflow.tuning.sources import LABELS, PREFERENCES

_PROGRAM = [sys.executable, "-c", "from musicflow.cli import main; main()"]


def spaces(session: Session) -> None:
    """Show the tuned spaces that were measured, and offer to learn one."""
    heading("Tuned spaces")
    comparison = session.service.comparison()
    for row in comparison.rows if comparison is not None else ():
        if row.tuned is not None:
            with ui.expansion(clean(row.embedder), icon="tune"), errors_shown():
                _space(session, row)
    labels = [*LABELS, *PREFERENCES]
    with ui.row(align_items="center"):
        chosen = ui.select(labels, value=labels[0], label="Learn from").classes("tune-label")

        async def press() -> None:
            home = session.service.settings.home
            reason = await waiting("Learning …", learn, home, str(chosen.value))
            if reason:
                problem(reason)
            else:
                ui.navigate.reload()

        ui.button("Learn", icon="tune", on_click=press).classes("tune")


def learn(home: Path, label: str) -> str:
    """Learn a space as `musicflow tune` does, in a process of its own; return why it could not."""
    command = [*_PROGRAM, "tune", "--label", label, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


def _space(session: Session, row: Row) -> None:
    assert row.tuned is not None
    for section in report.tuned_sections(row):
        if section.is_folded:
            continue
        names = _apart(section.head)
        ui.table(rows=[dict(zip(names, line, strict=True)) for line in section.rows]).props(
            "flat dense"
        )
        for text in section.text:
            ui.label(clean(text, 1000)).classes("about")
    for title, moved in (("Came closer", row.tuned.closer), ("Moved away", row.tuned.away)):
        if moved:
            ui.label(title)
            _moved(session, row.embedder, moved)


def _apart(head: Sequence[str]) -> list[str]:
    """Return names of columns; a table takes a name once."""
    return [f"{name} of {head[n - 1]}" if name == "95 %" else name for n, name in enumerate(head)]


def _moved(session: Session, name: str, moved: Sequence[Moved]) -> None:
    """Draw pairs of tracks to hear: a query, and the track whose rank changed."""
    payloads = session.service.payloads([t for one in moved for t in (one.query, one.track)], name)
    notes = [text for one in moved for text in ("", f"{one.before} → {one.after}")]
    hits = [Hit(payload["track_id"], 0.0, payload) for payload in payloads]
    deck = Deck(session.address, session.player, name)
    if len(hits) == len(notes):
        deck.answers(hits, "moved", actions=("play",), notes=notes)
