import pytest

from musicflow.index import Collection, FilterError
from musicflow.search.query import filters_for, similar_to_track


@pytest.mark.parametrize(
    ("text", "sentence", "code"),
    [
        ("genre=Evn", "no track has the genre 'Evn': the nearest is even", "filter-value"),
        ("genre+=xyz", "no track has the genre 'xyz': there are even, odd", "filter-value"),
        (
            "tags=calm",
            "no track has the predicted tag 'calm': no track of this collection has one",
            "",
        ),
        ("gnre=even", "no track has a field 'gnre', which 'gnre=even' asks for: the nearest", ""),
    ],
)
def test_a_filter_that_no_track_can_pass_is_an_error_with_the_nearest(
    embedded: Collection, text: str, sentence: str, code: str
) -> None:
    with pytest.raises(FilterError) as raised:
        filters_for(embedded, [text])
    assert str(raised.value).startswith(sentence)
    assert code in raised.value.code


def test_values_of_filters_are_matched_as_a_person_reads_them(embedded: Collection) -> None:
    filters = filters_for(embedded, ["genre=EVEN", "artist!=nobody at all", "duration_s<1000"])
    assert [condition.values for condition in filters.conditions] == [
        ("even",),
        ("nobody at all",),
        (1000.0,),
    ]
    hits = similar_to_track(embedded, "t1", 5, filters)
    assert {hit.payload["genre"] for hit in hits} == {"even"}
