"""Recommendation over both engines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicflow.index import Collection, EmbeddedIndex, Filters, Point, normalize
from musicflow.search.duplicates import duplicates
from musicflow.search.errors import QueryError
from musicflow.search.recommend import recommend
from musicflow.search.variety import Variety
from musicflow.text import folded, joined
from musicflow_tests.search.conftest import COUNT, DIM, MANIFEST, TRACKS, VECTORS, opened, track

STRATEGIES: list[Any] = ["average", "best-score", "sum-scores"]

rows = st.integers(0, COUNT - 1)
examples = st.lists(rows, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    likes=st.lists(rows, min_size=1, max_size=4, unique=True),
    dislikes=examples,
    strategy=st.sampled_from(STRATEGIES),
    k=st.integers(1, 15),
    texts=st.lists(st.sampled_from(["genre=even", "artist!=Artist 1", "duration<400"]), max_size=2),
    diverse=st.booleans(),
    cap=st.none() | st.integers(1, 3),
)
def test_both_engines_recommend_the_same(
    embedded: Collection,
    in_server: Collection,
    likes: list[int],
    dislikes: list[int],
    strategy: Any,
    k: int,
    texts: list[str],
    diverse: bool,
    cap: int | None,
) -> None:
    liked = [f"t{row}" for row in likes]
    disliked = [f"t{row}" for row in dislikes if row not in likes]
    filters = Filters.parse(texts)
    answers = [
        recommend(
            collection,
            liked,
            disliked,
            k,
            filters,
            strategy=strategy,
            diverse=diverse,
            variety=Variety(cap),
        )
        for collection in (embedded, in_server)
    ]
    assert [hit.track_id for hit in answers[0]] == [hit.track_id for hit in answers[1]]
    found = [hit.payload for hit in answers[0]]
    assert not {hit.track_id for hit in answers[0]} & {*liked, *disliked}
    if "genre=even" in texts:
        assert all(payload["genre"] == "even" for payload in found)
    artists = [artist for payload in found for artist in payload["artist"]]
    assert cap is None or max(map(artists.count, artists), default=0) <= cap
    possible = [
        point
        for point in TRACKS
        if point.track_id not in {*liked, *disliked} and _fulfils(point.payload, texts)
    ]
    if cap is None:
        assert len(found) == min(k, len(possible))


def _fulfils(payload: dict[str, Any], texts: list[str]) -> bool:
    return all(
        {
            "genre=even": payload["genre"] == "even",
            "artist!=Artist 1": "Artist 1" not in payload["artist"],
            "duration<400": payload["duration_s"] < 400,
        }[text]
        for text in texts
    )


def test_the_average_strategy_is_the_formula(embedded: Collection) -> None:
    target = 2 * VECTORS[[1, 2]].mean(0) - VECTORS[[3]].mean(0)
    scores = VECTORS @ (target / np.linalg.norm(target))
    scores[[1, 2, 3]] = -np.inf
    hits = recommend(embedded, ["t1", "t2"], ["t3"], 10)
    assert [hit.track_id for hit in hits] == [f"t{row}" for row in np.argsort(-scores)[:10]]


def test_a_dislike_changes_the_answers(embedded: Collection) -> None:
    before = recommend(embedded, ["t1"], k=5)
    after = recommend(embedded, ["t1"], [before[0].track_id], k=5)
    assert [hit.track_id for hit in before] != [hit.track_id for hit in after]


def test_a_vector_from_outside_can_be_liked(embedded: Collection) -> None:
    by_vector = recommend(embedded, [3.0 * VECTORS[1] + 0.1 * VECTORS[2]], k=5)
    by_id = recommend(embedded, ["t1"], k=5)
    assert len({hit.track_id for hit in by_vector} & {hit.track_id for hit in by_id}) >= 3


def test_dislikes_alone_steer_the_strategies_that_score(embedded: Collection) -> None:
    hits = recommend(embedded, [], ["t1"], 5, strategy="best-score")
    assert len(hits) == 5
    with pytest.raises(QueryError, match="liked"):
        recommend(embedded, [], ["t1"], 5)


def test_copies_of_an_example_never_come_back_and_others_are_folded(tmp_path: Path) -> None:
    noise = 0.001 * np.random.default_rng(1).standard_normal((4, DIM))
    copies = normalize(VECTORS[[1, 5, 5, 5]] + noise, MANIFEST)
    lengths = [110.0, 150.3, 149.5, 400.0]
    more = [
        Point(f"copy {n}", vector, track(5, track_id=f"copy {n}", duration_s=length))
        for n, (vector, length) in enumerate(zip(copies, lengths, strict=True))
    ]
    with opened(EmbeddedIndex(tmp_path), [*TRACKS, *more]) as collection:
        found = {hit.track_id: hit.duplicates for hit in recommend(collection, ["t1"], k=80)}
        assert "copy 0" not in found
        together = {"t5", "copy 1", "copy 2"}
        [(best, others)] = [(one, rest) for one, rest in found.items() if one in together]
        assert {best, *others} == together
        assert found["copy 3"] == (), "another length is another recording"
        groups = [{hit.track_id for hit in group.hits} for group in duplicates(collection)]
        assert sorted(map(sorted, groups)) == [["copy 0", "t1"], ["copy 1", "copy 2", "t5"]]


def test_diverse_answers_are_less_alike(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    like, twist = np.eye(2, DIM)
    crowd = like + 0.5 * twist + 0.05 * random.standard_normal((8, DIM))
    others = like + 0.13 * random.standard_normal((8, DIM))
    vectors = normalize(np.concatenate([like[None], crowd, others]), MANIFEST)
    tracks = [Point(f"t{row}", vector, track(row)) for row, vector in enumerate(vectors)]
    with opened(EmbeddedIndex(tmp_path), tracks) as collection:

        def answers(diverse: bool) -> list[str]:
            return [hit.track_id for hit in recommend(collection, ["t0"], k=6, diverse=diverse)]

        def likeness(ids: list[str]) -> float:
            found = collection.vectors(ids)
            return float((found @ found.T)[np.triu_indices(len(ids), 1)].mean())

        plain, diverse = answers(diverse=False), answers(diverse=True)
        assert likeness(diverse) < likeness(plain)
        assert diverse[0] == plain[0], "the best stays the best"


@pytest.mark.parametrize(
    ("likes", "dislikes", "options", "message"),
    [
        ([], [], {}, "liked"),
        (["nope"], [], {}, "nope"),
        (["t1"], ["t1"], {}, "both liked and disliked"),
        (["t1"], [], {"k": 0}, "at least 1"),
        (["t1"], [], {"k": -3}, "at least 1"),
        ([VECTORS[0], -VECTORS[0]], [], {}, "cancel"),
    ],
)
def test_questions_without_an_answer_say_why(
    embedded: Collection, likes: Any, dislikes: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        recommend(embedded, likes, dislikes, **options)


def test_the_cap_counts_every_artist_however_written_and_nobody_never(tmp_path: Path) -> None:
    named = [["Björk"], ["BJORK", "Thom"], ["Bjo\u0308rk"], ["Thom"], ["THOM"], "bjork"]
    unnamed = [["Unknown"], ["Unknown"], ["Various Artists"], ["Various Artists"]]
    tracks = [
        Point(f"t{row}", VECTORS[row], track(row, artist=artists))
        for row, artists in enumerate([["A"], *named, *unnamed])
    ]
    with opened(EmbeddedIndex(tmp_path), tracks) as collection:
        found = recommend(collection, ["t0"], k=20, variety=Variety(1))
    names = [hit.payload["artist"] for hit in found if hit.payload["artist"] in named]
    together = " ".join(folded(joined(artists)) for artists in names)
    assert (together.count("bjork"), together.count("thom")) == (1, 1)
    assert len(found) - len(names) == len(unnamed)
