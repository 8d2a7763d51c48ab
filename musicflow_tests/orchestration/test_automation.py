"""Days in the life of a library, on a real instance: what is asked for, and what comes of it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from musicflow import audio
from musicflow.embedders import spec_of
from musicflow.evaluation import Comparison
from musicflow.index import EmbeddedIndex
from musicflow.library import Library, files, known_partitions
from musicflow.orchestration import embeddings, evaluation, pictures
from musicflow.orchestration.automation import library_changes
from musicflow.orchestration.definitions import definitions_for
from musicflow.orchestration.resources import Workspace, workspace_of
from musicflow.orchestration.run import prepare
from musicflow.settings import Home
from musicflow.store import EmbeddingStore
from musicflow_tests.conftest import Run, noise, tone, work_here, write_music
from musicflow_tests.orchestration.test_nightly import asked_at_night

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Daemon:
    """What Dagster's daemon does in a minute: the sensor's tick, then the conditions', in turn."""

    def __init__(self, instance: dg.DagsterInstance, labels: tuple[str, ...] = ("mfcc",)) -> None:
        self.instance = instance
        self.defs = definitions_for(labels)
        self.cursor: str | None = None
        self.conditions = dg.evaluate_automation_conditions(self.defs, instance).cursor
        self.said = ""

    def tick(self) -> list[str]:
        """Look at the library and run what is asked for; tells the partitions, or the job."""
        # Left to the garbage collector, a context leaves Dagster's state set for other tests.
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"workspace": workspace_of()}
        ) as context:
            result = library_changes(context)
        if isinstance(result, dg.SkipReason):
            self.said = str(result.skip_message)
            return []
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.said = result.skip_reason.skip_message if result.skip_reason else ""
        for change in result.dynamic_partitions_requests or ():
            if isinstance(change, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions("parts", list(change.partition_keys))
            else:
                for key in change.partition_keys:
                    self.instance.delete_dynamic_partition("parts", key)
        for request in result.run_requests or ():
            self.run(request)
        return [request.partition_key or str(request.job_name) for request in result.run_requests]

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        chosen = request.asset_selection
        return self.defs.resolve_job_def(str(request.job_name)).execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=list(chosen) if chosen is not None else None,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def night(self) -> Sequence[dg.RunRequest] | str:
        """Return what the nightly schedule asks for, or why it asks for nothing."""
        return asked_at_night(self.instance, self.defs)

    def carry_on(self) -> list[str]:
        """Run what the conditions ask for, until they ask for nothing; tells the assets."""
        asked: list[str] = []
        for _ in range(8):
            keys = self.requested()
            if not keys:
                return sorted(asked)
            asked += keys
            self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
                run_config=QUIET,
                instance=self.instance,
                asset_selection=[dg.AssetKey(key.split("/")) for key in keys],
                raise_on_error=False,
            )
        raise AssertionError(f"the conditions never come to rest: {asked}")

    def materialize(self, asset: str) -> dg.ExecuteInProcessResult:
        """Do what a person does with one asset's button."""
        return self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset.split("/"))],
            raise_on_error=False,
        )

    def requested(self) -> list[str]:
        """The assets that the conditions ask for in one tick."""
        cursor = self.conditions
        done = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=cursor)
        self.conditions = done.cursor
        keys = {result.key for result in done.results if not result.true_subset.is_empty}
        return sorted(key.to_user_string() for key in keys)


def asked(request: dg.RunRequest) -> list[str]:
    return sorted(key.to_user_string() for key in request.asset_selection or ())


EVALUATED = ["embedder_comparison", "retrieval_evaluation"]
ALL = ["collections/mfcc", *EVALUATED, "track_metadata"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two partitions and its home, brought up to date by the daemon alone."""
    folder = tmp_path_factory.mktemp("finished")
    write_music(folder / "music")
    home = Home(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        patch.setenv("MUSICFLOW_HOME", str(home.root))
        patch.setenv("MUSICFLOW_LIBRARY", str(folder / "music"))
        prepare(home)
        with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
            daemon = Daemon(instance)
            assert daemon.tick() == ["noises", "tones"]
            assert instance.get_dynamic_partitions("parts") == ["noises", "tones"]
            assert daemon.carry_on() == ALL
            assert daemon.carry_on() == []
    return folder


@pytest.fixture
def music(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "music", tmp_path / "music"))


@pytest.fixture
def daemon(
    finished: Path, music: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    """The daemon on a copy of it; what takes longest is left out: MLflow, report, pictures."""
    shutil.copytree(finished / "home", home.root)
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["mfcc"]\n')
    nothing = dg.MetadataValue.md("")
    monkeypatch.setattr(pictures, "spectrograms", lambda *_: nothing)
    monkeypatch.setattr(pictures, "durations", lambda *_: nothing)
    monkeypatch.setattr(evaluation, "_logged", _logged_without_mlflow)
    for room in ("evaluation", "nightly"):
        there = f"musicflow.orchestration.{room}.is_recorded"
        monkeypatch.setattr(there, lambda _home, one: bool(one.mlflow_run_id))
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield Daemon(instance)


def _logged_without_mlflow(
    _context: object, workspace: Workspace, measured: Comparison, _progress: object
) -> Comparison:
    comparison = measured.with_runs("1", "a run", {})
    comparison.save(workspace.paths.reports / "comparison.json")
    return comparison


def genres(home: Home) -> dict[str, int]:
    with EmbeddedIndex(home.collections).open("mfcc") as collection:
        return collection.facet("genre")


def test_a_library_was_discovered_and_carried_to_mlflow_and_then_there_is_nothing_to_do(
    daemon: Daemon, home: Home
) -> None:
    assert genres(home) == {"noises": 6, "tones": 6}
    assert json.loads((home.reports / "comparison.json").read_text())["mlflow_run_id"]
    assert daemon.tick() == []
    assert daemon.said == "12 files in 2 partitions: nothing changed"
    assert daemon.carry_on() == []


def test_only_the_partition_with_a_new_file_is_asked_for_and_the_rest_follows(
    daemon: Daemon, home: Home, write: Write
) -> None:
    write("tones/new.wav", tone(333))
    assert daemon.tick() == ["tones"]
    assert daemon.carry_on() == ALL
    assert genres(home) == {"noises": 6, "tones": 7}
    assert daemon.tick() == daemon.carry_on() == []


def test_a_look_at_the_library_is_not_taken_for_an_ingestion(
    daemon: Daemon, music: Path, home: Home, write: Write, run: Run
) -> None:
    write("tones/new.wav", tone(333))
    assert run("library", "check", str(music))[0] == 0
    assert daemon.tick() == ["tones"]
    assert daemon.carry_on() == ALL
    assert genres(home) == {"noises": 6, "tones": 7}
    assert daemon.tick() == daemon.carry_on() == []
    (music / "tones" / "new.wav").unlink()
    write("more/new.wav", tone(345))
    assert run("run", str(music), "--dry-run")[0] == 0
    assert daemon.tick() == ["more", "tones"]
    assert daemon.carry_on() == ALL
    assert genres(home) == {"more": 1, "noises": 6, "tones": 6}
    write("noises/new.wav", noise(99))
    assert run("library", "check", str(music))[0] == 0
    [request] = daemon.night()
    assert request.partition_key_range == dg.PartitionKeyRange("noises", "noises")
    assert daemon.run(request).success
    daemon.carry_on()
    assert daemon.tick() == daemon.carry_on() == []


def test_a_changed_file_gets_another_vector(daemon: Daemon, home: Home, write: Write) -> None:
    write("tones/0.wav", noise(99))
    assert daemon.tick() == ["tones"]
    store = EmbeddingStore(home.embeddings)
    assert len(store.known(spec_of("mfcc"))) == 13
    daemon.carry_on()
    assert genres(home) == {"noises": 6, "tones": 6}


def test_a_moved_file_keeps_its_vector(
    daemon: Daemon, music: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "tones" / "0.wav").rename(music / "noises" / "moved.wav")
    with monkeypatch.context() as patch:
        patch.setattr(audio, "stream", None)
        assert daemon.tick() == ["noises", "tones"]
    daemon.carry_on()
    assert genres(home) == {"noises": 7, "tones": 5}


def test_a_renamed_folder_is_a_new_partition_and_the_old_one_goes_at_the_second_look(
    daemon: Daemon, music: Path, home: Home
) -> None:
    (music / "tones").rename(music / "Sinüs & Co")
    assert daemon.tick() == ["sinüs-co"]
    assert daemon.instance.get_dynamic_partitions("parts") == ["noises", "tones", "sinüs-co"]
    assert daemon.tick() == ["Relabel"]
    assert daemon.instance.get_dynamic_partitions("parts") == ["noises", "sinüs-co"]
    daemon.carry_on()
    assert genres(home) == {"noises": 6, "Sinüs & Co": 6}
    assert daemon.tick() == daemon.carry_on() == []


def test_deleted_files_leave_and_restored_ones_come_back_without_new_work(
    daemon: Daemon, music: Path, home: Home, tmp_path: Path
) -> None:
    away = (music / "tones" / "0.wav").rename(tmp_path / "0.wav")
    assert daemon.tick() == ["tones"]
    daemon.carry_on()
    assert genres(home)["tones"] == 5
    away.rename(music / "tones" / "0.wav")
    assert daemon.tick() == ["tones"], "the state it had before is asked for again"
    daemon.carry_on()
    assert genres(home)["tones"] == 6
    assert len(EmbeddingStore(home.embeddings).known(spec_of("mfcc"))) == 12


def test_an_emptied_folder_leaves_the_partitions(daemon: Daemon, music: Path, home: Home) -> None:
    for path in (music / "tones").iterdir():
        path.unlink()
    assert daemon.tick() == []
    missing = "tones missing; forgotten if still missing at the next tick"
    assert daemon.said == f"6 files in 1 partitions: {missing}"
    assert daemon.tick() == ["Relabel"]
    assert daemon.instance.get_dynamic_partitions("parts") == ["noises"]
    # So many tracks may be on a disk that is not mounted: a person says that they are gone.
    assert daemon.carry_on() == []
    assert genres(home) == {"noises": 6, "tones": 6}
    assert daemon.materialize("collections/mfcc").success
    assert genres(home) == {"noises": 6}
    assert daemon.carry_on() == EVALUATED
    assert daemon.materialize("track_metadata").success


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "missing"])
def test_a_library_unmounted_for_a_tick_loses_nothing(
    daemon: Daemon, music: Path, home: Home, empty: bool
) -> None:
    away = music.rename(music.with_name("away"))
    if empty:
        music.mkdir()
    for _ in range(3):
        assert daemon.tick() == []
        assert "Nothing is taken for deleted" in daemon.said
    if empty:
        music.rmdir()
    away.rename(music)
    assert daemon.tick() == daemon.carry_on() == []
    assert known_partitions(home.library) == {"noises", "tones"}
    assert daemon.instance.get_dynamic_partitions("parts") == ["noises", "tones"]


def test_a_partition_unmounted_for_a_tick_loses_nothing(
    daemon: Daemon, music: Path, home: Home
) -> None:
    away = (music / "tones").rename(music.with_name("away"))
    assert daemon.tick() == []
    away.rename(music / "tones")
    assert daemon.tick() == daemon.carry_on() == []
    assert known_partitions(home.library) == {"noises", "tones"}


def test_a_run_for_an_unmounted_library_fails_and_loses_nothing(
    daemon: Daemon, music: Path, home: Home
) -> None:
    away = music.rename(music.with_name("away"))
    result = daemon.run(dg.RunRequest(job_name="Ingest", partition_key="tones"))
    assert not result.success
    assert "there is no folder" in _reason(result, "raw_audio")
    away.rename(music)
    assert daemon.tick() == []
    assert len(Library.load(home.library).tracks) == 12


def test_a_file_that_cannot_be_used_is_tried_again_only_when_it_changed(
    daemon: Daemon, music: Path, write: Write, home: Home
) -> None:
    bad = music / "tones" / "bad.mp3"
    bad.write_text("not music " * 500)
    assert daemon.tick() == ["tones"]
    daemon.carry_on()
    assert daemon.tick() == []
    bad.unlink()
    write("tones/bad.wav", tone(300))
    assert daemon.tick() == ["tones"]
    daemon.carry_on()
    assert genres(home)["tones"] == 7


def broken(*_: object) -> None:
    raise PermissionError(13, "Permission denied", "files")


def test_a_partition_that_failed_is_asked_for_again_only_when_it_changed(
    daemon: Daemon, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tones/new.wav", tone(333))
    with monkeypatch.context() as patch:
        patch.setattr(files, "_save", broken)
        assert daemon.tick() == ["tones"]
        assert daemon.tick() == []
        assert daemon.said == "13 files in 2 partitions: tones changed and requested already"
    write("tones/newer.wav", tone(345))
    assert daemon.tick() == ["tones"]
    assert daemon.tick() == []
    assert daemon.said == "14 files in 2 partitions: nothing changed"


def test_a_folder_that_vanishes_while_it_is_read_is_looked_at_again(
    daemon: Daemon, music: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if path == str(music / "noises"):
            (music / "tones").rename(music.with_name("away"))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert daemon.tick() == []
    assert "vanished while it was read. Nothing is taken for deleted." in daemon.said
    music.with_name("away").rename(music / "tones")
    assert daemon.tick() == []
    assert known_partitions(home.library) == {"noises", "tones"}


def test_changed_labels_alone_are_joined_again(music: Path, home: Home, daemon: Daemon) -> None:
    for name in ("noises", "tones"):
        (music / "mp3").mkdir(exist_ok=True)
        (music / name).rename(music / "mp3" / name)
    (music / "labels.json").write_text('{"tracks": {}}')
    assert daemon.tick() == ["noises", "tones", "Relabel"]
    daemon.carry_on()
    # In this layout, files of one name are one track: half of them go.
    assert daemon.materialize("collections/mfcc").success
    daemon.carry_on()
    assert daemon.tick() == []
    label = {"genre": {"S": "silence"}}
    (music / "labels.json").write_text(json.dumps({"tracks": {"0": label}}))
    assert daemon.tick() == ["Relabel"]
    assert daemon.carry_on() == ["collections/mfcc", *EVALUATED]
    assert genres(home)["silence"] == 1
    assert daemon.tick() == []


def test_a_partition_that_is_read_alone_is_embedded_before_anything_is_indexed(
    daemon: Daemon, write: Write, home: Home
) -> None:
    def run(asset: str) -> None:
        daemon.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=QUIET,
            instance=daemon.instance,
            partition_key="tones",
            asset_selection=[dg.AssetKey(asset.split("/"))],
        )

    write("tones/new.wav", tone(333))
    run("raw_audio")
    assert daemon.requested() == ["embeddings/mfcc", "track_metadata"]
    run("embeddings/mfcc")
    run("track_metadata")
    assert daemon.carry_on() == ["collections/mfcc", *EVALUATED]
    assert genres(home)["tones"] == 7


def test_an_embedder_that_fails_does_not_keep_the_others_from_the_evaluation(
    daemon: Daemon, music: Path, home: Home, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    write("tones/new.wav", tone(333))
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["mfcc", "openl3"]\n')
    monkeypatch.setenv("MUSICFLOW_CACHE", str(home.root / "no weights"))
    monkeypatch.setenv("MUSICFLOW_WEIGHTS_MIRROR", str(home.root / "nowhere"))
    daemon = Daemon(daemon.instance, ("mfcc", "openl3"))
    assert daemon.tick() == ["tones"]
    assert daemon.carry_on() == ALL
    rows = json.loads((home.reports / "comparison.json").read_text())["rows"]
    assert {row["embedder"]: row["scores"] == {} for row in rows} == {
        "mfcc": False, "openl3": True, "random": False,
    }  # fmt: skip


def test_a_night_takes_the_partition_with_a_new_song_and_the_next_one_nothing(
    daemon: Daemon, home: Home, write: Write
) -> None:
    [request] = daemon.night()
    assert asked(request) == ALL, "the library has moved, and no partition needs any work"
    assert daemon.run(request).success
    assert daemon.carry_on() == []
    assert daemon.night() == "12 files in 2 partitions: nothing changed, and all is up to date"
    write("tones/new.wav", tone(333))
    [request] = daemon.night()
    result = daemon.run(request)
    made = result.asset_materializations_for_node("embeddings__mfcc")
    assert [(m.partition, m.metadata["embedded now"].value) for m in made] == [("tones", 1)]
    assert daemon.carry_on() == ALL
    assert genres(home) == {"noises": 6, "tones": 7}
    assert daemon.night() == "13 files in 2 partitions: nothing changed, and all is up to date"


def test_a_night_tries_again_what_failed(
    daemon: Daemon, home: Home, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tones/new.wav", tone(333))
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "embed_for", broken)
        [request] = daemon.night()
        assert not daemon.run(request).success
        daemon.carry_on()
    [request] = daemon.night()
    assert asked(request) == ["embeddings/mfcc", "raw_audio"]
    assert request.partition_key_range == dg.PartitionKeyRange("tones", "tones")
    assert daemon.run(request).success
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "publish_for", broken)
        assert daemon.carry_on() == ALL
    assert genres(home)["tones"] == 6
    [request] = daemon.night()
    assert asked(request) == ALL, "nothing is scanned or embedded"
    assert daemon.run(request).success
    assert genres(home)["tones"] == 7
    assert "all is up to date" in daemon.night()


def _reason(result: dg.ExecuteInProcessResult, step: str) -> str:
    [event] = [e for e in result.get_step_failure_events() if e.step_key == step]
    data = event.step_failure_data.user_failure_data
    return str(data.description) if data else ""
