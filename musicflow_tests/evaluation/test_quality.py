"""Planted cases: each is handled as documented, and moves no score by cheating."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from musicflow.evaluation import probe, quality
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.quality import Quality, measure
from musicflow.evaluation.space import health, neighbours
from musicflow.library import UNKNOWN, Track
from musicflow_tests.evaluation.made_up import around, track, unit

GENRES = [genre for genre in "abc" for _ in range(20)]


def never(_a: Track, _b: Track) -> bool:
    return False


def always(_a: Track, _b: Track) -> bool:
    return True


def library(genres: list[str] = GENRES) -> list[Track]:
    return [track(number, genre, artist=f"artist {number}") for number, genre in enumerate(genres)]


def measured(tracks: list[Track], *spaces: np.ndarray) -> Quality:
    named = {f"space {number}": unit for number, unit in enumerate(spaces)}
    return measure(tracks, named, list(named), same=never)


def value(found: Quality, name: str, metric: str) -> float:
    return found.figures[name].scores[metric].value


def test_a_duplicate_changes_no_score() -> None:
    tracks, vectors = library(), around(GENRES, 0)
    before = measured(tracks, vectors)
    copy = replace(tracks[7], track_id="9999")
    after = measured([*tracks, copy], np.vstack([vectors, vectors[7:8]]))
    assert after.figures == before.figures
    assert after.first.tolist() == [*range(60), 7]
    assert (after.protocol.duplicates, after.protocol.corpus) == (1, 60)


def test_a_duplicate_of_other_content_is_found_by_its_sound() -> None:
    tracks, vectors = library(), around(GENRES, 0)
    twin = replace(tracks[7], track_id="9999", content_hash="re-encoded")
    moved = vectors[7:8] + np.float32(0.001)
    spaces = {"space": np.vstack([vectors, moved / np.linalg.norm(moved)])}

    def same(a: Track, b: Track) -> bool:
        return {a.track_id, b.track_id} == {tracks[7].track_id, "9999"}

    found = measure([*tracks, twin], spaces, ["space"], same=same)
    assert found.first[-1] == 7
    kept = measure([*tracks, twin], spaces, ["space"], Method("none"), same)
    assert (kept.protocol.exclude, kept.protocol.corpus) == ("none", 61)


def test_of_many_tracks_some_are_drawn_as_queries_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracks, vectors = library(), around(GENRES, 0)
    every = measured(tracks, vectors)
    monkeypatch.setattr(quality, "MAX_QUERIES", 25)
    some = measured(tracks, vectors)
    assert (every.protocol.drawn, some.protocol.drawn) == (0, 25)
    assert "25 queries drawn at random" in str(some.protocol)
    queries = quality._queries(len(tracks), quality.SEED)
    assert some.figures["space 0"].n_queries == len(set(queries.tolist())) == 25
    # The score of each query is as before: that of the nearest ten of all tracks.
    cosines = vectors.astype(float) @ vectors.astype(float).T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1)[:, :10]
    right = np.array(GENRES)[nearest] == np.array(GENRES)[:, None]
    assert value(every, "space 0", MAIN) == pytest.approx(right.mean())
    assert value(some, "space 0", MAIN) == pytest.approx(right[queries].mean())
    assert some.figures["space 0"].space == every.figures["space 0"].space


def test_of_very_many_tracks_fewer_queries_are_drawn_and_health_is_that_of_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracks, vectors = library(), around(GENRES, 0)
    monkeypatch.setattr(quality, "MAX_TRACKS", 40)
    monkeypatch.setattr(quality, "MAX_QUERIES", 30)
    monkeypatch.setattr(quality, "HEALTH_TRACKS", 50)
    monkeypatch.setattr(quality, "RANDOM_TRACKS", 40)
    found = measured(tracks, vectors)
    floor = found.figures[quality.RANDOM].space
    assert floor is not None
    assert floor.drawn == 40
    queries = np.sort(np.random.default_rng(quality.SEED).permutation(60)[:20])
    assert found.protocol.drawn == 20
    cosines = vectors.astype(float) @ vectors.astype(float).T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1)[:, :10]
    right = np.array(GENRES)[nearest] == np.array(GENRES)[:, None]
    assert value(found, "space 0", MAIN) == pytest.approx(right[queries].mean())
    some = np.sort(np.random.default_rng(quality.SEED).permutation(60)[:50])
    names = [tracks[row].track_id for row in some]
    expected = health(vectors[some], neighbours(vectors[some]), names)
    assert found.figures["space 0"].space == replace(expected, drawn=50)
    # Duplicates by vectors are looked for among the queries.
    row = int(queries[0])
    twin = replace(tracks[row], track_id="9999", content_hash="re-encoded")
    again = measure([*tracks, twin], {"s": np.vstack([vectors, vectors[row]])}, ["s"], same=always)
    assert again.first[-1] == row


def test_tracks_of_the_same_artist_are_no_hits() -> None:
    """Twelve tracks of one artist lie on one spot, far from the rest of their genre."""
    genres = ["a"] * 12 + GENRES
    tracks = [
        replace(one, artists=("the same",)) if number < 12 else one
        for number, one in enumerate(library(genres))
    ]
    spot = np.tile(unit(1, 5, dim=8), (12, 1))
    others = around(GENRES, 0)
    found = measured(tracks, np.vstack([spot, others])).figures["space 0"]
    spaces = {"space 0": np.vstack([spot, others])}
    cheating = measure(tracks, spaces, [], Method("duplicates"), never).figures["space 0"]
    assert found.n_queries == cheating.n_queries == 72
    assert cheating.by_genre["a"] - found.by_genre["a"] > 0.25
    assert found.by_genre["b"] == cheating.by_genre["b"]


def test_tracks_of_a_lone_genre_and_of_none_are_candidates_but_no_queries() -> None:
    genres = [*GENRES, "lone", UNKNOWN, UNKNOWN]
    vectors = np.vstack([around(GENRES, 0), around(GENRES, 0)[:3]])
    plain = measured(library(), around(GENRES, 0)).figures["space 0"]
    found = measured(library(genres), vectors).figures["space 0"]
    assert found.n_queries == 60
    assert set(found.by_genre) == {"a", "b", "c"}
    assert found.by_genre["a"] < plain.by_genre["a"]
    assert found.confusion["a"]["lone"] > 0
    assert found.by_genre["b"] == plain.by_genre["b"]


def test_tracks_that_share_one_of_several_genres_are_relevant() -> None:
    tracks, vectors = library(), around(GENRES, 0)
    alone = measured(tracks, vectors)
    both = [
        replace(t, genres=(t.genre, "common") if n % 20 == 0 else (t.genre,))
        for n, t in enumerate(tracks)
    ]
    found = measured(both, vectors)
    assert found.figures["space 0"].chance == pytest.approx((57 * 19 + 3 * 21) / 60 / 59)
    assert alone.figures["space 0"].chance == pytest.approx(19 / 59)
    assert found.figures["space 0"].by_genre.keys() == {"a", "b", "c"}
    assert found.figures["space 0"].confusion.keys() == {"a", "b", "c"}
    single = measured([replace(t, genres=(t.genre,)) for t in tracks], vectors)
    assert single.figures == alone.figures


def test_constant_vectors_score_like_chance_and_move_no_one_else() -> None:
    constant = np.ones((60, 4), np.float32) / 2
    alone = measured(library(), around(GENRES, 0))
    both = measured(library(), around(GENRES, 0), constant)
    assert both.figures["space 0"] == alone.figures["space 0"]
    found = both.figures["space 1"]
    assert found.scores[MAIN].value == pytest.approx(found.chance, abs=0.02)
    assert found.space is not None
    assert found.space.identical == 60


def test_scores_have_intervals_and_differences_say_which_are_real() -> None:
    good, bad = around(GENRES, 0, spread=0.3), around(GENRES, 0, spread=1.5)
    found = measured(library(), good, bad, good)
    for name, figures in found.figures.items():
        for metric, score in figures.scores.items():
            assert score.low is not None
            assert score.high is not None
            assert score.low <= score.value <= score.high, (name, metric)
    pairs = {(d.better, d.worse): d for d in found.differences if d.metric == "map"}
    assert pairs["space 0", "space 1"].p < 0.01
    assert pairs["space 0", "space 2"].p == 1.0
    assert not any("random" in pair for pair in pairs)


def test_seeded_weights_are_measured_but_neither_fused_nor_compared() -> None:
    spaces = {"good": around(GENRES, 0), "x-untrained": unit(60, 1)}
    found = measure(library(), spaces, ["good"], same=never)
    assert set(found.figures) == {"good", "x-untrained", "random"}
    assert found.differences == []


def test_subgenres_are_scored_where_there_are_some() -> None:
    tracks = [
        replace(one, subgenres=(f"{one.genre}---{number % 2}",))
        for number, one in enumerate(library())
    ]
    vectors = around([one.subgenres[0] for one in tracks], 0)
    assert value(measured(tracks, vectors), "space 0", "subgenre_map") > 0.9
    assert "subgenre_map" not in measured(library(), vectors).figures["space 0"].scores


def test_fusion_of_two_halves_is_better_than_either_and_its_weights_add_up() -> None:
    """Each space tells one genre apart from the other two."""
    one = around(["a" if genre == "a" else "x" for genre in GENRES], 0)
    two = around(["b" if genre == "b" else "x" for genre in GENRES], 1)
    found = measured(library(), one, two)
    both = value(found, "fusion:space 0+space 1", "map")
    assert both > max(value(found, name, "map") for name in ("space 0", "space 1")) + 0.1
    assert value(found, "rrf:space 0+space 1", "map") > value(found, "space 0", "map")
    assert sum(found.weights["fusion:space 0+space 1"].values()) == pytest.approx(1)
    alone = max(value(found, name, "probe_accuracy") for name in ("space 0", "space 1"))
    assert value(found, "fusion:space 0+space 1", "probe_accuracy") > alone + 0.1
    assert "probe_accuracy" not in found.figures["rrf:space 0+space 1"].scores
    assert found.members.keys() == {"fusion:space 0+space 1", "rrf:space 0+space 1"}


def test_fusion_gives_no_weight_to_noise() -> None:
    good = around(GENRES, 0)
    found = measured(library(), good, unit(60, 1, dim=20))
    assert found.weights["fusion:space 0+space 1"]["space 0"] > 0.7
    fused = value(found, "fusion:space 0+space 1", "map")
    assert fused == pytest.approx(value(found, "space 0", "map"), abs=0.03)


def test_weights_are_not_chosen_by_the_queries_they_answer() -> None:
    """Of two spaces of noise, the best weight by chance would look better than either."""
    gains = []
    for seed in range(4):
        found = measured(library(), unit(60, seed), unit(60, 100 + seed))
        alone = max(value(found, f"space {number}", "map") for number in (0, 1))
        gains.append(value(found, "fusion:space 0+space 1", "map") - alone)
    assert np.mean(gains) < 0.005


def test_without_two_recordings_there_is_nothing_to_measure() -> None:
    assert measured([], np.zeros((0, 3), np.float32)).figures == {}
    tracks = [track(0), track(1, content_hash="hash 0")]
    found = measured(tracks, unit(2, 0))
    assert found.figures == {}
    assert (found.protocol.corpus, found.protocol.duplicates) == (1, 1)


def test_the_probe_is_logistic_regression_and_keeps_artists_together() -> None:
    vectors, genres = around(GENRES, 0, spread=0.8), np.array(GENRES)
    right = probe.probe(vectors, genres, np.full(60, -1))
    assert right is not None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    expected = cross_val_score(model, vectors, genres, cv=5).mean()
    assert right.mean() == pytest.approx(expected, abs=0.1)
    # Artists that are known by their vectors, each of one genre by mere chance: to tell the
    # artist tells nothing of the genre of others.
    random = np.random.default_rng(0)
    artists = np.repeat(np.arange(30), 4)
    of_artist = np.array(list("ab"))[random.permutation(30) % 2][artists]
    spots = random.standard_normal((30, 40))[artists] + 0.01 * random.standard_normal((120, 40))
    together = probe.probe(spots, of_artist, artists)
    apart = probe.probe(spots, of_artist, np.full(120, -1))
    assert together is not None
    assert apart is not None
    assert apart.mean() > 0.95
    assert together.mean() < 0.7


def test_a_genre_of_few_artists_is_not_probed() -> None:
    genres = np.array(["a"] * 10 + ["b"] * 10 + ["c"] * 4)
    right = probe.probe(unit(24, 0), genres, np.full(24, -1))
    assert right is not None
    assert len(right) == 20
    assert probe.probe(unit(24, 0), genres, np.zeros(24, int)) is None


def test_neighbours_vote_and_the_nearer_breaks_a_tie() -> None:
    nearest = np.array([[1, 2, 3, 4], [0, 2, -1, -1]])
    votes = probe.votes(["a", "a", "b", "b", "a"], np.array([0, 1]), nearest)
    assert votes.tolist() == [1.0, 1.0]


def test_average_precision_is_that_of_scikit_learn_to_nine_digits() -> None:
    vectors = around(GENRES, 3, spread=1.0)
    found = value(measured(library(), vectors), "space 0", "map")
    exact, genres = vectors.astype(np.float64), np.array(GENRES)
    expected = [
        average_precision_score(np.delete(genres == genre, row), np.delete(exact @ exact[row], row))
        for row, genre in enumerate(GENRES)
    ]
    assert found == pytest.approx(np.mean(expected), abs=1e-9)
