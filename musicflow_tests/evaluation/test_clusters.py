"""Clusters: found again as they were, and named by the words that tell them from the rest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from musicflow.evaluation import clusters
from musicflow.evaluation.clusters import Word, distinctive
from musicflow.index import Collection, Manifest, Point
from musicflow.index.fields import payload_of
from musicflow.library import Track
from musicflow.store import Embedding
from musicflow_tests.index.conftest import in_memory

Make = Callable[..., Collection]

DIM = 8
TAGS = (("loud", "guitar"), ("calm", "piano"), ("fast", "synth"))


@pytest.fixture
def make() -> Make:
    """A collection of three sounds, told apart by tags (or genres), and all of them music."""

    def made(count: int, state: str, *, are_tagged: bool = True) -> Collection:
        points = []
        for number in range(count):
            random, sound = np.random.default_rng(number), number % 3
            vector = np.eye(DIM)[sound] + 0.1 * random.standard_normal(DIM)
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            track = Track(f"t{number:03}", f"/{number}.mp3", f"h{number}", 60.0, 44_100)
            track = replace(track, genre=("rock", "jazz", "pop")[sound], subgenres=("all",))
            tags = ("music", *TAGS[sound]) if are_tagged else ()
            row = Embedding(track.content_hash, unit, tags, (0.5,) * len(tags))
            points.append(Point(track.track_id, unit, payload_of(track, row)))
        index = in_memory()
        index.publish("toy", Manifest("toy", "spec", DIM, state), points)
        return index.open("toy")

    return made


def test_clusters_are_named_by_tags_or_else_by_labels(make: Make, tmp_path: Path) -> None:
    found = clusters.clusters(make(62, "one"), tmp_path)
    assert found.source == "tags"
    assert [one.name for one in found.clusters] == ["loud, guitar", "calm, piano", "fast, synth"]
    first = found.clusters[0]
    assert first.track_ids == tuple(f"t{n:03}" for n in range(0, 62, 3))
    assert first.words[0] == Word("loud", 1.0, pytest.approx(62 / 21))
    found = clusters.clusters(make(62, "other", are_tagged=False), tmp_path / "other")
    assert found.source == "labels"
    assert [one.name for one in found.clusters] == ["rock", "jazz", "pop"]


def test_new_tracks_join_clusters_that_stay(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clusters.clusters(make(60, "one"), tmp_path)
    later = clusters.clusters(make(64, "two"), tmp_path)
    for before, after in zip(first.clusters, later.clusters, strict=True):
        assert before.name == after.name
        assert {*before.track_ids} < {*after.track_ids}
    assert clusters.load(tmp_path, "toy") == later
    # The same state is read, and not looked for again.
    monkeypatch.setattr(clusters, "distinctive", None)
    assert clusters.clusters(make(64, "two"), tmp_path) == later


def test_few_tracks_are_clusters_of_their_own(make: Make, tmp_path: Path) -> None:
    found = clusters.clusters(make(2, "one", are_tagged=False), tmp_path)
    assert [len(one.track_ids) for one in found.clusters] == [1, 1]


def test_words_go_by_the_log_likelihood_ratio_as_scipy_has_it() -> None:
    random = np.random.default_rng(1)
    belongs = random.integers(0, 3, 200)
    held = [
        [
            word
            for n, word in enumerate("abcdef")
            if random.random() < (0.7 if n % 3 == own else 0.3)
        ]
        for own in belongs
    ]
    found = distinctive(held, belongs)
    for number, words in found.items():
        inside = belongs == number
        ratios = {}
        for word in "abcdef":
            has = np.array([word in own for own in held])
            table = [[(has & inside).sum(), (has & ~inside).sum()]]
            table.append([(~has & inside).sum(), (~has & ~inside).sum()])
            ratio = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
            share = has[inside].mean()
            if share > has.mean() and share >= clusters.SHARE:
                ratios[word] = (ratio, share, share / has.mean())
        best = sorted(ratios, key=lambda word, of=ratios: -of[word][0])[: clusters.WORDS]
        assert [word.word for word in words] == best
        for word in words:
            assert (word.share, word.lift) == pytest.approx(ratios[word.word][1:])


def test_clusters_of_one_name_are_told_apart_by_numbers(make: Make, tmp_path: Path) -> None:
    """Of tracks without words, too."""
    collection = make(60, "one", are_tagged=False)
    payloads = [payload | {"genre": [], "subgenres": []} for payload in collection.payloads()]
    collection.payloads = lambda: iter(payloads)  # type: ignore[method-assign,misc,assignment]
    found = clusters.clusters(collection, tmp_path)
    assert [one.name for one in found.clusters] == ["cluster 1", "cluster 2"]
