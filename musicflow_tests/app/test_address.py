from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from musicflow.app.address import MAX_K, Address
from musicflow.app.catalogue import SORTS
from musicflow.index.hubness import CORRECTIONS
from musicflow.search.recommend import STRATEGIES

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
several = st.lists(words.filter(bool), unique=True, max_size=4).map(tuple)
addresses = st.builds(
    Address,
    page=st.sampled_from(["/", "/compare", "/map", "/library"]),
    embedder=words,
    k=st.integers(1, MAX_K),
    filters=several,
    track=words,
    text=words,
    likes=several,
    dislikes=several,
    strategy=st.sampled_from(STRATEGIES),
    diverse=st.booleans(),
    most=st.integers(0, 10),
    apart=st.booleans(),
    correct=st.sampled_from(["", *CORRECTIONS]),
    against=several,
    blind=st.booleans(),
    start=words,
    end=words,
    steps=st.integers(1, 30),
    words=words,
    sort=st.sampled_from(SORTS),
    twice=st.booleans(),
)


def read(url: str) -> Address:
    parts = urlsplit(url)
    return Address.parse(parts.path, QueryParams(parts.query))


@given(addresses)
def test_an_address_brings_the_same_view(address: Address) -> None:
    assert read(address.url) == address


@given(st.dictionaries(st.sampled_from(["k", "steps", "sort", "like", "blind", "strategy"]), words))
def test_any_query_is_a_view_within_bounds(query: dict[str, str]) -> None:
    address = Address.parse("/", QueryParams(query))
    assert 1 <= address.k <= MAX_K
    assert 1 <= address.steps <= 30
    assert address.sort in SORTS
    assert address.strategy in STRATEGIES


def test_liking_twice_takes_back_and_liking_the_disliked_changes_sides() -> None:
    liked = Address().preferring("likes", "a")
    assert (liked.likes, liked.dislikes) == (("a",), ())
    assert liked.preferring("likes", "a") == Address()
    changed = liked.preferring("dislikes", "a")
    assert (changed.likes, changed.dislikes) == ((), ("a",))
