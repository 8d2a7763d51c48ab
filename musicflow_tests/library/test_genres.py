import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.library.genres import key, split, unified


@pytest.mark.parametrize(
    ("text", "genres"),
    [
        ("Rock", ["Rock"]),
        ("Rock; Pop", ["Rock", "Pop"]),
        ("Rock/Pop / Blues", ["Rock", "Pop", "Blues"]),
        ("R&B/Soul", ["R&B/Soul"]),
        ("Hip-Hop/Rap; Jazz/Funk", ["Hip-Hop/Rap", "Jazz", "Funk"]),
        ("Singer/Songwriter", ["Singer/Songwriter"]),
        ("Folk, World, & Country", ["Folk, World, & Country"]),
        ("Rock;rock;Rock", ["Rock", "rock"]),
        ("Other", []),
        ("N/A; Jazz", ["Jazz"]),
        ("(17)", []),
        (" ; / ", []),
    ],
)
def test_a_text_is_split_into_its_genres(text: str, genres: list[str]) -> None:
    assert list(split(text)) == genres


@given(st.text(max_size=30))
def test_any_text_is_split_into_names_that_are_split_no_further(text: str) -> None:
    for name in split(text):
        assert name == name.strip() != ""
        assert split(name) == (name,)
        assert key(name)


@pytest.mark.parametrize(
    "spellings",
    [
        ("Hip-Hop", "hip hop", "HipHop", "HIP_HOP"),
        ("Drum & Bass", "drum and bass", "Drum'n'Bass", "Drum n Bass", "DnB", "D&B"),
        ("R&B", "RnB", "R 'n' B", "Rhythm and Blues"),
        ("Rock & Roll", "Rock ’n’ Roll", "rock n' roll"),
        ("Électro", "Electro"),
    ],
)
def test_spellings_of_one_genre_are_the_same(spellings: tuple[str, ...]) -> None:
    assert len(set(map(key, spellings))) == 1


def test_genres_that_only_look_alike_stay_apart() -> None:
    names = (
        "Rock",
        "Hard Rock",
        "Electro",
        "Electronic",
        "House",
        "日本の音楽",
        "!!!",
        "Jazz",
        "R",
    )
    assert len(set(map(key, names))) == len(names)


def test_a_genre_has_its_most_frequent_spelling_unless_the_user_names_it() -> None:
    labels = [("Hip-Hop",), ("hip hop", "Jazz"), ("hip hop",), ("Podcast",), ()]
    assert unified(labels) == [("hip hop",), ("hip hop", "Jazz"), ("hip hop",), ("Podcast",), ()]
    names = {"HIPHOP": "Rap; Urban", "podcast": ""}
    rap = ("Rap", "Urban")
    assert unified(labels, names) == [rap, (*rap, "Jazz"), rap, (), ()]
