"""A backfill of eight partitions over two Celery workers, one of which is killed on the way.

Redis and Postgres are Debian's, started here on loopback and stopped at the end. `make
test-distributed` installs what it takes. Dagster's configuration is `deploy/dagster.yaml`.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import soundfile
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.tags import BACKFILL_ID_TAG

from musicflow.embedders import spec_of
from musicflow.library import Library, find, split
from musicflow.orchestration.definitions import definitions_for
from musicflow.orchestration.partitions import follow
from musicflow.settings import Home
from musicflow.store import EmbeddingStore

PARTITIONS, TRACKS, SECONDS = 8, 5, 30
EMBEDDERS = ("musicnn", "mfcc")
DEFINITIONS = "musicflow.orchestration.definitions"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    # Not pytest's own: Postgres runs as another user and has to reach its data.
    folder = Path(tempfile.mkdtemp(prefix="musicflow-distributed-"))
    folder.chmod(0o755)
    yield folder
    if request.session.testsfailed:
        print(f"what the processes said is in {folder}/*.log")
    else:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def music(folder: Path) -> Path:
    """Eight folders of chords and noise."""
    random = np.random.default_rng(0)
    times = np.arange(SECONDS * 16_000) / 16_000
    for partition in range(PARTITIONS):
        (folder / "music" / f"genre {partition}").mkdir(parents=True)
        for number in range(TRACKS):
            pitches = 110 * 2 ** ((partition * 3 + np.array([0, 4, 7]) + number / 9) / 12)
            sound = sum(np.sin(2 * np.pi * pitch * times) for pitch in pitches) / 8
            sound = sound + 0.01 * partition * random.standard_normal(len(times))
            soundfile.write(
                folder / "music" / f"genre {partition}" / f"{number}.flac", sound, 16_000
            )
    return folder / "music"


@pytest.fixture(scope="module")
def alone(folder: Path, music: Path) -> Home:
    """The same library brought up to date by one process."""
    home = Home(folder / "alone")
    options = [option for name in EMBEDDERS for option in ("--embedder", name)]
    command = [BIN / "musicflow", "run", music, *options, "--home", home.root]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return home


class Cluster:
    """Redis, Postgres, Dagster's daemon and Celery workers on this machine."""

    def __init__(self, folder: Path, music: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "cluster")
        self.processes = ExitStack()
        self.redis, self.postgres = _free_port(), _free_port()
        self.environment = os.environ | {
            "DAGSTER_HOME": str(self.home.dagster),
            "MUSICFLOW_HOME": str(self.home.root),
            "MUSICFLOW_POSTGRES": f"postgresql+psycopg2://postgres@127.0.0.1:{self.postgres}/postgres",
            "MUSICFLOW_CELERY_BROKER": f"redis://127.0.0.1:{self.redis}/0",
            "MUSICFLOW_CELERY_BACKEND": f"redis://127.0.0.1:{self.redis}/1",
        }
        self.home.dagster.mkdir(parents=True)
        shape = Path(__file__).with_name("dagster.yaml").read_text()
        (self.home.dagster / "dagster.yaml").write_text(
            shape.replace("seconds: 30", "seconds: 5")  # a test looks more often
        )
        self.home.settings_file.write_text(
            f'library = "{music}"\nembedders = {json.dumps(EMBEDDERS)}\npartitions_per_run = 1\n'
        )

    def start(self, name: str, *command: str | Path, user: str = "") -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user or None,
        )
        self.processes.callback(_stop, process)
        return process

    def start_services(self) -> None:
        options = ["--port", str(self.redis), "--bind", "127.0.0.1", "--save", ""]
        self.start("redis", "redis-server", *options)
        user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        data = self.folder / "postgres"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, user)
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL)
        options = ["-p", str(self.postgres), "-k", str(data), "-h", "127.0.0.1"]
        self.start("postgres", programs / "postgres", "-D", data, *options, user=user)
        for port in (self.redis, self.postgres):
            wait_until(lambda port=port: _listens(port), 30)

    def dagster(self, *arguments: str) -> None:
        command = [BIN / "dagster", *arguments, "-m", DEFINITIONS]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        app = ["--app", "musicflow.orchestration.celery", "worker", "--hostname", f"{name}@%h"]
        return self.start(name, BIN / "celery", *app, "--concurrency", "1", "--queues", "dagster")

    def is_embedding(self, worker: str) -> bool:
        """Whether the worker's log ends within the longest step of a partition."""
        step = "embeddings__musicnn - STEP_"
        _, _, last = (self.folder / f"{worker}.log").read_text().rpartition(step)
        return last.startswith("START")


@pytest.fixture(scope="module")
def cluster(folder: Path, music: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder, music)
    with cluster.processes:
        yield cluster


def test_eight_parts_over_two_workers_give_what_one_process_gives(
    cluster: Cluster, alone: Home, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start_services()
    for name in ("MUSICFLOW_POSTGRES", "MUSICFLOW_CELERY_BROKER", "MUSICFLOW_CELERY_BACKEND"):
        monkeypatch.setenv(name, cluster.environment[name])
    with dg.DagsterInstance.from_config(str(cluster.home.dagster)) as instance:
        keys = sorted(split(find(music)))
        assert len(keys) == PARTITIONS
        follow(instance, keys)
        for pool, limit in (("embedding", 2), ("index", 1)):
            instance.event_log_storage.set_concurrency_slots(pool, limit)
        workers = {name: cluster.start_worker(name) for name in ("first", "second")}
        # The backfill is asked for here; that the sensor would ask for it too is another test.
        cluster.dagster("sensor", "stop", "library_changes")
        cluster.start("daemon", BIN / "dagster-daemon", "run", "-m", DEFINITIONS)
        wait_until(lambda: _automation_ticked(instance), 120)
        backfill = launch_backfill(instance, keys)

        store = EmbeddingStore(cluster.home.embeddings)
        musicnn = spec_of("musicnn")
        wait_until(lambda: len(store.known(musicnn)) >= TRACKS, 300)
        wait_until(lambda: cluster.is_embedding("first"), 60)
        os.killpg(workers["first"].pid, signal.SIGKILL)
        killed_with = len(store.known(musicnn))
        assert killed_with < PARTITIONS * TRACKS, "the kill came too late to test anything"

        key = dg.AssetKey(["embeddings", "mfcc"])
        wait_until(lambda: instance.get_materialized_partitions(key) == set(keys), 900)
        wait_until(lambda: _figures(cluster.home) == _figures(alone), 600)
        runs = [run for run in instance.get_runs() if run.tags.get(BACKFILL_ID_TAG) == backfill]
        failed = [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
        again = [run for run in runs if run.parent_run_id]

    assert len(failed) == len(again) == 1, "the killed worker's partition, and only that"
    assert again[0].parent_run_id == failed[0].run_id
    for label in EMBEDDERS:
        spec = spec_of(label)
        expected = EmbeddingStore(alone.embeddings).read(spec)
        made = store.read(spec)
        assert made.keys() == expected.keys()
        for content, row in expected.items():
            np.testing.assert_allclose(made[content].vector, row.vector, rtol=1e-4, atol=1e-4)
    assert len(Library.load(cluster.home.library).tracks) == PARTITIONS * TRACKS


def launch_backfill(instance: dg.DagsterInstance, keys: list[str]) -> str:
    """Read and embed these partitions, one run per partition, as the page's button does."""
    graph = definitions_for(EMBEDDERS).resolve_asset_graph()
    backfill = PartitionBackfill.from_asset_partitions(
        asset_graph=graph,
        backfill_id="eightparts",
        tags={},
        backfill_timestamp=time.time(),
        asset_selection=[
            key for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned
        ],
        partition_names=keys,
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def _figures(home: Home) -> dict[str, dict[str, Any]]:
    """What the last comparison says; it is made anew when more has been embedded."""
    if not (home.reports / "comparison.json").exists():
        return {}
    rows = json.loads((home.reports / "comparison.json").read_text())["rows"]
    return {row["embedder"]: row["scores"] | {"n_queries": row["n_queries"]} for row in rows}


def _automation_ticked(instance: dg.DagsterInstance) -> bool:
    states = [state for state in instance.all_instigator_state() if state.name == "automation"]
    return any(
        instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        for state in states
    )


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
