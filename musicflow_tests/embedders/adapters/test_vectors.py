"""Vectors that were made elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from musicflow import embedders
from musicflow.embedders import EmbedderError
from musicflow.embedders.adapters import vectors
from musicflow.evaluation.cost import cost_of
from musicflow.library import join, scan
from musicflow.pipeline.embed import embed_tracks
from musicflow.store import EmbeddingStore

NOWHERE = Path("unused")


def save(file: Path, keys: list[str], values: Any, key: str = "path") -> Path:
    values = np.asarray(values, np.float32)
    columns: dict[str, Any] = {key: pa.array(keys)}
    numbered = columns | {f"d{i}": pa.array(column) for i, column in enumerate(values.T)}
    if file.suffix == ".npz":
        np.savez(file, **{f"{key}s": np.array(keys), "vectors": values})
    elif file.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(numbered), file)
    else:
        listed = columns | {"vector": pa.array(values.tolist())}
        pq.write_table(pa.table(numbered if "wide" in file.stem else listed), file)
    return file


@pytest.mark.parametrize("name", ["v.npz", "v.csv", "v.parquet", "wide.parquet"])
@pytest.mark.parametrize("by", ["id", "whole", "below"])
def test_a_track_gets_its_vector_by_id_or_path(
    name: str, by: str, music: Path, tmp_path: Path
) -> None:
    tracks = join(music, scan(music, tmp_path / "known")).tracks[:3]
    values = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    keys = {
        "id": [track.track_id for track in tracks],
        "whole": [track.path for track in tracks],
        "below": [str(Path(track.path).relative_to(tmp_path)) for track in tracks],
    }[by]
    file = save(tmp_path / name, keys[:2], values, "id" if by == "id" else "path")
    spec = embedders.spec_of(f"vectors:{file}")
    assert (spec.dim, spec.trained) == (5, True)
    store = EmbeddingStore(tmp_path / "store")
    done = embed_tracks(tracks, spec, store, NOWHERE)
    rows = [store.read(spec)[track.content_hash] for track in tracks]
    for row, value in zip(rows[:2], values, strict=True):
        assert row.vector is not None
        np.testing.assert_allclose(row.vector, value, rtol=1e-6)
    assert (rows[2].vector, rows[2].code) == (None, "no-vector")
    assert [problem.code for problem in done.problems] == ["no-vector"]
    assert cost_of(rows) == {}


def test_another_content_is_another_spec(tmp_path: Path) -> None:
    file = save(tmp_path / "v.npz", ["a"], [[1.0, 2.0]])
    before = embedders.spec_of(f"vectors:{file}")
    save(file, ["a"], [[1.0, 3.0]])
    assert embedders.spec_of(f"vectors:{file}").hash != before.hash
    with pytest.raises(EmbedderError, match="instead of"):
        embedders.load(before, NOWHERE)


def test_a_key_of_digits_stays_a_text(tmp_path: Path) -> None:
    file = save(tmp_path / "v.csv", ["007", "8"], [[1.0], [2.0]], "id")
    assert vectors.read(file).rows["007"] == 0


def test_vectors_hear_no_audio(tmp_path: Path) -> None:
    file = save(tmp_path / "v.npz", ["a"], [[1.0, 2.0]])
    with pytest.raises(EmbedderError, match="hears no audio"):
        embedders.load(embedders.spec_of(f"vectors:{file}"), NOWHERE).embed(np.ones(16_000), 16_000)


@pytest.mark.parametrize(
    ("name", "keys", "values", "sentence"),
    [
        ("v.npz", ["a", "a"], [[1.0], [2.0]], "holds 'a' twice"),
        ("v.csv", ["a", "b"], [[1.0], [np.nan]], "not finite"),
        ("v.npz", ["a", "b"], [[1.0]], "2 keys, and vectors of shape (1, 1)"),
    ],
)
def test_a_table_that_is_not_one_finite_vector_per_key_is_refused(
    name: str, keys: list[str], values: Any, sentence: str, tmp_path: Path
) -> None:
    file = save(tmp_path / name, keys, values)
    with pytest.raises(EmbedderError) as caught:
        embedders.spec_of(f"vectors:{file}")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("v.npz", b"nothing", "cannot be read"),
        ("v.parquet", b"nothing", "cannot be read"),
        ("v.csv", b"a,b\n1,2\n", "has a, b: name one of them id or path"),
        ("v.csv", b"path,b\nx,y\n", "cannot be read"),
        ("v.txt", b"", "ends in none of .npz, .parquet, .csv"),
    ],
)
def test_a_file_without_vectors_is_one_sentence(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EmbedderError) as caught:
        embedders.spec_of(f"vectors:{tmp_path / name}")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot be read: No such file"):
        embedders.spec_of(f"vectors:{tmp_path}/v.npz")
