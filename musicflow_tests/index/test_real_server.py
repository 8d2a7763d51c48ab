"""What only a real Qdrant server shows: `make test-server URL=…` gives one, or a cluster.

Whatever a test is not given, it is skipped for, with a word.
"""

import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musicflow.index import Collection, Point, Revision, TrackIndexError
from musicflow.index.connection import Access, Address, Server
from musicflow.index.owner import Owner
from musicflow.index.server import Layout, ServerIndex
from musicflow_tests.index.conftest import (
    KEY,
    MANIFEST,
    SERVERS,
    at_server,
    clear,
    points,
    vectors,
)
from musicflow_tests.test_kills import in_a_fork

pytestmark = pytest.mark.server


def given(name: str) -> str:
    """What the command line of `make test-server` gives, or a skip with a word."""
    value = os.environ.get(f"MUSICFLOW_TEST_QDRANT_{name}")
    if not value:
        pytest.skip(f"make test-server was not given {name}=…")
    return value


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Owner]:
    """A home of its own, whose collections are deleted at the end."""
    server = at_server()
    identity = uuid.uuid4().hex
    home = Owner(f"test-{identity[:8]}", identity, str(tmp_path), locks=tmp_path / "locks")
    yield home
    clear(server, f"{home.namespace}.")


def versions(home: Owner) -> list[str]:
    found = at_server()(lambda client: client.get_collections()).collections
    return [one.name for one in found if one.name.startswith(f"{home.namespace}.")]


def test_the_way_is_told_and_rest_alone_answers_the_same(home: Owner) -> None:
    ways = [ServerIndex(at_server(), home), ServerIndex(at_server(grpc_port=0), home)]
    ways[0].publish("toy", MANIFEST, points(vectors(300)))
    answers = []
    for index in ways:
        with index.open("toy") as collection:
            answers.append([hit.track_id for hit in collection.query(vectors(1), 10)[0]])
    assert answers[0] == answers[1]
    assert re.search(r"\(Qdrant \d+\.\d+\.\d+\), by REST", ways[0].describe())
    assert "by REST alone; namespace" in ways[1].describe()


def test_grpc_of_another_server_is_never_used(home: Owner) -> None:
    other = Address.parse(given("OTHER"))
    index = ServerIndex(at_server(grpc_port=other.port + 1), home)
    index.publish("toy", MANIFEST, points(vectors(300)))
    assert "is another server" in index.describe()
    with index.open("toy") as collection:
        assert collection.count() == 300
    elsewhere = Server.connect(Access(str(other), KEY))
    found = elsewhere(lambda client: client.get_collections()).collections
    assert not [one.name for one in found if one.name.startswith(home.namespace)]


def test_a_version_is_green_when_searches_see_it(home: Owner) -> None:
    server = at_server()
    index = ServerIndex(server, home)
    index.publish("toy", MANIFEST, points(vectors(5000)))
    [version] = versions(home)
    assert server(lambda client: client.get_collection(version)).status == "green"


def test_a_key_that_only_reads_searches_and_cannot_publish(home: Owner) -> None:
    reader = Server.connect(Access(SERVERS[0], given("READ_KEY")))
    ServerIndex(at_server(), home).publish("toy", MANIFEST, points(vectors(10)))
    index = ServerIndex(reader, home)
    with index.open("toy") as collection:
        assert len(collection.query(vectors(1), 5)[0]) == 5
    with pytest.raises(TrackIndexError, match="it may only read"):
        index.publish("other", MANIFEST, points(vectors(10)))
    with pytest.raises(TrackIndexError, match="it may only read"):
        index.publish("toy", MANIFEST, points(vectors(10)))


def test_a_wrong_key_is_told(home: Owner) -> None:
    if KEY is None:
        pytest.skip("make test-server was not given KEY=…")
    for port in (None, 0):
        server = Server.connect(Access(SERVERS[0], "wrong", grpc_port=port))
        with pytest.raises(TrackIndexError, match="refuses the key"):
            ServerIndex(server, home).names()


def test_a_restart_in_the_middle_costs_a_wait_and_a_word(
    home: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    command = given("RESTART")

    def interrupted() -> Iterator[Point]:
        for number, point in enumerate(points(vectors(3000))):
            if number == 1500:
                subprocess.run(command, shell=True, check=True)
            yield point

    index = ServerIndex(at_server(), home)
    with caplog.at_level(logging.INFO, "musicflow"):
        assert index.publish("toy", MANIFEST, interrupted()) == 3000
    with index.open("toy") as collection:
        assert collection.count() == 3000
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "does not answer" in said
    assert "answers again" in said


PUBLISHER = """
import sys
from pathlib import Path
from musicflow.index.server import ServerIndex
from musicflow.index.owner import Owner
from musicflow_tests.index.conftest import MANIFEST, at_server, points, vectors

home = Owner(sys.argv[1], sys.argv[2], locks=Path(sys.argv[3]))
index = ServerIndex(at_server(), home)
while True:
    index.publish("toy", MANIFEST, points(vectors(2000)))
    print("done", flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.8])
def test_a_killed_publisher_loses_nothing_and_the_next_one_clears(
    home: Owner, delay_s: float
) -> None:
    command = [sys.executable, "-c", PUBLISHER, home.namespace, home.id, str(home.locks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as publisher:
        assert publisher.stdout is not None
        publisher.stdout.readline()
        time.sleep(delay_s)
        publisher.kill()
    index = ServerIndex(at_server(), home)
    with index.open("toy") as collection:
        assert collection.count() == collection.manifest.count == 2000
    index.publish("toy", MANIFEST, points(vectors(10)))
    assert len(versions(home)) == 2
    assert index.rollback("toy").count == 2000


STEPS = """
import sys
from musicflow_tests.index.test_real_server import kill_at_each_step
kill_at_each_step(*sys.argv[1:])
"""


def test_an_update_may_be_killed_at_each_of_its_steps(home: Owner) -> None:
    """In an interpreter that never connected, so that it may be forked."""
    at_server()
    command = [sys.executable, "-c", STEPS, home.namespace, home.id, str(home.locks)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10, "too few steps were seen to test anything"
    assert len(versions(home)) == 3, "the published one, the one before, and the spare one"


def kill_at_each_step(namespace: str, identity: str, locks: str) -> None:
    """Update a collection again and again, killed at a later request each time; tell how many."""
    home = Owner(namespace, identity, locks=Path(locks))
    for _ in range(3):
        in_a_fork(lambda: update(ServerIndex(at_server(), home)))
    for step in itertools.count(1):
        was_killed = in_a_fork(lambda step=step: update_until(home, step))
        in_a_fork(lambda: answer_and_update(home))
        if not was_killed:
            break
    print(step)


def update_until(home: Owner, step: int) -> None:
    """Update, and die after the given request to the server."""
    index = ServerIndex(at_server(), home)
    left = step
    ask = Server.__call__

    def watch(server: Server, question: Any) -> Any:
        nonlocal left
        answer = ask(server, question)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "__call__", watch)
        update(index)


def update(index: ServerIndex) -> int:
    """Publish the next state: a track more, another changed, another gone; return its number."""
    last = index.manifest("toy")
    number = int(last.state) + 1 if last else 0
    manifest = replace(MANIFEST, state=str(number), count=300)
    wanted = {point.track_id: point for point in points(vectors(300 + number))[number:]}
    wanted[f"t{number + 5}"].payload["name"] = f"state {number}"
    if last is None:
        index.publish("toy", manifest, wanted.values())
        return number

    def revise(base: Collection) -> Revision:
        held = {payload["track_id"]: payload for payload in base.payloads()}
        new = [point for key, point in wanted.items() if held.get(key) != point.payload]
        changes = base.manifest.changes + 1
        return Revision(
            replace(base.manifest, state=str(number), changes=changes, count=300),
            new,
            sorted(held.keys() - wanted.keys()),
        )

    assert index.update("toy", revise) == 300
    return number


def answer_and_update(home: Owner) -> None:
    """Search after a kill, then update once more."""
    index = ServerIndex(at_server(), home)
    number = answer(index)
    assert update(index) == number + 1
    assert answer(index) == number + 1


def answer(index: ServerIndex) -> int:
    """Search, and check that all that is published is one state; return its number."""
    with index.open("toy") as collection:
        number = int(collection.manifest.state)
        values = vectors(300 + number)[number:]
        names = [f"t{row}" for row in range(number, number + 300)]
        assert {payload["track_id"] for payload in collection.payloads()} == set(names)
        assert [hits[0].track_id for hits in collection.query(values, 1)] == names
        assert collection.payload(f"t{number + 5}")["name"] == f"state {number}"
    return number


def test_two_homes_never_meet(home: Owner, tmp_path: Path) -> None:
    identity = uuid.uuid4().hex
    # Both are called alike, as they are where a namespace is set twice.
    stranger = Owner(home.namespace, identity, "/srv/stranger on there", locks=tmp_path / "b")
    ServerIndex(at_server(), stranger).publish("toy", MANIFEST, points(vectors(3)))
    before = versions(home)
    with pytest.raises(TrackIndexError, match="belongs to the home /srv/stranger on there"):
        ServerIndex(at_server(), home).publish("toy", MANIFEST, points(vectors(4)))
    assert versions(home) == before


def test_one_dead_node_of_three_is_told_and_with_two_replicas_costs_nothing(home: Owner) -> None:
    if len(SERVERS) < 3:
        pytest.skip('make test-server was not given URL="… … …", three nodes of a cluster')
    command = given("KILL")
    single = ServerIndex(at_server(wait_s=5.0), home, layout=Layout(shard_number=3))
    double = ServerIndex(at_server(), home, layout=Layout(replication_factor=2, shard_number=3))
    careful = Layout(replication_factor=2, shard_number=3, write_consistency_factor=2)
    strict = ServerIndex(at_server(wait_s=5.0), home, layout=careful)
    single.publish("single", MANIFEST, points(vectors(1000)))
    double.publish("double", MANIFEST, points(vectors(1000)))
    strict.publish("strict", MANIFEST, points(vectors(1000)))
    subprocess.run(command, shell=True, check=True)
    time.sleep(5)
    with pytest.raises(TrackIndexError, match=r"1 of its 3 nodes is away.*replication_factor = 2"):
        single.open("single").query(vectors(1), 10)
    with double.open("double") as collection:
        assert len(collection.query(vectors(1), 10)[0]) == 10
        assert collection.count() == 1000
    with pytest.raises(TrackIndexError, match=r"qdrant_write_consistency_factor left at 1"):
        strict.publish("strict", MANIFEST, points(vectors(1100)))
    with strict.open("strict") as collection:
        assert len(collection.query(vectors(1), 10)[0]) == 10
        assert collection.count() == 1000
    double.publish("double", MANIFEST, points(vectors(1100)))
    with double.open("double") as collection:
        assert collection.count() == 1100
    assert double.rollback("double").count == 1000
