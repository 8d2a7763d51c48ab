"""The frame: the header, the drawer with the filters, the pages, and the player below them all.

The address is the state: a click goes to another address, and the page is drawn from it anew. So
Back, Forward and shared links restore everything. The player stands outside, and plays on.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import PageArguments, ui
from nicegui.page_arguments import RouteMatch

from musicflow.app.address import Address
from musicflow.app.cards import go
from musicflow.app.compare import compare
from musicflow.app.filters import filters
from musicflow.app.find import find
from musicflow.app.library import library
from musicflow.app.map import map_page
from musicflow.app.names import clean
from musicflow.app.player import Player
from musicflow.app.service import Service
from musicflow.app.shared import Session, errors_shown, heading, problem

Draw = Callable[[Session], Awaitable[None]]
"""A function that draws a page."""

PAGES: dict[str, tuple[str, str, Draw]] = {
    "/": ("Find", "search", find),
    "/compare": ("Compare", "compare_arrows", compare),
    "/map": ("Map", "scatter_plot", map_page),
    "/library": ("Library", "library_music", library),
}
"""The title, icon and drawing of each page, by its path."""

STYLE = Path(__file__).with_name("style.css")


_DROP = """<script>
// A song that is dropped anywhere goes to the page's uploader.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const input = document.querySelector(".drop input[type=file]");
  if (!input || !event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
</script>"""


class Pages(ui.sub_pages):
    """The pages; a view of the same page keeps the place where it was scrolled to."""

    def _handle_scrolling(self, match: RouteMatch, *, behavior: str) -> None:
        if self._last_path != match.path:
            super()._handle_scrolling(match, behavior=behavior)
        self._last_path = match.path

    _last_path = ""


def root(service: Service) -> None:
    """Draw the frame, and the page of the address in it.

    Parameters
    ----------
    service
        Answers.
    """
    ui.add_css(STYLE)
    ui.colors(primary="#6d4aed")
    ui.add_head_html(_DROP)
    ui.page_title("musicflow")
    with errors_shown():
        if not service.labels():
            _welcome(service)
            return
        _frame(service)


def _frame(service: Service) -> None:
    with ui.footer().classes("footer"):
        player = Player(lambda ids: session.save_playlist(ids))
    session = Session(service, player)
    with ui.right_drawer(value=None, bordered=True).props("width=300 aria-label=Filters") as drawer:
        panel = ui.element("div")
    with ui.header().classes("header"):
        links = _navigation()
        embedder = ui.element("div").classes("embedder")
        ui.button(icon="tune", on_click=drawer.toggle).props(
            'flat round aria-label="Filters"'
        ).classes("do-filters")

    drawn_for: tuple[object, object] = None, None
    update: Callable[[], object] | None = None

    def around(address: Address) -> None:
        """Bring what stands around the page up to date with an address."""
        nonlocal drawn_for, update
        session.address = address
        title = PAGES[address.page][0] if address.page in PAGES else "musicflow"
        ui.page_title(f"{title} · musicflow")
        for path, link in links.items():
            # Another page keeps the embedder, the filters and the likes.
            link.props["href"] = address.to(page=path).url
            link.props["aria-current"] = "page" if path == address.page else "false"
            link.update()
        # A click leaves most as it is, and should cost no more than its answers.
        now = (address.embedder, session.state()), session.wanted
        if drawn_for[0] != now[0]:
            embedder.clear()
            panel.clear()
            with embedder, errors_shown():
                _embedder(session)
            with panel:
                update = filters(session)
        elif update is not None and drawn_for[1] != now[1]:
            update()
        drawn_for = now

    def drawn(draw: Draw) -> Callable[[PageArguments], Awaitable[None]]:
        async def page(arguments: PageArguments) -> None:
            around(Address.parse(arguments.path, arguments.query_parameters))
            await draw(session)

        # The parameter's annotation is how the arguments are handed over.
        page.__annotations__["arguments"] = PageArguments
        return page

    with ui.element("div").classes("page"):
        Pages({path: drawn(draw) for path, (_, _, draw) in PAGES.items()})


def _navigation() -> dict[str, ui.link]:
    links = {}
    ui.link("musicflow", "/").classes("logo")
    with ui.element("nav").props('aria-label="Pages"'):
        for path, (title, icon, _) in PAGES.items():
            with ui.link(target=path) as link:
                ui.icon(icon)
                ui.label(title)
            links[path] = link
    return links


def _embedder(session: Session) -> None:
    published = session.service.labels()
    chosen = session.address.embedder
    if chosen and chosen not in published:
        problem(f"There is no collection {clean(chosen)!r}.")
    ui.select(
        list(published),
        value=chosen if chosen in published else session.service.open().label,
        on_change=lambda event: go(session.address.to(embedder=event.value)),
    ).props('dense outlined aria-label="Embedder"')


def _welcome(service: Service) -> None:
    with ui.element("div").classes("page welcome"):
        heading("Welcome to musicflow")
        ui.label("Nothing has been indexed yet. Point it at a folder of music, and come back here:")
        ui.code("musicflow run ~/Music", language="console")
        ui.label("Or try it with 28 small tracks first:")
        ui.code("musicflow demo", language="console")
        ui.label(f"This app shows the home {clean(service.settings.home, 300)}.").classes("about")
        ui.button("Look again", icon="refresh", on_click=ui.navigate.reload)
