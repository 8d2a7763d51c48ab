"""The embedded index beside qdrant-client's local mode: the same points, the same questions.

Each engine runs in a process of its own, one after the other, so that its memory is its own: what
the process grows by, the pages of files that the engine maps included.
Points are made up like embeddings: 200 clusters on a space of 32 dimensions, turned into the
dimensions asked for, with a little noise. Writes ``results/index.md``. With the address of a
server, the searches right after a publication there, with and without waiting for its index; these
go to ``results/server.md``.

    python eval/index.py
    python eval/index.py --count 2000 --large 5000
    python eval/index.py --server http://127.0.0.1:6333 --count 30000 --dim 200
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import machine

from musicflow.index import Collection, EmbeddedIndex, Filters, Manifest, Point
from musicflow.index.connection import Access, Server
from musicflow.index.owner import Owner
from musicflow.index.server import Layout, ServerIndex

GENRES = 10
QUERIES = 500
LOCAL_QUERIES = 30
"""Fewer: local mode takes a hundred times as long."""
QUERIES_ON_SERVER = 200
K = 10


def main() -> None:
    """Measure both engines and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="tracks beside local mode")
    parser.add_argument("--large", type=int, default=100_000, help="tracks for recall")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--dim", type=int, default=2048, help="dims on a server")
    parser.add_argument("--server", metavar="URL", help="measure a Qdrant server instead")
    parser.add_argument("--about", default="", help="what the table says of that server")
    options = parser.parse_args()
    if options.server:
        text = _table_of_server(options)
        (Path(__file__).parent / "results" / "server.md").write_text(text, "utf-8")
        print(text)
        return
    if options.side:
        print(json.dumps(SIDES[options.side](options.count, options.dim)))
        return
    local = _measure("local", options.count, 2048)
    ours = _measure("embedded", options.count, 2048)
    large = _measure("embedded", options.large, 512)
    small = _measure("int8", options.large, 512)
    text = _table(options, local, ours, large, small)
    (Path(__file__).parent / "results" / "index.md").write_text(text, "utf-8")
    print(text)


def _measure(side: str, count: int, dim: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--count", str(count), "--dim", str(dim)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


_BLOCK = 1000


def _block(number: int, dim: int) -> np.ndarray:
    """A thousand vectors of length one. Made as they are wanted, so that none are in memory."""
    shape = np.random.default_rng(0)
    centers = shape.standard_normal((200, 32))
    turn = shape.standard_normal((32, dim)).astype(np.float32) / np.sqrt(dim)
    random = np.random.default_rng([1, number])
    inner = centers[random.integers(0, 200, _BLOCK)] + 0.7 * random.standard_normal((_BLOCK, 32))
    vectors = inner.astype(np.float32) @ turn
    vectors += 0.02 * random.standard_normal((_BLOCK, dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _points(count: int, dim: int, making: list[float]) -> Iterator[Point]:
    """The points; the seconds that making them up takes are told in `making`."""
    for row in range(count):
        if row % _BLOCK == 0:
            start = time.perf_counter()
            block = _block(row // _BLOCK, dim)
            making.append(time.perf_counter() - start)
        payload = {"track_id": f"t{row}", "genre": f"genre {row % GENRES}", "duration_s": 200.0}
        yield Point(f"t{row}", block[row % _BLOCK], payload)


def _timed(ask: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """The median time of one question, in milliseconds."""
    times = []
    for query in queries:
        start = time.perf_counter()
        ask(query)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


class _Memory:
    """The most memory this process held, over what it held before; sampled."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._peak = self._process.memory_info().rss
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._process.memory_info().rss)
            time.sleep(0.01)

    @property
    def peak_mb(self) -> float:
        """In megabytes."""
        return (self._peak - self._before) / 1e6


def embedded(count: int, dim: int, quantization: Any = "none") -> dict[str, float]:
    """Measure the embedded engine as musicflow uses it."""
    queries = _block(0, dim)[:QUERIES]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        index = EmbeddedIndex(Path(folder), quantization)
        memory, making = _Memory(), list[float]()
        start = time.perf_counter()

        def points() -> Iterator[Point]:
            yield from _points(count, dim, making)
            # The last batch was taken: what follows is the graph.
            found["upsert_s"] = time.perf_counter() - start - sum(making)

        index.publish("bench", Manifest("bench", "hash", dim, "state", count), points())
        found["publish_s"] = time.perf_counter() - start - sum(making)
        found["publish_mb"] = memory.peak_mb
        memory = _Memory()
        start = time.perf_counter()
        with index.open("bench") as collection:
            collection.count()
            found["open_s"] = time.perf_counter() - start
            found |= _asked(collection, queries)
            found["search_mb"] = memory.peak_mb
    return found


def _asked(collection: Collection, queries: np.ndarray) -> dict[str, float]:
    filters = Filters.parse(["genre=genre 3"])
    search = _timed(lambda query: collection.query(query[None], K), queries)
    filtered = _timed(lambda query: collection.query(query[None], K, filters), queries)
    pairs = zip(collection.query(queries, K), collection.query(queries, K, exact=True), strict=True)
    shared = [len({h.track_id for h in a} & {h.track_id for h in b}) / K for a, b in pairs]
    return {"search_ms": search, "filtered_ms": filtered, "recall": statistics.mean(shared)}


def local(count: int, dim: int) -> dict[str, float]:
    """Measure `QdrantClient(path=…)`, as its documentation shows it."""
    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")
    queries = _block(0, dim)[:LOCAL_QUERIES]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        memory, making = _Memory(), list[float]()
        client = QdrantClient(path=folder)
        start = time.perf_counter()
        client.create_collection(
            "bench", models.VectorParams(size=dim, distance=models.Distance.COSINE)
        )
        numbered = enumerate(_points(count, dim, making))
        while batch := list(itertools.islice(numbered, _BLOCK)):
            structs = [
                models.PointStruct(id=row, vector=point.vector.tolist(), payload=point.payload)
                for row, point in batch
            ]
            client.upsert("bench", structs)
        found["upsert_s"] = found["publish_s"] = time.perf_counter() - start - sum(making)
        found["publish_mb"] = memory.peak_mb
        client.close()
        del client
        memory = _Memory()
        start = time.perf_counter()
        client = QdrantClient(path=folder)
        client.count("bench")
        found["open_s"] = time.perf_counter() - start
        match = models.FieldCondition(key="genre", match=models.MatchValue(value="genre 3"))
        for name, condition in (("search_ms", None), ("filtered_ms", models.Filter(must=[match]))):
            found[name] = _timed(
                lambda query, condition=condition: client.query_points(  # type: ignore[misc]
                    "bench", query=query, query_filter=condition, limit=K
                ),
                queries,
            )
        found["search_mb"] = memory.peak_mb
        client.close()
    return found | {"recall": 1.0}


LATER_S = 30.0
"""How long after a publication its searches are timed again."""


def on_server(url: str, count: int, dim: int, wait_s: float) -> tuple[dict[str, float], str]:
    """Measure searches right after a publication, and later; return the server's version, too."""
    queries = _block(0, dim)[:QUERIES_ON_SERVER]
    server = Server.connect(Access(url))
    owner = Owner(f"eval-{uuid.uuid4().hex[:8]}")
    index = ServerIndex(server, owner, layout=Layout(index_wait_s=wait_s))
    making, start = list[float](), time.perf_counter()
    manifest = Manifest("bench", "hash", dim, "state", count)
    try:
        index.publish("bench", manifest, _points(count, dim, making))
        found = {"publish_s": time.perf_counter() - start - sum(making)}
        with index.open("bench") as collection:
            begun = time.perf_counter()
            for name, at in (("first_ms", 0.0), ("later_ms", LATER_S), ("done_ms", 0.0)):
                time.sleep(max(0.0, begun + at - time.perf_counter()))
                if name == "done_ms":
                    _wait_for_all(server)
                found[name] = _timed(lambda query: collection.query(query[None], K), queries)
    finally:
        for one in server(lambda client: client.get_collections()).collections:
            if one.name.startswith(f"{owner.namespace}."):
                server(lambda client, name=one.name: client.delete_collection(name))  # type: ignore[misc]
    return found, server.version


def _wait_for_all(server: Server) -> None:
    """Wait until a server has indexed all that it holds."""
    names = [one.name for one in server(lambda client: client.get_collections()).collections]
    while any(
        server(lambda client, name=name: client.get_collection(name)).status != "green"  # type: ignore[misc]
        for name in names
    ):
        time.sleep(0.5)


def _table_of_server(options: argparse.Namespace) -> str:
    given = options.server, options.count, options.dim
    (waiting, version), (at_once, _) = (on_server(*given, wait_s=s) for s in (3600.0, 0.0))
    command = f"python eval/index.py --server URL --count {options.count} --dim {options.dim}"
    rows = [
        ("published after, s", "publish_s", "{:.1f}"),
        ("search p50 right after, ms", "first_ms", "{:.1f}"),
        (f"search p50 {LATER_S:.0f} s later, ms", "later_ms", "{:.1f}"),
        ("search p50 once all is indexed, ms", "done_ms", "{:.1f}"),
    ]
    lines = [
        "# Searches right after a publication on a server",
        "",
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; Qdrant {version}"
        f"{options.about and ', '}{options.about}.",
        "",
        f"{QUERIES_ON_SERVER} searches one at a time, k = {K}.",
        "",
        "| | waiting for the index | `qdrant_index_wait_s = 0` |",
        "|---|---|---|",
        *(
            f"| {title} | {form.format(waiting[key])} | {form.format(at_once[key])} |"
            for title, key, form in rows
        ),
        "",
    ]
    return "\n".join(lines)


SIDES = {
    "embedded": embedded,
    "int8": lambda count, dim: embedded(count, dim, "int8"),
    "local": local,
}


def _table(options: argparse.Namespace, *measured: dict[str, float]) -> str:
    local, ours, large, small = measured
    rows = [
        ("upsert, s", "upsert_s", "{:.1f}"),
        ("upsert and graph, s", "publish_s", "{:.1f}"),
        ("reopen, s", "open_s", "{:.3f}"),
        ("search p50, ms", "search_ms", "{:.2f}"),
        ("filtered search p50, ms", "filtered_ms", "{:.2f}"),
        ("peak memory writing, MB", "publish_mb", "{:.0f}"),
        ("peak memory reopening and searching, MB", "search_mb", "{:.0f}"),
    ]
    lines = [
        "# The embedded index beside qdrant-client's local mode",
        "",
        f"`python eval/index.py`, {datetime.now(UTC):%Y-%m-%d}, {machine()}.",
        "",
        f"{options.count} x 2048, {GENRES} genres, k = {K}:",
        "",
        "| | local mode | embedded | ratio |",
        "|---|---|---|---|",
        *(
            f"| {title} | {form.format(local[key])} | {form.format(ours[key])} "
            f"| {local[key] / ours[key]:.1f} |"
            for title, key, form in rows
        ),
        "",
        f"{options.large} x 512:",
        "",
        "| | as they are | int8 |",
        "|---|---|---|",
        *(
            f"| {title} | {form.format(large[key])} | {form.format(small[key])} |"
            for title, key, form in [*rows, ("recall@10 against exact", "recall", "{:.3f}")]
        ),
        "",
        "Local mode searches exactly and has no graph: its upsert is all there is to wait for.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
