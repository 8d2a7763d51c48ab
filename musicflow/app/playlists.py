"""Saving a playlist: in which format, and how it names files."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from musicflow.app.names import clean
from musicflow.errors import MusicflowError
from musicflow.search.playlist import MEDIA_TYPES, Paths, playlist
from musicflow.text import counted

_NO_NAME = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
"""Signs that some file systems do not take in a name."""

_TOLD = 8
"""The most tracks that are said to be left out, one by one."""


class PlaylistDialog:
    """Asks how a playlist is to be written, and hands it to the browser.

    What was chosen is proposed for the next one.

    Parameters
    ----------
    payloads
        Given track ids, returns what is known of them.
    """

    def __init__(self, payloads: Callable[[Sequence[str]], list[dict[str, Any]]]) -> None:
        self._payloads = payloads
        self._track_ids: Sequence[str] = ()
        self._name = ""
        with ui.dialog() as self._dialog, ui.card().classes("saving"):
            self._title = ui.label().classes("name")
            self._form = ui.toggle(list(MEDIA_TYPES), value="m3u8").props("no-caps")
            self._relative_to = _field("Paths start from this folder", "/music")
            self._mapped = _field("For a player that sees files elsewhere", "/music=/data/music")
            self._problem = ui.label().classes("said problem").props("role=alert")
            with ui.element("div").classes("links"):
                save = ui.button("Save", icon="download", on_click=self._save)
                save.props("no-caps").classes("do-save-file")
                ui.button("Cancel", on_click=self._dialog.close).props("flat no-caps")

    def open(self, track_ids: Sequence[str], name: str = "") -> None:
        """Ask for some tracks; the file gets a name."""
        self._track_ids, self._name = track_ids, _NO_NAME.sub("-", name) or "playlist"
        self._title.set_text(f"{clean(self._name)} · {counted(len(track_ids), 'track')}")
        self._problem.set_text("")
        self._dialog.open()

    def _save(self) -> None:
        form = self._form.value
        try:
            paths = Paths.read(self._relative_to.value or "", self._mapped.value or "")
            written = playlist(self._payloads(self._track_ids), form, paths)
        except MusicflowError as error:
            self._problem.set_text(clean(error, 300))
            return
        for one in written.left_out[:_TOLD]:
            ui.notify(clean(one, 300), type="warning")
        if (more := len(written.left_out) - _TOLD) > 0:
            ui.notify(f"{more:,} more are left out.", type="warning")
        ui.download.content(
            written.text.encode("utf-8", "surrogateescape"),
            f"{self._name}.{form}",
            MEDIA_TYPES[form],
        )
        self._dialog.close()


def _field(label: str, example: str) -> ui.input:
    field = ui.input(label, placeholder=example)
    return field.props("outlined dense clearable stack-label maxlength=1000")
