"""SIGKILL in the middle: what was published still answers, what was stored is not done again."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from musicflow import embedders
from musicflow.index import Collection, EmbeddedIndex, Manifest, Point, Revision
from musicflow.orchestration.processes import KILLED, STARTED, WORKER
from musicflow.orchestration.resources import EMBEDDING
from musicflow.orchestration.run import prepare_dagster
from musicflow.settings import Home
from musicflow.store import EmbeddingStore
from musicflow.worker.forks import CAN_FORK
from musicflow_tests.conftest import Run, noise, tone
from musicflow_tests.index.conftest import DIM, points, vectors

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-c", "from musicflow.cli import main; main()"]


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.usefixtures("ready")
def test_a_run_killed_while_embedding_goes_on_where_it_was(
    run: Run, music: Path, write: Callable[..., Path], home: Home
) -> None:
    assert run("run", str(music), "--embedder", "musicnn")[0] == 0
    before = run("search", "--track", "tones/1.wav", "--json")[1]
    assert len(json.loads(before)) == 10

    for number in range(12):
        write(f"noises/more {number}.wav", noise(100 + number, 15.0))
        write(f"tones/more {number}.wav", tone(300 + 5 * number, 15.0))
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    already = len(store.known(spec))
    process = subprocess.Popen([*PROGRAM, "run", str(music), "--embedder", "musicnn"])
    wait_until(lambda: len(store.known(spec)) > already)
    kill(process)
    kept = store.known(spec)
    assert already < len(kept) < 36, "the kill came too late to test anything"
    assert run("search", "--track", "tones/1.wav", "--json")[1] == before

    code, printed, errors = run("run", str(music), "--embedder", "musicnn", "--json")
    assert code == 0, errors
    assert json.loads(printed)["dataset"]["tracks"] == 36
    hashes = [
        value
        for part in home.embeddings.rglob("part-*.parquet")
        for value in pq.read_table(part, columns=["content_hash"])["content_hash"].to_pylist()
    ]
    assert len(hashes) == len(set(hashes)) == 36, "something was embedded twice"
    answers = json.loads(run("search", "--track", "tones/more 1.wav", "--json")[1])
    assert all(answer["genre"] == ["tones"] for answer in answers)


@pytest.mark.usefixtures("ready")
def test_ctrl_c_ends_the_whole_run_with_a_sentence_and_keeps_what_was_done(
    write: Callable[..., Path], home: Home
) -> None:
    """A terminal sends it to all processes of the command."""
    paths = [write(f"noises/{number}.wav", noise(number, 15.0)) for number in range(40)]
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    command = [*PROGRAM, "run", str(paths[0].parents[1]), "--embedder", "musicnn"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: len(store.known(spec)) > 0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; all finished work is kept" in errors
    assert "Traceback" not in errors
    assert 0 < len(store.known(spec)) < len(paths)
    assert not (home.reports / "comparison.json").exists()


@pytest.mark.usefixtures("ready")
def test_a_run_of_dagster_that_was_killed_is_ended_by_the_next_command_which_carries_on(
    run: Run, write: Callable[..., Path], home: Home
) -> None:
    paths = [write(f"noises/{number}.wav", noise(number, 15.0)) for number in range(16)]
    music = paths[0].parents[1]
    home.settings_file.write_text(f'library = "{music}"\nembedders = ["musicnn"]\ncuts = false\n')
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    job = ["-m", "musicflow.orchestration.definitions", "-j", "Ingest"]
    command = ["dagster", "job", "execute", *job, "--tags", '{"dagster/partition": "noises"}']
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        instance.add_dynamic_partitions("parts", ["noises"])
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=os.environ | {"DAGSTER_HOME": str(home.dagster)},
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: any(WORKER in run.tags for run in instance.get_runs(STARTED)))
        prepare_dagster(home)
        [started] = instance.get_runs()
        assert started.status == dg.DagsterRunStatus.STARTED, "a run at work is left alone"
        wait_until(lambda: len(store.known(spec)) > 0)
        kill(process)
        assert 0 < len(store.known(spec)) < len(paths), "the kill came too late to test anything"

        code, printed, errors = run("run", str(music), "--embedder", "musicnn", "--json")
        assert code == 0, errors
        assert json.loads(printed)["dataset"]["tracks"] == len(paths)
        ended = instance.get_run_by_id(started.run_id)
        assert ended is not None
        assert (ended.status, ended.tags[KILLED]) == (dg.DagsterRunStatus.FAILURE, "true")
        assert not instance.get_runs(STARTED)
        assert instance.event_log_storage.get_concurrency_info(EMBEDDING).active_slot_count == 0
    hashes = [
        value
        for part in home.embeddings.rglob("part-*.parquet")
        for value in pq.read_table(part, columns=["content_hash"])["content_hash"].to_pylist()
    ]
    assert len(hashes) == len(set(hashes)) == len(paths), "something was embedded twice"


@pytest.mark.usefixtures("ready")
def test_ctrl_c_ends_a_run_that_waits_for_another(music: Path, home: Home) -> None:
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        storage = instance.event_log_storage
        assert storage.claim_concurrency_slot(EMBEDDING, "another run", "a step").is_claimed
        command = [*PROGRAM, "run", str(music), "--embedder", "mfcc"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: storage.get_concurrency_info(EMBEDDING).pending_step_count > 0)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted; all finished work is kept" in errors
        assert storage.get_concurrency_info(EMBEDDING).pending_step_count == 0
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("ready")
def test_an_embedder_whose_process_is_killed_fails_alone_and_goes_on_next_time(
    run: Run, write: Callable[..., Path], home: Home
) -> None:
    paths = [write(f"noises/{number}.wav", noise(number, 15.0)) for number in range(24)]
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    names = ["--embedder", "musicnn", "--embedder", "mfcc"]
    command = [*PROGRAM, "run", str(paths[0].parents[1]), *names, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(store.known(spec)) > 0)
    worker_of(process.pid).kill()
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in errors
    kept = len(store.known(spec))
    assert 0 < kept < len(paths)
    rows = {row["embedder"]: row for row in json.loads(printed)["rows"]}
    assert rows["mfcc"]["x_realtime"] > 0
    assert "the worker of musicnn was killed (SIGKILL)" in rows["musicnn"]["error"]
    assert rows["musicnn"]["code"] == "killed"

    code, printed, errors = run(*command[len(PROGRAM) :])
    assert code == 0, errors
    rows = {row["embedder"]: row for row in json.loads(printed)["rows"]}
    assert (rows["musicnn"]["n_failed"], rows["musicnn"]["error"]) == (0, "")
    assert len(store.known(spec)) == len(paths)


def worker_of(pid: int) -> psutil.Process:
    """Return the worker that embeds for a run; it was forked from one that was forked itself."""
    kind = "musicflow.worker.forks" if CAN_FORK else "musicflow.worker.child"
    children = psutil.Process(pid).children()
    [found] = [child for child in children if kind in " ".join(child.cmdline())]
    if CAN_FORK:
        [heavy] = found.children()
        [found] = heavy.children()
    return found


PUBLISHER = """
import sys
from musicflow_tests.test_kills import publish_forever
publish_forever(sys.argv[1])
"""


def publish_forever(root: str) -> None:
    """Publish ever larger collections, and say of each that it is done.

    Every other one is made from nothing, the others from the one before.
    """
    index = EmbeddedIndex(Path(root))
    before = index.manifest("toy")
    print(0, flush=True)
    for count in itertools.count(before.count + 1 if before else 500):
        manifest, values = Manifest("toy", "hash", DIM, str(count), count), vectors(count)
        if count % 2:
            index.publish("toy", manifest, points(values))
        else:
            some = points(values)[-100:]
            index.update("toy", lambda base, some=some: _next(base, some))
        print(count, flush=True)


def _next(base: Collection, written: list[Point]) -> Revision:
    count = base.manifest.count + 1
    return Revision(replace(base.manifest, state=str(count), count=count), written, [])


def test_searches_answer_whatever_moment_the_indexing_is_killed_at(tmp_path: Path) -> None:
    root = tmp_path / "collections"
    index = EmbeddedIndex(root)
    start = time.monotonic()
    index.publish("toy", Manifest("toy", "hash", DIM, "500"), points(vectors(500)))
    longest = max(1.0, 2 * (time.monotonic() - start))
    acknowledged = 500
    for moment in np.random.default_rng(0).uniform(0.0, longest, 8):
        writer = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(root)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(moment)
        ask(index)
        kill(writer)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        assert ask(index) >= acknowledged, "something acknowledged was lost"
    assert acknowledged > 500, "no kill came late enough to test anything"


STEPS = """
import sys
from musicflow_tests.test_kills import kill_at_each_step
kill_at_each_step(sys.argv[1])
"""


def test_an_update_may_be_killed_at_each_of_its_steps(tmp_path: Path) -> None:
    """In an interpreter that never opened a collection, so that it may be forked."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5, "too few steps were seen to test anything"


def kill_at_each_step(folder: str) -> None:
    """Update copies of a collection, each killed at a later change of its files; tell how many."""
    before = Path(folder, "before")
    manifest = Manifest("toy", "hash", DIM, "500", 500)
    in_a_fork(lambda: EmbeddedIndex(before).publish("toy", manifest, points(vectors(500))))
    for step in itertools.count(1):
        root = Path(folder, str(step))
        shutil.copytree(before, root)
        was_killed = in_a_fork(lambda root=root, step=step: update_until(root, step))
        in_a_fork(lambda root=root: answer_and_update(root))
        shutil.rmtree(root)
        if not was_killed:
            break
    print(step)


def in_a_fork(work: Callable[[], object]) -> bool:
    """Work in a child; return whether it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


_STEPS = {
    "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.copyfile", "shutil.rmtree",
    "tempfile.mkstemp",
}  # fmt: skip
"""Changes that others may see. The copy of a version is not cut at each of its files."""


def update_until(root: Path, step: int) -> None:
    """Update, and die at the given change of a file of the index."""
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _STEPS and str(root) in str(arguments[:2]):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    update(EmbeddedIndex(root))


def update(index: EmbeddedIndex) -> None:
    """Add one point to the collection."""
    before = index.manifest("toy")
    assert before is not None
    some = points(vectors(before.count + 1))[-100:]
    index.update("toy", lambda base: _next(base, some))


def answer_and_update(root: Path) -> None:
    """Search after a kill, then update once more."""
    index = EmbeddedIndex(root)
    count = ask(index)
    assert count in (500, 501)
    update(index)
    assert ask(index) == count + 1


READER = """
import sys
from musicflow_tests.test_kills import read_often
read_often(sys.argv[1])
"""


def read_often(root: str) -> None:
    index = EmbeddedIndex(Path(root))
    seen = {ask(index) for _ in range(60)}
    assert len(seen) > 1, "nothing was published meanwhile"


def test_three_processes_search_while_one_publishes(tmp_path: Path) -> None:
    root = tmp_path / "collections"
    writer = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(root)])
    try:
        wait_until(lambda: (root / "toy" / "CURRENT").exists())
        command = [sys.executable, "-c", READER, str(root)]
        readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        for reader in readers:
            _, errors = reader.communicate(timeout=120)
            assert reader.returncode == 0, errors
        assert writer.poll() is None, "the writer stopped"
    finally:
        kill(writer)


def ask(index: EmbeddedIndex) -> int:
    """Search, and check that the answers are those of one whole version."""
    with index.open("toy") as collection:
        count = collection.manifest.count
        assert collection.count() == count == int(collection.manifest.state)
        values = vectors(count)
        assert [hits[0].track_id for hits in collection.query(values[-3:], 1)] == [
            f"t{i}" for i in range(count - 3, count)
        ]
    return count


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
