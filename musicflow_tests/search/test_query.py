from musicflow.index import Collection, Filters
from musicflow.search.query import similar_to_track, why_none


def test_filters_that_no_track_fulfils_are_named_with_the_nearest_values(
    embedded: Collection,
) -> None:
    assert similar_to_track(embedded, "t1", 5, Filters.parse(["genre=evn"])) == []
    assert why_none(embedded, Filters.parse(["genre=Evn"])) == (
        "no track has the genre 'Evn' (the nearest are even)"
    )
    assert "passes" in why_none(embedded, Filters.parse(["duration<1"]))
