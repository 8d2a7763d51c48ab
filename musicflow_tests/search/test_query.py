from pathlib import Path

import pytest

from musicflow.index import Collection, EmbeddedIndex, FilterError, Point
from musicflow.search.query import filters_for, similar_to_track
from musicflow_tests.search.conftest import TRACKS, opened


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


def test_tags_that_another_embedder_predicts_filter_too(
    embedded: Collection, tmp_path: Path
) -> None:
    tagged = [
        Point(one.track_id, one.vector, one.payload | {"tags": ["calm" if row < 20 else "loud"]})
        for row, one in enumerate(TRACKS)
    ]
    with opened(EmbeddedIndex(tmp_path), tagged) as teller:
        for texts, count in (
            (["tag=CALM"], 20),
            (["tag!=calm"], 40),
            (["tag=calm", "tag=loud"], 60),
            (["tag+=calm", "tag+=loud"], 0),
        ):
            assert embedded.count(filters_for(embedded, texts, [teller])) == count, texts
        with pytest.raises(FilterError, match="the nearest is calm"):
            filters_for(embedded, ["tag=clam"], [teller])
    with pytest.raises(FilterError, match="no track of this collection has one"):
        filters_for(embedded, ["tag=calm"])
