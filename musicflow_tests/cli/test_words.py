"""Words as queries: a home with an embedder that has a text side, and one that has none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

import musicflow as mf
from musicflow import embedders, library
from musicflow.index import open_index
from musicflow.index.fused import save_weights
from musicflow.pipeline import build_collection
from musicflow.search.errors import QueryError
from musicflow.settings import Home, Settings, remember
from musicflow.store import Embedding, EmbeddingStore
from musicflow_tests.cli.test_search import write_audio
from musicflow_tests.conftest import Run, noise, tone
from musicflow_tests.embedders.adapters import models

TEXT = "slow piano, rain"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save("clap", tmp_path_factory.mktemp("models") / "clap")


@pytest.fixture(scope="module")
def spoken_home(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tracks, indexed by MFCC and by a small CLAP."""
    root = tmp_path_factory.mktemp("words")
    music, home = root / "music", root / "home"
    for number in range(3):
        write_audio(music / "tones" / f"{number}.wav", tone(220 + 200 * number))
        write_audio(music / "noises" / f"{number}.wav", noise(number))
    names = ("mfcc", f"clap=hub:{folder}")
    settings = Settings(home=home, library=music, embedders=names)
    store, index = EmbeddingStore(settings.paths.embeddings), open_index(settings)
    found = library.join(music, library.scan(music, settings.paths.library), "auto")
    for spec in embedders.specs_for(settings):
        # In this process, which has the frameworks loaded.
        model = embedders.load(spec, settings.cache)
        sounds = (soundfile.read(track.path, dtype="float32") for track in found.tracks)
        vectors = [model.embed(*sound) for sound in sounds]
        hashes = [track.content_hash for track in found.tracks]
        store.add(spec, map(Embedding, hashes, vectors))
        build_collection(found.tracks, spec, store, index)
    remember(settings.paths, library=music, embedders=names)
    save_weights(Home(home).fusions, {"fusion:mfcc+clap": {"mfcc": 0.5, "clap": 0.5}})
    return home


@pytest.fixture(autouse=True)
def _use_it(spoken_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICFLOW_HOME", str(spoken_home))


@pytest.fixture(scope="module")
def words_of_clap(folder: Path) -> Callable[[str], np.ndarray]:
    """The vector of a text by a plain call of transformers."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def vector(text: str) -> np.ndarray:
        with torch.inference_mode():
            found = model.get_text_features(**tokenizer(text, return_tensors="pt"))
        return found.pooler_output[0].numpy()

    return vector


def ids(printed: str) -> list[str]:
    return [answer["track_id"] for answer in json.loads(printed)]


def test_words_find_the_tracks_whose_vectors_lie_nearest(
    run: Run, words_of_clap: Callable[[str], np.ndarray], spoken_home: Path
) -> None:
    code, printed, errors = run("search", "--text", TEXT, "--embedder", "clap", "--json")
    assert code == 0, errors
    with open_index(Settings(home=spoken_home)).open("clap") as collection:
        points = list(collection.scroll())
    wanted = {point.track_id: float(point.vector @ words_of_clap(TEXT)) for point in points}
    answers = json.loads(printed)
    assert ids(printed) == sorted(wanted, key=lambda track: -wanted[track])
    for answer in answers:
        assert answer["score"] == pytest.approx(wanted[answer["track_id"]], abs=1e-4)


def test_words_go_with_filters_and_other_likes(run: Run) -> None:
    found = run("search", "--text", TEXT, "--filter", "genre=tones", "--json")[1]
    assert all(answer["genre"] == ["tones"] for answer in json.loads(found))
    code, liked, errors = run("recommend", "--like-text", TEXT, "--json")
    assert code == 0, errors
    # Copies count once there.
    assert ids(liked)[0] == ids(run("search", "--text", TEXT, "--json")[1])[0]
    both = ["recommend", "--like-text", TEXT, "--like", "tones/1.wav", "--json"]
    code, mixed, errors = run(*both, "--filter", "genre=noises")
    assert code == 0, errors
    assert all(answer["genre"] == ["noises"] for answer in json.loads(mixed))


def test_without_a_name_the_first_embedder_with_a_text_side_answers(run: Run) -> None:
    assert "by clap" in run("search", "--text", TEXT)[1]
    assert "by mfcc" in run("search", "--track", "tones/1.wav")[1]


@pytest.mark.parametrize("embedder", ["mfcc", "fusion:mfcc+clap"])
@pytest.mark.parametrize("words", [["search", "--text"], ["recommend", "--like-text"]])
def test_an_embedder_without_a_text_side_names_those_with_one(
    run: Run, embedder: str, words: list[str]
) -> None:
    code, printed, errors = run(*words, TEXT, "--embedder", embedder)
    assert (code, printed) == (2, "")
    sentence = " ".join(errors.split())
    assert "mfcc has no text side" in sentence
    assert "the published embedders with one are clap" in sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "--text", ""], "the text is empty"),
        (["search", "--text", " \n\t"], "the text is empty"),
        (["recommend", "--like-text", ""], "the text is empty"),
        (["search", "--text", TEXT, "--track", "tones/1.wav"], "say what to search with"),
        (["search", "--text", TEXT, "-k", "0"], "at least 1"),
    ],
)
def test_words_that_cannot_be_asked_exit_2_with_a_sentence(
    run: Run, arguments: list[str], sentence: str
) -> None:
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert sentence in " ".join(errors.split())
    assert "Traceback" not in errors


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\U0001f3b5" * 50, "a" * 10_000, "\udcff"])
def test_hostile_words_are_words(run: Run, text: str) -> None:
    code, printed, errors = run("search", f"--text={text}", "--json")
    assert code == 0, errors
    assert len(json.loads(printed)) == 6


def test_a_notebook_asks_in_words(run: Run, spoken_home: Path) -> None:
    with mf.open_collection("clap", home=spoken_home) as collection:
        hits = collection.search_text(TEXT, k=3, filters={"genre": "tones"})
        assert [hit.payload["genre"] for hit in hits] == [["tones"]] * 3
        whole = [hit.track_id for hit in collection.search_text(TEXT)]
        with pytest.raises(QueryError, match="empty") as empty:
            collection.search_text(" ")
        assert empty.value.code == "empty-text"
    assert whole == ids(run("search", "--text", TEXT, "--json")[1])
    with (
        mf.open_collection("mfcc", home=spoken_home) as collection,
        pytest.raises(QueryError, match="clap") as caught,
    ):
        collection.search_text(TEXT)
    assert caught.value.code == embedders.NO_TEXT
