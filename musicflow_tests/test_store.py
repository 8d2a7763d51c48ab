from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from musicflow import parts as parts_module
from musicflow.embedders.spec import EmbedderSpec
from musicflow.store import Embedding, EmbeddingStore

SPEC = EmbedderSpec("toy", "1", 10, 3, window_s=1.0, hop_s=1.0, layer="-", summary="")


def row(content_hash: str, value: float = 1.0) -> Embedding:
    vector = np.array([value, 2, 3], np.float32)
    return Embedding(
        content_hash, vector, ("a", "b"), (0.5, 0.25),
        audio_s=2.0, decode_s=0.1, embed_s=0.2, wall_s=0.3, cpu_s=0.6, load_s=4.0,
        peak_rss_mb=100.0, device="cpu",
    )  # fmt: skip


def same(one: Embedding, other: Embedding) -> bool:
    vectors = [one.vector, other.vector]
    return repr(one) == repr(other) and [type(v) for v in vectors] == [type(v) for v in vectors]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    broken = Embedding("c", None, error="no music in it")
    store.add(SPEC, [row("a"), broken])
    store.add(SPEC, [row("b", 5.0)])
    rows = EmbeddingStore(tmp_path).read(SPEC)
    assert rows.keys() == {"a", "b", "c"}
    assert same(rows["a"], row("a"))
    assert same(rows["b"], row("b", 5.0))
    assert rows["c"] == broken
    assert store.known(SPEC) == {"a": "", "b": "", "c": "no music in it"}


def test_rows_of_before_had_one_note_and_no_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("a"), row("b"), Embedding("c", None, error="cut off")])
    [part] = parts(tmp_path)
    table = pq.read_table(part).drop_columns(["notes", "note_codes", "code"])
    pq.write_table(table.append_column("note", [["", "short: 0.3 s", ""]]), part)
    expected = {
        "a": row("a"),
        "b": replace(row("b"), notes=("short: 0.3 s",), note_codes=("short",)),
        "c": Embedding("c", None, error="cut off"),
    }
    assert {key: repr(one) for key, one in store.read(SPEC).items()} == {
        key: repr(one) for key, one in expected.items()
    }
    noted = replace(row("d"), notes=("x", "y"), note_codes=("quiet", "short"))
    monkeypatch.setattr(parts_module, "_MANY", 1)
    store.add(SPEC, [noted])
    assert len(parts(tmp_path)) == 1
    expected["d"] = noted
    assert {key: repr(one) for key, one in store.read(SPEC).items()} == {
        key: repr(one) for key, one in expected.items()
    }
    assert store.outcomes(SPEC) == {key: replace(one, vector=None) for key, one in expected.items()}


def test_only_broken_rows_can_be_kept(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [Embedding("c", None, error="x")])
    assert store.read(SPEC)["c"].vector is None


def test_nothing_is_known_at_first(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "none")
    assert store.read(SPEC) == {}
    assert store.known(SPEC) == {}
    store.add(SPEC, [])
    assert store.read(SPEC) == {}


def test_another_spec_knows_nothing_of_it(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("a")])
    assert store.read(replace(SPEC, version="2")) == {}


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("part-*.parquet"))


def test_many_files_become_one_and_no_row_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "_MANY", 3)
    store = EmbeddingStore(tmp_path)
    for number in range(4):
        store.add(SPEC, [row(str(number), number)])
    assert len(parts(tmp_path)) == 1
    assert store.read(SPEC).keys() == set("0123")


def test_vectors_of_texts_are_merged_as_those_of_tracks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "_MANY", 2)
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("a")])
    for number in range(3):
        store.add_texts(SPEC, {f"{number}": np.full(SPEC.dim, number, np.float32)})
    assert len(list(tmp_path.rglob("texts-*.parquet"))) == len(parts(tmp_path)) == 1
    assert {text: vector[0] for text, vector in store.read_texts(SPEC).items()} == {
        f"{number}": number for number in range(3)
    }


def test_large_files_are_not_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("large")])
    [large] = parts(tmp_path)
    monkeypatch.setattr(parts_module, "_MANY", 1)
    monkeypatch.setattr(parts_module, "_SMALL", large.stat().st_size)
    before = large.stat().st_mtime_ns
    for number in range(3):
        store.add(SPEC, [Embedding(str(number), None, error="x")])
    assert large.stat().st_mtime_ns == before
    assert store.read(SPEC).keys() == {"large", *"012"}


def test_a_merge_killed_before_its_end_leaves_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path)
    for number in range(3):
        store.add(SPEC, [row(str(number), number)])

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts_module, "_MANY", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            store.add(SPEC, [row("3")])
    assert store.read(SPEC).keys() == set("0123")
    store.add(SPEC, [row("4")])
    assert store.read(SPEC).keys() == set("01234")
    assert len(parts(tmp_path)) == 1


def test_rows_from_before_a_column_are_read_and_merged_with_those_that_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("old")])
    [part] = parts(tmp_path)
    pq.write_table(pq.read_table(part).drop_columns(["load_s"]), part)
    old = replace(row("old"), load_s=0.0)
    assert same(store.read(SPEC)["old"], old)
    monkeypatch.setattr(parts_module, "_MANY", 1)
    store.add(SPEC, [row("new")])
    assert len(parts(tmp_path)) == 1
    rows = store.read(SPEC)
    assert same(rows["old"], old)
    assert same(rows["new"], row("new"))


def test_what_a_kill_left_half_written_is_not_read(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("a")])
    [part] = tmp_path.rglob("part-*.parquet")
    (part.parent / f".{part.name}.half").write_bytes(part.read_bytes()[:50])
    assert store.read(SPEC).keys() == {"a"}


def test_rows_under_a_former_name_of_a_spec_are_taken_over(tmp_path: Path) -> None:
    spec = replace(SPEC, precisions=("fp32", "bf16"))
    store = EmbeddingStore(tmp_path)
    for name, content_hash in zip(spec.former_hashes, "ab", strict=True):
        store.add(spec, [row(content_hash)])
        (tmp_path / "toy" / spec.hash).rename(tmp_path / "toy" / name)
    store = EmbeddingStore(tmp_path)
    assert store.known(spec) == {"a": "", "b": ""}
    assert [path.name for path in (tmp_path / "toy").iterdir()] == [spec.hash]


def test_a_content_under_a_new_hash_keeps_its_vector(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPEC, [row("old", 7.0), Embedding("broken", None, error="no music in it")])
    for _ in range(2):
        store.adopt(SPEC, {"new": "old", "mended": "broken", "fresh": ""})
    rows = store.read(SPEC)
    assert same(rows["new"], replace(row("old", 7.0), content_hash="new"))
    assert rows.keys() == {"old", "new", "broken"}
