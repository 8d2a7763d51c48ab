"""Whether a comparison by a library's genres means anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from musicflow.library import AudioFile, Rule, doubts, join
from musicflow.library.meaning import expected_precision


def codes(root: Path, paths: Sequence[str], rule: Rule = Rule(), **tags: Any) -> dict[str, bool]:
    return {doubt.code: doubt.voids for doubt in found(root, paths, rule, **tags)}


def found(root: Path, paths: Sequence[str], rule: Rule = Rule(), **tags: Any) -> Any:
    own = {name: [value(path) for path in paths] for name, value in tags.items()}
    files = [
        AudioFile(path, 1, 1, path, 3.0, 8000, **{name: own[name][n] for name in own})
        for n, path in enumerate(paths)
    ]
    return doubts(join(root, files, rule=rule))


def paths(genres: int, each: int) -> list[str]:
    return [f"genre {genre}/{number}.mp3" for genre in range(genres) for number in range(each)]


def test_a_library_of_some_genres_raises_no_doubt(tmp_path: Path) -> None:
    assert codes(tmp_path, paths(10, 5)) == {}
    assert codes(tmp_path, paths(3, 7)) == {}


def test_one_genre_or_nearly_one_is_no_comparison(tmp_path: Path) -> None:
    assert codes(tmp_path, paths(1, 20)) == {"few-genres": True}
    assert codes(tmp_path, ["a.mp3", "b.mp3"]) == {"few-genres": True}
    most = [f"rock/{n}.mp3" for n in range(97)] + ["jazz/1.mp3", "jazz/2.mp3"]
    assert codes(tmp_path, most) == {"chance-high": True}


def test_what_is_only_odd_is_told_and_does_not_void(tmp_path: Path) -> None:
    assert codes(tmp_path, paths(60, 3)) == {"chance-low": False}
    lone = [*paths(2, 9), *(f"lone {n}/1.mp3" for n in range(3))]
    assert codes(tmp_path, lone) == {"lone-genres": False}
    assert codes(tmp_path, paths(4, 5)) == {"few-tracks": False}
    loose = [*paths(2, 2), *(f"{n}.mp3" for n in range(9))]
    assert "few-labels" in codes(tmp_path, loose, Rule("folder"))


def test_folders_of_artists_are_no_genres(tmp_path: Path) -> None:
    def artists(path: str) -> tuple[str, ...]:
        return (path.split("/")[0].upper(),)

    assert codes(tmp_path, paths(5, 6), artists=artists) == {"artists-as-genres": True}
    elsewhere = codes(tmp_path, paths(5, 6), artists=lambda _: ("Anna",))
    assert elsewhere == {}


@pytest.mark.parametrize(
    ("names", "rule", "sentence"),
    [
        (
            [f"Data/genres_original/{path}" for path in paths(10, 100)],
            Rule(level=1),
            "1000 of 1000 tracks have the one genre Data; all 1,000 tracks lie below Data: is "
            "Data/genres_original the library?",
        ),
        (
            ["blues/1.mp3", "blues/2.mp3"],
            Rule(),
            "2 of 2 tracks have the one genre blues; all tracks lie in one folder: is music the "
            "library? Or name where genres come from: --genre tag, --genre folder or --genre "
            "FILE.csv",
        ),
        (
            ["1.mp3", "2.mp3"],
            Rule(),
            "0 of 2 tracks have a genre; all tracks lie in one folder: is {parent} the library? Or "
            "name where genres come from: --genre tag, --genre folder or --genre FILE.csv",
        ),
    ],
)
def test_the_wrong_folder_is_named_with_the_one_it_may_be(
    names: list[str], rule: Rule, sentence: str, tmp_path: Path
) -> None:
    [doubt] = found(tmp_path / "music", names, rule)
    assert str(doubt) == sentence.format(parent=tmp_path.name)


def test_chance_is_the_mean_precision_of_a_random_ranking() -> None:
    assert expected_precision([("a",), ("a",), ("b",), ("b",)]) == pytest.approx(1 / 3)
    assert expected_precision([("a", "b"), ("a",), ("b",), (), ("c",)]) == pytest.approx(
        (2 + 1 + 1) / 4 / 3
    )
    assert expected_precision([("a",), ("b",)]) == 0.0
