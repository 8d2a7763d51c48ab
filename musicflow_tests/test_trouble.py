"""Full and read-only disks, no MLflow, two runs at once: a sentence, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from musicflow.embedders import spec_of
from musicflow.index import EmbeddedIndex
from musicflow.settings import Home
from musicflow.store import EmbeddingStore
from musicflow_tests.conftest import Run

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-c", "from musicflow.cli import main; main()"]


def start(music: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "run", str(music), "--embedder", "mfcc"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def run_apart(music: Path, **environment: str) -> tuple[int, str]:
    process = start(music, **environment)
    _, errors = process.communicate(timeout=180)
    assert "Traceback" not in errors
    return process.returncode, " ".join(errors.split())


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    size = f"size={megabytes}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of its own takes the right to mount one")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def is_whole(home: Home) -> bool:
    with EmbeddedIndex(home.collections).open("mfcc") as collection:
        return collection.count() == len(EmbeddingStore(home.embeddings).known(spec_of("mfcc")))


def test_a_full_and_a_read_only_disk_are_named_and_the_next_run_goes_on(
    music: Path, home: Home, databases: Path
) -> None:
    with small_disk(home.root, 400):
        shutil.copytree(databases, home.root, dirs_exist_ok=True)
        assert run_apart(music)[0] == 0
        for path in sorted((music / "tones").iterdir()):
            path.rename(path.with_name(f"again {path.name}"))
        filler = home.root / "filler"
        filler.write_bytes(b"0" * shutil.disk_usage(home.root).free)
        code, errors = run_apart(music)
        assert code == 1
        assert "full" in errors
        assert is_whole(home), "searches see what was published before"
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,ro", home.root], check=True)
        code, errors = run_apart(music)
        assert code == 1
        assert "read-only" in errors
        subprocess.run(["mount", "-o", "remount,rw", home.root], check=True)
        assert run_apart(music)[0] == 0
        assert is_whole(home)


def test_a_disk_that_fills_up_is_one_sentence(music: Path, home: Home) -> None:
    """Between the databases of Dagster and MLflow, which say it in SQL and tracebacks."""
    with small_disk(home.root, 2):
        code, errors = run_apart(music)
    assert code == 1
    assert "SQL" not in errors
    assert errors.endswith(
        "the disk is full: make room. All finished work is kept: then run it again."
    )


@pytest.mark.usefixtures("ready")
def test_a_damaged_file_is_named_and_made_anew_once_it_is_deleted(
    run: Run, music: Path, home: Home
) -> None:
    given = ["run", str(music), "--embedder", "mfcc"]
    assert run(*given)[0] == 0
    kinds = ("library/tracks.parquet", "library/files/*.parquet", "embeddings/**/part-*.parquet")
    for kind in kinds:
        file = next(home.root.glob(kind))
        file.write_bytes(file.read_bytes()[:100])
        code, _, errors = run(*given)
        told = f"{file} is damaged: delete it; the next run makes anew what was in it"
        assert told in " ".join(errors.split()), kind
        assert code != 0, kind
        file.unlink()
        code, _, errors = run(*given)
        assert (code, is_whole(home)) == (0, True), errors


@pytest.mark.usefixtures("ready")
def test_without_mlflow_the_figures_are_kept_and_logged_later(
    run: Run, music: Path, home: Home
) -> None:
    code, errors = run_apart(
        music, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"
    )
    assert code == 0
    assert "MLflow at http://127.0.0.1:9 did not take the figures" in errors
    assert "They are kept, and logged by the next run" in errors
    assert is_whole(home)
    assert json.loads((home.reports / "comparison.json").read_text())["mlflow_run_id"] is None
    assert run("run", str(music), "--embedder", "mfcc")[0] == 0
    assert json.loads((home.reports / "comparison.json").read_text())["mlflow_run_id"]


@pytest.mark.usefixtures("ready")
def test_an_evaluation_that_was_deleted_in_mlflow_is_logged_again(
    run: Run, music: Path, home: Home
) -> None:
    given = ["run", str(music), "--embedder", "mfcc"]
    assert run(*given)[0] == 0
    kept = home.reports / "comparison.json"
    before = json.loads(kept.read_text())
    mlflow.MlflowClient(home.tracking_uri).delete_run(before["mlflow_run_id"])
    [step] = json.loads(run(*given, "--dry-run", "--json")[1])["steps"]
    assert (step["kind"], step["reason"]) == ("evaluate", "record")
    assert "MLflow does not have it" in " ".join(run(*given, "--dry-run")[1].split())
    assert run(*given)[0] == 0
    after = json.loads(kept.read_text())
    assert after["mlflow_run_id"] != before["mlflow_run_id"]
    assert after["created"] == before["created"], "nothing was measured again"
    assert "Nothing changed" in run(*given)[2]


@pytest.mark.usefixtures("ready")
def test_two_runs_at_once_both_end_well(run: Run, music: Path, home: Home) -> None:
    processes = []
    for _ in range(2):
        processes.append(start(music))
        time.sleep(0.5)
    for process in processes:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
    assert is_whole(home)
    assert len(EmbeddingStore(home.embeddings).known(spec_of("mfcc"))) == 12
    client = mlflow.MlflowClient(home.tracking_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert run("run", str(music), "--embedder", "mfcc")[0] == 0
