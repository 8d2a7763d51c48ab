"""How long *Materialize all* takes in Dagster's pages: with nothing new, and with one new file.

Writes ``results/materialize_all.md``. It opens `musicflow dagster` on a made-up library, and sends
the webserver what the page's button sends. The sensors are off meanwhile: they would do the work of
the new file first.

    python eval/materialize_all.py
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from machine import machine
from no_change import RATE, home, timed

EMBEDDERS = ("musicnn", "mfcc")
SECONDS = 5

ASSETS = "{ assetNodes { assetKey { path } jobNames partitionKeys } }"
SENSORS = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { \
... on RepositoryLocation { repositories { sensors { id name sensorState { id } } } } } } } } }"
STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"
LAUNCH = "mutation($of: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $of) { \
__typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"
RUNS = 'query($id: String!) { partitionBackfillOrError(backfillId: $id) { \
... on PartitionBackfill { status } } runsOrError(filter: \
{tags: [{key: "dagster/backfill", value: $id}]}) { ... on Runs { results { \
status startTime endTime } } } }'
LOCATION = "musicflow.orchestration.definitions"

BEFORE = (
    "| nothing new, before (commit 837c1c6) | 21 | 123 | 140 |",
    "| one new file, before | 21 | 158 | 196 |",
)
"""This script's table of the last commit at which each partition was a run; 200 tracks."""


def main() -> None:
    """Press the button twice, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=200)
    tracks = parser.parse_args().tracks
    lines = []
    with home(tracks, EMBEDDERS) as music:
        timed([Path(sys.executable).with_name("musicflow"), "run", music])
        with pages() as ask:
            lines.append(pressed(ask, "nothing new"))
            noise = np.random.default_rng(1).standard_normal(RATE * SECONDS)
            soundfile.write(music / "genre 0" / "new.wav", 0.1 * noise, RATE)
            lines.append(pressed(ask, "one new file"))
    text = "\n".join(
        [
            "# Materialize all",
            "",
            f"`python eval/materialize_all.py --tracks {tracks}`, {datetime.now(UTC):%Y-%m-%d}, "
            f"{machine()}.",
            "",
            f"{tracks} tracks in 20 partitions, {len(EMBEDDERS)} embedders. *Until done* is from "
            "the button to the end of the last run; Dagster's daemon looks every 30 s whether a "
            "button was pressed. *In runs* is from the start of the first run to the end of the "
            "last.",
            "",
            "| what | runs | in runs s | until done s |",
            "|---|---|---|---|",
            *BEFORE,
            *lines,
            "",
        ]
    )
    (Path(__file__).parent / "results" / "materialize_all.md").write_text(text)
    print(text)


@contextmanager
def pages() -> Iterator[Any]:
    """Dagster's pages on the home, without sensors; gives a function that asks them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def ask(query: str, **variables: Any) -> Any:
        content = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://localhost:{port}/graphql", content, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    musicflow = Path(sys.executable).with_name("musicflow")
    server = subprocess.Popen(
        [musicflow, "dagster", "--port", str(port)], stdout=subprocess.DEVNULL, env=os.environ
    )
    try:
        for _ in range(120):
            with suppress(OSError, IndexError, KeyError):
                found = ask(SENSORS)["workspaceOrError"]["locationEntries"][0]
                sensors = found["locationOrLoadError"]["repositories"][0]["sensors"]
                break
            time.sleep(1)
        for sensor in sensors:
            ask(STOP, id=sensor["sensorState"]["id"])
        time.sleep(20)  # The daemon takes this long to start.
        yield ask
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def pressed(ask: Any, what: str) -> str:
    """Press *Materialize all* for all partitions, and wait for the end of it."""
    assets = ask(ASSETS)["assetNodes"]
    keys = next(asset["partitionKeys"] for asset in assets if asset["partitionKeys"])
    given: dict[str, Any] = {
        "assetSelection": [{"path": asset["assetKey"]["path"]} for asset in assets],
        "partitionNames": keys,
        "fromFailure": False,
        "tags": [],
    }
    # As the page does: the first job that has all assets, unless it is Dagster's own.
    job = min(set.intersection(*(set(asset["jobNames"]) for asset in assets)))
    if not job.startswith("__ASSET_JOB"):
        repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
        given["selector"] = {
            "partitionSetName": f"{job}_partition_set",
            "repositorySelector": repository,
        }
    start = time.time()
    launched = ask(LAUNCH, of=given)["launchPartitionBackfill"]
    assert "backfillId" in launched, launched
    while True:
        found = ask(RUNS, id=launched["backfillId"])
        runs = found["runsOrError"]["results"]
        status = found["partitionBackfillOrError"]["status"]
        if status not in ("REQUESTED", "CANCELING") and all(run["endTime"] for run in runs):
            break
        time.sleep(0.5)
    assert {run["status"] for run in runs} == {"SUCCESS"}, found
    first, last = min(run["startTime"] for run in runs), max(run["endTime"] for run in runs)
    line = f"| {what} | {len(runs)} | {last - first:.0f} | {last - start:.0f} |"
    print(line, flush=True)
    return line


if __name__ == "__main__":
    main()
