import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.index.fields import of_kind
from musicflow.index.filters import Condition, FilterError, Filters


def test_the_same_key_means_any_and_different_keys_mean_all() -> None:
    filters = Filters.parse(["genre=rock", "genre=jazz", "artist!=Abba", "duration_s<120"])
    assert filters.conditions == (
        Condition("genre", "=", ("rock", "jazz")),
        Condition("artist", "!=", ("Abba",)),
        Condition("duration_s", "<", (120.0,)),
    )


def test_of_several_bounds_the_narrowest_counts() -> None:
    filters = Filters.parse(["duration>10", "duration_s > 20", "duration_s<=9", "duration_s<=8"])
    assert [condition.values for condition in filters.conditions] == [(20.0,), (8.0,)]


def test_singular_names_are_understood() -> None:
    assert Filters.parse(["subgenre=a", "tag=b"]) == Filters.parse(["subgenres=a", "tags=b"])


@pytest.mark.parametrize(
    "text", ["", "genre", "genre=", "zip=3", "genre<3", "duration_s=3", "duration_s<soon", "=x"]
)
def test_what_is_no_filter_is_answered_with_what_is(text: str) -> None:
    with pytest.raises(FilterError, match=r"genre|duration_s"):
        Filters.parse([text])


@given(
    st.sampled_from([field.name for field in of_kind("keyword")]),
    st.text(min_size=1).filter(lambda text: text.strip() == text != ""),
)
def test_any_value_can_be_asked_for(key: str, value: str) -> None:
    [condition] = Filters.parse([f"{key}={value}"]).conditions
    assert condition == Condition(key, "=", (value,))
