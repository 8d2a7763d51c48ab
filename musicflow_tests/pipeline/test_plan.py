"""The plan: what is out of date, and why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mutagen.id3 import APIC, ID3, TCON, TPE1

from musicflow import embedders
from musicflow.embedders import mfcc
from musicflow.index import open_index
from musicflow.pipeline import Plan, build_collection, embed_tracks, plan_of, to_embed
from musicflow.pipeline.pace import Pace
from musicflow.search.query import filters_for
from musicflow.settings import Settings
from musicflow.store import EmbeddingStore
from musicflow_tests.conftest import tone

Write = Callable[..., Path]


@pytest.fixture
def settings(music: Path) -> Settings:
    return Settings(library=music, embedders=("mfcc",))


def steps(plan: Plan) -> list[tuple[str, int, str]]:
    return [(step.kind, step.tracks, step.reason) for step in plan.steps]


def carry_out(plan: Plan, settings: Settings) -> None:
    store = EmbeddingStore(settings.paths.embeddings)
    embed_tracks(plan.library.tracks, mfcc.SPEC, store, settings.cache)
    pace = Pace(settings.paths.pace)
    build_collection(plan.library.tracks, mfcc.SPEC, store, open_index(settings), pace)


def test_at_first_all_is_new_and_nobody_knows_how_long_it_takes(settings: Settings) -> None:
    plan = plan_of(settings)
    assert steps(plan) == [("embed", 12, "new"), ("publish", 12, "new"), ("evaluate", 12, "new")]
    assert plan.steps[0].seconds is None
    assert plan.remade == ()


def test_one_new_file_is_one_track_to_embed(settings: Settings, write: Write) -> None:
    carry_out(plan_of(settings), settings)
    write("tones/new.wav", tone(999))
    plan = plan_of(settings)
    assert steps(plan)[:2] == [("embed", 1, "new"), ("publish", 13, "content")]
    assert plan.partitions == {"tones"}
    assert all(step.seconds for step in plan.steps[:2]), "as long as they took before"


def test_a_renamed_file_is_published_and_not_embedded(settings: Settings, music: Path) -> None:
    carry_out(plan_of(settings), settings)
    (music / "tones" / "0.wav").rename(music / "noises" / "moved.wav")
    assert steps(plan_of(settings))[0] == ("publish", 12, "content")


def test_vectors_of_another_version_are_told_from_new_ones(
    settings: Settings, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(plan_of(settings), settings)
    write("tones/new.wav", tone(999))
    newer = replace(mfcc.SPEC, version="99")
    monkeypatch.setattr(embedders, "specs_for", lambda _settings: [newer])
    plan = plan_of(settings)
    assert steps(plan)[:2] == [("embed", 1, "new"), ("embed", 12, "version")]
    assert [step.tracks for step in plan.remade] == [12]


def test_a_new_tag_or_cover_costs_no_inference(settings: Settings, write: Write) -> None:
    paths = [write(f"tones/{n}.mp3", tone(300 + n, rate=44_100), 44_100) for n in range(3)]
    carry_out(plan_of(settings), settings)
    for path in paths:
        tags = ID3()
        tags.add(TPE1(encoding=3, text=["Nina"]))
        tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=bytes(100_000)))
        tags.save(path)
    plan = plan_of(settings)
    assert {step.kind for step in plan.steps} == {"publish", "evaluate"}
    assert sum(track.artist == "Nina" for track in plan.library.tracks) == 3


def test_edited_genres_are_published_and_evaluated_and_not_embedded(
    settings: Settings, tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("path,genre\ntones/0.wav,Pure\ntones/1.wav,Pure; High\nnoises/0.wav,Noise\n")
    by_table = settings.model_copy(update={"genre": str(table)})
    carry_out(plan_of(by_table), by_table)
    [evaluation] = plan_of(by_table).steps
    assert evaluation.kind == "evaluate"
    table.write_text("path,genre\ntones/0.wav,Noise\ntones/1.wav,Pure\nnoises/0.wav,Noise\n")
    plan = plan_of(by_table)
    assert [step.kind for step in plan.steps] == ["publish", "evaluate"]
    carry_out(plan, by_table)
    with open_index(by_table).open("mfcc") as collection:
        assert collection.facet("genre") == {"Unknown": 9, "Noise": 2, "Pure": 1}
    renamed = by_table.model_copy(update={"genre_names": {"NOISE": "Hiss; Quiet"}})
    carry_out(plan_of(renamed), renamed)
    with open_index(renamed).open("mfcc") as collection:
        assert collection.facet("genre") == {"Unknown": 9, "Hiss": 2, "Quiet": 2, "Pure": 1}
        assert collection.count(filters_for(collection, ["genre=quiet", "genre=pure"])) == 3


def test_genres_edited_in_tags_and_files_moved_between_genres_cost_no_inference(
    settings: Settings, write: Write, music: Path
) -> None:
    for name in ("a", "b", "c", "d"):
        path = write(f"{name}.mp3", tone(300 + ord(name), rate=44_100), 44_100)
        _tag(path, "Jazz" if name in "ab" else "Rock")
    tagged = settings.model_copy(update={"genre": "tag"})
    carry_out(plan_of(tagged), tagged)
    _tag(music / "a.mp3", "Rock; Blues")
    (music / "tones" / "0.wav").rename(music / "noises" / "moved.wav")
    plan = plan_of(tagged)
    assert {step.kind for step in plan.steps} == {"publish", "evaluate"}
    genres = {track.track_id: track.genres for track in plan.library.tracks}
    assert genres["a.mp3"] == ("Rock", "Blues")


def _tag(path: Path, genre: str) -> None:
    tags = ID3()
    tags.add(TCON(encoding=3, text=[genre]))
    tags.save(path)


def test_vectors_under_a_former_hash_are_taken_over_though_a_copy_is_new(
    settings: Settings,
) -> None:
    plan = plan_of(settings)
    carry_out(plan, settings)
    track = plan.library.tracks[0]
    old = replace(track, content_hash="new", former_hash=track.content_hash)
    copy = replace(track, track_id="copy", content_hash="new")
    store = EmbeddingStore(settings.paths.embeddings)
    assert to_embed([old, copy], mfcc.SPEC, store) == []
    assert store.known(mfcc.SPEC)["new"] == ""
