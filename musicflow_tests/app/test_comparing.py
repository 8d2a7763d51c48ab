import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.app.find import shift
from musicflow.search.answers import overlap

ids = st.lists(st.text(max_size=3), unique=True, max_size=10)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("abcd", "dcba", 1.0),
        ("abcd", "abxy", 0.5),
        ("ab", "xy", 0.0),
        ("", "", 1.0),
        ("a", "", 0.0),
    ],
)
def test_overlap_is_the_share_of_answers_in_both(first: str, second: str, share: float) -> None:
    assert overlap(first, second) == share


@given(ids, ids)
def test_overlap_does_not_depend_on_the_order(first: list[str], second: list[str]) -> None:
    assert 0 <= overlap(first, second) == overlap(second[::-1], first) <= 1


def test_a_rank_is_compared_with_the_other_list() -> None:
    shifts = [shift(one, rank, "abcd", "new") for rank, one in enumerate("cxbda", 1)]
    assert shifts == ["▲2", "new", "▼1", "", "▼4"]
