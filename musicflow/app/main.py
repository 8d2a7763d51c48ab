"""The app's frame: what is open, the sidebar, the pages. Run by `musicflow app`."""

import streamlit as st

from musicflow import embedders
from musicflow.app import sidebar, view
from musicflow.app.cards import errors_shown, plain, player
from musicflow.app.view import View
from musicflow.embedders import EmbedderError
from musicflow.index import Collections
from musicflow.search.lookup import fusion_weights, open_collections, specs_for
from musicflow.settings import Settings


def main() -> None:
    """Draw the frame and the page; show a foreseen error as one sentence."""
    st.set_page_config("musicflow", page_icon=":material/graphic_eq:", layout="wide")
    with errors_shown():
        settings = Settings()
        index = _index(settings, settings.home, repr(fusion_weights(settings)))
        published = _published(settings, index)
        if not published:
            _welcome(settings)
            return
        page = st.navigation(
            [
                st.Page("find.py", title="Find", icon=":material/search:", default=True),
                st.Page("compare.py", title="Compare", icon=":material/compare_arrows:"),
                st.Page("map.py", title="Map", icon=":material/scatter_plot:"),
                st.Page("library.py", title="Library", icon=":material/library_music:"),
            ]
        )
        view.restore()
        st.session_state.view = _view(settings, index, published)
        view.remember()
        page.run()


@st.cache_resource(max_entries=2, show_spinner=False)
def _index(_settings: Settings, home: object, weights: str) -> Collections:  # noqa: ARG001
    return open_collections(_settings)


def _published(settings: Settings, index: Collections) -> list[str]:
    """Return the labels of all collections: first the settings', last the fusions."""
    names = [name for name in index.names() if _is_known(name, settings)]
    first = [spec.label for spec in embedders.specs_for(settings) if spec.label in names]
    return [*first, *(name for name in names if name not in first)]


def _is_known(label: str, settings: Settings) -> bool:
    try:
        return bool(specs_for(label, settings))
    except EmbedderError:
        return False


def _view(settings: Settings, index: Collections, published: list[str]) -> View:
    states = tuple(m.state for label in published if (m := index.manifest(label)) is not None)
    catalogue = view.open_catalogue(settings, states)
    player(catalogue)
    label = sidebar.embedder(published)
    k = sidebar.answers()
    filters = sidebar.filters(view.open_collection(index, label))
    return View(settings, index, catalogue, published, label, k, filters)


def _welcome(settings: Settings) -> None:
    st.title("Welcome to musicflow")
    st.write("Nothing has been indexed yet. Point it at a folder of music, and come back here:")
    st.code("musicflow run ~/Music", language="console")
    st.write("Or try it with 28 small tracks first:")
    st.code("musicflow demo", language="console")
    st.caption(f"This app shows the home {plain(settings.home)}.")
    st.button("Look again", icon=":material/refresh:")


if __name__ == "__main__":
    main()
