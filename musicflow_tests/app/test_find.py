from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from musicflow.app import __file__ as package
from musicflow.embedders import mfcc
from musicflow.embedding_store import EmbeddingStore
from musicflow.index import EmbeddedIndex
from musicflow.ingestion import build_collection, embed_tracks
from musicflow.library import join, scan
from musicflow.settings import Home

PAGE = str(Path(package).with_name("find.py"))


@pytest.fixture
def page(music: Path, home: Home) -> AppTest:
    library = join(music, scan(music, home.library))
    store = EmbeddingStore(home.embeddings)
    embed_tracks(library.tracks, mfcc.SPEC, store, Path("unused"))
    build_collection(library.tracks, mfcc.SPEC, store, EmbeddedIndex(home.collections))
    return AppTest.from_file(PAGE, default_timeout=60).run()


def choose(page: AppTest, track_id: str) -> None:
    [box] = [box for box in page.selectbox if box.label == "Sounds like"]
    box.select(track_id).run()


def test_a_track_is_answered_with_its_like(page: AppTest) -> None:
    assert not page.exception
    choose(page, "tones/3.wav")
    page.sidebar.slider[0].set_value(4).run()
    chosen, *answers = [text.value for text in page.text]
    assert chosen.endswith("3 (tones)")
    assert len(answers) == 4
    assert all(answer.endswith("(tones)") for answer in answers)


def test_a_genre_filter_holds_for_every_answer(page: AppTest) -> None:
    choose(page, "tones/3.wav")
    page.sidebar.multiselect[0].select("noises").run()
    _chosen, *answers = [text.value for text in page.text]
    assert len(answers) == 6
    assert all(answer.endswith("(noises)") for answer in answers)


def test_before_anything_is_indexed_the_page_says_where_to_start() -> None:
    page = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not page.exception
    assert "musicflow run LIBRARY" in page.info[0].value
