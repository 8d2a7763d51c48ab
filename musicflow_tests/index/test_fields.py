"""One line in the table of fields is all that a new field needs."""

from dataclasses import dataclass, replace

import pytest

from musicflow.index import Filters, Manifest, TrackIndex
from musicflow.index.fields import (
    FIELDS,
    FIRST_INDEXED,
    Field,
    extra_kinds,
    indexed,
    payload_of,
)
from musicflow.index.filters import FilterError, filter_forms
from musicflow.library import UNKNOWN, Track
from musicflow.search.query import filters_for
from musicflow.store import Embedding
from musicflow_tests.index.conftest import MANIFEST, points, vectors

TRACK = Track(
    "a", "/a.mp3", "hash", 9.5, 8000, ("Anna", "Otto"), "Name", "Jazz", ("Bop", "Cool"), "Album"
)


@pytest.fixture
def _two_more_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FIELDS, "label", Field("label", "keyword", "Label"))
    monkeypatch.setitem(FIELDS, "tempo", Field("tempo", "number", "Tempo", alias="bpm"))


@dataclass(frozen=True)
class NewTrack(Track):
    label: str | None = None
    tempo: int | None = None


def test_a_payload_holds_every_field_in_the_order_of_the_table() -> None:
    payload = {
        "track_id": "a",
        "artist": ["Anna", "Otto"],
        "name": "Name",
        "genre": ["Jazz"],
        "subgenres": ["Bop", "Cool"],
        "album": "Album",
        "path": "/a.mp3",
        "content_hash": "hash",
    }
    assert list(payload_of(TRACK).items()) == list(payload.items())
    embedding = Embedding("hash", None, ("calm",), (0.5,), audio_s=9.4)
    heard = {"duration_s": 9.4, "tags": ["calm"], "tag_scores": [0.5]}
    assert list(payload_of(TRACK, embedding).items()) == list((payload | heard).items())


def test_fields_indexed_at_first_are_those_of_a_manifest_that_does_not_tell() -> None:
    assert set(FIRST_INDEXED) <= set(indexed())
    assert Manifest.restored({"embedder": "a", "spec_hash": "", "dim": 1, "state": ""}).fields == (
        FIRST_INDEXED
    )


@pytest.mark.usefixtures("_two_more_fields")
def test_one_line_makes_a_field_a_filter(index: TrackIndex, name: str) -> None:
    values = vectors(10)
    tracks = [
        NewTrack(f"t{row}", "", "", 1.0, 8000, label="xy"[row % 2], tempo=90 + row)
        for row in range(10)
    ]
    index.publish(
        name,
        MANIFEST,
        [
            replace(point, payload=payload_of(track))
            for point, track in zip(points(values), tracks, strict=True)
        ],
    )
    with index.open(name) as collection:
        assert {"label", "tempo"} <= set(collection.manifest.fields)
        assert collection.facet("label") == {"x": 5, "y": 5}
        filters = Filters.parse(["label=x", "bpm>=93", "tempo<=96"])
        [hits] = collection.query(values[:1], 10, filters)
        assert {hit.track_id for hit in hits} == {"t4", "t6"}
        with pytest.raises(FilterError, match="no track has the label 'z': there are x, y"):
            filters_for(collection, ["label=z"])
    assert "label" in filter_forms()
    assert "tempo" in filter_forms()
    with pytest.raises(FilterError, match="'tempo' cannot be compared with 'soon': give a finite"):
        Filters.parse(["tempo<soon"])


def test_a_field_without_a_value_is_left_out_or_has_its_own() -> None:
    payload = payload_of(Track("a", "", "", 1.0, 8000))
    assert payload["genre"] == [UNKNOWN]
    assert "year" not in payload
    assert payload["artist"] == [UNKNOWN]
    dated = payload_of(replace(TRACK, year=1959, album_artist="Otto", replaygain_db=-3.5))
    assert (dated["year"], dated["decade"]) == (1959, "1950s")
    assert (dated["album_artist"], dated["replaygain_db"]) == ("Otto", -3.5)
    assert not {"decade", "album_artist", "replaygain_db"} & payload.keys()


def test_a_field_may_have_another_attribute_and_a_value_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = Field("kinds", "keyword", "Kind", attribute="subgenres", missing=["None"])
    monkeypatch.setitem(FIELDS, "kinds", kinds)
    assert payload_of(TRACK)["kinds"] == ["Bop", "Cool"]
    assert payload_of(replace(TRACK, subgenres=()))["kinds"] == ["None"]


def test_a_collection_from_before_a_field_has_no_values_of_it(
    index: TrackIndex, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish(name, MANIFEST, points(vectors(5)))
    monkeypatch.setitem(FIELDS, "label", Field("label", "keyword", "Label"))
    with index.open(name) as collection:
        assert collection.facet("label") == {}
        assert collection.count(Filters.parse(["label=x"])) == 0


EXTRA = [
    Track("a", "", "", 1.0, 8000, extra={"Mood": ("calm", "warm"), "bpm": 120.5, "id": "x1"}),
    Track("b", "", "", 1.0, 8000, extra={"Mood": "calm", "bpm": 90}),
    Track("c", "", "", 1.0, 8000, extra={"bpm": float("nan")}),
]


def test_values_that_a_library_brings_are_filters_and_facets(index: TrackIndex, name: str) -> None:
    manifest = replace(MANIFEST, extra=extra_kinds(EXTRA))
    assert manifest.extra == {"bpm": "number", "mood": "keyword", "own_id": "keyword"}
    made = [
        replace(point, track_id=track.track_id, payload=payload_of(track))
        for point, track in zip(points(vectors(3)), EXTRA, strict=True)
    ]
    index.publish(name, manifest, made)
    with index.open(name) as collection:
        assert collection.manifest.extra == manifest.extra
        assert collection.facet("mood") == {"calm": 2, "warm": 1}
        assert collection.facet("own_id") == {"x1": 1}
        for texts, found in [
            (["mood=CALM"], {"a", "b"}),
            (["mood+=calm", "mood+=warm"], {"a"}),
            (["bpm>100"], {"a"}),
            (["bpm<100", "mood=calm"], {"b"}),
            (["own_id!=x1"], {"b", "c"}),
        ]:
            filters = filters_for(collection, texts)
            assert {payload["track_id"] for payload in collection.payloads(filters)} == found
        with pytest.raises(FilterError, match=r"write .*mood.*bpm"):
            filters_for(collection, ["tempo>3"])


def test_fields_of_the_table_keep_their_names() -> None:
    payload = payload_of(replace(TRACK, extra={"Genre": "Bop", "subgenre": "x", "My own!": "y"}))
    assert payload["genre"] == ["Jazz"]
    assert (payload["own_genre"], payload["own_subgenre"], payload["my_own"]) == ("Bop", "x", "y")


def test_what_is_stored_only_is_no_filter() -> None:
    with pytest.raises(FilterError, match=r"no track has a field .path.*: write key="):
        Filters.parse(["path=/a"])
