"""The embedded engine's own: files, and readers beside writers."""

import hashlib
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import qdrant_edge as edge

from musicflow.atomic import DamagedError
from musicflow.index import EmbeddedIndex, Filters, Revision, embedded
from musicflow_tests.index.conftest import MANIFEST, points, vectors


@pytest.fixture
def index(tmp_path: Path) -> EmbeddedIndex:
    return EmbeddedIndex(tmp_path / "collections")


def test_readers_share_a_version_and_outlive_it(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(5)))
    with index.open("toy") as first, index.open("toy") as second:
        for count in (6, 7, 8):
            index.publish("toy", MANIFEST, points(vectors(count)))
        assert first.count() == second.count() == 5
        assert len(second.vectors(["t0", "t4"])) == 2
    with index.open("toy") as latest:
        assert latest.count() == 8


def test_reading_never_changes_what_is_published(index: EmbeddedIndex, tmp_path: Path) -> None:
    index.publish("toy", MANIFEST, points(vectors(50)))
    before = digest(tmp_path)
    with index.open("toy") as collection:
        collection.query(vectors(3), 5, Filters.parse(["genre=even"]))
        collection.facet("genre")
    assert digest(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="open files keep their names there")
@pytest.mark.parametrize("writable", [True, False])
def test_a_reader_that_is_killed_leaves_nothing_behind(
    writable: bool, index: EmbeddedIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish("toy", MANIFEST, points(vectors(50)))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr("musicflow.index.embedded.os.access", lambda *_: writable)
    with index.open("toy") as collection:
        collection.query(vectors(1), 5)
        assert list(scratch.iterdir()) == []
        assert collection.facet("genre") == {"even": 25, "odd": 25}


def test_only_the_last_two_versions_are_kept(index: EmbeddedIndex) -> None:
    for count in range(2, 7):
        index.publish("toy", MANIFEST, points(vectors(count)))
    assert len(list((index.root / "toy" / "versions").iterdir())) == 2


def test_leftovers_of_a_kill_are_cleared(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(3)))
    (index.root / "toy" / "building" / "segments").mkdir(parents=True)
    with index.open("toy") as collection:
        assert collection.count() == 3
    index.publish("toy", MANIFEST, points(vectors(4)))
    assert not (index.root / "toy" / "building").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", None])
@pytest.mark.parametrize("file", ["CURRENT", "manifest.json", "edge_config.json", "segment.json"])
def test_a_damaged_file_is_named_and_what_to_delete(
    index: EmbeddedIndex, file: str, content: bytes | None
) -> None:
    index.publish("toy", MANIFEST, points(vectors(5)))
    [path] = (index.root / "toy").rglob(file)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    if (file, content) == ("CURRENT", None):
        assert index.names() == []
        return
    if file == "edge_config.json" and content in (b"[]", b'{"a": 1}'):
        return  # The engine does without.
    of_manifest = file in ("CURRENT", "manifest.json")
    for read in (index.open, index.manifest) if of_manifest else (index.open,):
        with pytest.raises(DamagedError) as caught:
            read("toy")
        lost = path if file == "CURRENT" else index.root / "toy"
        assert caught.value.advice.startswith(f"delete {lost};")
        assert str(index.root / "toy") in caught.value.message
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    index.publish("toy", MANIFEST, points(vectors(4)))
    with index.open("toy") as collection:
        assert collection.count() == 4


def test_the_graph_finds_what_updates_wrote(
    index: EmbeddedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With thresholds so low that a small collection has a graph, and searches take it."""
    soon = edge.EdgeOptimizersConfig(indexing_threshold=1)
    graph = edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=1)
    monkeypatch.setattr(edge, "EdgeConfig", partial(edge.EdgeConfig, optimizers=soon))
    monkeypatch.setattr(embedded, "_GRAPH", graph)
    values = vectors(900)
    given = points(values)
    index.publish("toy", MANIFEST, given[:800])
    for start in (0, 40):
        new, gone = given[800 + start : 840 + start], [f"t{n}" for n in range(start, start + 40)]
        revision = Revision(replace(MANIFEST, count=800), new, gone)
        assert index.update("toy", lambda _base, revision=revision: revision) == 800  # type: ignore[misc]
    with index.open("toy") as collection:
        assert collection._shard.info().indexed_vectors_count == 800
        found, exact = (collection.query(values, 10, exact=exact) for exact in (False, True))
    pairs = zip(found, exact, strict=True)
    shared = [len({a.track_id for a in one} & {a.track_id for a in two}) for one, two in pairs]
    assert sum(shared) >= 0.99 * 10 * len(values)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_collection_that_may_not_be_written_to_is_searched_all_the_same(
    index: EmbeddedIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish("toy", MANIFEST, points(vectors(50)))
    monkeypatch.setattr("musicflow.index.embedded.os.access", lambda *_: False)
    before = digest(index.root)
    with index.open("toy") as collection:
        [hits] = collection.query(vectors(1), 5)
        assert hits[0].track_id == "t0"
    assert digest(index.root) == before
