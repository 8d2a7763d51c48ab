import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.app.compare import overlap, shift
from musicflow.app.find import NEW, moves
from musicflow.index import Hit

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
    assert shift("a", 1, "abc") == "="
    assert "▲2" in shift("c", 1, "abc")
    assert "▼2" in shift("a", 3, "abc")
    assert "only here" in shift("x", 1, "abc")


def test_a_click_shows_what_it_did_to_each_answer() -> None:
    hits = [Hit(track_id, 1.0, {}) for track_id in "cxba"]
    assert moves(hits, []) == ["", "", "", ""]
    assert moves(hits, list("abc")) == [":green[▲2]", NEW, ":red[▼1]", ":red[▼3]"]
