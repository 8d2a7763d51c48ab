"""The parts that pages share: errors, the question, and work that takes a while."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from nicegui import events, ui
from pydantic import ValidationError

from musicflow.app import uploads
from musicflow.app.address import MAX_PREFERENCES, Address
from musicflow.app.cards import Deck, go
from musicflow.app.names import clean, known
from musicflow.app.player import Player
from musicflow.app.playlists import PlaylistDialog
from musicflow.app.questions import Open, Question, Wanted
from musicflow.app.service import Service
from musicflow.app.uploads import Upload
from musicflow.audio import AUDIO_SUFFIXES
from musicflow.errors import MusicflowError
from musicflow.search.playlist import SUFFIXES, tracks_in
from musicflow.search.variety import Variety
from musicflow.settings import explain
from musicflow.text import counted

_T = TypeVar("_T")

MATCHES = 8
"""The most matches of a search that are shown."""

FORESEEN = (MusicflowError, ValidationError)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show a foreseen error as one sentence where it happened; the page goes on."""
    try:
        yield
    except FORESEEN as error:
        problem(str(error))
    except OSError as error:
        problem(explain(error))


def problem(sentence: str) -> None:
    """Say what is wrong."""
    with ui.element("p").classes("said problem").props("role=alert"):
        ui.icon("error")
        ui.label(clean(sentence, longest=1000))


def hint(sentence: str, icon: str = "info") -> None:
    """Say what could be done, or why there is nothing to see."""
    with ui.element("p").classes("said"):
        ui.icon(icon)
        ui.label(sentence)


def heading(text: str) -> None:
    """Draw the heading of a part of a page."""
    with ui.element("h2"):
        ui.label(text)


async def waiting(sentence: str, work: Callable[..., _T], *given: object, **named: object) -> _T:
    """Do work in a thread, and say that it goes on if it takes a while."""
    with ui.element("p").classes("said waiting").props("role=status") as line:
        ui.spinner(size="1.2em")
        ui.label(sentence)
    try:
        return await asyncio.to_thread(work, *given, **named)
    finally:
        # Whoever left the page in the meantime took it along.
        if not line.is_deleted:
            line.delete()


class Session:
    """What one page has in its browser: the service, the player, and the address.

    Parameters
    ----------
    service
        Answers.
    player
        Plays.
    """

    def __init__(self, service: Service, player: Player) -> None:
        self.service = service
        self.player = player
        self.address = Address()
        self.shown: tuple[list[str], object] = ([], None)
        self._dialog = PlaylistDialog(
            lambda ids: service.payloads(ids, self.address.embedder or None)
        )

    def save_playlist(self, track_ids: Sequence[str], name: str = "") -> None:
        """Let a person save some tracks as a playlist."""
        self._dialog.open(track_ids, name)

    def open(self) -> Open:
        """Return the collection of the address."""
        return self.service.open(self.address.embedder or None)

    def state(self) -> object:
        """Return what tells the collections that are published from later ones."""
        labels = self.service.labels()
        with suppress(*FORESEEN):
            return labels, self.open().collection.manifest.state
        return labels, None

    @property
    def wanted(self) -> Wanted:
        """Return what answers the address wants."""
        address = self.address
        variety = Variety(address.most or None, address.most_of_album or None, address.apart)
        correct = address.correct or None
        return Wanted(address.k, address.filters, address.embedder or None, correct, variety)

    def question(self) -> Question | None:
        """Return the question of the address; None if it has none.

        Raises
        ------
        QueryError
            If the upload is gone.
        """
        if self.address.upload:
            return Question(upload=self.service.upload(self.address.upload))
        if self.address.text.strip():
            return Question(text=self.address.text)
        return Question(track=self.address.track) if self.address.track else None


def ask(session: Session, *, in_words: bool = False) -> None:
    """Let a person choose the question: by words, by a file, or by chance.

    Parameters
    ----------
    session
        The page's.
    in_words
        Offer a field for a description, if the embedder has a text side.
    """
    with ui.element("div").classes("ask"):
        _search(session)
        # That there is no such collection is said above, and where answers would stand.
        with suppress(*FORESEEN):
            if in_words and session.service.has_text_side(session.open()):
                _describe(session)
        _drop(session)
        ui.button("Surprise me", icon="casino", on_click=lambda: surprise(session)).props(
            "outline no-caps"
        ).classes("do-surprise")


def _search(session: Session) -> None:
    """Draw the field for words: typing finds, Enter picks the first."""
    found: list[str] = []

    def show() -> None:
        matches.clear()
        found[:] = []
        if not (words := (field.value or "").strip()):
            return
        tracks = session.service.catalogue().search(words)
        found[:] = [track.track_id for track in tracks[:MATCHES]]
        with matches:
            for track in tracks[:MATCHES]:
                names = " · ".join(
                    filter(None, [clean(track.name), known(track.artist), clean(track.genre)])
                )
                ui.button(names, on_click=lambda _, one=track.track_id: pick(session, one)).props(
                    "flat no-caps align=left role=option"
                )
            if not tracks:
                ui.label("No track has all these words.")
            elif len(tracks) > MATCHES:
                ui.label(f"{MATCHES} of {len(tracks):,} matches. More words narrow it down.")

    def enter() -> None:
        show()
        if found:
            pick(session, found[0])

    with ui.element("div").classes("search"):
        field = ui.input(placeholder="artist, name, album or genre", on_change=show)
        field.props(
            'outlined dense clearable debounce=150 maxlength=200 aria-label="Search the library"'
        )
        field.on("keydown.enter", enter)
        field.on("keydown.escape", lambda: field.set_value(""))
        with field.add_slot("prepend"):
            ui.icon("search")
        matches = ui.element("div").classes("matches").props("role=listbox aria-label=Matches")


def _describe(session: Session) -> None:
    field = ui.input(value=session.address.text, placeholder="slow piano, rain")
    field.props('outlined dense maxlength=200 aria-label="Or describe the music"')

    def enter() -> None:
        go(session.address.to(text=field.value or "", track="", upload=""))

    field.on("keydown.enter", enter)
    with field.add_slot("prepend"):
        ui.icon("chat")


_REFUSED = {
    "max-file-size": f"A song has at most {uploads.MAX_MB} MB.",
    "accept": "This is neither a kind of audio file nor a playlist (M3U, XSPF, JSON).",
}
"""What to say of a file that the browser does not send, by Quasar's reason."""

_REASONS = "(files) => emit([...new Set(files.map((one) => one.failedPropValidation))])"


def _drop(session: Session) -> None:
    async def take(event: events.UploadEventArguments) -> None:
        with errors_shown():
            content = await event.file.read()
            if event.file.name.lower().endswith(SUFFIXES):
                _like_all(session, content)
                return
            upload = uploads.accept(event.file.name, content)
            go(session.address.to(upload=session.service.keep(upload), track="", text=""))

    def refuse(event: events.GenericEventArguments) -> None:
        for why in event.args:
            ui.notify(_REFUSED.get(why, f"The file was refused ({why})."), type="negative")

    uploader = ui.upload(auto_upload=True, max_file_size=uploads.MAX_MB * 1_000_000, on_upload=take)
    uploader.on("rejected", refuse, js_handler=_REASONS)
    kinds = ",".join([*sorted(AUDIO_SUFFIXES), *SUFFIXES])
    uploader.props(f"accept={kinds}").classes("drop")
    # In the browser: it opens a dialog for files only in answer to a click.
    pick_file = f"() => getElement({uploader.id}).$refs.qRef.pickFiles()"
    button = ui.button("Or drop a song or a playlist", icon="upload_file").props("outline no-caps")
    button.on("click", js_handler=pick_file)


def _like_all(session: Session, content: bytes) -> None:
    """Like the tracks of a playlist."""
    found, unknown = tracks_in(content, session.open().collection)
    if unknown:
        ui.notify(f"Not of the library: {counted(len(unknown), 'track')}.", type="warning")
    address = session.address
    kept = [key for key in address.likes if key not in found]
    likes = tuple([*kept, *found][-MAX_PREFERENCES:])
    dislikes = tuple(key for key in address.dislikes if key not in found)
    go(address.to(likes=likes, dislikes=dislikes))


def pick(session: Session, track_id: str) -> None:
    """Make a track the question."""
    go(session.address.to(track=track_id, text="", upload=""))


def surprise(session: Session) -> None:
    """Choose a random track that passes the filters."""
    with errors_shown():
        _, ids = session.service.tracks(
            "", session.address.filters, session.address.embedder or None
        )
        if ids:
            pick(session, random.choice(ids))
        else:
            ui.notify("No track passes the filters.", type="warning")


def show_question(session: Session, deck: Deck, question: Question) -> list[str]:
    """Draw the question, and return its predicted tags."""
    if question.track is not None:
        # A search says what is wrong with an unknown track, with the nearest ids.
        with suppress(KeyError):
            payload = session.open().collection.payload(question.track)
            with ui.element("div").classes("question"):
                deck.track(payload, ("play", "queue", "radio", "like", "dislike"))
            return list(payload.get("tags") or ())
    elif question.upload is not None:
        _show_upload(deck, question.upload)
    return []


def _show_upload(deck: Deck, upload: Upload) -> None:
    with ui.element("div").classes("question"), ui.element("article").classes("card"):
        with ui.element("div").classes("what"):
            ui.label(clean(upload.name)).classes("name")
            ui.label("from outside the library").classes("about")
        with ui.element("div").classes("actions"):
            for action in ("like", "dislike"):
                deck.preference(action, upload.key, clean(upload.name))
