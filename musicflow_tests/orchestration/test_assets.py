import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from pydantic import ValidationError

from musicflow import embedders, tracking
from musicflow.evaluation import Comparison
from musicflow.library import scan
from musicflow.orchestration import checks, layers, partitions, resources, run
from musicflow.orchestration.definitions import assets_for, defs
from musicflow.orchestration.embeddings import _partitions
from musicflow.orchestration.partitions import all_partitions
from musicflow.orchestration.resources import resources_of, workspace_of
from musicflow.orchestration.run import materialize
from musicflow.pipeline import plan_of
from musicflow.settings import Home, Settings, explain_invalid
from musicflow_tests.evaluation.made_up import SWEEP

RESOURCES = resources_of()


def quiet(_context: object) -> object:
    return lambda items, _title, _total: iter(items)


def test_the_graph_has_two_assets_an_embedder_and_evaluates_them_all() -> None:
    labels = ["mfcc", "openl3-untrained"]
    graph = dg.Definitions(assets_for(labels), resources=RESOURCES).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    models = {f"{kind}/{label}" for kind in ("embeddings", "collections") for label in labels}
    assert keys == models | {
        "raw_audio", "track_metadata", "retrieval_evaluation", "embedder_comparison",
    }  # fmt: skip
    parents = graph.get(dg.AssetKey("retrieval_evaluation")).parent_keys
    assert {key.to_user_string() for key in parents} == {f"collections/{x}" for x in labels}


def test_everything_that_the_pages_show_says_what_it_is() -> None:
    for key in defs.resolve_asset_graph().materializable_asset_keys:
        spec = defs.resolve_asset_graph().get(key)
        assert all((spec.description, spec.group_name, spec.owners, spec.kinds, spec.code_version))
    said = [*defs.resolve_all_job_defs(), *(defs.schedules or ()), *(defs.sensors or ())]
    hidden = "__ASSET_JOB"
    assert [one.name for one in said if not one.description and one.name != hidden] == []  # type: ignore[union-attr]


def test_there_is_a_job_of_all_and_a_schedule_for_it() -> None:
    schedule = defs.resolve_schedule_def("nightly")
    assert schedule.job_name == "Refresh"
    assert schedule.cron_schedule == "0 3 * * *"


def test_materialize_all_is_one_run() -> None:
    """The button of Dagster's pages launches the first job by name that has all assets."""
    everything = defs.resolve_asset_graph().materializable_asset_keys
    jobs = [
        job
        for job in defs.resolve_all_job_defs()
        if everything == job.asset_layer.executable_asset_keys
    ]
    first = min(jobs, key=lambda job: job.name)
    assert first.name == "Refresh"
    assert first.backfill_policy == dg.BackfillPolicy.single_run()


def test_a_job_measures_the_layers_that_a_person_asks_for(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(layers, "sweep_layers", lambda spec, *_: asked.append(spec.label) or SWEEP)
    monkeypatch.setattr(tracking, "log_sweep", lambda *_: asked.append("logged"))
    done = defs.resolve_job_def("Layers").execute_in_process(
        {"ops": {"measure_layers": {"config": {"embedder": "mfcc"}}}}, instance, resources=RESOURCES
    )
    assert done.success
    assert asked == ["mfcc", "logged"]
    assert (home.reports / "layers-musicnn.html").is_file()
    [event] = instance.fetch_observations(dg.AssetKey(["layers", "musicnn"]), 1).records
    observed = event.asset_observation
    assert observed is not None
    assert "| penultimate | 200 | 0.700 |" in str(observed.metadata["scores"].value)


def test_the_settings_are_not_read_per_file(
    music: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes some milliseconds: minutes in a library of thirty thousand."""
    scan(music, home.library)
    looks: list[Path] = []
    root = property(lambda _workspace: looks.append(music) or music)
    monkeypatch.setattr(resources.Workspace, "root", root)
    workspace = workspace_of(Settings(home=home.root))
    found = _partitions(workspace, resources.Reading(), ["noises", "tones"])
    assert {key: len(tracks) for key, tracks in found.items()} == {"noises": 6, "tones": 6}
    assert len(looks) == 1


def test_assets_work_on_what_the_home_remembers_and_a_partition_shows_its_own_figures(
    music: Path, home: Home, instance: dg.DagsterInstance
) -> None:
    selection = [["raw_audio"], ["track_metadata"], ["embeddings", "mfcc"], ["collections", "mfcc"]]
    (music / "noises" / "5.wav").unlink()
    (music / "tones" / "bad.mp3").write_text("not music " * 500)
    home.settings_file.write_text(
        f'library = "{music}"\nembedders = ["mfcc"]\ndagster_url = "http://here:1"\n'
    )
    instance.add_dynamic_partitions("parts", ["noises", "tones"])
    result = dg.materialize(
        assets_for(["mfcc"]),
        selection=[dg.AssetKey(key) for key in selection],
        resources=RESOURCES,
        instance=instance,
        tags=all_partitions(instance),
    )

    def shown(node: str, *names: str) -> dict[str, list[object]]:
        made = result.asset_materializations_for_node(node)
        return {str(m.partition): [m.metadata[name].value for name in names] for m in made}

    assert shown("raw_audio", "tracks", "failed", "failures") == {
        "noises": [5, 0, "none"], "tones": [6, 1, "1 not-audio"],
    }  # fmt: skip
    assert shown("embeddings__mfcc", "tracks", "embedded now", "failed", "hours") == {
        "noises": [5, 5, 0, 0.003], "tones": [6, 6, 0, 0.003],
    }  # fmt: skip
    read = {m.partition: m.metadata for m in result.asset_materializations_for_node("raw_audio")}
    assert "| tones/bad.mp3 | not-audio" in str(read["tones"]["why"].value)
    log = f"http://here:1/runs/{result.run_id}?logs=step:raw_audio"
    assert read["tones"]["log"].value == log
    [published] = result.asset_materializations_for_node("collections__mfcc")
    assert published.metadata["genres"].value == {"tones": 6, "noises": 5}


def test_other_kinds_are_counted_and_ignored_files_are_not_there(
    music: Path, home: Home, instance: dg.DagsterInstance
) -> None:
    for name in ("tones/a.mid", "tones/b.mid", "noises/c.sid"):
        (music / name).touch()
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["mfcc"]\n')
    instance.add_dynamic_partitions("parts", ["noises", "tones"])
    result = dg.materialize(
        assets_for(["mfcc"]),
        selection=[dg.AssetKey(["raw_audio"]), dg.AssetKey(["track_metadata"])],
        resources=RESOURCES,
        instance=instance,
        tags=all_partitions(instance),
        run_config={"resources": {"workspace": {"config": {"ignore": ["[3-5].wav", "b.mid"]}}}},
    )
    assert result.success
    read = result.asset_materializations_for_node("raw_audio")
    assert {m.metadata["dagster/partition_row_count"].value for m in read} == {3}
    assert {m.metadata["failed"].value for m in read} == {0}
    of_partitions = {m.partition: m.metadata["not read"].value for m in read}
    assert of_partitions == {
        "noises": "1 file of kinds that are not read: 1 .sid",
        "tones": "1 file of kinds that are not read: 1 .mid",
    }
    [joined] = result.asset_materializations_for_node("track_metadata")
    both = "2 files of kinds that are not read: 1 .mid, 1 .sid"
    assert joined.metadata["not read"].value == both
    assert joined.metadata["problems"].value == "none"


def test_what_the_launchpad_says_goes_before_what_the_home_remembers(
    music: Path, home: Home, instance: dg.DagsterInstance
) -> None:
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["mfcc"]\n')
    instance.add_dynamic_partitions("parts", ["noises", "tones"])

    def run(**config: object) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            assets_for(["mfcc"]),
            selection=[dg.AssetKey("raw_audio"), dg.AssetKey(["embeddings", "mfcc"])],
            resources=RESOURCES,
            instance=instance,
            tags=all_partitions(instance),
            run_config={"resources": {"workspace": {"config": config}}},
            raise_on_error=False,
        )

    given = Settings(hop_s={"mfcc": 1.0}, precision="fp32")
    result = run(hop_s={"mfcc": 1.0}, precision="fp32", device="cpu", exclude="none")
    vectors, _ = result.asset_materializations_for_node("embeddings__mfcc")
    assert vectors.metadata["spec"].value == embedders.spec_for("mfcc", given).hash
    for wrong in ({"precision": "fp17"}, {"hop_s": {"mfcc": -1.0}}):
        [failure] = run(**wrong).get_step_failure_events()
        data = failure.step_failure_data.user_failure_data
        assert data is not None
        with pytest.raises(ValidationError) as invalid:
            Settings(**wrong)
        assert data.description == explain_invalid(invalid.value), "the words of the command line"
    failure, *_ = run(embedders=["nosuch"]).get_step_failure_events()
    assert failure.step_key == "raw_audio"
    assert "no embedder is called 'nosuch'" in str(failure.step_failure_data)


def test_the_launchpad_names_the_values_that_settings_take() -> None:
    fields = type(workspace_of()).model_fields
    assert str(fields["device"].description).startswith("One of auto, cpu, cuda, mps. Where models")


def test_the_launchpad_says_the_values_in_force_and_later_changes_hold(home: Home) -> None:
    home.settings_file.parent.mkdir()
    home.settings_file.write_text('k = 20\nembedders = ["mfcc"]\n')
    workspace = workspace_of()
    fields = type(workspace).model_fields
    said = {name: str(fields[name].description) for name in fields}
    assert all(said.values())
    assert said["k"].endswith("when this page was loaded: 20.")
    assert said["embedders"].endswith('loaded: ["mfcc"].')
    assert said["genre_level"].endswith("loaded: nothing.")
    home.settings_file.write_text("k = 30\n")
    assert workspace.settings.k == 30
    assert workspace.model_copy(update={"k": 15}).settings.k == 15


def test_what_is_written_in_the_launchpad_counts_whatever_the_home_says_by_then(
    home: Home, instance: dg.DagsterInstance
) -> None:
    found: list[Settings] = []

    @dg.asset
    def seen(workspace: resources.Workspace) -> None:
        found.append(workspace.settings)

    before = 'precision = "fp32"\ntags = ["calm"]\nloudness_lufs = -14.0\nk = 20\n'
    home.settings_file.write_text(before)
    workspace = workspace_of()
    after = 'precision = "bf16"\ntags = ["loud"]\nloudness_lufs = -20.0\nk = 30\n'
    home.settings_file.write_text(after + "hop_s = {mfcc = 1.0}\n")
    written = {"precision": "fp32", "tags": [], "loudness_lufs": None, "hop_s": {}}
    for config in (written, {}):
        dg.materialize(
            [seen],
            instance=instance,
            resources={"workspace": workspace},
            run_config={"resources": {"workspace": {"config": config}}},
        )
    as_written, as_at_home = found
    assert as_written.precision == "fp32", "it was that when Dagster was started"
    assert (as_written.tags, as_written.hop_s, as_written.loudness_lufs) == ((), {}, None)
    assert as_written.k == 30
    assert (as_at_home.precision, as_at_home.tags) == ("bf16", ("loud",))
    assert (as_at_home.loudness_lufs, as_at_home.hop_s) == (-20.0, {"mfcc": 1.0})


def test_settings_of_a_command_are_taken_as_they_are(
    home: Home, instance: dg.DagsterInstance
) -> None:
    settings = Settings(tags=("calm",), precision="fp32")
    emptied = settings.model_copy(update={"tags": (), "loudness_lufs": None})
    home.settings_file.write_text('tags = ["loud"]\nloudness_lufs = -14.0\n')
    given = workspace_of(emptied)
    assert (given.settings.tags, given.settings.loudness_lufs) == ((), None)
    found: list[Settings] = []

    @dg.asset
    def seen(workspace: resources.Workspace) -> None:
        found.append(workspace.settings)

    dg.materialize([seen], instance=instance, resources={"workspace": given})
    assert found == [given.settings]


@pytest.mark.parametrize(("name", "value"), [("loudness_lufs", -14.0), ("genre_level", 2)])
def test_a_run_is_given_a_number_that_is_unset_by_default(name: str, value: float) -> None:
    settings = Settings(**{name: value})
    assert getattr(workspace_of(settings).settings, name) == value
    assert getattr(workspace_of(Settings()).settings, name) is None


def test_embedders_on_a_gpu_wait_in_a_pool_of_their_own() -> None:
    pools = {
        asset.key.path[1]: asset.op.pool
        for asset in assets_for(["mfcc", "panns"], "cuda")
        if asset.key.path[0] == "embeddings"
    }
    assert pools == {"mfcc": "embedding", "panns": "gpu"}


def test_a_partition_without_a_single_vector_is_no_failure(
    write: Callable[..., Path], home: Home, instance: dg.DagsterInstance
) -> None:
    path = write("silence/only.wav", np.zeros(44_100))
    home.settings_file.parent.mkdir(exist_ok=True)
    home.settings_file.write_text(f'library = "{path.parents[1]}"\nembedders = ["mfcc"]\n')
    instance.add_dynamic_partitions("parts", ["silence"])
    result = dg.materialize(
        assets_for(["mfcc"]),
        selection=[dg.AssetKey(["raw_audio"]), dg.AssetKey(["embeddings", "mfcc"])],
        resources=RESOURCES,
        instance=instance,
        partition_key="silence",
    )
    [vectors] = result.asset_materializations_for_node("embeddings__mfcc")
    assert vectors.metadata["dagster/partition_row_count"].value == 0
    assert vectors.metadata["failed"].value == 1


def test_without_a_library_the_error_says_how_to_set_one(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("parts", ["tones"])
    result = dg.materialize(
        assets_for(["mfcc"]),
        selection=["raw_audio"],
        resources=RESOURCES,
        instance=instance,
        partition_key="tones",
        raise_on_error=False,
    )
    [failure] = result.get_step_failure_events()
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert "musicflow run LIBRARY" in str(data.description)


def test_an_embedder_that_fails_takes_no_other_down(
    music: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = embedders.spec_of("musicnn").weights
    assert weights is not None
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path))
    (tmp_path / weights.filename).write_bytes(b"no weights")
    settings = Settings(library=music, embedders=("musicnn", "mfcc"))
    plan = plan_of(settings)
    monkeypatch.setattr(sys, "argv", ["/bin/musicflow", "run", "My Music"])
    failed = materialize(plan, settings, quiet, print)  # type: ignore[arg-type]
    [(asset, reason)] = failed.items()
    assert asset == "embeddings/musicnn"
    assert f"{weights.filename} has sha256:" in reason
    comparison = Comparison.load(home.reports / "comparison.json")
    assert comparison is not None
    rows = {row.embedder: row for row in comparison.rows}
    assert rows["mfcc"].value("precision_at_1") == 1.0
    assert rows["musicnn"].scores == {}
    assert rows["musicnn"].error == reason
    assert rows["mfcc"].load_s is not None
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        last, _first = instance.get_runs()
    assert last.job_name == "Refresh"
    # Dagster's timeline leaves out runs of no repository.
    assert last.remote_job_origin is not None
    assert last.tags["musicflow/command"] == "musicflow run 'My Music'"
    assert last.tags["musicflow/comparison"] == "http://localhost:3000/assets/embedder_comparison"
    assert last.tags["musicflow/mlflow"].startswith("http://localhost:5000/#/experiments/")


@pytest.mark.slow
def test_the_workspace_file_is_valid() -> None:
    dagster = Path(sys.executable).with_name("dagster")
    root = Path(__file__).parents[2]
    command = [dagster, "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_is_over_the_partitions_that_dagster_has_not_seen_as_they_are(
    home: Home, instance: dg.DagsterInstance
) -> None:
    assets = [["raw_audio"], ["embeddings", "mfcc"]]
    states = {"noises": 1, "tones": 2}
    instance.add_dynamic_partitions("parts", [*states])

    def unseen() -> set[str]:
        return run._unseen(instance, home, states, assets)

    (home.dagster / partitions.INGESTED).write_text(json.dumps(states))
    instance.report_runless_asset_event(dg.AssetMaterialization("raw_audio", partition="noises"))
    assert unseen() == {"noises", "tones"}, "of noises, there are no vectors"
    for key in assets:
        for name in states:
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=name))
    assert unseen() == set()
    states["tones"] = 3
    assert unseen() == {"tones"}
    faulty = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(assets[1]), check_name=checks.BLOCKING, passed=False, metadata={}
    )
    instance.report_runless_asset_event(faulty)
    assert unseen() == {"noises", "tones"}, "faulty vectors are looked at as a whole"
    instance.add_dynamic_partitions("parts", ["a", "b", "c", "d"])
    tags = all_partitions(instance, {"c", "b"})
    assert [*tags.values()] == ["b", "c"]
