"""What a night asks for, counted; `test_automation` has what comes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile

from musicflow.embedders import spec_of
from musicflow.library import load_files, scan
from musicflow.library.files import known_partitions
from musicflow.orchestration import partitions
from musicflow.orchestration.definitions import definitions_for
from musicflow.orchestration.nightly import nightly
from musicflow.orchestration.partitions import in_few_runs
from musicflow.orchestration.resources import workspace_of
from musicflow.settings import Home
from musicflow.store import Embedding, EmbeddingStore

DEFS = definitions_for(["mfcc"])
PARTS = [f"genre-{number:02}" for number in range(30)]


def asked_at_night(
    instance: dg.DagsterInstance, defs: dg.Definitions
) -> Sequence[dg.RunRequest] | str:
    """Return what the nightly schedule asks for, or why it asks for nothing."""
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 11, 27, 3, tzinfo=UTC),
        resources={"workspace": workspace_of()},
        repository_def=defs.get_repository_def(),
    ) as context:
        asked = nightly.evaluate_tick(context)
    named = [one.with_replaced_attrs(job_name=nightly.job_name) for one in asked.run_requests or ()]
    return named or str(asked.skip_message)


def spans(instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """Return the first and last partition of each run that a night asks for."""
    ranges = [request.partition_key_range for request in asked_at_night(instance, DEFS)]  # type: ignore[union-attr]
    return [(one.start, one.end) for one in ranges if one is not None]


def add_song(music: Path, partition: str, number: int) -> None:
    path = music / partition / f"{number}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([number, *partition.encode()]).standard_normal(800)
    soundfile.write(path, 0.1 * noise, 8000)


@pytest.fixture
def music(home: Home, tmp_path: Path, instance: dg.DagsterInstance) -> Path:
    """A library of thirty partitions that are scanned and embedded, as Dagster knows."""
    music = tmp_path / "music"
    for part in PARTS:
        add_song(music, part, 0)
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["mfcc"]\n')
    scan(music, home.library)
    embed(home)
    instance.add_dynamic_partitions("parts", PARTS)
    for key in ("raw_audio", ["embeddings", "mfcc"]):
        for part in PARTS:
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=part))
    return music


def embed(home: Home) -> None:
    spec, random = spec_of("mfcc"), np.random.default_rng(0)
    contents = [file.content_hash for file in load_files(home.library)]
    vectors = random.standard_normal((len(contents), spec.dim)).astype(np.float32)
    rows = zip(contents, vectors, strict=True)
    EmbeddingStore(home.embeddings).add(spec, [Embedding(*row) for row in rows])


def test_a_night_with_ten_new_songs_is_a_run_per_partition_and_what_is_complete_is_left_alone(
    home: Home, instance: dg.DagsterInstance, music: Path
) -> None:
    [request] = asked_at_night(instance, DEFS)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key_range is None
    whole = {"collections/mfcc", "embedder_comparison", "retrieval_evaluation", "track_metadata"}
    assert {key.to_user_string() for key in request.asset_selection or ()} == whole
    for number in range(10):
        add_song(music, PARTS[(3, 4, 17)[number % 3]], 1 + number)
    assert spans(instance) == [("genre-03", "genre-04"), ("genre-17", "genre-17")]
    # The songs were read, but not embedded: what is not complete is asked for again.
    scan(music, home.library)
    assert spans(instance) == [("genre-03", "genre-04"), ("genre-17", "genre-17")]
    embed(home)
    assert spans(instance) == []
    add_song(music, "unheard of", 0)
    assert spans(instance) == [("unheard-of", "unheard-of")]
    music.rename(music.with_name("away"))
    assert "Nothing is taken for deleted" in str(asked_at_night(instance, DEFS))
    assert len(instance.get_dynamic_partitions("parts")) == 31


def test_what_is_gone_for_two_nights_is_forgotten(
    home: Home, instance: dg.DagsterInstance, music: Path
) -> None:
    (music / PARTS[3]).rename(music.with_name("elsewhere"))
    asked_at_night(instance, DEFS)
    assert PARTS[3] in known_partitions(home.library), "an unmounted folder may come back"
    asked_at_night(instance, DEFS)
    assert known_partitions(home.library) == {*PARTS} - {PARTS[3]}


def test_partitions_far_apart_share_a_handful_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(*wanted: int) -> list[tuple[str, str, int]]:
        found = in_few_runs(PARTS, [PARTS[number] for number in wanted])
        return [(*(key[-2:] for key in tags.values()), count) for tags, count in found]  # type: ignore[misc]

    assert runs() == []
    assert runs(*range(30)) == [("00", "29", 30)]
    assert runs(0, 2, 5, 9, 14, 20, 27) == [
        ("00", "05", 3), ("09", "09", 1), ("14", "14", 1), ("20", "20", 1), ("27", "27", 1),
    ]  # fmt: skip
    monkeypatch.setattr(partitions, "PER_RUN", 2)
    assert runs(0, 1, 2, 3, 4) == [("00", "01", 2), ("02", "03", 2), ("04", "04", 1)]
