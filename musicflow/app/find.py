"""Find: pick a track, hear it, and hear what sounds like it. Run by `musicflow app`."""

from pathlib import Path
from typing import Any

import streamlit as st

from musicflow.index import Collection, EmbeddedIndex, Filters, Hit
from musicflow.index.filters import Condition
from musicflow.recommend import similar_to_track
from musicflow.settings import Settings


def main() -> None:
    """Draw the page."""
    st.set_page_config("musicflow", layout="centered")
    st.title("musicflow")
    settings = Settings()
    index = EmbeddedIndex(settings.paths.collections)
    published = [label for label in settings.embedders if label in index.names()]
    if not published:
        st.info("Nothing has been indexed yet: start with `musicflow run LIBRARY`.")
        return
    label = st.sidebar.selectbox("Embedder", published)
    with index.open(label) as collection:
        genres = st.sidebar.multiselect("Genres", list(collection.facet("genre")))
        k = st.sidebar.slider("Answers", 1, 30, 10)
        track_id = st.selectbox("Sounds like", sorted(collection.facet("track_id")))
        _show(collection.payload(track_id))
        st.divider()
        for rank, hit in enumerate(_answers(collection, track_id, k, genres), 1):
            _show(hit.payload, f"{rank}. {hit.score:.3f} · ")
            if hit.payload["tags"]:
                st.caption(" · ".join(hit.payload["tags"]))


def _answers(collection: Collection, track_id: str, k: int, genres: list[str]) -> list[Hit]:
    conditions = (Condition("genre", "=", tuple(genres)),) if genres else ()
    return similar_to_track(collection, track_id, k, Filters(conditions))


def _show(track: dict[str, Any], before: str = "") -> None:
    """A track's line and player. Plain text: what tags hold is never taken for markup."""
    st.text(f"{before}{track['artist']} – {track['name']} ({track['genre']})")
    if Path(track["path"]).is_file():
        st.audio(track["path"])
    else:
        st.warning("The file is gone; run musicflow again.")


main()
