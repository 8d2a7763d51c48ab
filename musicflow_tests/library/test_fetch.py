"""Data sets are fetched from a server of the test's own."""

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from musicflow.library.fetch import DataSet, FetchError, Source, data_set, fetch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a folder ``web`` that holds ``fma_small.zip`` and a list."""
    web = tmp_path / "web"
    web.mkdir()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("fma_small/000/000002.mp3", "music")
    (web / "fma_small.zip").write_bytes(archive.getvalue())
    (web / "f1_groups.txt").write_text("./blues_00012.wav\t1\n")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(web))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


def made(server: str, tmp_path: Path, digest: str = "") -> DataSet:
    content = (tmp_path / "web" / "fma_small.zip").read_bytes()
    archive = Source(
        f"{server}/fma_small.zip",
        1,
        digest=digest or f"sha1:{hashlib.sha1(content).hexdigest()}",
    )
    return DataSet("a set", "none", (archive, Source(f"{server}/f1_groups.txt", 1, folder="lists")))


def test_a_data_set_is_fetched_checked_and_unpacked_once(server: str, tmp_path: Path) -> None:
    said: list[str] = []
    found, folder = made(server, tmp_path), tmp_path / "fma"
    fetch(found, folder, said.append)
    assert (folder / "fma_small/000/000002.mp3").read_text() == "music"
    assert (folder / "lists" / "f1_groups.txt").exists()
    assert not list(folder.rglob("*.zip"))
    fetch(found, folder, said.append)
    assert [line.partition(" ")[0] for line in said[:2]] == ["fetching", "fetching"]
    assert all(line.endswith("is here already") for line in said[2:])


def test_a_damaged_archive_is_not_unpacked(server: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="could not be fetched"):
        fetch(made(server, tmp_path, "sha1:" + "0" * 40), tmp_path / "fma", print)
    assert not (tmp_path / "fma" / "fma_small").exists()


def test_without_a_network_it_is_said_what_to_do(tmp_path: Path) -> None:
    source = Source("http://127.0.0.1:9/fma_small.zip", 1)
    with pytest.raises(FetchError) as caught:
        fetch(DataSet("a set", "none", (source,)), tmp_path, print)
    assert f"download {source.address} elsewhere and unpack it into {tmp_path}" in str(caught.value)


def test_kaggles_data_sets_are_fetched_by_kagglehub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kagglehub = pytest.importorskip("kagglehub")
    asked = []

    def download(handle: str, output_dir: str) -> str:
        asked.append((handle, output_dir))
        return output_dir

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    fetch(data_set("ludwig"), tmp_path, print)
    assert asked == [("jorgeruizdev/ludwig-music-dataset-moods-and-subgenres", str(tmp_path))]

    def refuse(handle: str, **_: str) -> str:
        raise RuntimeError(f"401 for {handle}")

    monkeypatch.setattr(kagglehub, "dataset_download", refuse)
    with pytest.raises(FetchError, match=r"401.*(\n.*)*kagglehub needs a key of your own"):
        fetch(data_set("gtzan"), tmp_path, print)


def test_a_data_set_that_nobody_knows_is_one_sentence() -> None:
    with pytest.raises(FetchError, match="'msd' is none of ludwig, gtzan, fma"):
        data_set("msd")
    assert data_set("fma", "medium").megabytes > data_set("fma").megabytes
