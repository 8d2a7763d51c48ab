"""Other labels than the genre: planted ones are found, and each figure by a slow version too."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from musicflow.evaluation.labelled import ByLabel, Label
from musicflow.evaluation.labels import Labelling
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Method
from musicflow.evaluation.quality import Quality, measure
from musicflow.library import Track
from musicflow_tests.evaluation.made_up import around, track, unit

COUNT = 60
GENRES = [genre for genre in "abcd" for _ in range(COUNT // 4)]
PLAYLISTS = [f"list {n % 5}" for n in range(COUNT)]
TRACKS = [track(n, genre, artist=f"artist {n // 2}") for n, genre in enumerate(GENRES)]


def quality(tracks: Sequence[Track], spaces: dict[str, np.ndarray], label: Labelling) -> Quality:
    return measure(tracks, spaces, list(spaces), same=lambda _a, _b: False, labellings=[label])


def test_a_playlist_beats_the_genre_where_it_was_planted_and_the_disagreement_is_told() -> None:
    spaces = {"by genre": around(GENRES, 1), "by ear": around(PLAYLISTS, 2)}
    found = quality(TRACKS, spaces, Labelling("playlist", [(name,) for name in PLAYLISTS]))
    of = {name: found.figures[name] for name in spaces}
    for name, better in (("by genre", False), ("by ear", True)):
        by_list = of[name].by_label["playlist"].scores
        assert (by_list[MAIN].value > of[name].scores[MAIN].value) == better
    [label] = found.labels
    [told] = label.disagreements
    assert (told.code, told.by_genre.better, told.by_label.better) == (
        "reversed",
        "by genre",
        "by ear",
    )
    assert (label.tracks, label.values) == (COUNT, 5)
    assert label.protocol is not None
    assert label.protocol.exclude == "artist"


def test_the_same_label_as_the_genre_has_its_figures_and_no_disagreement() -> None:
    spaces = {"one": around(GENRES, 1), "other": unit(COUNT, 2)}
    found = quality(TRACKS, spaces, Labelling("genre", [(genre,) for genre in GENRES]))
    for name, figures in found.figures.items():
        scores = figures.by_label["genre"].scores
        assert {m: one.value for m, one in scores.items() if m != "macro_map"} == {
            m: figures.scores[m].value for m in scores if m != "macro_map"
        }, name
    assert found.labels[0].disagreements == ()


def slow(tracks: Sequence[Track], sets: Sequence[tuple[str, ...]], vectors: np.ndarray) -> dict:
    """P@10, mAP, the mAP of each label and their mean, by loops over the definitions."""
    exact = vectors.astype(np.float64)

    def average_precision(query: int, relevant: set[int]) -> tuple[float, float]:
        others = [o for o in range(len(tracks)) if o != query]
        others = [o for o in others if not {*tracks[o].artists} & {*tracks[query].artists}]
        order = sorted(others, key=lambda o: (-round(float(exact[query] @ exact[o]), 10), o))
        hits = [o in relevant for o in order]
        precisions = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
        first = sum(hits[:10]) / min(10, len(hits))
        return (sum(precisions) / len(precisions), first) if precisions else (np.nan, np.nan)

    pairs = []
    alone: dict[str, list[float]] = {}
    for query, own in enumerate(sets):
        sharing = {o for o, other in enumerate(sets) if {*own} & {*other}}
        pairs.append(average_precision(query, sharing))
        for name in own:
            holders = {o for o, other in enumerate(sets) if name in other}
            alone.setdefault(name, []).append(average_precision(query, holders)[0])
    by_value = {name: float(np.nanmean(values)) for name, values in alone.items()}
    both = np.array(pairs)
    whole, first = np.nanmean(both, axis=0)
    return {"map": whole, MAIN: first, "macro_map": np.mean([*by_value.values()])} | by_value


def test_several_labels_a_track_are_scored_as_a_slow_version_does() -> None:
    random = np.random.default_rng(3)
    sets = [tuple(random.choice(list("uvwxyz"), n % 4, replace=False).tolist()) for n in range(40)]
    vectors, tracks = unit(40, 4), TRACKS[:40]
    found = quality(tracks, {"space": vectors}, Labelling("mood", sets))
    by_label = found.figures["space"].by_label["mood"]
    expected = slow(tracks, sets, vectors)
    for name in ("map", MAIN, "macro_map"):
        assert by_label.scores[name].value == pytest.approx(expected.pop(name), abs=1e-12)
    assert by_label.by_value == pytest.approx(expected, abs=1e-12)


def test_an_artist_as_the_label_leaves_his_other_albums_and_not_the_same_one() -> None:
    tracks = [
        replace(track(n, "rock", artist=f"artist {n // 4}"), track_id=f"{n // 2}/{n}", album=f"{n}")
        for n in range(16)
    ]
    tracks = [replace(one, album=f"album {n // 2}") for n, one in enumerate(tracks)]
    sets = [(f"artist {n // 4}",) for n in range(16)]
    found = quality(tracks, {"space": unit(16, 5)}, Labelling("artist", sets))
    [label] = found.labels
    assert label.protocol is not None
    assert label.protocol.exclude == "album"
    # Of three others by the artist, one is on the query's album.
    assert found.figures["space"].by_label["artist"].chance == pytest.approx(2 / 14)


def test_labels_of_pairs_have_no_scores_of_their_own() -> None:
    sets = [(str(n // 2),) for n in range(COUNT)]
    method = Method("duplicates")
    labelling = Labelling("heard.csv", sets, are_named=False)
    found = measure(TRACKS, {"s": unit(COUNT, 6)}, ["s"], method, labellings=[labelling])
    by_label = found.figures["s"].by_label["heard"]
    assert (by_label.by_value, "macro_map" in by_label.scores) == ({}, False)
    assert by_label.n_queries == COUNT


def test_a_label_without_a_query_has_no_scores() -> None:
    sets = [(f"only {n}",) for n in range(COUNT)]
    found = quality(TRACKS, {"one": unit(COUNT, 7), "two": unit(COUNT, 8)}, Labelling("mood", sets))
    assert found.figures["one"].by_label["mood"] == ByLabel()
    assert isinstance(found.labels[0], Label)
    assert found.labels[0].differences == ()
