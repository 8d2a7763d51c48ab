"""The app's frame: what is open, the sidebar, the pages. Run by `musicflow app`."""

import streamlit as st

from musicflow.app import sidebar, view
from musicflow.app.cards import errors_shown, plain, player
from musicflow.app.view import View
from musicflow.index import Collections
from musicflow.search import lookup
from musicflow.settings import Settings


def main() -> None:
    """Draw the frame and the page; show a foreseen error as one sentence."""
    st.set_page_config("musicflow", page_icon=":material/graphic_eq:", layout="wide")
    with errors_shown():
        settings = Settings()
        index = _index(settings, settings.home, repr(lookup.fusion_weights(settings)))
        published = lookup.published(settings, index)
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
    return lookup.open_collections(_settings)


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
