"""A library of good files with one of each bad kind among them: a bad file costs one row."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import soundfile

from musicflow.evaluation import Comparison
from musicflow.evaluation.results import COMPARISON
from musicflow.index import EmbeddedIndex
from musicflow.library import Problem
from musicflow.library.files import split
from musicflow.library.walk import find
from musicflow.orchestration.definitions import assets_for
from musicflow.orchestration.partitions import all_partitions, follow
from musicflow.orchestration.resources import resources_of
from musicflow.orchestration.run import prepare_dagster
from musicflow.settings import PARTITION_SIZE, Home
from musicflow_tests.audio.corpus import CASES, build
from musicflow_tests.audio.music import Sound

pytestmark = [pytest.mark.slow, pytest.mark.workers]

GOOD = 200
GENRES = 4

BAD = [case for case in CASES if case.right is not None]

Codes = dict[str, tuple[str, ...]]
"""Of each bad file, by its path, the codes that its row may have."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Codes]:
    root = tmp_path_factory.mktemp("music")
    for number in range(GOOD):
        path = root / f"genre {number % GENRES}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, Sound(16_000, "mono", seed=number).audio(1.2).samples, 16_000)
    bad = root / "genre 0"
    made = build(bad, BAD)
    codes = {
        f"genre 0/{case.name}": case.right or ()
        for case in BAD
        if isinstance(made[case.name], Path)
    }
    (bad / "to-nowhere.wav").symlink_to("nowhere.wav")
    codes["genre 0/to-nowhere.wav"] = ("unreadable",)
    Path(os.fsdecode(bytes(bad) + b"/not-\xff-utf8.wav")).write_bytes((bad / "0.wav").read_bytes())
    codes["genre 0/not-\ufffd-utf8.wav"] = ("name-not-utf8",)
    return root, codes


def check(home: Home, codes: Codes) -> None:
    """Each bad file has one row, an error with its code; all good ones are searchable."""
    problems = Comparison.load(home.reports / COMPARISON).problems
    errors: dict[str, list[Problem]] = {}
    for problem in problems:
        if problem.severity == "error":
            errors.setdefault(problem.subject, []).append(problem)
    assert errors.keys() == codes.keys()
    for path, [problem] in errors.items():
        assert problem.code in codes[path], problem
        assert problem.reason
    with EmbeddedIndex(home.collections).open("mfcc") as collection:
        assert collection.count() == GOOD


@pytest.mark.usefixtures("ready")
def test_a_run_ends_well_and_tells_of_each_bad_file(
    library: tuple[Path, Codes], home: Home
) -> None:
    root, codes = library
    command = [sys.executable, "-c", "from musicflow.cli import main; main()"]
    done = subprocess.run(
        [*command, "run", str(root), "--embedder", "mfcc"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    check(home, codes)


def test_in_dagster_no_run_is_red_for_a_bad_file(library: tuple[Path, Codes], home: Home) -> None:
    root, codes = library
    prepare_dagster(home)
    home.settings_file.write_text(f'library = "{root}"\nembedders = ["mfcc"]\n')
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        follow(instance, split(find(root), PARTITION_SIZE))
        result = dg.materialize(
            assets_for(["mfcc"]),
            resources=resources_of(),
            instance=instance,
            tags=all_partitions(instance),
            raise_on_error=False,
        )
        assert result.success
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    check(home, codes)
