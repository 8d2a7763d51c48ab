"""Words as queries, held to a slow version that follows the definition."""

import numpy as np
import pytest

from musicflow.evaluation import words
from musicflow.evaluation.words import DEPTHS, measure, queries_of, texts_of
from musicflow.index import normalize
from musicflow.library import Track


def track(number: int, genre: str, **extra: object) -> Track:
    return Track(str(number), "", str(number), 1.0, 8000, genre=genre, extra=extra)  # type: ignore[arg-type]


def library(count: int = 40) -> list[Track]:
    genres = ("Jazz", "Folk", "Unknown")
    tags = ("calm; brass", ("calm", "fast"), "")
    return [
        track(n, genres[n % 3], caption=f"song {n // 2}", tags=tags[n % 3], bpm=90.0 + n)
        for n in range(count)
    ]


def slow_recall(text: np.ndarray, tracks: np.ndarray, own: set[int], k: int) -> float:
    scored = [(-round(float(np.dot(text, one)), 12), row) for row, one in enumerate(tracks)]
    first = {row for _, row in sorted(scored)[:k]}
    return len(first & own) / len(own)


def test_recall_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    tracks, texts = library(), texts_of(library())
    assert len(texts) == len(set(texts)) == 20 + 3 + 2
    space = normalize(random.standard_normal((len(tracks), 8)))
    space[7] = space[3]
    vectors = dict(zip(texts, normalize(random.standard_normal((len(texts), 8))), strict=True))
    found = measure(tracks, {"clap": space, "mfcc": space}, {"clap": vectors})
    own = {
        "caption": {f"song {n}": {2 * n, 2 * n + 1} for n in range(20)},
        "tag": {
            "calm": {n for n in range(40) if n % 3 < 2},
            "brass": {n for n in range(40) if n % 3 == 0},
            "fast": {n for n in range(40) if n % 3 == 1},
        },
        "genre": {
            "Jazz": {n for n in range(40) if n % 3 == 0},
            "Folk": {n for n in range(40) if n % 3 == 1},
        },
    }
    assert found.scores.keys() == {"clap"}
    assert len(found.measures) == 9
    for kind, queries in own.items():
        for k in DEPTHS:
            name = f"words_{kind}_recall_at_{k}"
            wanted = [slow_recall(vectors[t], space, rows, k) for t, rows in queries.items()]
            score = found.scores["clap"][name]
            assert score.value == pytest.approx(np.mean(wanted))
            assert score.low <= score.value <= score.high
            assert found.chance[name].value == k / 40
            [shown] = [one for one in found.measures if one.name == name]
            best = np.mean([min(k, len(rows)) / len(rows) for rows in queries.values()])
            assert f"{len(queries)} queries; at best {best:.3f}" in shown.help


def test_a_text_of_all_tracks_and_one_without_a_vector_are_no_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracks = [track(n, "Jazz", tags=("calm", *(["odd"] * (n % 2)))) for n in range(4)]
    [queries] = queries_of(tracks)
    assert (queries.kind, list(queries.relevant)) == ("tag", ["odd"])
    assert queries_of(tracks, known=["calm"]) == []
    assert measure(tracks, {"clap": np.eye(4)}, {}).measures == ()
    monkeypatch.setattr(words, "MOST", 5)
    assert len(queries_of(library())[0].relevant) == 5
    assert texts_of(library()) == texts_of(library()[::-1])
