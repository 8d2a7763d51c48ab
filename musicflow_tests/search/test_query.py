from musicflow.index import Collection, Filters
from musicflow.search.query import filters_for, similar_to_track, why_none


def test_filters_that_no_track_fulfils_are_named_with_the_nearest_values(
    embedded: Collection,
) -> None:
    assert similar_to_track(embedded, "t1", 5, Filters.parse(["genre=evn"])) == []
    assert why_none(embedded, Filters.parse(["genre=Evn"])) == (
        "no track has the genre 'Evn' (the nearest are even)"
    )
    assert "passes" in why_none(embedded, Filters.parse(["duration<1"]))


def test_values_of_filters_are_matched_as_a_person_reads_them(embedded: Collection) -> None:
    filters = filters_for(embedded, ["genre=EVEN", "artist!=nobody at all", "duration_s<1000"])
    assert [condition.values for condition in filters.conditions] == [
        ("even",),
        ("nobody at all",),
        (1000.0,),
    ]
    hits = similar_to_track(embedded, "t1", 5, filters)
    assert {hit.payload["genre"] for hit in hits} == {"even"}
