"""SIGKILL in the middle: what was published still answers, what was stored is not done again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from musicflow import embedders
from musicflow.embedding_store import EmbeddingStore
from musicflow.index import EmbeddedIndex
from musicflow.settings import Home
from musicflow_tests.conftest import noise, tone
from musicflow_tests.index.conftest import DIM, points, vectors

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-c", "from musicflow.cli import main; main()"]


def musicflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_run_killed_while_embedding_goes_on_where_it_was(
    music: Path, write: Callable[..., Path], home: Home
) -> None:
    assert musicflow("run", str(music), "--embedder", "musicnn").returncode == 0
    before = musicflow("search", "--track", "tones/1.wav", "--json").stdout
    assert len(json.loads(before)) == 10

    for number in range(40):
        write(f"noises/more {number}.wav", noise(100 + number, 15.0))
        write(f"tones/more {number}.wav", tone(300 + 5 * number, 15.0))
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    already = len(store.known(spec))
    process = subprocess.Popen([*PROGRAM, "run", str(music), "--embedder", "musicnn"])
    wait_until(lambda: len(store.known(spec)) > already)
    kill(process)
    kept = store.known(spec)
    assert already < len(kept) < 92, "the kill came too late to test anything"
    assert musicflow("search", "--track", "tones/1.wav", "--json").stdout == before

    done = musicflow("run", str(music), "--embedder", "musicnn", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"]["tracks"] == 92
    hashes = [
        value
        for part in home.embeddings.rglob("part-*.parquet")
        for value in pq.read_table(part, columns=["content_hash"])["content_hash"].to_pylist()
    ]
    assert len(hashes) == len(set(hashes)) == 92, "something was embedded twice"
    answers = json.loads(musicflow("search", "--track", "tones/more 1.wav", "--json").stdout)
    assert {answer["genre"] for answer in answers} == {"tones"}


def test_ctrl_c_ends_the_whole_run_with_a_sentence_and_keeps_what_was_done(
    write: Callable[..., Path], home: Home
) -> None:
    paths = [write(f"noises/{number}.wav", noise(number, 15.0)) for number in range(60)]
    store, spec = EmbeddingStore(home.embeddings), embedders.spec_of("musicnn")
    command = [*PROGRAM, "run", str(paths[0].parents[1]), "--embedder", "musicnn"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(store.known(spec)) > 0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was done is kept" in errors
    assert 0 < len(store.known(spec)) < len(paths)
    assert not (home.reports / "comparison.json").exists()


PUBLISHER = """
import sys
from musicflow_tests.test_kills import publish_forever
publish_forever(sys.argv[1])
"""


def publish_forever(root: str) -> None:
    from musicflow.index import Manifest

    index = EmbeddedIndex(Path(root))
    count = 1000
    while True:
        index.publish("toy", Manifest("toy", "hash", DIM, str(count)), points(vectors(count)))
        count += 1


def test_searches_answer_whatever_moment_the_indexing_is_killed_at(tmp_path: Path) -> None:
    root = tmp_path / "collections"
    index = EmbeddedIndex(root)
    moments = np.random.default_rng(0).uniform(0.0, 0.6, 6)
    published = 0
    for moment in moments:
        process = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(root)])
        wait_until(lambda: (root / "toy" / "building").exists())
        time.sleep(moment)
        if index.names():
            ask(index)
        kill(process)
        if index.names():
            published = ask(index)
    assert published >= 1000


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
